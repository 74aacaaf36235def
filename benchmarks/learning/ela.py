"""ELA against MRLA-base: does layer attention that skips redundant retrievals train faster, and as well?

A residual network with layer attention on part of Fashion-MNIST at half its size (14x14, each pixel the mean of four).
With each seed two copies of one network take the same batches: one by `backprop`, which retrieves in every block
(MRLA-base), one by `ela` (reconstructed from the abstract), which skips what it finds redundant. They take turns, an
epoch each, so that whatever else the machine does falls on both. Times are processor seconds of one thread. The test
images decide nothing.

ELA goes by ranks alone here, without its floor: how many blocks a floor of FLOOR nats would let skip is a row.

No saving can exceed what retrieval costs in the first place: steps of one network in which all blocks retrieve and in
which none does, again taking turns, tell that; also for the papers' width on images of full size.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import mean, median

import numpy as np

from benchmarks.rows import Row, row
from derelayl_training.architectures.layer_attention import NAME, LayerAttentionResNet
from derelayl_training.batches import Batches
from derelayl_training.jobs import Architecture
from derelayl_training.judge import share_correct
from derelayl_training.leg import Leg
from derelayl_training.methods import Method, make_method
from derelayl_training.recipe import Recipe
from derelayl_training.split import Split
from derelayl_training.train import samples_of

from .harness import Log, Measured
from .images import halved, shape_of, spread, whole_images
from .legs import Plan, open_leg

RIVAL = "MRLA-base, same steps"
COST_RIVAL = "no block retrieves"
FLOOR = 0.05
NO_FLOOR = 1e6
COST_ROUNDS = 5
"""Turns that a network takes with and without retrieval; the first is not counted."""


@dataclass(frozen=True)
class Size:
    """What a run costs. Of `epochs` the first is ELA's warm-up; it becomes decisive in the second."""

    depth: int = 56
    base: int = 8
    train: int = 2_560
    test: int = 4_000
    epochs: int = 8
    batch: int = 64
    learning_rate: float = 0.003
    share: float = 0.9


FULL = Size()
QUICK = Size(depth=26, base=4, train=128, test=200, epochs=3, batch=32)


@dataclass(frozen=True)
class Cost:
    """A network of which the cost of retrieval is measured, and the batch."""

    base: int
    whole: bool
    batch: int


COSTS = (Cost(base=8, whole=False, batch=64), Cost(base=16, whole=True, batch=32))


class ElaTable:
    """A pair of trainings, and what retrieval costs."""

    name = "ela"

    def cases(self, quick: bool) -> Sequence[str]:
        """See Table."""
        size = QUICK if quick else FULL
        return [case_of(size), *([] if quick else [cost_case(size, cost) for cost in COSTS])]

    def seeds(self, case: str, seeds: int) -> int:
        """See Table."""
        return seeds

    def measure(self, case: str, seed: int, quick: bool, log: Log) -> Measured:
        """See Table."""
        size = QUICK if quick else FULL
        data = whole_images(quick)
        for cost in COSTS:
            if case == cost_case(size, cost):
                return measure_cost(size, cost, data if cost.whole else halved(data), seed)
        return measure_pair(size, halved(data), seed, log)

    def rows(self, measured: Mapping[str, Sequence[Measured]]) -> list[Row]:
        """See Table."""
        found = []
        for case, runs in measured.items():
            if "retrieves" in runs[0]:
                beside = [run["skips"] for run in runs]
                found.append(
                    row(case, "processor time of a step", "s", [run["retrieves"] for run in runs], COST_RIVAL, beside)
                )
            else:
                found += _rows_of_pairs(case, runs)
        return found


TABLE = ElaTable()


def case_of(size: Size) -> str:
    return f"{NAME}-{size.depth}, base {size.base}, ela"


def cost_case(size: Size, cost: Cost) -> str:
    side = 28 if cost.whole else 14
    return f"{NAME}-{size.depth}, base {cost.base}, {side}x{side}, all retrieve"


def measure_pair(size: Size, data: Split, seed: int, log: Log) -> Measured:
    """Train both copies in turns: seconds by epoch, test accuracy, and what ELA skips."""
    parts = deal(size, data, seed)
    steps = size.epochs * (size.train // size.batch)
    epoch = 1 / size.epochs
    ours = Recipe(
        method="ela",
        optimiser="adamw",
        schedule="cosine",
        ela_warmup=epoch,
        ela_ramp=epoch,
        ela_every=max(1, steps // (5 * size.epochs)),
        ela_share=size.share,
        ela_floor=NO_FLOOR,
    )
    theirs = Recipe(optimiser="adamw", schedule="cosine")
    runs = [_open(size, parts, recipe, steps, seed) for recipe in (ours, theirs)]
    seconds: list[list[float]] = [[], []]
    for turn in range(size.epochs):
        for index in (0, 1) if turn % 2 else (1, 0):
            seconds[index].append(_take_epoch(*runs[index], turn, steps // size.epochs))
        log(f"{case_of(size)}, seed {seed}, epoch {turn}: {seconds[0][-1]:.1f} s beside {seconds[1][-1]:.1f} s")
    accuracies = [share_correct(leg.model, parts.held_x, parts.held_y) for leg, _, _ in runs]
    record = runs[0][1].finish()
    return {
        "seconds": seconds[0],
        "beside": seconds[1],
        "accuracy": accuracies[0],
        "accuracy_beside": accuracies[1],
        "retrieving": int(record["ela_retrieving"]) / int(record["ela_blocks"]),
        "below_floor": below_floor(_network(runs[0][0])),
    }


def below_floor(network: LayerAttentionResNet) -> float:
    """The share of the measured blocks whose running divergence is below FLOOR nats."""
    running = [network.attention_of(block).divergence.item() for block in range(len(network.blocks))]
    measured = [value for value in running if value >= 0]
    return sum(value < FLOOR for value in measured) / len(measured)


def measure_cost(size: Size, cost: Cost, data: Split, seed: int) -> Measured:
    """Processor seconds of a training step in which all blocks retrieve, and of one in which none does: medians."""
    parts = Split(data.train_x[: cost.batch], data.train_y[: cost.batch], data.held_x[:1], data.held_y[:1])
    leg, method, batches = _open(Size(depth=size.depth, base=cost.base, batch=cost.batch), parts, Recipe(), 2, seed)
    network = _network(leg)
    seconds: dict[bool, list[float]] = {True: [], False: []}
    for _ in range(COST_ROUNDS):
        for skips, found in seconds.items():
            for block in range(len(network.blocks)):
                network.attention_of(block).skips = skips
            found.append(_timed(lambda: method.step(*samples_of(leg, batches[0]))))
    return {"retrieves": median(seconds[False][1:]), "skips": median(seconds[True][1:])}


def deal(size: Size, data: Split, seed: int) -> Split:
    """Draw training images to train on, and test images, the same for every seed, as the held-out part."""
    train = np.random.default_rng(seed).permutation(len(data.train_y))[: size.train]
    test = spread(len(data.held_y), size.test)
    return Split(data.train_x[train], data.train_y[train], data.held_x[test], data.held_y[test])


def _open(size: Size, data: Split, recipe: Recipe, steps: int, seed: int) -> tuple[Leg, Method, Batches]:
    architecture = Architecture(NAME, {**shape_of(data), "depth": size.depth, "base": size.base, "segments": 1})
    leg = open_leg(architecture, None, data, Plan(recipe, steps, size.batch, size.learning_rate, seed))
    method = make_method(recipe)
    return leg, method, method.prepare(leg)


def _take_epoch(leg: Leg, method: Method, batches: Batches, epoch: int, steps: int) -> float:
    def take() -> None:
        for step in range(epoch * steps, (epoch + 1) * steps):
            method.step(*samples_of(leg, batches[step]))

    return _timed(take)


def _timed(action: Callable[[], object]) -> float:
    started = time.process_time()
    action()
    return time.process_time() - started


def _network(leg: Leg) -> LayerAttentionResNet:
    assert isinstance(leg.model, LayerAttentionResNet)
    return leg.model


def _rows_of_pairs(case: str, runs: Sequence[Measured]) -> list[Row]:
    after = [[mean(run[key][1:]) for run in runs] for key in ("seconds", "beside")]
    last = [[run[key][-1] for run in runs] for key in ("seconds", "beside")]
    accuracies = [[run[key] for run in runs] for key in ("accuracy", "accuracy_beside")]
    points = [100 * (own - other) for own, other in zip(*accuracies, strict=True)]
    return [
        row(case, "processor time of an epoch after warm-up", "s", after[0], RIVAL, after[1]),
        row(case, "processor time of the last epoch", "s", last[0], RIVAL, last[1]),
        row(case, "test accuracy", "share", accuracies[0], RIVAL, accuracies[1]),
        row(case, "above MRLA-base", "points", points),
        row(case, "blocks that retrieve in the end", "share", [run["retrieving"] for run in runs]),
        row(case, f"blocks below {FLOOR:g} nats in the end", "share", [run["below_floor"] for run in runs]),
    ]
