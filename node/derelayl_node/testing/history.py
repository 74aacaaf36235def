"""A ledger's event log written by hand: blocks, forks and the events of plausible rounds, without a ledger.

For tests of whatever reads a log, and as sample data. The amounts follow the protocol's order of events; they are not
checked by any ledger.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from derelayl_protocol.ledger import events as ev
from derelayl_protocol.ledger.phases import Phase, VoidReason
from derelayl_protocol.ledger.presets import STANDARD
from derelayl_protocol.ledger.rules import Rules, model_id
from derelayl_protocol.spelling import to_hex
from derelayl_protocol.types import (
    ADDRESS_BYTES,
    NO_ROOT,
    TOKEN,
    UNAVAILABLE,
    WHOLE_MODEL,
    Address,
    ModelId,
    Ppm,
    Root,
    Timestamp,
    Wei,
)

from ..ports import BlockRef, LogBatch, LogEntry

BLOCK_SECONDS = 12
FIRST_BLOCK_TIME = 1_700_000_000

RULES = replace(
    STANDARD,
    legs_per_tip=2,
    selection_bps=5_000,
    segments=4,
    committee_size=3,
    quorum=2,
    offer_deposit=Wei(0),
    validator_stake=TOKEN,
    emission=Wei(10 * TOKEN),
)


def named(text: str) -> bytes:
    """Return 32 bytes that stand for `text`."""
    return hashlib.sha256(text.encode()).digest()


def person(text: str) -> Address:
    """Return an address that stands for `text`."""
    return Address(to_hex(named(text)[:ADDRESS_BYTES]))


@dataclass(slots=True)
class History:
    """A chain of blocks with events; `fork` changes the hashes from the next block on."""

    salt: str = ""
    blocks: list[BlockRef] = field(default_factory=list)
    entries: list[LogEntry] = field(default_factory=list)

    def block(self, *events: ev.Event) -> BlockRef:
        """Add a block with one transaction for each event."""
        number = len(self.blocks)
        before = self.blocks[-1].hash if self.blocks else bytes(32)
        fresh = hashlib.sha256(before + self.salt.encode() + repr(events).encode()).digest()
        block = BlockRef(number, fresh, Timestamp(FIRST_BLOCK_TIME + BLOCK_SECONDS * number))
        self.blocks.append(block)
        for index, event in enumerate(events):
            self.entries.append(LogEntry(event, block, named(f"{fresh.hex()}/{index}"), index))
        return block

    def rewind(self, keep_through: int, salt: str) -> None:
        """Drop the blocks above `keep_through`; those added from now on have other hashes."""
        self.blocks = [block for block in self.blocks if block.number <= keep_through]
        self.entries = [entry for entry in self.entries if entry.block.number <= keep_through]
        self.salt = salt

    def batch(self, keep_through: int = -1) -> LogBatch:
        """Return everything above a block."""
        blocks = tuple(block for block in self.blocks if block.number > keep_through)
        return LogBatch(keep_through, blocks, tuple(e for e in self.entries if e.block.number > keep_through), False)


@dataclass(frozen=True, slots=True)
class Attempt:
    """One leg of a round: a child named by `child` (None: never submitted) with a score in ppm."""

    trainer: str
    parent: Root
    child: str | None
    score: int | None = None
    selected: bool = False
    segment: int = WHOLE_MODEL


@dataclass(slots=True)
class Relay:
    """Writes the life of one model into a history."""

    history: History
    name: str = "relay"
    creator: str = "creator"
    validators: Sequence[str] = ("v1", "v2", "v3")
    rules: Rules = RULES
    round: int = 1

    @property
    def genesis(self) -> Root:
        return Root(named(f"genesis of {self.name}"))

    @property
    def model(self) -> ModelId:
        return model_id(person(self.creator), self.genesis, self.rules)

    def root(self, child: str) -> Root:
        """Return the root of a child by its name in an Attempt."""
        return Root(named(f"{self.name}/{child}"))

    def create(self, budget: int = 1_000 * TOKEN) -> None:
        """Deposit for everybody, create the model, stake the validators: three blocks."""
        everybody = (self.creator, *self.validators)
        self.history.block(*(ev.Deposited(person(who), Wei(2_000 * TOKEN)) for who in everybody))
        self.history.block(
            ev.ModelCreated(self.model, person(self.creator), self.genesis, self.rules),
            ev.Funded(self.model, person(self.creator), Wei(budget)),
            ev.PhaseChanged(self.model, self.round, Phase.BID, Timestamp(0)),
        )
        self.history.block(*(ev.Staked(self.model, person(who), Wei(10 * TOKEN)) for who in self.validators))

    def bid(self, attempts: Sequence[Attempt]) -> None:
        """Place the bids and match: two blocks."""
        m, r = self.model, self.round
        bids = [ev.BidPlaced(m, r, person(a.trainer), a.segment, Wei(TOKEN)) for a in attempts]
        self.history.block(*bids, ev.PhaseChanged(m, r, Phase.BID, Timestamp(FIRST_BLOCK_TIME)))
        leases = [ev.LegLeased(m, r, i, person(a.trainer), a.parent, a.segment) for i, a in enumerate(attempts)]
        seated = ev.CommitteeSeated(m, r, tuple(person(who) for who in self.validators))
        self.history.block(*leases, seated, ev.PhaseChanged(m, r, Phase.TRAIN, Timestamp(FIRST_BLOCK_TIME)))

    def submit(self, attempts: Sequence[Attempt]) -> None:
        """Hand over the children: one block."""
        m, r = self.model, self.round
        submitted = [
            ev.LegSubmitted(m, r, i, person(a.trainer), a.parent, self.root(a.child))
            for i, a in enumerate(attempts)
            if a.child is not None
        ]
        self.history.block(*submitted, ev.PhaseChanged(m, r, Phase.COMMIT, Timestamp(FIRST_BLOCK_TIME)))

    def settle(self, attempts: Sequence[Attempt]) -> None:
        """Reveal, pay and begin the next round: two blocks."""
        m, r = self.model, self.round
        scores = tuple(UNAVAILABLE if a.score is None else Ppm(a.score) for a in attempts)
        originals = tuple(range(len(scores)))
        revealed = [
            ev.ScoresRevealed(m, r, person(who), scores, originals, named(f"salt {who} {r}"))
            for who in self.validators[:-1]
        ]
        self.history.block(
            *revealed,
            ev.PhaseChanged(m, r, Phase.SETTLE, Timestamp(0)),
        )
        selected = sum(attempt.selected for attempt in attempts)
        settled = [self._settled(i, attempt) for i, attempt in enumerate(attempts)]
        paid = [ev.ValidatorPaid(m, r, person(who), Ppm(500_000), Wei(TOKEN)) for who in self.validators[:-1]]
        slashed = ev.ValidatorSlashed(m, r, person(self.validators[-1]), Wei(TOKEN // 100))
        total = ev.RoundSettled(m, r, selected, Wei(10 * TOKEN), Wei(8 * TOKEN if selected else 0), Wei(TOKEN))
        self.round += 1
        self.history.block(*settled, *paid, slashed, total, self._next())

    def play(self, *attempts: Attempt) -> None:
        """Run a whole round to its settlement: five blocks."""
        self.bid(attempts)
        self.submit(attempts)
        self.settle(attempts)

    def void(self, *attempts: Attempt) -> None:
        """Run a round that ends for want of commits: four blocks."""
        self.bid(attempts)
        self.submit(attempts)
        m, r = self.model, self.round
        legs = [self._unsettled(i, attempt) for i, attempt in enumerate(attempts)]
        self.round += 1
        self.history.block(*legs, ev.RoundVoided(m, r, VoidReason.TOO_FEW_COMMITS), self._next())

    def collect(self, root: Root, owner: str, kept: int, passed: int, parent: Root) -> None:
        """Collect a royalty at one checkpoint: one block."""
        event = ev.RoyaltyCollected(self.model, root, person(owner), Wei(kept), Wei(passed), parent)
        self.history.block(event)

    def _next(self) -> ev.PhaseChanged:
        return ev.PhaseChanged(self.model, self.round, Phase.BID, Timestamp(0))

    def _settled(self, number: int, attempt: Attempt) -> ev.LegSettled:
        child = NO_ROOT if attempt.child is None else self.root(attempt.child)
        score = UNAVAILABLE if attempt.score is None else Ppm(attempt.score)
        won = (TOKEN * 3, TOKEN, TOKEN, 0) if attempt.selected else (0, 0, 0, TOKEN)
        amounts = (Wei(amount) for amount in won)
        return ev.LegSettled(self.model, self.round, number, child, score, attempt.selected, *amounts)

    def _unsettled(self, number: int, attempt: Attempt) -> ev.LegSettled:
        child = NO_ROOT if attempt.child is None else self.root(attempt.child)
        back, lost = (0, TOKEN) if attempt.child is None else (TOKEN, 0)
        zero = Wei(0)
        return ev.LegSettled(
            self.model, self.round, number, child, UNAVAILABLE, False, zero, zero, Wei(back), Wei(lost)
        )


def sample(rounds: int = 6) -> tuple[History, Relay]:
    """Return a model that grew for some rounds: two legs a round, one of them selected, one voided round in between."""
    history = History()
    relay = Relay(history)
    relay.create()
    tip = relay.genesis
    for number in range(1, rounds + 1):
        won = Attempt(f"t{number % 3}", tip, f"good {number}", 90_000 // number, True, number % 4)
        lost = Attempt(f"t{(number + 1) % 3}", tip, f"bad {number}", -4_000 * number, False, (number + 1) % 4)
        relay.play(won, lost)
        tip = relay.root(f"good {number}")
        if number == rounds // 2:
            relay.void(Attempt("t0", tip, f"lost {number}"), Attempt("t1", tip, None))
    return history, relay
