"""How large must a coalition be before its strategy pays? Ours.

Trainers and validators deviate together, the same share of both, in worlds with the same people and the same luck.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from derelayl_protocol.errors import LocalFault

from ..study.statistics import Interval, mean
from ..world.people import Bools
from ..world.strategies import JUDGES, TRAINERS, check_strategy, code_of, trainer_of
from .arena import Arena, Change, arena, chosen, mean_of
from .equilibrium import ROLES, SEEDS_AT_ONCE

if TYPE_CHECKING:
    from ..scenarios.load import Scenario

HONEST = "honest"


@dataclass(frozen=True, slots=True)
class Coalition:
    """What a coalition of one size earns; money a round and person beyond being honest on the same luck."""

    share: float  # of the honest people of each role that deviates
    trainers: int  # people in each relay
    validators: int
    gain: Interval  # over seeds


def coalitions(
    scenario: Scenario, seeds: Sequence[int], trainer: str, validator: str, shares: Sequence[float]
) -> list[Coalition]:
    """Try a trainers' and a judges' strategy with each of these shares of the people; `honest` leaves a role out.

    Raises LocalFault for an unknown strategy, a share that is none, nobody to deviate, or the published rules.
    """
    strategies = {"trainer": trainer, "validator": validator}
    _check(strategies, shares)
    field = arena(scenario, [0])
    groups = [_group(field, strategies, share) for share in shares]
    sizes = [{role: int((who & field.role(role)).sum()) for role in ROLES} for who in groups]
    if not all(who.any() for who in groups):
        raise LocalFault(f"{scenario.name} has no honest people who could play {trainer} and {validator}")
    changes: list[Change] = [{}, *(_change(field, strategies, who) for who in groups)]
    crowd = field.role("trainer") & trainer_of(code_of("trainer", trainer)).many  # the same luck for every size
    gains: list[list[float]] = [[] for _ in shares]
    for start in range(0, len(seeds), SEEDS_AT_ONCE):
        here = arena(scenario, seeds[start : start + SEEDS_AT_ONCE], crowd)
        before, *payoffs = (np.split(world, len(here.seeds)) for world in here.payoffs(changes))
        for place, who in enumerate(groups):
            gains[place] += [
                mean_of(each, who) - mean_of(honest, who) for each, honest in zip(payoffs[place], before, strict=True)
            ]
    confidence = scenario.verdict.confidence
    return [
        Coalition(share, size["trainer"], size["validator"], mean(gain, confidence))
        for share, size, gain in zip(shares, sizes, gains, strict=True)
    ]


def smallest(found: Sequence[Coalition], tolerance: float) -> Coalition | None:
    """Return the smallest coalition whose whole interval is above the tolerance, None if there is none."""
    paying = [each for each in found if each.gain.low > tolerance]
    return min(paying, key=lambda each: each.share, default=None)


def partner_of(trainer: str) -> str:
    """Return what judges play beside a trainers' strategy: a ring has both, of all others the trainers alone."""
    return trainer if trainer != HONEST and trainer in TRAINERS and trainer in JUDGES else HONEST


# --- Inside -----------------------------------------------------------------------------------------------------------


def _check(strategies: dict[str, str], shares: Sequence[float]) -> None:
    for role, name in strategies.items():
        try:
            check_strategy(role, name)
        except ValueError as error:
            raise LocalFault(str(error)) from None
    if all(name == HONEST for name in strategies.values()):
        raise LocalFault("trainers and validators are both honest: name a strategy of one of them")
    for share in shares:
        if not 0 < share <= 1:
            raise LocalFault(f"a share is {share:g}, allowed is above 0 and up to 1")


def _group(field: Arena, strategies: dict[str, str], share: float) -> Bools:
    who = np.zeros(field.people.places.people, np.bool_)
    for role, name in strategies.items():
        honest = field.honest(role)
        if name != HONEST and honest.any():
            who |= chosen(honest, max(1, round(share * int(honest.sum()))))
    return who


def _change(field: Arena, strategies: dict[str, str], who: Bools) -> Change:
    change: dict[str, Bools] = {}
    for role, name in strategies.items():
        if name != HONEST:
            change[name] = change.get(name, np.zeros_like(who)) | (who & field.role(role))
    return change
