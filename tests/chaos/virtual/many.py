"""Many plans one after the other, and what is to be said of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from tests.chaos.oracle import goodput, rounds_lost, violations
from tests.chaos.plan import Plan, draw, kill_one_in_each_leg

from .world import KINDS, VILLAINS, play

SHOWN = 12
"""Violations of a plan that are printed; the first is mostly the cause of the others."""


REPORT_EVERY = 100
"""Plans between two lines that tell how far it is."""


@dataclass
class Tally:
    """What came of the plans so far: those that broke a promise, by number."""

    plans: int = 0
    broken: dict[int, tuple[str, ...]] = field(default_factory=dict)
    goodputs: list[float] = field(default_factory=list)
    lost: int = 0
    seconds: float = 0.0

    def __str__(self) -> str:
        mean = sum(self.goodputs) / max(len(self.goodputs), 1)
        return (
            f"{self.plans} plans, {len(self.broken)} broke a promise; goodput {mean:.3f} "
            f"(least {min(self.goodputs, default=1.0):.3f}); {self.lost} rounds void; "
            f"{self.seconds / max(self.plans, 1):.2f} s of processor time each"
        )


def virtual_plan(number: int) -> Plan:
    """The plan of a number in the virtual world."""
    return draw(number, kinds=KINDS, bad=VILLAINS)


def try_all(plans: Iterable[Plan], say: Callable[[str], None]) -> Tally:
    """Play each; tell of those that break a promise, with how to play them again."""
    tally = Tally()
    for plan in plans:
        began = time.process_time()
        facts, _ = play(plan)
        found = violations(facts)
        tally.plans += 1
        tally.seconds += time.process_time() - began
        tally.goodputs.append(goodput(facts))
        tally.lost += rounds_lost(facts)
        if found:
            tally.broken[plan.number] = found
            say(str(plan))
            for line in found[:SHOWN]:
                say(f"  ! {line}")
        if tally.plans % REPORT_EVERY == 0:
            say(str(tally))
    return tally


def try_seeds(seeds: Iterable[int], say: Callable[[str], None]) -> Tally:
    """Plans drawn from these numbers."""
    return try_all(map(virtual_plan, seeds), say)


def try_goodput(seeds: Iterable[int], say: Callable[[str], None]) -> Tally:
    """One of the seven peers killed in each leg."""
    return try_all(map(kill_one_in_each_leg, seeds), say)
