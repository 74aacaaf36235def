"""How what an account does in a round reaches the ledger: by its own transaction, or signed and through a relayer.

Signed ones are gossiped, and somebody who pays the gas sends them in a batch. A relayer that drops them costs time
only: the account sends its own transaction while the phase still has room for it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Protocol

from derelayl_protocol.ledger.commands import (
    CommitScores,
    Deposit,
    PlaceBid,
    RevealScores,
    SignedBid,
    SignedCommit,
    SignedReveal,
    SubmitLeg,
)
from derelayl_protocol.ledger.entries import Content, LeasedChild, SignedEntry
from derelayl_protocol.ledger.phases import Phase
from derelayl_protocol.ledger.rules import Rules
from derelayl_protocol.ledger.signed import BidMessage, CommitMessage, HandOverMessage, RevealMessage, SignedMessage
from derelayl_protocol.ledger.state import RoundView
from derelayl_protocol.spelling import to_hex
from derelayl_protocol.types import Timestamp, Wei

from ..ports import Clock, Ledger, LedgerUnavailable, PeerNetwork, Registry

log = logging.getLogger(__name__)

RELAY_SHARE = 0.5
"""Share of a phase that a relayer waits for more entries before it sends those it has."""

FALLBACK_SHARE = 0.75
"""Share of a phase after which an account sends its own transaction; the rest of it is time to have that mined."""

Entry = PlaceBid | SubmitLeg | CommitScores | RevealScores
Sign = Callable[[SignedMessage], bytes]
"""Sign for this node's account and ledger: 64 compact bytes."""


class Submission(Protocol):
    """A way to the ledger. Called at every look at the round until the ledger shows the entry."""

    async def submit(self, view: RoundView, entry: Entry) -> bool:
        """Do what is to be done for the entry now; says whether the ledger has taken it from us.

        Raises RuleViolation, LedgerUnavailable.
        """


def cost_of(entry: Entry) -> Wei:
    """Wei of the free balance that an entry locks."""
    return entry.amount if isinstance(entry, PlaceBid) else Wei(0)


def intent_of(entry: Entry) -> str | None:
    """The key under which an entry is sent, and paid for however it is sent; None for its content."""
    return f"bid in round {entry.round} of {to_hex(entry.model)}" if isinstance(entry, PlaceBid) else None


def share_passed(view: RoundView, rules: Rules, since: float, share: float, now: float) -> bool:
    """Whether a share of the running phase is over.

    The bidding has no begin before its first bid: there, whoever waits `since` an earlier moment has waited from then.
    """
    lengths = {
        Phase.BID: rules.bid_seconds,
        Phase.TRAIN: rules.train_seconds,
        Phase.COMMIT: rules.commit_seconds,
        Phase.REVEAL: rules.reveal_seconds,
    }
    length = lengths.get(view.phase, 0)
    begin = view.deadline - length if view.deadline else since
    if view.phase == Phase.BID:
        begin = min(begin, since)
    return now >= begin + share * length


class DirectSubmission:
    """The account's own transactions."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    async def submit(self, view: RoundView, entry: Entry) -> bool:
        """Send it, once however often asked. Raises RuleViolation, LedgerUnavailable."""
        await self._ledger.send(entry, intent_of(entry), cover=cost_of(entry))
        return True


class RelayedSubmission:
    """Signs an entry, tells it to the peers, and falls back to an own transaction."""

    def __init__(
        self, *, ledger: Ledger, registry: Registry, network: PeerNetwork, clock: Clock, rules: Rules, sign: Sign
    ) -> None:
        self._direct = DirectSubmission(ledger)
        self._ledger = ledger
        self._registry = registry
        self._network = network
        self._clock = clock
        self._rules = rules
        self._sign = sign
        self._told: dict[type[Entry], tuple[Entry, float]] = {}  # the newest of each kind, and when it was told
        self._unsent: dict[type[Entry], Entry] = {}  # the newest of each kind of which the log has said so

    async def submit(self, view: RoundView, entry: Entry) -> bool:
        """Tell it once, send it when its time has come. Raises RuleViolation, LedgerUnavailable.

        What is late is only told if it cannot be sent, as by an account without coins for gas.
        """
        told, since = self._told.get(type(entry), (None, self._clock.now()))
        if told != entry:
            since = self._clock.now()
        if not share_passed(view, self._rules, since, FALLBACK_SHARE, self._clock.now()):
            if told != entry:
                await self._tell(view, entry)
            return False
        if told == entry != self._unsent.get(type(entry)):
            self._unsent[type(entry)] = entry
            log.info("round %d: nobody sent our %s in time", view.number, type(entry).__name__)
        try:
            return await self._direct.submit(view, entry)
        except LedgerUnavailable:
            if told != entry:
                await self._tell(view, entry)
            raise

    async def _tell(self, view: RoundView, entry: Entry) -> None:
        await self._cover(entry)
        await self._network.announce(SignedEntry(entry.model, entry.round, self._signed(view, entry)))
        self._told[type(entry)] = entry, self._clock.now()
        log.info("round %d: sent our signed %s to the peers", view.number, type(entry).__name__)

    async def _cover(self, entry: Entry) -> None:
        """Have the cost in the free balance: a relayer can spend nothing else. Once, also across a restart."""
        cost = cost_of(entry)
        missing = cost - await self._registry.free(self._ledger.account) if cost else 0
        if missing > 0:
            await self._ledger.send(Deposit(Wei(missing)), f"{intent_of(entry)}/deposit")

    def _signed(self, view: RoundView, entry: Entry) -> Content:
        account, model, number = self._ledger.account, entry.model, entry.round
        match entry:
            case PlaceBid(segment=segment, amount=amount):
                end = view.deadline or int(self._clock.now()) + self._rules.bid_seconds
                expiry = Timestamp(end)
                signature = self._sign(BidMessage(model, number, segment, amount, expiry))
                return SignedBid(account, segment, amount, expiry, signature)
            case SubmitLeg(leg=leg, child=child):
                # The signature of the manifest, which the trainer keeps: the root tells nothing of the weights.
                parent = view.legs[leg].parent
                signature = self._sign(HandOverMessage(model, number, parent, child))
                return LeasedChild(account, parent, child, signature)
            case CommitScores(commitment=commitment):
                signature = self._sign(CommitMessage(model, number, commitment))
                return SignedCommit(account, commitment, signature)
            case RevealScores(scores=scores, originals=originals, salt=salt):
                signature = self._sign(RevealMessage(model, number, scores, originals, salt))
                return SignedReveal(account, scores, originals, salt, signature)
