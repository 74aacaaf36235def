"""Choose the dials of table 3's methods, Flower's too, away from what the table measures.

    python -m benchmarks.learning.relay_tuning

The shards are dealt from the last 20,000 training images of Fashion-MNIST and scored on 4,000 more of those; the table
uses the first 40,000 and the official test set, and other seeds. Every candidate is scored by its mean accuracy over
SPLITS. Writes results/learning-relay-tuning.json, best first, after each candidate, and goes on from it where it was
interrupted; the best of each kind is entered in `relay_choices` by hand.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from statistics import mean
from typing import Any

from benchmarks.rows import COMMIT, RESULTS
from derelayl_training.recipe import parse_recipe
from derelayl_training.split import Split
from derelayl_training.train import configure_torch, write_genesis

from .flower import run_flower
from .images import whole_images
from .legs import Plan, train
from .relay import BATCH, NETWORK, POOL, Budget, Field, accuracy, lay_out, relay, strategy
from .relay_choices import RelayDials

SEED = 100
SPLITS = ("dirichlet:0.1", "by-label")
BUDGET = Budget(steps=600, train_images=6000, test_images=4000)
OUT = RESULTS / "learning-relay-tuning.json"

CENTRALISED = (0.01, 0.02, 0.05)

PLAIN_SGD = "balanced=false,warmup=0,momentum=0"

RELAYS = (
    *(("", steps, rate) for steps in (5, 30) for rate in (0.01, 0.02)),
    *((PLAIN_SGD, steps, rate) for steps in (1, 2, 5) for rate in (0.05, 0.1, 0.2)),
    *((f"{PLAIN_SGD},{switch}", 2, 0.1) for switch in ("prox=1", "distil=0.5", "clip=1")),
    *(("warmup=0,momentum=0", steps, 0.1) for steps in (2, 30)),
    *((switch, 10, 0.02) for switch in ("distil=0.5", "merge=true", "consolidate=10", "rehearse=0.5")),
    *((f"method=sparse,keep={keep},{PLAIN_SGD}", 5, 0.2) for keep in (0.05, 0.2)),
    *((f"method=sparse,keep={keep}", 30, 0.02) for keep in (0.01, 0.05, 0.2)),
)
"""Recipe, steps of a leg, rate."""

FLOWER = (
    *({"learning_rate": rate, "local_steps": local} for rate in (0.01, 0.02, 0.05) for local in (2, 5, 10)),
    *({"learning_rate": 0.02, "local_steps": 2, "mu": mu} for mu in (0.1, 1.0)),
    {"learning_rate": 0.02, "local_steps": 2, "adjusted": True},
    # the same switches as the relay's plain SGD
    *({"learning_rate": rate, "local_steps": 2, "momentum": 0.0} for rate in (0.05, 0.1, 0.2)),
    *({"learning_rate": rate, "local_steps": 2, "momentum": 0.0, "clip": 1.0} for rate in (0.1, 0.2)),
)

Scores = dict[str, dict[str, float]]
"""By candidate and split."""


def main() -> None:
    configure_torch(threads=1)
    whole = whole_images(quick=False)
    held = slice(POOL, POOL + BUDGET.test_images)
    rest = slice(POOL + BUDGET.test_images, None)
    pool = Split(whole.train_x[rest], whole.train_y[rest], whole.train_x[:1], whole.train_y[:1])
    test = Split(whole.train_x[:0], whole.train_y[:0], whole.train_x[held], whole.train_y[held])
    scores = read()
    with tempfile.TemporaryDirectory() as folder:
        for split in SPLITS:
            there = lay_out(split, BUDGET, SEED, Path(folder) / split.replace(":", "-"), (pool, test))
            done = {name for name, by in scores.items() if split in by}
            for name, score in candidates(there, done):
                scores.setdefault(name, {})[split] = score
                write(scores)
                print(f"{split}: {name}: {score:.4f}", file=sys.stderr, flush=True)


def read() -> Scores:
    """The scores of an interrupted run; to start anew, delete the file."""
    if not OUT.exists():
        return {}
    found = json.loads(OUT.read_text(encoding="utf-8"))
    return {each["candidate"]: each["scores"] for each in found["candidates"]}


def write(scores: Scores) -> None:
    """Write all scores, the best mean first; a candidate that lacks a split has no mean and comes last."""
    found = [
        {"candidate": name, "mean": round(mean(by.values()), 4) if len(by) == len(SPLITS) else None, "scores": by}
        for name, by in scores.items()
    ]
    found.sort(key=lambda each: -(each["mean"] or 0.0))
    text = json.dumps({"commit": COMMIT, "seed": SEED, "steps": BUDGET.steps, "candidates": found}, indent=1)
    OUT.write_text(text + "\n", encoding="utf-8")


def candidates(there: Field, done: set[str]) -> Iterator[tuple[str, float]]:
    """Score every candidate that is not done on one split."""
    for rate in CENTRALISED:
        if (name := f"centralised, rate {rate}") not in done:
            plan = Plan(parse_recipe("balanced=false,schedule=cosine"), BUDGET.steps, BATCH, rate, SEED)
            yield name, accuracy(train(NETWORK, None, there.pooled, plan).state, there.test)
    for text, leg_steps, rate in RELAYS:
        if (name := f"relay {text or 'defaults'}, legs of {leg_steps}, rate {rate}") not in done:
            recipe = parse_recipe(text)
            for site in range(len(there.sites)):
                (there.folder / f"private-{site}" / "rehearsal.safetensors").unlink(missing_ok=True)
            dials = RelayDials(recipe, leg_steps, rate, importance=recipe.consolidate > 0)
            end = relay(there, dials, BUDGET.steps).state
            own = {key: tensor for key, tensor in end.items() if not key.startswith("importance.")}
            yield name, accuracy(own, there.test)
    yield from flower_scores(there, done)


def flower_scores(there: Field, done: set[str]) -> Iterator[tuple[str, float]]:
    """Score Flower's candidates that are not done, all in one run of it."""
    named: dict[str, Mapping[str, Any]] = {
        "Flower " + ", ".join(f"{key} {value}" for key, value in choice.items()): choice for choice in FLOWER
    }
    genesis = write_genesis(NETWORK, SEED, there.folder / "genesis.safetensors").path
    left = [strategy(name, choice, BUDGET.steps, SEED) for name, choice in named.items() if name not in done]
    if left:
        for name, figures in run_flower(NETWORK, genesis, there.paths, there.test_path, left, there.folder).items():
            yield name, figures["accuracy"]


if __name__ == "__main__":
    main()
