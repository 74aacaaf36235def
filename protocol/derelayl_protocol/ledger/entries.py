"""Signed entries of a round on the wire: what its signers hand to whoever will send it to the ledger.

Canonical JSON on a gossip topic of the model's own; docs/PROTOCOL.md section 5. Amounts are decimal text, because wei
exceed the integers of canonical JSON; a score that is UNAVAILABLE is null.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from .. import limits
from ..encoding import (
    MAX_INTEGER,
    EncodingError,
    Value,
    decode,
    encode,
    read_address,
    read_hex,
    read_integer,
    read_list,
    read_object,
)
from ..spelling import AMOUNT_DIGITS, shown
from ..types import HASH_BYTES, UNAVAILABLE, WHOLE_MODEL, Address, ModelId, Ppm, Root, Timestamp, Wei
from .commands import SignedBid, SignedCommit, SignedReveal
from .signed import COMPACT_SIGNATURE_BYTES, BidMessage, CommitMessage, HandOverMessage, RevealMessage

_PLACE = ("kind", "model", "round", "account", "signature")

_FIELDS: Mapping[str, tuple[str, ...]] = {
    "bid": ("segment", "amount", "expiry"),
    "child": ("parent", "child"),
    "commit": ("commitment",),
    "reveal": ("scores", "originals", "salt"),
}
"""The keys of each kind of entry besides _PLACE."""


@dataclass(frozen=True, slots=True)
class LeasedChild:
    """The child of a lease: all that its signature is over, so that it can be told whatever the ledger looks like.

    Nothing of the manifest but its root; the number of the leg is the ledger's.
    """

    trainer: Address
    parent: Root
    child: Root
    signature: bytes


Content = SignedBid | LeasedChild | SignedCommit | SignedReveal


@dataclass(frozen=True, slots=True)
class SignedEntry:
    """What one account does in a round, signed for anyone to send."""

    model: ModelId
    round: int
    content: Content

    @property
    def account(self) -> Address:
        """Who is said to have signed it."""
        return self.content.trainer if isinstance(self.content, SignedBid | LeasedChild) else self.content.validator

    @property
    def message(self) -> BidMessage | HandOverMessage | CommitMessage | RevealMessage:
        """What the signature is over."""
        match self.content:
            case SignedBid(segment=segment, amount=amount, expiry=expiry):
                return BidMessage(self.model, self.round, segment, amount, expiry)
            case LeasedChild(parent=parent, child=child):
                return HandOverMessage(self.model, self.round, parent, child)
            case SignedCommit(commitment=commitment):
                return CommitMessage(self.model, self.round, commitment)
        return RevealMessage(self.model, self.round, self.content.scores, self.content.originals, self.content.salt)


def encode_entry(entry: SignedEntry) -> bytes:
    """Write the entry as canonical JSON."""
    kind, fields = _content(entry.content)
    place: dict[str, Value] = {
        "kind": kind,
        "model": entry.model.hex(),
        "round": entry.round,
        "account": entry.account,
        "signature": entry.content.signature.hex(),
    }
    return encode(place | fields)


def parse_entry(data: bytes) -> SignedEntry:
    """Read an entry; its signature is not checked. Raises PeerFault (EncodingError) naming what is wrong with it."""
    value = decode(data, limits.MAX_ANNOUNCEMENT_BYTES)
    kind = value.get("kind") if isinstance(value, dict) else None
    if not isinstance(kind, str) or kind not in _FIELDS:
        raise EncodingError(f"{shown(value)} is no bid, child, commit or reveal")
    found = read_object(value, (*_PLACE, *_FIELDS[kind]), kind)
    account = read_address(found["account"], "account")
    signature = read_hex(found["signature"], COMPACT_SIGNATURE_BYTES, "signature")
    return SignedEntry(
        model=ModelId(read_hex(found["model"], HASH_BYTES, "model")),
        round=read_integer(found["round"], 1, MAX_INTEGER, "round"),
        content=_read_content(kind, found, account, signature),
    )


# --- Inside -----------------------------------------------------------------------------------------------------------


def _content(content: Content) -> tuple[str, dict[str, Value]]:
    match content:
        case SignedBid(segment=segment, amount=amount, expiry=expiry):
            return "bid", {"segment": segment, "amount": str(amount), "expiry": expiry}
        case LeasedChild(parent=parent, child=child):
            return "child", {"parent": parent.hex(), "child": child.hex()}
        case SignedCommit(commitment=commitment):
            return "commit", {"commitment": commitment.hex()}
    plain: list[Value] = [None if score == UNAVAILABLE else score for score in content.scores]
    originals: list[Value] = [*content.originals]
    return "reveal", {"scores": plain, "originals": originals, "salt": content.salt.hex()}


def _read_content(kind: str, found: Mapping[str, Value], account: Address, signature: bytes) -> Content:
    if kind == "bid":
        segment = read_integer(found["segment"], 0, WHOLE_MODEL, "segment")
        expiry = Timestamp(read_integer(found["expiry"], 0, MAX_INTEGER, "expiry"))
        return SignedBid(account, segment, _read_amount(found["amount"]), expiry, signature)
    if kind == "child":
        parent, child = (Root(read_hex(found[name], HASH_BYTES, name)) for name in _FIELDS["child"])
        return LeasedChild(account, parent, child, signature)
    if kind == "commit":
        return SignedCommit(account, read_hex(found["commitment"], HASH_BYTES, "commitment"), signature)
    scores = tuple(_read_score(score) for score in read_list(found["scores"], limits.MAX_BIDS, "scores"))
    listed = read_list(found["originals"], limits.MAX_BIDS, "originals")
    if len(listed) != len(scores):
        raise EncodingError(f"originals has {len(listed)} entries for {len(scores)} scores")
    originals = tuple(read_integer(original, 0, limits.MAX_BIDS - 1, "original") for original in listed)
    return SignedReveal(account, scores, originals, read_hex(found["salt"], HASH_BYTES, "salt"), signature)


def _read_amount(value: Value) -> Wei:
    if not isinstance(value, str) or re.fullmatch(rf"[1-9][0-9]{{0,{AMOUNT_DIGITS - 1}}}", value) is None:
        raise EncodingError(f"amount is {shown(value)}, expected are 1 to {AMOUNT_DIGITS} decimal digits")
    if int(value) > limits.MAX_AMOUNT_WEI:
        raise EncodingError(f"amount is {value}, allowed is at most {limits.MAX_AMOUNT_WEI}")
    return Wei(int(value))


def _read_score(value: Value) -> Ppm:
    if value is None:
        return UNAVAILABLE
    return Ppm(read_integer(value, -limits.MAX_SCORE_PPM, limits.MAX_SCORE_PPM, "score"))
