"""What an account may ask of the ledger: one frozen dataclass for each function of the contract."""

from __future__ import annotations

from dataclasses import dataclass

from ..types import Address, ModelId, Ppm, Root, Timestamp, Wei
from .rules import Rules


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
    """Stop being a validator: the whole stake unbonds for `unbonding_seconds`; refused while the account has a seat."""

    model: ModelId


@dataclass(frozen=True, slots=True)
class Release:
    """Take what has unbonded."""

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
    """Open the seal: for each leg of the round, in leg order, its score and its original (see `duplicates`)."""

    model: ModelId
    round: int
    scores: tuple[Ppm, ...]
    originals: tuple[int, ...]
    salt: bytes


@dataclass(frozen=True, slots=True)
class SettleRound:
    """Rank, select and pay: the sender orders the submitted legs and, leg after leg, the revealed seats.

    `leg_order` ranks the submitted legs. `seat_order` lists for each of them, in that order, the revealed seats by
    score, then by seat number, both ascending.
    """

    model: ModelId
    round: int
    leg_order: tuple[int, ...]
    seat_order: tuple[int, ...]


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


@dataclass(frozen=True, slots=True)
class BuyAccess:
    """Pay the model's fee for one checkpoint."""

    model: ModelId
    root: Root


@dataclass(frozen=True, slots=True)
class SignedBid:
    """A bid that its trainer has signed (`signed.BidMessage`) for anyone to send before `expiry`."""

    trainer: Address
    segment: int
    amount: Wei
    expiry: Timestamp
    signature: bytes  # of all signatures here: r ‖ yParityAndS, 64 bytes (EIP-2098)


@dataclass(frozen=True, slots=True)
class SignedChild:
    """The child of a lease with the signature of its manifest (`signed.HandOverMessage`), for anyone to send."""

    leg: int
    child: Root
    signature: bytes


@dataclass(frozen=True, slots=True)
class SignedCommit:
    """A seat's sealed scores that it has signed (`signed.CommitMessage`) for anyone to send."""

    validator: Address
    commitment: bytes
    signature: bytes


@dataclass(frozen=True, slots=True)
class SignedReveal:
    """A seat's opened seal that it has signed (`signed.RevealMessage`) for anyone to send."""

    validator: Address
    scores: tuple[Ppm, ...]
    originals: tuple[int, ...]
    salt: bytes
    signature: bytes


@dataclass(frozen=True, slots=True)
class BidBySig:
    """Place the bids of others. Those that came too late or cannot be paid are passed over."""

    model: ModelId
    round: int
    bids: tuple[SignedBid, ...]


@dataclass(frozen=True, slots=True)
class SubmitBySig:
    """Hand over the children of others' leases. Legs that are submitted already are passed over."""

    model: ModelId
    round: int
    children: tuple[SignedChild, ...]


@dataclass(frozen=True, slots=True)
class CommitBySig:
    """Commit for others. Seats that have committed already are passed over."""

    model: ModelId
    round: int
    commits: tuple[SignedCommit, ...]


@dataclass(frozen=True, slots=True)
class RevealBySig:
    """Reveal for others. Seats that have revealed already are passed over."""

    model: ModelId
    round: int
    reveals: tuple[SignedReveal, ...]


@dataclass(frozen=True, slots=True)
class ReportManifests:
    """Prove that the trainer of a running lease has signed two children under it (`signed.HandOverMessage`)."""

    model: ModelId
    round: int
    leg: int
    children: tuple[Root, Root]
    signatures: tuple[bytes, bytes]


@dataclass(frozen=True, slots=True)
class ReportReveals:
    """Prove that a validator has signed two different reveals for one round, be it running or long over."""

    model: ModelId
    round: int
    validator: Address
    scores: tuple[tuple[Ppm, ...], tuple[Ppm, ...]]
    originals: tuple[tuple[int, ...], tuple[int, ...]]
    salts: tuple[bytes, bytes]
    signatures: tuple[bytes, bytes]


Command = (
    Deposit
    | Withdraw
    | CreateModel
    | Fund
    | Stake
    | Unstake
    | Release
    | PlaceBid
    | OfferTip
    | MatchRound
    | SubmitLeg
    | CommitScores
    | RevealScores
    | SettleRound
    | Advance
    | CollectRoyalty
    | BuyAccess
    | BidBySig
    | SubmitBySig
    | CommitBySig
    | RevealBySig
    | ReportManifests
    | ReportReveals
)
"""Everything `apply` takes. The sender and the time are arguments of their own."""

Sender = Address

REPEATABLE: frozenset[type[Command]] = frozenset(
    {Deposit, Withdraw, Fund, Stake, Unstake, Release, Advance, CollectRoyalty}
    | {BidBySig, SubmitBySig, CommitBySig, RevealBySig}
)
"""Commands that one account may mean twice with the same content, once the outcome of the first is known to it; any
other, sent again, is a retry of the first."""
