"""What an account may ask of the ledger: one frozen dataclass for each function of the contract."""

from __future__ import annotations

from dataclasses import dataclass

from ..rules import Rules
from ..types import Address, ModelId, Ppm, Root, Wei


@dataclass(frozen=True, slots=True)
class Deposit:
    """Move tokens from the account's wallet into its free balance (the ledger needs an ERC-20 allowance)."""

    amount: Wei


@dataclass(frozen=True, slots=True)
class Withdraw:
    """Move free balance back to the wallet."""

    amount: Wei


@dataclass(frozen=True, slots=True)
class CreateModel:
    """Register a relay and put `budget` of the sender's free balance behind its emission."""

    rules: Rules
    genesis: Root
    budget: Wei


@dataclass(frozen=True, slots=True)
class Fund:
    """Add free balance to a model's emission budget."""

    model: ModelId
    amount: Wei


@dataclass(frozen=True, slots=True)
class Stake:
    """Lock free balance as validator of a model; the total must reach the rule `validator_stake`."""

    model: ModelId
    amount: Wei


@dataclass(frozen=True, slots=True)
class Unstake:
    """Take the whole stake back; refused while the account holds a seat."""

    model: ModelId


@dataclass(frozen=True, slots=True)
class PlaceBid:
    """Bid for a lease in the round; the first bid of a round starts its clock."""

    model: ModelId
    round: int
    segment: int
    amount: Wei


@dataclass(frozen=True, slots=True)
class OfferTip:
    """Owner's deposit for each leg that may continue the tip; offered tips rank before the others."""

    model: ModelId
    round: int
    tip: Root


@dataclass(frozen=True, slots=True)
class MatchRound:
    """Close the bidding: the sender gives both orders, the ledger checks them."""

    model: ModelId
    round: int
    bid_order: tuple[int, ...]
    tip_order: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class SubmitLeg:
    """Hand over the child of a lease."""

    model: ModelId
    round: int
    leg: int
    child: Root


@dataclass(frozen=True, slots=True)
class CommitScores:
    """A seat's sealed scores, see `scoring.commitment`."""

    model: ModelId
    round: int
    commitment: bytes


@dataclass(frozen=True, slots=True)
class RevealScores:
    """Open the seal: one score for each leg of the round, in leg order."""

    model: ModelId
    round: int
    scores: tuple[Ppm, ...]
    salt: bytes


@dataclass(frozen=True, slots=True)
class SettleRound:
    """Rank, select and pay: the sender orders the submitted legs and names for each a seat that has its median."""

    model: ModelId
    round: int
    leg_order: tuple[int, ...]
    median_seats: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Advance:
    """Enforce the deadline of the running phase; anyone may."""

    model: ModelId
    round: int


@dataclass(frozen=True, slots=True)
class CollectRoyalty:
    """Split what waits at a checkpoint: its owner keeps 1 - gamma, the rest climbs; repeat for `steps` checkpoints."""

    model: ModelId
    root: Root
    steps: int


Command = (
    Deposit
    | Withdraw
    | CreateModel
    | Fund
    | Stake
    | Unstake
    | PlaceBid
    | OfferTip
    | MatchRound
    | SubmitLeg
    | CommitScores
    | RevealScores
    | SettleRound
    | Advance
    | CollectRoyalty
)
"""Everything `apply` takes. The sender and the time are arguments of their own."""

Sender = Address

REPEATABLE: frozenset[type[Command]] = frozenset({Deposit, Withdraw, Fund, Stake, Unstake, Advance, CollectRoyalty})
"""Commands that one account may mean twice with the same content; any other, sent again, is a retry of the first."""
