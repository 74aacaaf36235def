"""What the ledger records: one frozen dataclass for each event of the contract, the fields in the same order."""

from __future__ import annotations

from dataclasses import dataclass

from ..types import Address, ModelId, Ppm, Root, Timestamp, Wei
from .phases import Phase, VoidReason
from .rules import Rules


@dataclass(frozen=True, slots=True)
class Deposited:
    account: Address
    amount: Wei


@dataclass(frozen=True, slots=True)
class Withdrawn:
    account: Address
    amount: Wei


@dataclass(frozen=True, slots=True)
class ModelCreated:
    model: ModelId
    creator: Address
    genesis: Root
    rules: Rules


@dataclass(frozen=True, slots=True)
class Funded:
    model: ModelId
    account: Address
    amount: Wei


@dataclass(frozen=True, slots=True)
class Staked:
    model: ModelId
    account: Address
    amount: Wei


@dataclass(frozen=True, slots=True)
class Unstaked:
    """`amount` is what the account left with; all that is unbonding can be released at `release_time`."""

    model: ModelId
    account: Address
    amount: Wei
    release_time: Timestamp


@dataclass(frozen=True, slots=True)
class StakeReleased:
    model: ModelId
    account: Address
    amount: Wei


@dataclass(frozen=True, slots=True)
class BidPlaced:
    model: ModelId
    round: int
    trainer: Address
    segment: int
    amount: Wei


@dataclass(frozen=True, slots=True)
class TipOffered:
    """`deposit` is the whole amount locked: `offer_deposit` times `legs_per_tip`."""

    model: ModelId
    round: int
    tip: Root
    owner: Address
    deposit: Wei


@dataclass(frozen=True, slots=True)
class BidDisplaced:
    """All places were taken, and a higher bid took this one's; `amount` returned."""

    model: ModelId
    round: int
    trainer: Address
    by: Address
    amount: Wei


@dataclass(frozen=True, slots=True)
class BidReturned:
    """A bid that found no tip, or whose round was voided; what a bid that won a leg has above the leg's bond."""

    model: ModelId
    round: int
    trainer: Address
    amount: Wei


@dataclass(frozen=True, slots=True)
class DepositReturned:
    """The part of an offer that goes back to its owner: unmatched legs, legs nobody submitted, selected legs, voids."""

    model: ModelId
    round: int
    tip: Root
    owner: Address
    amount: Wei


@dataclass(frozen=True, slots=True)
class LegLeased:
    model: ModelId
    round: int
    leg: int
    trainer: Address
    parent: Root
    segment: int


@dataclass(frozen=True, slots=True)
class CommitteeSeated:
    model: ModelId
    round: int
    validators: tuple[Address, ...]


@dataclass(frozen=True, slots=True)
class PhaseChanged:
    """`deadline` is 0 where the phase has none (bidding before the first bid, settling)."""

    model: ModelId
    round: int
    phase: Phase
    deadline: Timestamp


@dataclass(frozen=True, slots=True)
class LegSubmitted:
    model: ModelId
    round: int
    leg: int
    trainer: Address
    parent: Root
    child: Root


@dataclass(frozen=True, slots=True)
class ScoresCommitted:
    model: ModelId
    round: int
    validator: Address
    commitment: bytes


@dataclass(frozen=True, slots=True)
class ScoresRevealed:
    model: ModelId
    round: int
    validator: Address
    scores: tuple[Ppm, ...]
    originals: tuple[int, ...]
    salt: bytes


@dataclass(frozen=True, slots=True)
class LegSettled:
    """Outcome of one leg. `child` is zero and `score` UNAVAILABLE where nothing was submitted.

    `bid_returned` and `forfeited` add up to the bid plus, for an offered tip, the owner's deposit for this leg that was
    not returned by a DepositReturned event.
    """

    model: ModelId
    round: int
    leg: int
    child: Root
    score: Ppm
    selected: bool
    reward: Wei
    royalty: Wei
    bid_returned: Wei
    forfeited: Wei


@dataclass(frozen=True, slots=True)
class ValidatorPaid:
    """`agreement` is the share of the most that the seat could have earned, in millionths."""

    model: ModelId
    round: int
    validator: Address
    agreement: Ppm
    amount: Wei


@dataclass(frozen=True, slots=True)
class ValidatorCharged:
    """A seat that fits the wrong legs better than the right ones pays from its stake into the carry."""

    model: ModelId
    round: int
    validator: Address
    disagreement: Ppm
    amount: Wei


@dataclass(frozen=True, slots=True)
class ValidatorSlashed:
    """A seat that stayed silent pays from its stake into the pot."""

    model: ModelId
    round: int
    validator: Address
    amount: Wei


@dataclass(frozen=True, slots=True)
class RoundSettled:
    """`pot` is what was shared out from, `emission` its part drawn from the budget, `carry` what was left over."""

    model: ModelId
    round: int
    selected: int
    pot: Wei
    emission: Wei
    carry: Wei


@dataclass(frozen=True, slots=True)
class RoundVoided:
    model: ModelId
    round: int
    reason: VoidReason


@dataclass(frozen=True, slots=True)
class RoyaltyCollected:
    """`kept` went to the owner's free balance, `passed` waits at the parent (0 and no parent at genesis)."""

    model: ModelId
    root: Root
    owner: Address
    kept: Wei
    passed: Wei
    parent: Root


@dataclass(frozen=True, slots=True)
class AccessBought:
    """`to_pot` of the fee went into the carry, the rest waits at the checkpoint."""

    model: ModelId
    root: Root
    account: Address
    fee: Wei
    to_pot: Wei


@dataclass(frozen=True, slots=True)
class TrainerEquivocated:
    """`amount` is the bid that was lost, `reward` the part of it that the reporter got."""

    model: ModelId
    round: int
    leg: int
    trainer: Address
    reporter: Address
    amount: Wei
    reward: Wei


@dataclass(frozen=True, slots=True)
class ValidatorEquivocated:
    """`amount` is the stake that was lost, bonded or not, `reward` the part of it that the reporter got."""

    model: ModelId
    round: int
    validator: Address
    reporter: Address
    amount: Wei
    reward: Wei


Event = (
    Deposited
    | Withdrawn
    | ModelCreated
    | Funded
    | Staked
    | Unstaked
    | StakeReleased
    | BidPlaced
    | TipOffered
    | BidDisplaced
    | BidReturned
    | DepositReturned
    | LegLeased
    | CommitteeSeated
    | PhaseChanged
    | LegSubmitted
    | ScoresCommitted
    | ScoresRevealed
    | LegSettled
    | ValidatorPaid
    | ValidatorCharged
    | ValidatorSlashed
    | RoundSettled
    | RoundVoided
    | RoyaltyCollected
    | AccessBought
    | TrainerEquivocated
    | ValidatorEquivocated
)
