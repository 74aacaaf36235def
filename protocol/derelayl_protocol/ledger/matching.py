"""Matching: who continues which tip, and who will judge it. Source: docs/PROTOCOL.md section 4, Matching and Committee.

Orders are index lists over the round's bids or tips. Ties are broken by hashes with its seed, so that no account
can choose its rank by choosing its address or its root beforehand.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise

from ..encoding import word
from ..errors import Reason, RuleViolation
from ..limits import MAX_COMMITTEE_DRAWS
from ..spelling import from_hex
from ..types import Address, Wei
from .rules import Rules
from .state import BidEntry, LegEntry, SeatEntry, TipEntry

_BidKey = tuple[int, bytes]
_TipKey = tuple[bool, bool, int, bytes]


def bid_order(seed: bytes, bids: Sequence[BidEntry]) -> tuple[int, ...]:
    """Rank the bids: amount descending, then SHA-256(seed ‖ address) ascending."""
    return _ascending([_bid_key(seed, bid) for bid in bids])


def tip_order(seed: bytes, tips: Sequence[TipEntry]) -> tuple[int, ...]:
    """Rank the tips: stalled last, then offered first, then score descending, then SHA-256(seed ‖ root) ascending."""
    return _ascending([_tip_key(seed, tip) for tip in tips])


def check_bid_order(seed: bytes, bids: Sequence[BidEntry], order: Sequence[int]) -> None:
    """Raise RuleViolation(WRONG_ORDER) unless `order` is the ranking of the bids."""
    check_order(order, [_bid_key(seed, bid) for bid in bids])


def check_tip_order(seed: bytes, tips: Sequence[TipEntry], order: Sequence[int]) -> None:
    """Raise RuleViolation(WRONG_ORDER) unless `order` is the ranking of the tips."""
    check_order(order, [_tip_key(seed, tip) for tip in tips])


def check_order(order: Sequence[int], keys: Sequence[_BidKey] | Sequence[_TipKey]) -> None:
    """Raise RuleViolation(WRONG_ORDER) unless `order` lists all `keys`, strictly ascending.

    Looks at each neighbouring pair once, as the contract does: whoever sends the order does the sorting. Strictly
    ascending and as long as the keys means complete and free of repetitions.
    """
    if len(order) != len(keys):
        raise RuleViolation(Reason.WRONG_ORDER, f"{len(order)} entries for {len(keys)} places")
    if any(not 0 <= entry < len(keys) for entry in order):
        raise RuleViolation(Reason.WRONG_ORDER, f"an entry of {list(order)} is not in 0 … {len(keys) - 1}")
    for before, after in pairwise(order):
        if not keys[before] < keys[after]:
            raise RuleViolation(Reason.WRONG_ORDER, f"{before} does not rank before {after}")


def lease_legs(
    rules: Rules,
    bids: Sequence[BidEntry],
    tips: Sequence[TipEntry],
    ranked_bids: Sequence[int],
    ranked_tips: Sequence[int],
) -> tuple[LegEntry, ...]:
    """Give the j-th bid in order tip j // legs_per_tip in order, while there is one; j is the leg's number.

    All legs have one bond, the last of these bids: a bid says how much a trainer would put up, not how sure it is.
    """
    matched = [bids[entry] for entry in ranked_bids[: len(tips) * rules.legs_per_tip]]
    pairs = [(bid, tips[ranked_tips[j // rules.legs_per_tip]]) for j, bid in enumerate(matched)]
    return tuple(
        LegEntry(
            trainer=bid.trainer,
            parent=tip.root,
            owner=tip.owner,
            segment=bid.segment,
            bid=matched[-1].amount,
            deposit=rules.offer_deposit if tip.offered else Wei(0),
        )
        for bid, tip in pairs
    )


def with_stalled(tips: Sequence[TipEntry], legs: Sequence[LegEntry]) -> tuple[TipEntry, ...]:
    """Mark the tips as a round with these legs leaves them: stalled where fewer than half of a tip's were submitted.

    A tip that no leg continued keeps its mark. Where all would be stalled none is.
    """
    marked = tuple(replace(tip, stalled=_is_stalled(tip, legs)) for tip in tips)
    return tuple(replace(tip, stalled=False) for tip in tips) if all(tip.stalled for tip in marked) else marked


def seat_committee(
    seed: bytes,
    validators: Sequence[Address],
    stakes: Mapping[Address, Wei],
    excluded: Collection[Address],
    rules: Rules,
) -> tuple[SeatEntry, ...]:
    """Draw the committee without replacement, each validator with the same chance, at most MAX_COMMITTEE_DRAWS draws.

    `excluded` (this round's bidders and tip owners) and validators whose stake has fallen below half of
    `validator_stake` use up a draw and get no seat. A seat's weight is the stake at this moment. May return fewer
    seats than the quorum.
    """
    drawn, seats = list(validators), list[SeatEntry]()
    for i in range(min(len(drawn), MAX_COMMITTEE_DRAWS)):
        if len(seats) == rules.committee_size:
            break
        j = i + int.from_bytes(hashlib.sha256(seed + word(i)).digest(), "big") % (len(drawn) - i)
        drawn[i], drawn[j] = drawn[j], drawn[i]
        stake = stakes[drawn[i]]
        if drawn[i] not in excluded and 2 * stake >= rules.validator_stake:
            seats.append(SeatEntry(drawn[i], weight=stake))
    return tuple(seats)


# --- Inside -----------------------------------------------------------------------------------------------------------


def _is_stalled(tip: TipEntry, legs: Sequence[LegEntry]) -> bool:
    submitted = [leg.submitted for leg in legs if leg.parent == tip.root]
    return 2 * sum(submitted) < len(submitted) if submitted else tip.stalled


def _bid_key(seed: bytes, bid: BidEntry) -> _BidKey:
    return (-bid.amount, hashlib.sha256(seed + from_hex(bid.trainer)).digest())


def _tip_key(seed: bytes, tip: TipEntry) -> _TipKey:
    return (tip.stalled, not tip.offered, -tip.score, hashlib.sha256(seed + tip.root).digest())


def _ascending(keys: Sequence[_BidKey] | Sequence[_TipKey]) -> tuple[int, ...]:
    return tuple(sorted(range(len(keys)), key=keys.__getitem__))
