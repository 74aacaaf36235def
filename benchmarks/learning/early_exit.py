"""Early exits: accuracy against mean compute, beside the whole network trained without supervision.

A ResNet-20 of eight channels, cut in four, on part of Fashion-MNIST at half its size (14x14, each pixel the mean of
four): 25,600 of its training images to train on, 2,000 others of them to calibrate on, and every second of its test
images, which decide nothing. Each network is trained by one leg of `backprop`; the supervised ones carry a prefix head
behind each segment but the last. Same seed: same first weights, same batches, same number of steps. Multiply-adds are
counted, heads included.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.rows import Row, row
from derelayl_training.architectures import build
from derelayl_training.exits.anytime import AnytimeModel
from derelayl_training.jobs import Architecture
from derelayl_training.recipe import Recipe
from derelayl_training.split import Split

from .harness import Log, Measured
from .images import halved, shape_of, spread, whole_images
from .legs import Plan, train

WHOLE = 1.0
BUDGETS = (WHOLE, 0.75, 0.5, 0.35)
HEADS = ("linear", "dgl")
PLAIN = "no heads"
RIVAL = "whole network trained without supervision"
SUPERVISION = 0.5


@dataclass(frozen=True)
class Size:
    """What a run costs."""

    depth: int = 20
    base: int = 8
    segments: int = 4
    train: int = 25_600
    calibrate: int = 2_000
    test: int = 5_000
    steps: int = 2_400
    batch: int = 64
    learning_rate: float = 0.1


FULL = Size()
QUICK = Size(depth=14, base=4, train=1024, calibrate=200, test=400, steps=40)


class EarlyExitTable:
    """Networks with exits, and the rival without."""

    name = "early-exit"

    def cases(self, quick: bool) -> Sequence[str]:
        """See Table."""
        size = QUICK if quick else FULL
        return [case_of(size, heads) for heads in ("", *HEADS)]

    def seeds(self, case: str, seeds: int) -> int:
        """See Table."""
        return seeds

    def measure(self, case: str, seed: int, quick: bool, log: Log) -> Measured:
        """See Table: by budget accuracy and mean cost on the test images; processor seconds of the training."""
        size = QUICK if quick else FULL
        heads = next(heads for heads in ("", *HEADS) if case == case_of(size, heads))
        found = measure(size, halved(whole_images(quick)), heads, seed)
        log(f"{case}, seed {seed}: " + ", ".join(f"{share:.4f} at {at}" for at, share in found["accuracy"].items()))
        return found

    def rows(self, measured: Mapping[str, Sequence[Measured]]) -> list[Row]:
        """See Table: accuracy beside the rival's, points below it, mean cost; and what supervision costs."""
        plain = next((runs for case, runs in measured.items() if case.endswith(PLAIN)), [])
        beside = [run["accuracy"][str(WHOLE)] for run in plain]
        rows = []
        for case, runs in measured.items():
            if runs is plain:
                rows.append(row(case, "test accuracy", "share", beside))
            elif plain:
                rows += _rows_beside(case, runs[: len(plain)], plain[: len(runs)])
        return rows


TABLE = EarlyExitTable()


def measure(size: Size, data: Split, heads: str, seed: int) -> Measured:
    """Train one network on part of the training images, set its exits on others, and route the test images."""
    parts = deal(size, data, seed)
    cut = {"depth": size.depth, "base": size.base, "segments": size.segments}
    architecture = Architecture("resnet", {**shape_of(data), **cut, **({"heads": heads} if heads else {})})
    recipe = Recipe(schedule="cosine", warmup=size.steps // 20, supervision=SUPERVISION if heads else 0.0)
    child = train(architecture, None, parts, Plan(recipe, size.steps, size.batch, size.learning_rate, seed))
    network = build(architecture)
    network.load_state_dict(child.state)
    model = AnytimeModel(network)
    if heads:
        model.calibrate(parts.held_x, parts.held_y)
    test = spread(len(data.held_y), size.test)
    found = {str(at): model.predict(data.held_x[test], at) for at in (BUDGETS if heads else (WHOLE,))}
    return {
        "accuracy": {at: float((each.labels == data.held_y[test]).mean()) for at, each in found.items()},
        "cost": {at: each.mean_cost for at, each in found.items()},
        "seconds": child.seconds,
    }


def deal(size: Size, data: Split, seed: int) -> Split:
    """Draw samples of the training part: some to train on, others, as the held-out part, to calibrate on."""
    order = np.random.default_rng(seed).permutation(len(data.train_y))
    train, held = order[: size.train], order[size.train : size.train + size.calibrate]
    return Split(data.train_x[train], data.train_y[train], data.train_x[held], data.train_y[held])


def case_of(size: Size, heads: str) -> str:
    return f"resnet-{size.depth}, base {size.base}, " + (f"heads={heads}, supervised" if heads else PLAIN)


def _rows_beside(case: str, runs: Sequence[Measured], plain: Sequence[Measured]) -> list[Row]:
    beside = [run["accuracy"][str(WHOLE)] for run in plain]
    rows = []
    for budget in BUDGETS:
        own = [run["accuracy"][str(budget)] for run in runs]
        below = [100 * (other - mine) for mine, other in zip(own, beside, strict=True)]
        costs = [run["cost"][str(budget)] for run in runs]
        rows += [
            row(case, f"test accuracy at budget {budget:g}", "share", own, RIVAL, beside),
            row(case, f"below the rival at budget {budget:g}", "points", below),
            row(case, f"mean cost at budget {budget:g}", "share of multiply-adds", costs),
        ]
    seconds = [[run["seconds"] for run in each] for each in (runs, plain)]
    return [*rows, row(case, "processor time of training", "s", seconds[0], RIVAL, seconds[1])]
