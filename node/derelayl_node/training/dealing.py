"""Who gets which samples of one labelled set: at random, by Dirichlet label mixes, or label by label."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from derelayl_protocol.errors import LocalFault

MIN_SHARD_SAMPLES = 64
"""Samples that every part gets: two batches of 32, so that nobody trains on, or judges with, a handful."""

ALPHA_RANGE = (1e-3, 1e6)
"""Below, one peer has all of a class anyway; above, all mixes are equal; far beyond both numpy's draws break down."""

PARTITIONS = "iid, dirichlet:ALPHA or by-label"

Indices = NDArray[np.int64]


class Partition(Protocol):
    """A rule for dealing samples out to peers."""

    def deal(self, labels: Indices, indices: Indices, parts: int, rng: np.random.Generator) -> list[Indices]:
        """Deal `indices` out: `parts` disjoint arrays in random order, each of at least MIN_SHARD_SAMPLES.

        `indices` are at least `parts` times MIN_SHARD_SAMPLES. Raises LocalFault where the rule cannot be kept.
        """
        ...


@dataclass(frozen=True, slots=True)
class Iid:
    """Every peer a random sample of the whole; sizes differ by one at most."""

    def deal(self, labels: Indices, indices: Indices, parts: int, rng: np.random.Generator) -> list[Indices]:
        """See Partition."""
        return np.array_split(rng.permutation(indices), parts)


@dataclass(frozen=True, slots=True)
class Dirichlet:
    """Each class shared out by its own Dirichlet(alpha) draw (Hsu et al. 2019).

    0.1 gives nearly one-class peers, 100 nearly equal mixes.
    """

    alpha: float

    def __post_init__(self) -> None:
        least, most = ALPHA_RANGE
        if not least <= self.alpha <= most:
            raise LocalFault(f"alpha {self.alpha} of a Dirichlet partition must be within {least:g} … {most:g}")

    def deal(self, labels: Indices, indices: Indices, parts: int, rng: np.random.Generator) -> list[Indices]:
        """See Partition; a part that drew too little is filled up from the largest."""
        hands: list[list[int]] = [[] for _ in range(parts)]
        for label in np.unique(labels[indices]):
            members = rng.permutation(indices[labels[indices] == label])
            ends = (np.cumsum(rng.dirichlet([self.alpha] * parts))[:-1] * len(members)).astype(int)
            for hand, piece in zip(hands, np.split(members, ends), strict=True):
                hand.extend(piece.tolist())
        for hand in hands:
            rng.shuffle(hand)
        for hand in hands:
            while len(hand) < MIN_SHARD_SAMPLES:
                hand.append(max(hands, key=len).pop())  # a repair rather than a new draw: it always ends
        return [rng.permutation(np.array(hand, dtype=np.int64)) for hand in hands]


@dataclass(frozen=True, slots=True)
class ByLabel:
    """Each class whole to one peer, so that no two peers share a label: the hardest split."""

    def deal(self, labels: Indices, indices: Indices, parts: int, rng: np.random.Generator) -> list[Indices]:
        """See Partition; the largest class left goes to the peer with the fewest samples."""
        classes, sizes = np.unique(labels[indices], return_counts=True)
        if len(classes) < parts:
            raise LocalFault(f"{len(classes)} classes cannot be dealt by label to {parts} peers")
        shuffled = rng.permutation(len(classes))  # so that classes of one size go to peers by the seed
        dealt: list[list[int]] = [[] for _ in range(parts)]
        held = [0] * parts
        for each in shuffled[np.argsort(-sizes[shuffled], kind="stable")].tolist():
            peer = held.index(min(held))
            dealt[peer].append(each)
            held[peer] += int(sizes[each])
        if min(held) < MIN_SHARD_SAMPLES:
            raise LocalFault(
                f"by label, one of {parts} peers gets {min(held)} samples, needed are {MIN_SHARD_SAMPLES}: "
                f"its classes are too small"
            )
        return [rng.permutation(indices[np.isin(labels[indices], classes[hand])]) for hand in dealt]


def parse_partition(text: str) -> Partition:
    """Return the rule that a name stands for: `iid`, `dirichlet:ALPHA` or `by-label`. Raises LocalFault."""
    if text == "iid":
        return Iid()
    if text == "by-label":
        return ByLabel()
    kind, _, argument = text.partition(":")
    if kind == "dirichlet":
        try:
            return Dirichlet(float(argument))
        except ValueError:
            raise LocalFault(f"alpha {argument!r} of a Dirichlet partition is not a number") from None
    raise LocalFault(f"partition {text!r} is unknown; allowed are {PARTITIONS}")
