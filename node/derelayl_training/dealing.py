"""Who gets which samples of one set: at random, by Dirichlet label mixes, label by label, or site by site."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from derelayl_protocol.errors import LocalFault

MIN_SHARD_SAMPLES = 64
"""Samples that every part gets: two batches of 32, so that nobody trains on, or judges with, a handful."""

ALPHA_RANGE = (1e-3, 1e6)
"""Below, one peer has all of a class anyway; above, all mixes are equal; far beyond both numpy's draws break down."""

PARTITIONS = "iid, dirichlet:ALPHA, by-label or by-site"

Indices = NDArray[np.int64]

Traits = Literal["nothing", "labels", "sites"]


class Partition(Protocol):
    """A rule for dealing samples out to peers."""

    deals_by: ClassVar[Traits]
    """What the rule looks at."""

    def deal(self, traits: Indices, indices: Indices, parts: int, rng: np.random.Generator) -> list[Indices]:
        """Deal `indices` out: `parts` disjoint arrays in random order, each of at least MIN_SHARD_SAMPLES.

        `traits` are the label or the site of every sample, as `deals_by` says. `indices` are at least `parts` times
        MIN_SHARD_SAMPLES. Raises LocalFault where the rule cannot be kept.
        """
        ...


@dataclass(frozen=True, slots=True)
class Iid:
    """Every peer a random sample of the whole; sizes differ by one at most."""

    deals_by: ClassVar[Traits] = "nothing"

    def deal(self, traits: Indices, indices: Indices, parts: int, rng: np.random.Generator) -> list[Indices]:
        """See Partition."""
        return np.array_split(rng.permutation(indices), parts)


@dataclass(frozen=True, slots=True)
class Dirichlet:
    """Each class shared out by its own Dirichlet(alpha) draw (Hsu et al. 2019).

    0.1 gives nearly one-class peers, 100 nearly equal mixes.
    """

    alpha: float
    deals_by: ClassVar[Traits] = "labels"

    def __post_init__(self) -> None:
        least, most = ALPHA_RANGE
        if not least <= self.alpha <= most:
            raise LocalFault(f"alpha {self.alpha} of a Dirichlet partition must be within {least:g} … {most:g}")

    def deal(self, traits: Indices, indices: Indices, parts: int, rng: np.random.Generator) -> list[Indices]:
        """See Partition; a part that drew too little is filled up from the largest."""
        hands: list[list[int]] = [[] for _ in range(parts)]
        for label in np.unique(traits[indices]):
            members = rng.permutation(indices[traits[indices] == label])
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

    deals_by: ClassVar[Traits] = "labels"

    def deal(self, traits: Indices, indices: Indices, parts: int, rng: np.random.Generator) -> list[Indices]:
        """See Partition; the largest class left goes to the peer with the fewest samples."""
        return _deal_whole(traits, indices, parts, rng, rule="by label", groups="classes")


@dataclass(frozen=True, slots=True)
class BySite:
    """Each natural site (hospital, author, genre, vendor) whole to one peer: the split that nobody had to simulate."""

    deals_by: ClassVar[Traits] = "sites"

    def deal(self, traits: Indices, indices: Indices, parts: int, rng: np.random.Generator) -> list[Indices]:
        """See Partition; the largest site left goes to the peer with the fewest samples."""
        return _deal_whole(traits, indices, parts, rng, rule="by site", groups="sites")


def _deal_whole(
    traits: Indices, indices: Indices, parts: int, rng: np.random.Generator, *, rule: str, groups: str
) -> list[Indices]:
    """Deal groups of equal trait whole. Raises LocalFault: fewer than parts, or too small."""
    values, sizes = np.unique(traits[indices], return_counts=True)
    if len(values) < parts:
        raise LocalFault(f"{len(values)} {groups} cannot be dealt to {parts} peers by {rule}")
    shuffled = rng.permutation(len(values))  # so that groups of one size go to peers by the seed
    dealt: list[list[int]] = [[] for _ in range(parts)]
    held = [0] * parts
    for each in shuffled[np.argsort(-sizes[shuffled], kind="stable")].tolist():
        peer = held.index(min(held))
        dealt[peer].append(each)
        held[peer] += int(sizes[each])
    if min(held) < MIN_SHARD_SAMPLES:
        raise LocalFault(
            f"{rule}, one of {parts} peers gets {min(held)} samples, needed are {MIN_SHARD_SAMPLES}: "
            f"its {groups} are too small"
        )
    return [rng.permutation(indices[np.isin(traits[indices], values[hand])]) for hand in dealt]


def parse_partition(text: str) -> Partition:
    """Return the rule that a name stands for: `iid`, `dirichlet:ALPHA`, `by-label` or `by-site`. Raises LocalFault."""
    if text == "iid":
        return Iid()
    if text == "by-label":
        return ByLabel()
    if text == "by-site":
        return BySite()
    kind, _, argument = text.partition(":")
    if kind == "dirichlet":
        try:
            return Dirichlet(float(argument))
        except ValueError:
            raise LocalFault(f"alpha {argument!r} of a Dirichlet partition is not a number") from None
    raise LocalFault(f"partition {text!r} is unknown; allowed are {PARTITIONS}")
