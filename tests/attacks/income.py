"""What honest validators earn, and how likely a ring is to have most of a committee."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from math import comb

from derelayl_protocol.ledger.events import RoundSettled, ValidatorCharged, ValidatorPaid
from derelayl_protocol.ledger.scoring import PPM
from derelayl_protocol.types import TOKEN, Ppm

from .conduct import Conduct
from .measuring import SEEDS
from .world import ERROR_PPM, RULES, World

CASES = (
    (0, RULES.agreement_ppm),
    (ERROR_PPM // 2, RULES.agreement_ppm),
    (ERROR_PPM, RULES.agreement_ppm),
    (2 * ERROR_PPM, RULES.agreement_ppm),
    (4 * ERROR_PPM, RULES.agreement_ppm),
    (ERROR_PPM, Ppm(RULES.agreement_ppm // 8)),
    (ERROR_PPM, Ppm(RULES.agreement_ppm // 4)),
    (ERROR_PPM, Ppm(RULES.agreement_ppm // 2)),
    (ERROR_PPM, Ppm(RULES.agreement_ppm * 2)),
)
"""Standard deviation of validators' errors and the rule `agreement_ppm`, both in ppm."""


@dataclass(frozen=True, slots=True)
class Income:
    """Of a seat in a settled round, in the mean over all of them. `agreement` is the share of the most possible."""

    agreement: float
    tokens: float
    charged: float
    """Share of the seats that paid instead of being paid."""


@cache
def income(error: int, agreement_ppm: Ppm) -> Income:
    """Play SEEDS honest histories with errors of that size."""
    agreements, amounts, seats = list[int](), list[int](), 0
    for seed in range(SEEDS):
        conduct = Conduct()
        conduct.error = error
        world = World(seed, conduct, replace(RULES, agreement_ppm=agreement_ppm)).play()
        seats += RULES.committee_size * sum(isinstance(event, RoundSettled) for event in world.events)
        for event in world.events:
            if isinstance(event, ValidatorPaid):
                agreements.append(event.agreement)
                amounts.append(event.amount)
            elif isinstance(event, ValidatorCharged):
                agreements.append(-event.disagreement)
                amounts.append(-event.amount)
    charged = sum(amount < 0 for amount in amounts)
    return Income(sum(agreements) / seats / PPM, sum(amounts) / seats / TOKEN, charged / seats)


def capture(validators: int, allies: int, seats: int) -> float:
    """The chance that allies get more than half of the seats, if each validator is as likely to be drawn."""
    ways = sum(comb(allies, own) * comb(validators - allies, seats - own) for own in range(seats // 2 + 1, seats + 1))
    return ways / comb(validators, seats)
