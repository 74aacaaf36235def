"""Settlement: who is selected and who gets what. Source: docs/PROTOCOL.md section 4, Settlement and Void.

Pure arithmetic on one round; the ledger moves the money. All divisions round down, and what rounding leaves over stays
in the carry, so that no wei is made or lost.
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass

from ..errors import Reason, RuleViolation
from ..limits import BPS
from ..types import UNAVAILABLE, Address, Ppm, Root, Wei
from .duplicates import classes_of
from .phases import VoidReason
from .rules import Rules
from .scoring import PPM, agreement, medians, most_agreement, revealed_score, seat_order
from .selection import LegEnding, judged, ranked
from .state import LegEntry, SeatEntry

__all__ = [
    "LegOutcome",
    "SeatOutcome",
    "Settlement",
    "check_ranking",
    "leg_order",
    "seat_order",
    "settle",
    "void",
]


@dataclass(frozen=True, slots=True)
class LegOutcome:
    """What becomes of one leg. Its bid is returned or forfeited, so is its deposit; `forfeited` sums up both."""

    score: Ppm
    selected: bool
    reward: Wei  # to the trainer
    royalty: Wei  # to the parent's pending
    bid_returned: Wei  # to the trainer
    deposit_returned: Wei  # to the owner of the parent
    forfeited: Wei  # to the pot


@dataclass(frozen=True, slots=True)
class SeatOutcome:
    """What becomes of one seat; `agreement` is the share of the most possible, in ppm, below 0 if it is charged."""

    agreement: Ppm
    paid: Wei
    charged: Wei  # from its stake, to the carry
    slashed: Wei  # from its stake, to the pot


@dataclass(frozen=True, slots=True)
class Settlement:
    """The end of a round: outcomes by leg number and by seat number, the selected legs in settlement order.

    `pot` is what was shared out from, `emission` the part of it drawn from the budget, `carry` what the model keeps.
    """

    legs: tuple[LegOutcome, ...]
    seats: tuple[SeatOutcome, ...]
    selected: tuple[int, ...]
    pot: Wei
    emission: Wei
    carry: Wei


def leg_order(legs: Sequence[LegEntry], seats: Sequence[SeatEntry]) -> tuple[int, ...]:
    """Rank the submitted legs: score descending, then leg number ascending."""
    return ranked(dict(enumerate(legs)), dict(enumerate(medians(legs, seats))))


def check_ranking(
    order: Sequence[int], seat_ranking: Sequence[int], legs: Sequence[LegEntry], seats: Sequence[SeatEntry]
) -> None:
    """Check what the sender of a settlement claims, leg by leg, looking at each neighbouring pair once.

    Raises RuleViolation: WRONG_ORDER unless `order` ranks all submitted legs, strictly; WRONG_SEAT_ORDER unless
    `seat_ranking` is `seat_order(order, seats)`. Of several faults the first on the way down counts.
    """
    scores = medians(legs, seats)
    submitted = sum(leg.submitted for leg in legs)
    revealed = sum(seat.scores is not None for seat in seats)
    if len(order) != submitted:
        raise RuleViolation(Reason.WRONG_ORDER, f"{len(order)} entries for {submitted} submitted legs")
    if len(seat_ranking) != submitted * revealed:
        detail = f"{len(seat_ranking)} entries for {submitted} legs by {revealed} seats"
        raise RuleViolation(Reason.WRONG_SEAT_ORDER, detail)
    for place, leg in enumerate(order):
        if not (0 <= leg < len(legs) and legs[leg].submitted):
            raise RuleViolation(Reason.WRONG_ORDER, f"leg {leg} was not submitted")
        _check_seats(leg, seat_ranking[place * revealed : (place + 1) * revealed], seats)
        before = order[place - 1]
        if place > 0 and not (-scores[before], before) < (-scores[leg], leg):
            raise RuleViolation(Reason.WRONG_ORDER, f"leg {before} does not rank before leg {leg}")


def settle(
    rules: Rules,
    legs: Sequence[LegEntry],
    seats: Sequence[SeatEntry],
    *,
    stakes: Mapping[Address, Wei],
    checkpoints: Container[Root],
    carry: Wei,
    budget: Wei,
    settled_rounds: int,
) -> Settlement:
    """Settle a round in which at least one leg was submitted and at least one seat revealed.

    `stakes` are the current ones (a slash is a share of them), `checkpoints` the roots that the model has already,
    `settled_rounds` counts the rounds settled before this one.
    """
    scores = medians(legs, seats)
    classes = dict(enumerate(classes_of(rules, legs, seats)))
    endings = judged(rules, dict(enumerate(legs)), dict(enumerate(scores)), classes, checkpoints)
    selected = tuple(number for number, ending in endings.items() if ending is LegEnding.SELECTED)
    slashes = [Wei(0) if seat.scores is not None else _slash(rules, stakes[seat.validator]) for seat in seats]
    emission = _emission(rules, budget, settled_rounds) if selected else Wei(0)
    forfeits = [_forfeit(leg, number in selected) for number, leg in enumerate(legs)]
    pot = Wei(carry + sum(forfeits) + sum(slashes) + emission)
    leg_outcomes = _leg_outcomes(rules, legs, scores, selected, forfeits, pot)
    seat_outcomes = _seat_outcomes(rules, legs, seats, stakes, slashes, pot)
    paid = sum(leg.reward + leg.royalty for leg in leg_outcomes)
    paid += sum(seat.paid - seat.charged for seat in seat_outcomes)
    return Settlement(leg_outcomes, seat_outcomes, selected, pot, emission, carry=Wei(pot - paid))


def void(
    rules: Rules,
    reason: VoidReason,
    legs: Sequence[LegEntry],
    seats: Sequence[SeatEntry],
    *,
    stakes: Mapping[Address, Wei],
    carry: Wei,
) -> Settlement:
    """End a round that has legs without selecting or paying anyone; forfeits and slashes go to the carry.

    Nobody is judged, so bids of submitted legs and all deposits return. Seats are slashed for what they were asked for
    and did not do: commit (TOO_FEW_COMMITS) or reveal (TOO_FEW_REVEALS).
    """
    leg_outcomes = tuple(_void_leg(leg) for leg in legs)
    seat_outcomes = tuple(_void_seat(rules, reason, seat, stakes) for seat in seats)
    gained = sum(leg.forfeited for leg in leg_outcomes) + sum(seat.slashed for seat in seat_outcomes)
    total = Wei(carry + gained)
    return Settlement(leg_outcomes, seat_outcomes, selected=(), pot=total, emission=Wei(0), carry=total)


# --- Inside -----------------------------------------------------------------------------------------------------------


def _check_seats(leg: int, ranking: Sequence[int], seats: Sequence[SeatEntry]) -> None:
    """Raise RuleViolation(WRONG_SEAT_ORDER) unless these are revealed seats, strictly ascending by score and number."""
    last: tuple[Ppm, int] | None = None
    for seat in ranking:
        score = revealed_score(seats[seat], leg) if 0 <= seat < len(seats) else None
        if score is None:
            raise RuleViolation(Reason.WRONG_SEAT_ORDER, f"seat {seat} has not revealed")
        if last is not None and not last < (score, seat):
            raise RuleViolation(Reason.WRONG_SEAT_ORDER, f"seat {last[1]} does not rank before {seat} for leg {leg}")
        last = (score, seat)


def _emission(rules: Rules, budget: Wei, settled_rounds: int) -> Wei:
    return Wei(min(budget, rules.emission >> settled_rounds // rules.halving_rounds))


def _slash(rules: Rules, stake: Wei) -> Wei:
    return Wei(stake * rules.slash_bps // BPS)


def _forfeit(leg: LegEntry, selected: bool) -> Wei:
    """Wei of the leg's bid and deposit that go to the pot."""
    if selected:
        return Wei(0)
    return Wei(leg.bid + leg.deposit - _returned_deposit(leg, selected))


def _returned_deposit(leg: LegEntry, selected: bool) -> Wei:
    """A selected leg frees the owner's deposit, and so does a trainer that never submitted or that equivocated."""
    return leg.deposit if selected or leg.disqualified or not leg.submitted else Wei(0)


def _leg_outcomes(
    rules: Rules,
    legs: Sequence[LegEntry],
    scores: Sequence[Ppm],
    selected: Sequence[int],
    forfeits: Sequence[Wei],
    pot: Wei,
) -> tuple[LegOutcome, ...]:
    total_score = sum(scores[number] for number in selected)
    trainer_share, royalty_share = pot * rules.trainer_bps // BPS, pot * rules.royalty_bps // BPS

    def outcome(number: int, leg: LegEntry) -> LegOutcome:
        chosen, score = number in selected, scores[number]
        return LegOutcome(
            score=score,
            selected=chosen,
            reward=Wei(trainer_share * score // total_score if chosen else 0),
            royalty=Wei(royalty_share * score // total_score if chosen else 0),
            bid_returned=leg.bid if chosen else Wei(0),
            deposit_returned=_returned_deposit(leg, chosen),
            forfeited=forfeits[number],
        )

    return tuple(outcome(number, leg) for number, leg in enumerate(legs))


def _seat_outcomes(
    rules: Rules,
    legs: Sequence[LegEntry],
    seats: Sequence[SeatEntry],
    stakes: Mapping[Address, Wei],
    slashes: Sequence[Wei],
    pot: Wei,
) -> tuple[SeatOutcome, ...]:
    """Pay or charge each seat that part of an equal share of the pot that its agreement is of the most possible."""
    share = pot * rules.validator_bps // BPS // len(seats)
    most = most_agreement(legs, rules.agreement_ppm)

    def outcome(number: int, seat: SeatEntry) -> SeatOutcome:
        agreed = agreement(number, legs, seats, rules.agreement_ppm)
        size, sign = abs(agreed), 1 if agreed > 0 else -1
        amount = share * size // most if most else 0
        return SeatOutcome(
            agreement=Ppm(sign * (size * PPM // most) if most else 0),
            paid=Wei(amount if agreed > 0 else 0),
            charged=Wei(min(stakes[seat.validator], amount) if agreed < 0 else 0),
            slashed=slashes[number],
        )

    return tuple(outcome(number, seat) for number, seat in enumerate(seats))


def _void_leg(leg: LegEntry) -> LegOutcome:
    return LegOutcome(
        score=UNAVAILABLE,
        selected=False,
        reward=Wei(0),
        royalty=Wei(0),
        bid_returned=leg.bid if leg.submitted else Wei(0),
        deposit_returned=leg.deposit,
        forfeited=Wei(0) if leg.submitted else leg.bid,
    )


def _void_seat(rules: Rules, reason: VoidReason, seat: SeatEntry, stakes: Mapping[Address, Wei]) -> SeatOutcome:
    failed = (reason == VoidReason.TOO_FEW_COMMITS and seat.commitment is None) or (
        reason == VoidReason.TOO_FEW_REVEALS and seat.scores is None
    )
    slashed = _slash(rules, stakes[seat.validator]) if failed else Wei(0)
    return SeatOutcome(agreement=Ppm(0), paid=Wei(0), charged=Wei(0), slashed=slashed)
