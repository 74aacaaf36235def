"""What accounts sign for others to send: entries of lists, and proofs of equivocation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from derelayl_protocol.ledger import commands
from derelayl_protocol.ledger.signed import (
    BidMessage,
    CommitMessage,
    HandOverMessage,
    RevealMessage,
    SignedMessage,
)
from derelayl_protocol.types import Address, ModelId, Ppm, Root, Timestamp, Wei

from .orders import own_originals

Entry = commands.SignedBid | commands.SignedChild | commands.SignedCommit | commands.SignedReveal


@dataclass
class Signer:
    """Signs in the name of any account that has a key."""

    signature: Callable[[SignedMessage, Address], bytes]

    def bid(
        self, model: ModelId, number: int, trainer: Address, segment: int, amount: Wei, expiry: Timestamp
    ) -> commands.SignedBid:
        message = BidMessage(model, number, segment, amount, expiry)
        return commands.SignedBid(trainer, segment, amount, expiry, self.signature(message, trainer))

    def child(
        self, model: ModelId, number: int, leg: int, trainer: Address, parent: Root, child: Root
    ) -> commands.SignedChild:
        message = HandOverMessage(model, number, parent, child)
        return commands.SignedChild(leg, child, self.signature(message, trainer))

    def commit(self, model: ModelId, number: int, validator: Address, commitment: bytes) -> commands.SignedCommit:
        message = CommitMessage(model, number, commitment)
        return commands.SignedCommit(validator, commitment, self.signature(message, validator))

    def reveal(
        self,
        model: ModelId,
        number: int,
        validator: Address,
        scores: tuple[Ppm, ...],
        salt: bytes,
        originals: tuple[int, ...] | None = None,
    ) -> commands.SignedReveal:
        named = own_originals(scores) if originals is None else originals
        message = RevealMessage(model, number, scores, named, salt)
        return commands.SignedReveal(validator, scores, named, salt, self.signature(message, validator))

    def again(self, model: ModelId, number: int, entry: Entry) -> Entry:
        """The entry signed as it is now; a child stays as it is, as its parent is not known here."""
        message: SignedMessage
        if isinstance(entry, commands.SignedBid):
            message = BidMessage(model, number, entry.segment, entry.amount, entry.expiry)
            return replace(entry, signature=self.signature(message, entry.trainer))
        if isinstance(entry, commands.SignedChild):
            return entry
        if isinstance(entry, commands.SignedCommit):
            message = CommitMessage(model, number, entry.commitment)
            return replace(entry, signature=self.signature(message, entry.validator))
        message = RevealMessage(model, number, entry.scores, entry.originals, entry.salt)
        return replace(entry, signature=self.signature(message, entry.validator))

    def manifests(
        self, model: ModelId, number: int, leg: int, trainer: Address, parent: Root, children: tuple[Root, Root]
    ) -> commands.ReportManifests:
        first, second = (HandOverMessage(model, number, parent, child) for child in children)
        signatures = self.signature(first, trainer), self.signature(second, trainer)
        return commands.ReportManifests(model, number, leg, children, signatures)

    def reveals(
        self,
        model: ModelId,
        number: int,
        validator: Address,
        scores: tuple[tuple[Ppm, ...], tuple[Ppm, ...]],
        salts: tuple[bytes, bytes],
        originals: tuple[tuple[int, ...], tuple[int, ...]] | None = None,
    ) -> commands.ReportReveals:
        named = (own_originals(scores[0]), own_originals(scores[1])) if originals is None else originals
        first, second = (RevealMessage(model, number, *opened) for opened in zip(scores, named, salts, strict=True))
        signatures = self.signature(first, validator), self.signature(second, validator)
        return commands.ReportReveals(model, number, validator, scores, named, salts, signatures)
