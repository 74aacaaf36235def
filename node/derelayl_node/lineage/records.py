"""What the index answers: one frozen dataclass for each thing a question can be about.

Amounts are wei, scores and gains ppm (None where there is none), times Unix seconds of a block.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from derelayl_protocol.ledger.phases import Phase, VoidReason
from derelayl_protocol.ledger.selection import LegEnding
from derelayl_protocol.types import Address, ModelId, Ppm, Root, Timestamp, Wei

CheckpointStatus = Literal[
    "genesis",
    "submitted",
    LegEnding.SELECTED,
    LegEnding.EQUIVOCATED,
    LegEnding.UNAVAILABLE,
    LegEnding.INSUFFICIENT,
    LegEnding.OUTRANKED,
    LegEnding.DUPLICATE,
    LegEnding.VOIDED,
]
"""``submitted`` waits for judgement; otherwise how the leg that made it ended. One that expired made none."""

LegStatus = Literal["leased", "submitted"] | LegEnding
"""Where a leg is before its round ends, and how it ended."""

ACCEPTED: Final = frozenset({"genesis", LegEnding.SELECTED})
"""The status of what may be continued and bought, and never changes again."""

RoundOutcome = Literal["running", "settled", "voided"]


@dataclass(frozen=True, slots=True)
class Head:
    """How far the index has read; `block` is None before the first block."""

    block: int | None
    hash: bytes | None
    time: Timestamp | None
    events: int


@dataclass(frozen=True, slots=True)
class Reference:
    """Where on the chain an event stands; `seq` is its place in the whole log, from 1."""

    seq: int
    event: str
    block_number: int
    block_hash: bytes
    block_time: Timestamp
    transaction: bytes
    log_index: int


@dataclass(frozen=True, slots=True)
class Model:
    """A relay; `rules` is canonical JSON text of the rules with integers as decimal strings."""

    model: ModelId
    creator: Address
    genesis: Root
    rules: str
    round: int
    phase: Phase
    deadline: Timestamp
    settled_rounds: int
    voided_rounds: int
    submitted: int
    selected: int
    budget: Wei
    carry: Wei
    created: Reference


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A genesis or a submitted child; `gain` is against its parent, `score` adds up the gains since genesis.

    `reward` went to the trainer, `royalty` from this leg to the parent; `pending` waits here to be collected; the owner
    has taken `collected` so far.
    """

    model: ModelId
    root: Root
    seq: int
    status: CheckpointStatus
    parent: Root
    owner: Address
    round: int
    leg: int | None
    segment: int
    depth: int
    gain: Ppm | None
    score: Ppm | None
    reward: Wei
    royalty: Wei
    pending: Wei
    collected: Wei
    submitted: Reference
    settled: Reference | None


@dataclass(frozen=True, slots=True)
class Tip:
    """A checkpoint that legs may continue from; a tip since the end of round `since_round` (0: the creation)."""

    position: int
    since_round: int
    checkpoint: Checkpoint


@dataclass(frozen=True, slots=True)
class Leg:
    """A lease and what became of it."""

    model: ModelId
    round: int
    leg: int
    trainer: Address
    parent: Root
    segment: int
    child: Root | None
    status: LegStatus
    score: Ppm | None
    bid: Wei
    reward: Wei
    royalty: Wei
    bid_returned: Wei
    forfeited: Wei
    seq: int


@dataclass(frozen=True, slots=True)
class Round:
    """A round; `carry` is what it left to the next one."""

    model: ModelId
    number: int
    phase: Phase
    deadline: Timestamp
    outcome: RoundOutcome
    void_reason: VoidReason | None
    bids: int
    submitted: int
    selected: int
    pot: Wei
    emission: Wei
    carry: Wei
    forfeited: Wei
    slashed: Wei
    validators: tuple[Address, ...]
    legs: tuple[Leg, ...]


@dataclass(frozen=True, slots=True)
class Validator:
    """An account's standing as validator of one model; `unbonding` can be released from `release_time` on.

    `agreement` adds up what its payments and charges gave, in millionths of the most that each round could have given.
    """

    model: ModelId
    account: Address
    stake: Wei
    unbonding: Wei
    release_time: Timestamp
    seats: int
    reveals: int
    agreement: Ppm
    paid: Wei
    charged: Wei
    slashed: Wei


@dataclass(frozen=True, slots=True)
class Account:
    """Totals of an account, from events alone; `free` is its withdrawable balance in the ledger."""

    account: Address
    free: Wei
    deposited: Wei
    withdrawn: Wei
    trainer_reward: Wei
    validator_reward: Wei
    royalty_collected: Wei
    royalty_pending: Wei
    slashed: Wei
    charged: Wei
    access_paid: Wei
    equivocation_lost: Wei
    reporter_reward: Wei
    models: int
    bids: int
    legs: int
    selected: int


@dataclass(frozen=True, slots=True)
class StatementLine:
    """One line of a statement; `account` is None for a line about a round as a whole, `amount` 0 for a mere reason."""

    seq: int
    ordinal: int
    account: Address | None
    model: ModelId | None
    round: int | None
    kind: str
    amount: Wei
    balance: Wei
    sentence: str
    reference: Reference
