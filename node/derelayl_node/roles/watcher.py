"""The watcher: proves to the ledger that somebody has signed two things where one was due. Every peer is one."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TypeVar

from derelayl_protocol.checkpoint.messages import Announcement
from derelayl_protocol.errors import PeerFault, RuleViolation
from derelayl_protocol.ledger.commands import ReportManifests, ReportReveals, SignedReveal
from derelayl_protocol.ledger.entries import LeasedChild, SignedEntry
from derelayl_protocol.ledger.phases import Phase
from derelayl_protocol.ledger.signed import HandOverMessage
from derelayl_protocol.ledger.state import LegEntry, RoundView
from derelayl_protocol.limits import MAX_COMMITTEE
from derelayl_protocol.statement.words import short
from derelayl_protocol.types import Address, ModelId, Root

from ..ports import PeerId, PeerUnreachable
from ..refusals import sentence_of
from .kit import Kit

log = logging.getLogger(__name__)

MAX_CLAIMS = 4
"""Children that are remembered as said to be one trainer's in a round; what proves false makes room again."""

MAX_TRAINERS = 64
"""Accounts of whom children are remembered in a round; twice MAX_BIDS."""


Said = TypeVar("Said")


class WatcherRole:
    """Remembers what was told of the running round and reports contradictions that carry signatures."""

    def __init__(self, kit: Kit) -> None:
        self._kit = kit
        self._round = 0
        self._reveals: dict[Address, tuple[SignedReveal, ...]] = {}
        self._children: dict[Address, tuple[LeasedChild, ...]] = {}
        self._claims: dict[Address, dict[Root, PeerId]] = {}
        self._leased: frozenset[Address] = frozenset()
        self._reported: set[Address] = set()

    def hear_entry(self, entry: SignedEntry) -> None:
        """Remember what has passed `admission.check_entry`: of a seat's reveals, or a lease's children, the first and
        the first other one."""
        content = entry.content
        if not isinstance(content, SignedReveal | LeasedChild) or not self._is_of_the_round(entry.round):
            return
        if isinstance(content, SignedReveal):
            revealed = self._reveals.get(entry.account, ())
            if revealed or len(self._reveals) < MAX_COMMITTEE:
                self._reveals[entry.account] = _with(content, revealed, _same)
            return
        # Where the chain has given the lease another parent, a child of the old one proves nothing.
        handed = tuple(each for each in self._children.get(entry.account, ()) if each.parent == content.parent)
        if handed or len(self._children) < MAX_TRAINERS:
            self._children[entry.account] = _with(content, handed, _same_child)

    def hear_announcement(self, peer: PeerId, announcement: Announcement) -> bool:
        """Remember what a trainer is said to have handed over, and who says so; nothing of it is proven.

        Says whether it is the round's first of a trainer with a lease.
        """
        if announcement.round != self._round:  # anybody may write any number: the ledger's word alone moves us on
            return False
        is_first = announcement.trainer in self._leased and announcement.trainer not in self._claims
        if announcement.trainer in self._claims or len(self._claims) < MAX_TRAINERS:
            claims = self._claims.setdefault(announcement.trainer, {})
            if len(claims) < MAX_CLAIMS:
                claims.setdefault(announcement.root, peer)
        return is_first

    async def step(self, view: RoundView) -> None:
        """Report what is proven. Raises LedgerUnavailable."""
        if self._is_of_the_round(view.number):
            self._leased = frozenset(leg.trainer for leg in view.legs)
        for validator, reveals in tuple(self._reveals.items()):
            if len(reveals) == 2:
                await self._report(validator, _two_reveals(self._kit.model, self._round, reveals[0], reveals[1]))
        if view.number != self._round or view.phase == Phase.BID:
            return
        for number, leg in enumerate(view.legs):
            if not leg.disqualified:
                await self._compare_children(view.number, number, leg)

    async def _compare_children(self, round_number: int, number: int, leg: LegEntry) -> None:
        """Report two children of a lease: those told as entries carry their proof, of others their manifests do."""
        handed = self._children.get(leg.trainer, ())
        proven = {each.child: each.signature for each in handed if each.parent == leg.parent}
        claims = self._claims.get(leg.trainer, {})
        if len(proven.keys() | claims.keys()) < 2:
            return
        for root, peer in tuple(claims.items()):
            if root in proven:
                continue
            try:
                signature = await self._kit.handoff.signature_of(root, peer)
            except PeerUnreachable:
                continue  # the next look asks again
            except PeerFault as error:
                log.info("%s announced %s but serves something else: %s", peer, short(root), error)
                signature = None
            message = HandOverMessage(self._kit.model, round_number, leg.parent, root)
            if signature is None or self._kit.recover(message, signature) != leg.trainer:
                del claims[root]
            else:
                proven[root] = signature
        if len(proven) > 1:
            (first, one), (second, other) = tuple(proven.items())[:2]
            report = ReportManifests(self._kit.model, round_number, number, (first, second), (one, other))
            await self._report(leg.trainer, report)

    async def _report(self, culprit: Address, report: ReportReveals | ReportManifests) -> None:
        if culprit in self._reported:
            return
        try:
            await self._kit.ledger.send(report)
            log.warning("round %d: reported %s: %s", report.round, culprit, type(report).__name__)
        except RuleViolation as refusal:
            log.info("round %d: report of %s refused: %s", report.round, culprit, sentence_of(refusal))
        self._reported.add(culprit)

    def _is_of_the_round(self, number: int) -> bool:
        """Whether this is the newest round heard of; a newer one begins afresh."""
        if number > self._round:
            self._round = number
            self._reveals.clear()
            self._children.clear()
            self._claims.clear()
            self._reported.clear()
        return number == self._round


def _with(new: Said, known: tuple[Said, ...], same: Callable[[Said, Said], bool]) -> tuple[Said, ...]:
    """What is known of a signer and one thing more: two that differ are enough."""
    return known if len(known) == 2 or any(same(new, each) for each in known) else (*known, new)


def _same_child(one: LeasedChild, other: LeasedChild) -> bool:
    return one.child == other.child


def _same(one: SignedReveal, other: SignedReveal) -> bool:
    return (one.scores, one.originals, one.salt) == (other.scores, other.originals, other.salt)


def _two_reveals(model: ModelId, number: int, one: SignedReveal, other: SignedReveal) -> ReportReveals:
    return ReportReveals(
        model,
        number,
        one.validator,
        scores=(one.scores, other.scores),
        originals=(one.originals, other.originals),
        salts=(one.salt, other.salt),
        signatures=(one.signature, other.signature),
    )
