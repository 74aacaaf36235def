"""The relayer: collects the signed entries of the running round and sends them in one transaction, at its own cost."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from derelayl_protocol.errors import RuleViolation
from derelayl_protocol.ledger.commands import (
    BidBySig,
    Command,
    CommitBySig,
    RevealBySig,
    SignedBid,
    SignedChild,
    SignedCommit,
    SignedReveal,
    SubmitBySig,
)
from derelayl_protocol.ledger.entries import Content, LeasedChild, SignedEntry
from derelayl_protocol.ledger.phases import Phase
from derelayl_protocol.ledger.state import RoundView
from derelayl_protocol.limits import MAX_BIDS
from derelayl_protocol.types import Address, ModelId, Root

from ..refusals import sentence_of
from .admission import may_be_posted
from .kit import Kit
from .submission import RELAY_SHARE, share_passed

log = logging.getLogger(__name__)

KIND_OF: Mapping[Phase, type[Content]] = {
    Phase.BID: SignedBid,
    Phase.TRAIN: LeasedChild,
    Phase.COMMIT: SignedCommit,
    Phase.REVEAL: SignedReveal,
}
"""What the ledger takes in each phase."""

COMMAND_FOR: Mapping[type[object], Callable[[ModelId, int, tuple[Any, ...]], Command]] = {
    SignedBid: BidBySig,
    LeasedChild: SubmitBySig,
    SignedCommit: CommitBySig,
    SignedReveal: RevealBySig,
}
"""The command that sends entries of a kind."""

Key = tuple[type[object], Address]


class RelayerRole:
    """Holds at most one entry of each kind and account, MAX_BIDS bids, and nothing of other rounds."""

    def __init__(self, kit: Kit) -> None:
        self._kit = kit
        self._round = 0
        self._entries: dict[Key, SignedEntry] = {}
        self._sent: set[Key] = set()
        self._on_record: dict[Root, bool] = {}  # of the children held; no round adds a checkpoint before it ends
        self._since = 0.0

    def hear(self, entry: SignedEntry) -> None:
        """Keep an entry that has passed `admission.check_entry`; the first of its kind and account counts."""
        if entry.round > self._round:
            self._begin(entry.round)
        key = (type(entry.content), entry.account)
        if entry.round != self._round or key in self._entries or key in self._sent:
            return
        if not self._entries:
            self._since = self._kit.clock.now()
        self._entries[key] = entry
        self._drop_the_lowest_bid_too_many()

    async def step(self, view: RoundView) -> None:
        """Act on one look at the round. Raises LedgerUnavailable; then the entries are sent at the next look."""
        if view.number > self._round:
            self._begin(view.number)
        kind = KIND_OF.get(view.phase)
        if kind is None or view.number != self._round:
            return
        ready = [entry for entry in tuple(self._entries.values()) if await self._is_ready(entry, kind, view)]
        if ready and (self._is_complete(ready, view) or self._is_time(view)):
            await self._post(view, kind, ready)

    async def _is_ready(self, entry: SignedEntry, kind: type[object], view: RoundView) -> bool:
        if not isinstance(entry.content, kind) or not may_be_posted(entry, view, self._kit.clock.now()):
            return False
        if isinstance(entry.content, SignedBid):
            # The ledger would pass over a bid that is not covered; so do we, before it costs gas.
            return await self._kit.registry.free(entry.account) >= entry.content.amount
        return not isinstance(entry.content, LeasedChild) or not await self._is_on_record(entry.content.child)

    async def _is_on_record(self, child: Root) -> bool:
        """Whether the ledger has accepted a checkpoint of this root before: such a child spoils the list."""
        known = self._on_record.get(child)
        if known is None:
            known = await self._kit.registry.checkpoint(self._kit.model, child) is not None
            self._on_record[child] = known
        return known

    def _is_complete(self, ready: Sequence[SignedEntry], view: RoundView) -> bool:
        """Whether everybody who is to hand in, to commit, or to reveal, is in the batch; who will bid is not known."""
        kind = KIND_OF[view.phase]
        there = {entry.account for entry in ready} | {account for sent, account in self._sent if sent is kind}
        if view.phase == Phase.TRAIN:
            return there >= {leg.trainer for leg in view.legs if not leg.submitted}
        if view.phase == Phase.COMMIT:
            return there >= {seat.validator for seat in view.seats if seat.commitment is None}
        committed = {seat.validator for seat in view.seats if seat.commitment is not None and seat.scores is None}
        return view.phase == Phase.REVEAL and there >= committed

    def _is_time(self, view: RoundView) -> bool:
        return share_passed(view, self._kit.rules, self._since, RELAY_SHARE, self._kit.clock.now())

    async def _post(self, view: RoundView, kind: type[object], ready: Sequence[SignedEntry]) -> None:
        contents = tuple(_listed(entry.content, view) for entry in sorted(ready, key=lambda entry: entry.account))
        command = COMMAND_FOR[kind](self._kit.model, view.number, contents)
        try:
            await self._kit.ledger.send(command)
            log.info("round %d: sent %d entries for others: %s", view.number, len(ready), type(command).__name__)
        except RuleViolation as refusal:
            # Our look at the round was old; whoever signed falls back to an own transaction.
            log.warning("round %d: %s refused: %s", view.number, type(command).__name__, sentence_of(refusal))
        if view.number != self._round:  # a later round has begun while this was mined: it owes nothing to that one
            return
        for entry in ready:
            key = (kind, entry.account)
            self._sent.add(key)
            self._entries.pop(key, None)

    def _begin(self, number: int) -> None:
        self._round = number
        self._entries.clear()
        self._sent.clear()
        self._on_record.clear()

    def _drop_the_lowest_bid_too_many(self) -> None:
        bids = [entry.content for entry in self._entries.values() if isinstance(entry.content, SignedBid)]
        if len(bids) > MAX_BIDS:
            lowest = min(bids, key=lambda bid: bid.amount)
            del self._entries[SignedBid, lowest.trainer]


def _listed(content: Content, view: RoundView) -> SignedBid | SignedChild | SignedCommit | SignedReveal:
    """What the ledger's list has of an entry that `may_be_posted`."""
    if not isinstance(content, LeasedChild):
        return content
    number = next(number for number, leg in enumerate(view.legs) if leg.trainer == content.trainer)
    return SignedChild(number, content.child, content.signature)
