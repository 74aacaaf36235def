"""The ledger's state as frozen data: what `apply` maps to its successor and what adapters read from a chain."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ..types import NO_ROOT, Address, ModelId, Ppm, Root, Timestamp, Wei
from .phases import Phase
from .rules import Rules


@dataclass(frozen=True, slots=True)
class BidEntry:
    trainer: Address
    segment: int
    amount: Wei


@dataclass(frozen=True, slots=True)
class TipEntry:
    """A checkpoint that legs may continue from; `offered` in the running round; `score` is cumulative from genesis.

    `stalled` after a round in which fewer than half of the legs that continued it were submitted.
    """

    root: Root
    owner: Address
    score: Ppm
    offered: bool
    stalled: bool = False


@dataclass(frozen=True, slots=True)
class LegEntry:
    """A lease and what became of it; `child` is NO_ROOT until submitted; `deposit` is 0 if not offered.

    `bid` is the bond: the same for all legs of a round, the lowest bid that won one. It is 0 once the trainer has been
    caught signing two children: such a leg is never selected.
    """

    trainer: Address
    parent: Root
    owner: Address
    segment: int
    bid: Wei
    deposit: Wei
    child: Root = NO_ROOT

    @property
    def submitted(self) -> bool:
        return self.child != NO_ROOT

    @property
    def disqualified(self) -> bool:
        return self.bid == 0


@dataclass(frozen=True, slots=True)
class SeatEntry:
    """A committee seat; `weight` is the stake when it was seated; `scores` and `originals` are None until revealed."""

    validator: Address
    weight: Wei
    commitment: bytes | None = None
    scores: tuple[Ppm, ...] | None = None
    originals: tuple[int, ...] | None = None


@dataclass(frozen=True, slots=True)
class RoundView:
    """The running round of a model. `deadline` is 0 where the phase has none."""

    number: int
    phase: Phase
    deadline: Timestamp
    seed: bytes
    bids: tuple[BidEntry, ...]
    tips: tuple[TipEntry, ...]
    legs: tuple[LegEntry, ...]
    seats: tuple[SeatEntry, ...]


@dataclass(frozen=True, slots=True)
class CheckpointRecord:
    """An accepted checkpoint; `score` adds up the gains since genesis; `pending` is the royalty that waits here."""

    owner: Address
    parent: Root
    score: Ppm
    round: int
    pending: Wei


@dataclass(frozen=True, slots=True)
class Unbonding:
    """A stake on its way out; until it is released it can still be lost for an equivocation."""

    amount: Wei
    release_time: Timestamp


@dataclass(frozen=True, slots=True)
class ModelState:
    """Everything the ledger holds of one model.

    `stakes` has exactly the `validators`, those slashed to 0 too. `unbonding` and `buyers` (accounts with paid access,
    by checkpoint) leave out what is empty. A chain cannot list the two: an adapter reads what it is asked for.
    """

    rules: Rules
    creator: Address
    genesis: Root
    budget: Wei
    carry: Wei
    settled_rounds: int
    next_seed: bytes
    current: RoundView
    checkpoints: Mapping[Root, CheckpointRecord]
    stakes: Mapping[Address, Wei]
    validators: tuple[Address, ...]
    unbonding: Mapping[Address, Unbonding] = field(default_factory=dict)
    buyers: Mapping[Root, frozenset[Address]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class LedgerState:
    """The whole ledger; `free` is withdrawable, `wallets` lie outside it in the ERC-20 token."""

    wallets: Mapping[Address, Wei] = field(default_factory=dict)
    free: Mapping[Address, Wei] = field(default_factory=dict)
    models: Mapping[ModelId, ModelState] = field(default_factory=dict)
