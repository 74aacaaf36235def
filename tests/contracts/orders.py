"""Orders, medians and seals computed from the text of PROTOCOL.md, apart from the reference."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace

from derelayl_protocol.encoding import word
from derelayl_protocol.ledger import state
from derelayl_protocol.types import UNAVAILABLE, Address, ModelId, Ppm


def bid_order(view: state.RoundView) -> tuple[int, ...]:
    def rank(index: int) -> tuple[int, bytes]:
        bid = view.bids[index]
        return -bid.amount, hashlib.sha256(view.seed + bytes.fromhex(bid.trainer[2:])).digest()

    return tuple(sorted(range(len(view.bids)), key=rank))


def tip_order(view: state.RoundView) -> tuple[int, ...]:
    def rank(index: int) -> tuple[bool, bool, int, bytes]:
        tip = view.tips[index]
        return tip.stalled, not tip.offered, -tip.score, hashlib.sha256(view.seed + tip.root).digest()

    return tuple(sorted(range(len(view.tips)), key=rank))


def median(view: state.RoundView, leg: int) -> Ppm:
    """The first score in ascending order at which half of the revealed weight is reached."""
    seats = [view.seats[number] for number in seats_by_score(view, leg)]
    total, sum_ = sum(seat.weight for seat in seats), 0
    for seat in seats:
        sum_ += seat.weight
        if 2 * sum_ >= total:
            assert seat.scores is not None
            return seat.scores[leg]
    raise AssertionError("nobody revealed")


def seats_by_score(view: state.RoundView, leg: int) -> list[int]:
    """The seats that revealed, by their score of that leg, then by number."""
    revealed = [(seat.scores[leg], number) for number, seat in enumerate(view.seats) if seat.scores is not None]
    return [number for _, number in sorted(revealed)]


def settlement_order(view: state.RoundView) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The submitted legs by median, and for each of them in that order the seats by score."""
    medians = {leg: median(view, leg) for leg, entry in enumerate(view.legs) if entry.submitted}
    order = tuple(sorted(medians, key=lambda leg: (-medians[leg], leg)))
    return order, tuple(number for leg in order for number in seats_by_score(view, leg))


def agreement(view: state.RoundView, number: int, tolerance: int) -> int:
    """How much better the seat's scores fit the others' medians of the same legs than those of all legs."""
    own = view.seats[number].scores
    others = replace(view, seats=(*view.seats[:number], *view.seats[number + 1 :]))
    assert own is not None
    legs = [leg for leg, entry in enumerate(view.legs) if entry.submitted]
    medians = {leg: median(others, leg) for leg in legs}

    def closeness(x: int, y: int) -> int:
        if UNAVAILABLE in (x, y):
            return tolerance if x == y else 0
        return max(0, tolerance - abs(x - y))

    right = sum(closeness(own[leg], medians[leg]) for leg in legs)
    return len(legs) * right - sum(closeness(own[i], medians[j]) for i in legs for j in legs)


def own_originals(scores: Sequence[Ppm]) -> tuple[int, ...]:
    """Every leg for an original."""
    return tuple(range(len(scores)))


def commitment(
    model: ModelId,
    number: int,
    validator: Address,
    salt: bytes,
    scores: Sequence[Ppm],
    originals: Sequence[int] | None = None,
) -> bytes:
    """What a seat commits to (PROTOCOL.md section 3)."""
    named = bytes(own_originals(scores) if originals is None else originals).ljust(32, b"\0")
    words = [word(number), bytes.fromhex(validator[2:]).rjust(32, b"\0"), salt, *map(word, scores), named]
    return hashlib.sha256(model + b"".join(words)).digest()
