"""Table 3: a relay beside what users would pick: one machine with all data, one site alone, FedAvg and FedProx.

One network (small-cnn), the same shards and genesis, the same total of optimiser steps, batches of 32. Per seed
TRAIN_IMAGES images of the first POOL of Fashion-MNIST's training set are dealt to SITES sites, a fifth of each held
out; tested on all 10,000 images of the official test set, which nothing else reads. Rates and switches were chosen by
`relay_tuning` on other training images and another seed (its figures: results/learning-relay-tuning.json). In every run
but the plain sequential one the rate falls along a cosine over the whole run, leg by leg or round by round.

FedAvg's sites work side by side: for the same total of steps it needs a fifth of the relay's time. Bytes are weights
that change hands: for a relay one checkpoint a leg (a committee of judges fetches as many again for each member); for
Flower all its messages, down and up. Of a sparse leg only what changed needs to be sent, 8 bytes (index and value) a
weight; a node that ships whole tensors sends as much as for any leg.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from benchmarks.rows import Row, row
from derelayl_training import data
from derelayl_training.architectures import build
from derelayl_training.dealing import parse_partition
from derelayl_training.jobs import Architecture
from derelayl_training.judge import share_correct
from derelayl_training.partition import write_shards
from derelayl_training.recipe import Recipe
from derelayl_training.shard import write_shard
from derelayl_training.split import Split
from derelayl_training.train import write_genesis

from . import relay_choices
from .flower import run_flower
from .harness import Log, Measured
from .images import whole_images
from .legs import Plan, State, train
from .relay_choices import RelayDials

SITES = 5
HELD_FRACTION = 0.2
BATCH = 32
POOL = 40_000
"""The benchmark draws from the first images of the training set, `relay_tuning` from the rest."""

SPLITS = {
    "IID": "iid",
    "Dirichlet 0.5": "dirichlet:0.5",
    "Dirichlet 0.1": "dirichlet:0.1",
    "label-disjoint": "by-label",
}

NETWORK = Architecture("small-cnn", {"channels": 1, "height": 28, "width": 28, "classes": 10, "stem": 16})

CENTRALISED, ALONE, SEQUENTIAL = "centralised", "one site alone", "plain sequential"
POOLED, RELAY, FLOWER = "one machine", "relay", "Flower"
GROUPS = (POOLED, RELAY, FLOWER)
"""What is measured together, so that an interrupted run goes on from there."""

FEDAVG = "FedAvg (Flower)"
INDEX_AND_VALUE_BYTES = 8


@dataclass(frozen=True)
class Budget:
    """`steps` in total; sites' images and test images."""

    steps: int
    train_images: int
    test_images: int


FULL = Budget(steps=1200, train_images=6000, test_images=10_000)
QUICK = Budget(steps=20, train_images=1000, test_images=200)


@dataclass(frozen=True)
class Field:
    """The shards of one split and seed, as peers hold them."""

    paths: tuple[Path, ...]
    sites: tuple[Split, ...]
    pooled: Split
    test_path: Path
    test: Split
    folder: Path
    seed: int


@dataclass
class Relayed:
    """The end of a relay: the baton, the bytes that changed hands, accuracy on each site after its last leg."""

    state: State
    bytes: int = 0
    sparse_bytes: int = 0
    after_own_leg: dict[int, float] = field(default_factory=dict)


class RelayTable:
    """Table 3."""

    name = "relay"

    def cases(self, quick: bool) -> Sequence[str]:
        """See Table."""
        return [f"{split} / {group}" for split in SPLITS for group in GROUPS]

    def seeds(self, case: str, seeds: int) -> int:
        """See Table."""
        return seeds

    def measure(self, case: str, seed: int, quick: bool, log: Log) -> Measured:
        """See Table. Raises FlowerFailed."""
        split, _, group = case.partition(" / ")
        budget = QUICK if quick else FULL
        with tempfile.TemporaryDirectory() as folder:
            there = lay_out(SPLITS[split], budget, seed, Path(folder), images(quick))
            return MEASURES[group](there, budget)

    def rows(self, measured: Mapping[str, Sequence[Measured]]) -> list[Row]:
        """See Table."""
        return [one for split in SPLITS for one in _rows(split, measured)]


TABLE = RelayTable()


@cache
def images(quick: bool) -> tuple[Split, Split]:
    """The images to deal out and those to test on: Fashion-MNIST, or in a quick run MNIST-5k."""
    whole = whole_images(quick)
    pool = Split(whole.train_x[:POOL], whole.train_y[:POOL], whole.held_x[:1], whole.held_y[:1])
    mixed = np.random.default_rng(0).permutation(len(whole.held_y))  # MNIST-5k is sorted by label
    return pool, Split(whole.train_x[:0], whole.train_y[:0], whole.held_x[mixed], whole.held_y[mixed])


def lay_out(partition: str, budget: Budget, seed: int, folder: Path, source: tuple[Split, Split]) -> Field:
    """Write and read back the shards of one seed. The same images are dealt whatever the partition."""
    pool, test = source
    chosen = np.random.default_rng(seed).permutation(len(pool.train_y))[: budget.train_images + 1]
    shards = write_shards(
        pool.train_x[chosen],
        pool.train_y[chosen],
        folder,
        parts=SITES,
        partition=parse_partition(partition),
        held_fraction=HELD_FRACTION,
        test_size=1,  # the official test set is used instead
        seed=seed,
    )
    test_path = folder / "official-test.safetensors"
    write_shard(
        test_path,
        Split(test.train_x, test.train_y, test.held_x[: budget.test_images], test.held_y[: budget.test_images]),
    )
    sites = tuple(data.load_shard(path) for path in shards.peers)
    pooled = Split(
        np.concatenate([site.train_x for site in sites]),
        np.concatenate([site.train_y for site in sites]),
        np.concatenate([site.held_x for site in sites]),
        np.concatenate([site.held_y for site in sites]),
    )
    return Field(tuple(shards.peers), sites, pooled, test_path, data.load_shard(test_path), folder, seed)


def measure_pooled(there: Field, budget: Budget) -> Measured:
    """Centralised, one site alone (another one for each seed), and one pass of long legs of plain cross-entropy."""
    choice = relay_choices.CENTRALISED
    plain = Recipe(balanced=False, schedule="cosine")
    plan = Plan(plain, budget.steps, BATCH, choice, there.seed)
    one_pass = RelayDials(Recipe(balanced=False), budget.steps // SITES, choice, decays=False)
    return {
        CENTRALISED: _judged(train(NETWORK, None, there.pooled, plan).state, there),
        ALONE: _judged(train(NETWORK, None, there.sites[there.seed % SITES], plan).state, there),
        SEQUENTIAL: told(relay(there, one_pass, budget.steps), there),
    }


def measure_relay(there: Field, budget: Budget) -> Measured:
    """Our relays."""
    quick = budget is QUICK
    return {
        name: told(relay(there, _shortened(dials) if quick else dials, budget.steps), there)
        for name, dials in relay_choices.RELAYS.items()
    }


def measure_flower(there: Field, budget: Budget) -> Measured:
    """Flower's strategies. Raises FlowerFailed."""
    genesis = write_genesis(NETWORK, there.seed, there.folder / "genesis.safetensors").path
    strategies = [strategy(name, choice, budget.steps, there.seed) for name, choice in relay_choices.FLOWER.items()]
    return run_flower(NETWORK, genesis, there.paths, there.test_path, strategies, there.folder)


MEASURES: Mapping[str, Callable[[Field, Budget], Measured]] = {
    POOLED: measure_pooled,
    RELAY: measure_relay,
    FLOWER: measure_flower,
}


def strategy(name: str, choice: Mapping[str, Any], steps: int, seed: int) -> dict[str, Any]:
    """A strategy's dials, with as many rounds as make `steps` steps over all sites."""
    local = min(choice["local_steps"], max(1, steps // SITES))
    plain = Recipe()
    return {
        "name": name,
        "rounds": max(1, steps // (SITES * local)),
        "local_steps": local,
        "batch": BATCH,
        "learning_rate": choice["learning_rate"],
        "mu": choice.get("mu", 0.0),
        "adjusted": choice.get("adjusted", False),
        "momentum": choice.get("momentum", plain.momentum),
        "clip": choice.get("clip", 0.0),
        "weight_decay": plain.weight_decay,
        "seed": seed,
    }


def relay(there: Field, dials: RelayDials, steps: int, base: Architecture = NETWORK) -> Relayed:
    """Pass the baton until the steps are used up. Genesis is that of the seed."""
    network = Architecture(base.name, {**base.parameters, "importance": True}) if dials.importance else base
    run = Relayed(build(network, there.seed).state_dict())
    order = np.random.default_rng(there.seed)
    legs = steps // dials.leg_steps
    history: Mapping[str, int | str | bool] = {}
    sites: list[int] = []
    for leg in range(legs):
        sites = sites or order.permutation(SITES).tolist()
        site = sites.pop()
        share = 0.5 * (1 + math.cos(math.pi * leg / legs)) if dials.decays else 1.0
        private = there.folder / f"private-{site}"
        private.mkdir(exist_ok=True)
        plan = Plan(
            dials.recipe,
            dials.leg_steps,
            BATCH,
            dials.learning_rate * share,
            seed=there.seed * 100_000 + leg,
            private=private,
            history=history,
        )
        child = train(network, run.state, there.sites[site], plan)
        run.bytes += sum(tensor.nbytes for tensor in child.state.values())
        run.sparse_bytes += INDEX_AND_VALUE_BYTES * _changed(run.state, child.state)
        run.state, history = child.state, child.record
        if leg >= legs - SITES:
            run.after_own_leg[site] = accuracy(run.state, there.sites[site], network)
    return run


def accuracy(state: State, split: Split, network: Architecture = NETWORK) -> float:
    """Share of the held-out samples that are classified correctly."""
    model = build(network)
    model.load_state_dict(state)
    return share_correct(model, split.held_x, split.held_y)


def _changed(before: State, after: State) -> int:
    return sum(int((after[name] != tensor).sum()) for name, tensor in before.items())


def _judged(state: State, there: Field, network: Architecture = NETWORK) -> Measured:
    own = {name: tensor for name, tensor in state.items() if not name.startswith("importance.")}
    return {
        "accuracy": accuracy(own, there.test, network),
        "acc": float(np.mean([accuracy(own, site, network) for site in there.sites])),
    }


def told(run: Relayed, there: Field, network: Architecture = NETWORK) -> Measured:
    """With GEM's backward transfer (Lopez-Paz and Ranzato, NeurIPS 2017): a site's loss since its own last leg."""
    own: dict[str, Tensor] = {name: one for name, one in run.state.items() if not name.startswith("importance.")}
    last = list(run.after_own_leg)[-1]
    kept = [
        accuracy(own, there.sites[site], network) - then for site, then in run.after_own_leg.items() if site != last
    ]
    return {
        **_judged(run.state, there, network),
        "bwt": float(np.mean(kept)) if kept else 0.0,
        "bytes": run.bytes,
        "sparse_bytes": run.sparse_bytes,
    }


def _shortened(dials: RelayDials) -> RelayDials:
    return RelayDials(dials.recipe, 2, dials.learning_rate, dials.decays, dials.importance)


def _rows(split: str, measured: Mapping[str, Sequence[Measured]]) -> list[Row]:
    """The rows of a split: each method's accuracy beside centralised, and ours in points above FedAvg."""
    methods: dict[str, list[Measured]] = {}
    for group in GROUPS:
        for run in measured.get(f"{split} / {group}", ()):
            for name, figures in run.items():
                methods.setdefault(name, []).append(figures)
    rows = []
    central = [run["accuracy"] for run in methods.get(CENTRALISED, ())]
    fedavg = [run["accuracy"] for run in methods.get(FEDAVG, ())]
    for name, runs in methods.items():
        case, own = f"{split}: {name}", [run["accuracy"] for run in runs]
        rows.append(row(case, "test accuracy", "share", own))
        if name != CENTRALISED and len(central) == len(own):
            rows.append(row(case, "above centralised", "points", _points(own, central)))
        if name in relay_choices.RELAYS and len(fedavg) == len(own):
            rows.append(row(case, "above FedAvg", "points", _points(own, fedavg)))
        if "bytes" in runs[0]:
            rows.append(row(case, "bytes moved", "MB", [run["bytes"] / 1e6 for run in runs]))
        if "sparse" in name:
            moved = [run["sparse_bytes"] / 1e6 for run in runs]
            rows.append(row(case, "bytes moved as index and value", "MB", moved))
        rows.append(row(case, "ACC over the sites", "share", [run["acc"] for run in runs]))
        if "bwt" in runs[0]:
            rows.append(row(case, "BWT", "share", [run["bwt"] for run in runs]))
    return rows


def _points(own: Sequence[float], other: Sequence[float]) -> list[float]:
    return [100 * (mine - theirs) for mine, theirs in zip(own, other, strict=True)]
