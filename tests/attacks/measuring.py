"""What an attack gains or loses: the same histories with it and without it, seed by seed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from statistics import fmean, stdev

from derelayl_protocol.ledger.rules import Rules
from derelayl_protocol.types import TOKEN, Address

from .conduct import Conduct
from .world import ROUNDS, RULES, TRAINERS, World

SEEDS = 20
"""Pairs of histories for each attack."""


class Verdict(StrEnum):
    """What comes out, as the table says it; `verdict_of` defines the words."""

    LOSES = "loses"
    NOTHING = "nothing"
    LUCK = "luck"
    PAYS = "**pays**"


class Attack(Conduct):
    """Conduct that is honest but for the attackers. A subclass overrides what they do differently.

    In the honest history beside it the same accounts do what `Conduct` does.
    """

    title: str
    tries: str
    answer: str
    verdict: Verdict
    attackers: tuple[Address, ...] = (TRAINERS[0],)
    victims: tuple[Address, ...] = ()
    rules: Rules = RULES

    def honest(self) -> Conduct:
        """What the history beside it is like."""
        conduct = Conduct()
        conduct.trainers = self.trainers
        return conduct


@dataclass(frozen=True, slots=True)
class Range:
    """Tokens over the seeds."""

    mean: float
    least: float
    greatest: float
    error: float
    """Standard error of the mean."""

    @staticmethod
    def of(wei: Sequence[int]) -> Range:
        tokens = [amount / TOKEN for amount in wei]
        return Range(fmean(tokens), min(tokens), max(tokens), stdev(tokens) / len(tokens) ** 0.5)

    def __str__(self) -> str:
        return f"{signed(self.mean)} [{signed(self.least)}, {signed(self.greatest)}]"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a history is worth to attackers (`honest`: had they played honestly) and what the attack changed."""

    honest: Range
    gain: Range
    victims: Range


def signed(tokens: float) -> str:
    """A number of tokens with its sign, which a zero does not have."""
    text = f"{tokens:+.1f}".replace("-", "−")
    return "0.0" if text in ("+0.0", "−0.0") else text


def measured(attack: type[Attack]) -> Outcome:
    """Play SEEDS pairs of histories and compare wealth."""
    return _measured(attack)  # type: ignore[arg-type]  # a class is hashable, but mypy looks at its instances' __hash__


@cache
def _measured(attack: type[Attack]) -> Outcome:
    honest, gains, victims = list[int](), list[int](), list[int]()
    for seed in range(SEEDS):
        with_it = World(seed, attack(), attack.rules).play()
        without = honest_history(seed, attack.trainers, attack.rules)
        start = World(seed, attack(), attack.rules)
        honest.append(without.wealth(attack.attackers) - start.wealth(attack.attackers))
        gains.append(with_it.wealth(attack.attackers) - without.wealth(attack.attackers))
        victims.append(with_it.wealth(attack.victims) - without.wealth(attack.victims))
    return Outcome(Range.of(honest), Range.of(gains), Range.of(victims))


@cache
def honest_history(seed: int, trainers: tuple[Address, ...], rules: Rules, rounds: int = ROUNDS) -> World:
    """Play the history in which everybody is honest; many attacks are compared with the same one."""
    conduct = Conduct()
    conduct.trainers = trainers
    return World(seed, conduct, rules).play(rounds)


def verdict_of(gain: Range) -> Verdict:
    """Put a gain into a word: it loses or pays if the mean is two standard errors away from 0."""
    if gain.least == gain.greatest == 0:
        return Verdict.NOTHING
    if abs(gain.mean) < 2 * gain.error:
        return Verdict.LUCK
    return Verdict.PAYS if gain.mean > 0 else Verdict.LOSES
