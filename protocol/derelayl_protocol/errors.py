"""Exceptions of the protocol; each says who is at fault.

ProtocolError
├── RuleViolation   the caller of the ledger broke a rule; `reason` is the name of the contract's custom error
├── PeerFault       a peer sent something no honest peer sends: refuse it and remember the peer
├── Ignored         late, duplicate or not yet known: drop it, nobody is at fault
└── LocalFault      we asked for something our own state does not allow
"""

from __future__ import annotations

from enum import StrEnum


class ProtocolError(Exception):
    """Base class; raise one of its four children."""

    def __init__(self, *args: object) -> None:
        if type(self) is ProtocolError:
            raise TypeError("raise a subclass that says who is at fault")
        super().__init__(*args)


class Reason(StrEnum):
    """Why the ledger refuses; the values are the names of the contract's custom errors."""

    BAD_RULES = "BadRules"
    MODEL_EXISTS = "ModelExists"
    UNKNOWN_MODEL = "UnknownModel"
    UNKNOWN_CHECKPOINT = "UnknownCheckpoint"
    CHECKPOINT_EXISTS = "CheckpointExists"
    ZERO_ROOT = "ZeroRoot"
    AMOUNT_TOO_LARGE = "AmountTooLarge"
    ZERO_AMOUNT = "ZeroAmount"
    INSUFFICIENT_BALANCE = "InsufficientBalance"
    WRONG_ROUND = "WrongRound"
    WRONG_PHASE = "WrongPhase"
    TOO_EARLY = "TooEarly"
    TOO_LATE = "TooLate"
    BID_TOO_SMALL = "BidTooSmall"
    ALREADY_BID = "AlreadyBid"
    TOO_MANY_BIDS = "TooManyBids"
    BAD_SEGMENT = "BadSegment"
    NOT_A_TIP = "NotATip"
    NOT_THE_OWNER = "NotTheOwner"
    ALREADY_OFFERED = "AlreadyOffered"
    WRONG_ORDER = "WrongOrder"
    NO_SUCH_LEG = "NoSuchLeg"
    NOT_YOUR_LEASE = "NotYourLease"
    ALREADY_SUBMITTED = "AlreadySubmitted"
    NOT_SEATED = "NotSeated"
    ALREADY_COMMITTED = "AlreadyCommitted"
    ZERO_COMMITMENT = "ZeroCommitment"
    NOT_COMMITTED = "NotCommitted"
    ALREADY_REVEALED = "AlreadyRevealed"
    COMMIT_MISMATCH = "CommitMismatch"
    BAD_SCORES = "BadScores"
    WRONG_SEAT_ORDER = "WrongSeatOrder"
    STAKE_IN_USE = "StakeInUse"
    NO_STAKE = "NoStake"
    STAKE_TOO_SMALL = "StakeTooSmall"
    NOTHING_UNBONDING = "NothingUnbonding"
    NOTHING_TO_ADVANCE = "NothingToAdvance"
    BAD_STEPS = "BadSteps"
    NOT_FOR_SALE = "NotForSale"
    ALREADY_BOUGHT = "AlreadyBought"
    BAD_SIGNATURE = "BadSignature"
    SAME_MESSAGE = "SameMessage"
    NOTHING_TO_SLASH = "NothingToSlash"


class RuleViolation(ProtocolError):
    """The caller asked the ledger for something its rules refuse; the ledger's state is unchanged."""

    def __init__(self, reason: Reason, detail: str = "") -> None:
        super().__init__(f"{reason.value}: {detail}" if detail else reason.value)
        self.reason = reason


class PeerFault(ProtocolError):
    """A peer broke the protocol; what it sent is discarded."""


class Ignored(ProtocolError):
    """Not wrong, only useless now: a duplicate, something late, something we cannot judge yet."""


class LocalFault(ProtocolError):
    """This node's own doing: a missing file, a wrong setting, a call in the wrong state."""
