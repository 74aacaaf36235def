"""What goes wrong by accident, as data. A world reads a fault and brings it about; nothing here does anything.

`start` and `length` are in rounds: 1.0 is one whole round as the rules time it, counted from the first bid, so that a
plan fits a world with phases of seconds as well as one with phases of minutes. `whom` names peers; a fault of the chain
or of the whole machine names nobody.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """Something that begins at `start` and is over `length` later, both in rounds."""

    start: float
    length: float
    whom: tuple[str, ...] = ()

    @property
    def end(self) -> float:
        return self.start + self.length


@dataclass(frozen=True, slots=True, kw_only=True)
class Kill(Fault):
    """SIGKILL: memory is lost, what was on disk stays; the peer is started again after `length`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause(Fault):
    """SIGSTOP and SIGCONT: nothing is lost but time; connections stay open and silent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SlowDisk(Fault):
    """Each write and read of the store takes `seconds` longer."""

    seconds: float = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class FullDisk(Fault):
    """Each write is refused."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockJump(Fault):
    """The peer's wall clock is `seconds` off while it lasts; the chain's is not."""

    seconds: float = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss(Fault):
    """A `share` of the gossip messages to and from the peers is lost, and of the requests as many go unanswered."""

    share: float = 0.3


@dataclass(frozen=True, slots=True, kw_only=True)
class Partition(Fault):
    """Those named reach each other, and nobody else reaches them; all reach the chain."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainDown(Fault):
    """The chain answers none of those named, nobody at all if nobody is named; it goes on making blocks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reorganise(Fault):
    """At `start` the newest `depth` blocks are replaced; transactions in them return to the pool, in another order."""

    depth: int = 3


class Lie(StrEnum):
    """What an endpoint of the chain gets wrong."""

    LAGS = "lags"  # answers from a block some seconds old
    FORGETS = "forgets"  # takes a transaction, says so, and drops it
    LATE_RECEIPTS = "late receipts"  # knows no receipt while it lasts
    GARBAGE = "garbage"  # answers with something that is no JSON-RPC


@dataclass(frozen=True, slots=True, kw_only=True)
class RpcLies(Fault):
    """The endpoint of those named answers wrongly."""

    lie: Lie = Lie.LAGS


class Refusal(StrEnum):
    """How an endpoint says that it will not."""

    TOO_MANY = "429"
    RANGE = "log range"
    SENDS = "refused sends"


@dataclass(frozen=True, slots=True, kw_only=True)
class RpcLimits(Fault):
    """The endpoint of those named refuses a `share` of the calls."""

    refusal: Refusal = Refusal.TOO_MANY
    share: float = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class OutOfGas(Fault):
    """The accounts of those named cannot pay for gas while it lasts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BusyMachine(Fault):
    """Training and judging of those named take `factor` times as long."""

    factor: float = 4.0


KINDS: tuple[type[Fault], ...] = (
    Kill,
    Pause,
    SlowDisk,
    FullDisk,
    ClockJump,
    Loss,
    Partition,
    ChainDown,
    Reorganise,
    RpcLies,
    RpcLimits,
    OutOfGas,
    BusyMachine,
)
