"""Who does wrong on purpose, as data: each names the peers that are run by the adversary from the first round on."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Adversary:
    """`whom` are peers of the plan in the adversary's hands; the others are honest."""

    whom: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CorruptDonor(Adversary):
    """Serves manifests and chunks with a byte changed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WithholdingDonor(Adversary):
    """A trainer that announces and submits its child, and gives nobody a byte of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StaleParent(Adversary):
    """A trainer whose child continues an older checkpoint than the lease names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay(Adversary):
    """Sends old announcements, signed entries and children again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CopiedChild(Adversary):
    """A trainer that submits another's child of the same round, or its own parent, as its own work."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Equivocation(Adversary):
    """Signs two children under a lease, or two reveals of a seat."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ColludingMinority(Adversary):
    """Validators that give their friends the best scores and all others the worst."""

    friends: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class GossipFlood(Adversary):
    """Announces `messages` roots a round that nobody has."""

    messages: int = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class SilentConnections(Adversary):
    """Opens `number` connections to each peer and says nothing."""

    number: int = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Eclipse(Adversary):
    """Dials everybody under many names, and answers every question about peers with peers of its own only."""


KINDS: tuple[type[Adversary], ...] = (
    CorruptDonor,
    WithholdingDonor,
    StaleParent,
    Replay,
    CopiedChild,
    Equivocation,
    ColludingMinority,
    GossipFlood,
    SilentConnections,
    Eclipse,
)
TRAINERS: frozenset[type[Adversary]] = frozenset({WithholdingDonor, StaleParent, CopiedChild, Equivocation})
"""Those that need a leg to do wrong."""
