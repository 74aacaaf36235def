"""Orders, medians and seals computed from the text of PROTOCOL.md, apart from the reference."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from derelayl_protocol.ledger import state
from derelayl_protocol.rules import word
from derelayl_protocol.types import Address, ModelId, Ppm


def bid_order(view: state.RoundView) -> tuple[int, ...]:
    def rank(index: int) -> tuple[int, bytes]:
        bid = view.bids[index]
        return -bid.amount, hashlib.sha256(view.seed + bytes.fromhex(bid.trainer[2:])).digest()

    return tuple(sorted(range(len(view.bids)), key=rank))


def tip_order(view: state.RoundView) -> tuple[int, ...]:
    def rank(index: int) -> tuple[bool, int, bytes]:
        tip = view.tips[index]
        return not tip.offered, -tip.score, hashlib.sha256(view.seed + tip.root).digest()

    return tuple(sorted(range(len(view.tips)), key=rank))


def median_seat(view: state.RoundView, leg: int) -> int:
    """The first seat in order of score at which half of the revealed weight is reached."""
    revealed = [(seat.scores[leg], index) for index, seat in enumerate(view.seats) if seat.scores is not None]
    total, sum_ = sum(view.seats[index].weight for _, index in revealed), 0
    for _, index in sorted(revealed):
        sum_ += view.seats[index].weight
        if 2 * sum_ >= total:
            return index
    raise AssertionError("nobody revealed")


def settlement_order(view: state.RoundView) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The submitted legs by median, and the median seat of each."""
    seats = {index: median_seat(view, index) for index, leg in enumerate(view.legs) if leg.submitted}

    def rank(leg: int) -> tuple[int, int]:
        scores = view.seats[seats[leg]].scores
        assert scores is not None
        return -scores[leg], leg

    order = tuple(sorted(seats, key=rank))
    return order, tuple(seats[leg] for leg in order)


def commitment(model: ModelId, number: int, validator: Address, salt: bytes, scores: Sequence[Ppm]) -> bytes:
    """What a seat commits to (PROTOCOL.md section 3)."""
    words = [word(number), bytes.fromhex(validator[2:]).rjust(32, b"\0"), salt, *map(word, scores)]
    return hashlib.sha256(model + b"".join(words)).digest()
