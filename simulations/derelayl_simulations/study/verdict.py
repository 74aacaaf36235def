"""Is the relay sustainable? Claims with their definitions, each with an estimate and an interval over seeds.

The thresholds come from the scenario's [verdict]. Yes means that the whole interval is on the right side, no that the
whole interval is on the wrong one; in between more seeds are needed. Some claims the rules decide, others the world:
what energy costs, how many consumers there are, whose data can still teach the model something.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from ..columns import ROLES
from ..theory.cheating import captured, nudge
from ..theory.issuance import inflation_end
from ..world.people import head_counts
from ..world.strategies import code_of, trainer_of
from .results import Floats, Results
from .statistics import Interval, mean, proportion

RULES, WORLD = "the rules", "the world"
"""What decides a claim."""


class Answer(StrEnum):
    """What can be said of a claim."""

    YES = "yes"
    NO = "no"
    UNDECIDED = "undecided"
    NOT_MEASURED = "not measured"


@dataclass(frozen=True, slots=True)
class Statement:
    """One claim about a scenario."""

    claim: str
    definition: str
    unit: str
    found: Interval | None
    answer: Answer
    decided_by: str = WORLD
    bound: str = ""  # what is proved, or measured beside it, where there is such a thing


def judge(results: Results, deviations: Mapping[str, Sequence[float]] | None = None, point: int = 0) -> list[Statement]:
    """Return the claims of one point of a study.

    `deviations` maps each tried deviation to what it changes for those who deviate, in money a round and person, one
    value a seed; without them that claim is not measured. Controls among them are no deviations, and left out.
    """
    return [
        _alive(results, point),
        _unsubsidised(results, point),
        *_profitable(results, point),
        *_better_off(results, point),
        *_no_deviation(results, deviations or {}, point),
        _inflation(results, point),
        _quality(results, point),
    ]


def decided(statements: Sequence[Statement]) -> dict[str, Answer]:
    """Return the overall answer to what each decides."""
    return {who: overall([each for each in statements if each.decided_by == who]) for who in (RULES, WORLD)}


def overall(statements: Sequence[Statement]) -> Answer:
    """Return yes if every measured claim holds, no if one does not, else undecided."""
    answers = [statement.answer for statement in statements if statement.answer is not Answer.NOT_MEASURED]
    if Answer.NO in answers:
        return Answer.NO
    return Answer.YES if answers and set(answers) == {Answer.YES} else Answer.UNDECIDED


def above(found: Interval, threshold: float) -> Answer:
    """Answer whether the estimated quantity exceeds a threshold."""
    if found.count == 0:
        return Answer.NOT_MEASURED
    if found.low > threshold:
        return Answer.YES
    return Answer.NO if found.high < threshold else Answer.UNDECIDED


def below(found: Interval, threshold: float) -> Answer:
    """Answer whether the estimated quantity stays below a threshold."""
    opposite = {Answer.YES: Answer.NO, Answer.NO: Answer.YES}
    answer = above(found, threshold)
    return opposite.get(answer, answer)


def last_quarter(matrix: Floats) -> Floats:
    """Return each seed's mean over the last quarter of the rounds, (seeds,), NaN where there is nothing in it."""
    return _mean_of(matrix[:, -max(1, matrix.shape[1] // 4) :])


def unsubsidised(results: Results, point: int) -> tuple[Statement, float]:
    """Judge whether the relays of a point live on consumers' fees alone; also return the fees that each was paid in a
    round of the last quarter, in money, NaN where there are none.
    """
    fees = last_quarter(results.matrix("revenue", point)) / results.study.at(point).world.relays
    return _unsubsidised(results, point), mean(fees).estimate


def _alive(results: Results, point: int) -> Statement:
    settings = results.study.at(point).verdict
    extinct = results.extinct_rounds(point)
    found = proportion(sum(number is None for number in extinct), len(extinct), settings.confidence)
    rounds = results.study.at(point).rounds
    return Statement(
        f"alive after {rounds} rounds",
        f"share of seeds that are not extinct after {rounds} rounds is at least {settings.alive_share:g} "
        f"(Wilson's interval)",
        "share of seeds",
        found,
        above(found, settings.alive_share - 1e-12),
    )


def _profitable(results: Results, point: int) -> Iterator[Statement]:
    settings = results.study.at(point).verdict
    for role in ROLES:
        found = mean(last_quarter(results.matrix(f"profit_{role}", point)), settings.confidence)
        yield Statement(
            f"honest work pays the median {role}",
            f"profit of the median {role} after costs, mean over the last quarter of the rounds, exceeds "
            f"{settings.profit_above:g} (Student's t over seeds)",
            "coins a round",
            found if found.count else None,
            above(found, settings.profit_above),
            WORLD if role == "trainer" else RULES,  # whose data can still teach the model something no rule decides
        )


def _unsubsidised(results: Results, point: int) -> Statement:
    """Judge the end of a run that goes on long enough after its budget is spent."""
    scenario = results.study.at(point)
    settings, least = scenario.verdict, scenario.world.dead_after
    budget = results.matrix("budget", point)
    spent = budget.shape[0] > 0 and budget.shape[1] > least and bool((budget[:, -least - 1 :] == 0).all())
    alive = results.matrix("relays_alive", point)[:, -1] if spent else np.array([])
    found = mean(alive, settings.confidence)
    return Statement(
        "alive on consumers' fees alone",
        f"share of relays that still select legs at the end, over {least} rounds after the budget was spent, is at "
        f"least {settings.alive_share:g} (Student's t over seeds); measured where a run lasts so long, or an event of "
        "kind budget ends the subsidy",
        "share of relays",
        found if found.count else None,
        above(found, settings.alive_share - 1e-12),
        bound="" if found.count else "`derelayl sim run after-subsidy` measures it",
    )


def _better_off(results: Results, point: int) -> Iterator[Statement]:
    settings = results.study.at(point).verdict
    for what, unit, definition in (
        ("money", "money a round", "profit of the median member, less what the best model that its own data can teach "
         "would earn it for nothing"),
        ("nats", "nats", "the model within the median member's reach, less the best that its own data can teach"),
    ):  # fmt: skip
        found = mean(last_quarter(results.matrix(f"beyond_alone_{what}", point)), settings.confidence)
        yield Statement(
            f"the median member is better off than alone, in {what}",
            f"{definition}, mean over the last quarter of the rounds, is above 0 (Student's t over seeds)",
            unit,
            found if found.count else None,
            above(found, 0.0),
        )


def _no_deviation(results: Results, deviations: Mapping[str, Sequence[float]], point: int) -> Iterator[Statement]:
    scenario = results.study.scenario
    settings, search = scenario.verdict, scenario.search
    gains = {name: np.asarray(each, np.float64) for name, each in deviations.items()}
    accounts = gains.get(ACCOUNTS, np.zeros(1))
    worth = max(float(accounts.mean()), 0.0)
    if worth > 0:
        gains |= {name: each - accounts for name, each in gains.items() if _many(name, search.trainer)}
    tolerance = settings.deviation_tolerance
    alone = (
        f"no strategy that people of one role tried brings a small group more than {tolerance:g} beyond what it earns "
        "by honest work on the same luck, one that needs several accounts beyond honest work with as many (Student's t "
        "over seeds; the most profitable is shown)"
    )
    together = (
        f"no ring of {search.share:.0%} of the trainers and validators earns more than {tolerance:g} beyond what they "
        "earn by honest work on the same luck (Student's t over seeds; the most profitable is shown)"
    )
    lone = {name: each for name, each in gains.items() if name not in (*search.rings, *search.control)}
    rings: dict[str, Floats] = {name: each for name, each in gains.items() if name in search.rings}
    beside = f"several accounts bring an honest person {worth:.2f}" if worth > 0 else ""
    yield _unprofitable(results, "no tested deviation pays", alone, lone, beside)
    if scenario.rules == "ledger":
        yield _unprofitable(results, "no tested ring pays", together, rings, _ring_bound(results, point))


ACCOUNTS = "multi"
"""The control that is honest work with several accounts."""


def _many(name: str, trainers: Sequence[str]) -> bool:
    return name in trainers and trainer_of(code_of("trainer", name)).many


def _unprofitable(results: Results, claim: str, definition: str, gains: Mapping[str, Floats], bound: str) -> Statement:
    settings, unit = results.study.scenario.verdict, "money a round and person"
    found = {name: mean(each, settings.confidence) for name, each in gains.items()}
    found = {name: each for name, each in found.items() if each.count}
    if not found:
        return Statement(claim, definition, unit, None, Answer.NOT_MEASURED, RULES, bound)
    answers = {name: below(each, settings.deviation_tolerance) for name, each in found.items()}
    best = max(found, key=lambda name: (answers[name] is Answer.NO, found[name].estimate))
    answer = next((each for each in (Answer.NO, Answer.UNDECIDED) if each in answers.values()), Answer.YES)
    return Statement(f"{claim} (best: {best})", definition, unit, found[best], answer, RULES, bound)


def _ring_bound(results: Results, point: int) -> str:
    """Say how far a ring of the size that is tried can move what a committee says of a leg."""
    scenario = results.study.at(point)
    heads = zip(scenario.world.group, head_counts(scenario.world), strict=True)
    validators = sum(count for group, count in heads if group.role == "validator")
    ring, seats = max(1, round(scenario.search.share * validators)), scenario.ledger.committee_size
    error, moved = scenario.world.judging.noise, nudge(ring, validators, seats)
    return (
        f"{ring} of {validators} validators move a leg's score by at most {moved:.2f} of a judge's error, "
        f"{moved * error:.2g} nats, and have most of the seats with a chance of {captured(ring, validators, seats):.2g}"
    )


def _inflation(results: Results, point: int) -> Statement:
    scenario = results.study.at(point)
    settings = scenario.verdict
    found = mean(last_quarter(results.matrix("inflation", point)), settings.confidence)
    if scenario.rules == "published":
        return Statement(
            f"inflation stays below {settings.inflation_below:g}",
            "coins minted in a round as a share of the supply before it, mean over the last quarter of the rounds, is "
            f"below {settings.inflation_below:g} (Student's t over seeds)",
            "share of the supply a round",
            found if found.count else None,
            below(found, settings.inflation_below),
            RULES,
        )
    rules, ledger, limit = scenario.ledger.rules(), scenario.ledger, settings.inflation_below
    supply = results.matrix("supply", point)[:, 0] - results.matrix("minted", point)[:, 0]
    at_first = ledger.wei(float(supply.mean()) / scenario.world.relays)
    end = inflation_end(rules, ledger.wei(ledger.budget), at_first, limit)
    last = f"; it is {found.estimate:.2g} of the coins on the ledger at the end" if found.count else ""
    return Statement(
        f"inflation is below {limit:g} for good within {settings.inflation_by:,} rounds",
        f"the round after which no round can mint {limit:g} of all coins there are, by the schedule of emission, is at "
        f"most {settings.inflation_by:,}; counted are rounds that mint",
        "rounds",
        Interval(float(end), float(end), float(end), len(supply)),
        below(Interval(float(end), float(end), float(end), len(supply)), settings.inflation_by + 0.5),
        RULES,
        f"the n-th round that mints adds at most 1 / (n - 1 + {at_first / max(rules.emission, 1):.0f}) of them{last}",
    )


def _quality(results: Results, point: int) -> Statement:
    settings = results.study.at(point).verdict
    matrix = results.matrix("quality", point)
    quarter = max(1, matrix.shape[1] // 4)
    before, after = _mean_of(matrix[:, -2 * quarter : -quarter]), last_quarter(matrix)
    tolerance = settings.quality_fall * abs(mean(before).estimate)
    found = mean(after - before, settings.confidence)
    return Statement(
        "quality does not fall",
        "quality of the best tip in the last quarter of the rounds, less that in the quarter before, is above "
        f"-{settings.quality_fall:g} of it (Student's t over seeds)",
        "performance points" if results.study.scenario.rules == "published" else "nats",
        found if found.count else None,
        above(found, -tolerance),
    )


def _mean_of(matrix: Floats) -> Floats:
    """Return the mean of each row's values that are not NaN, NaN where there are none."""
    there = ~np.isnan(matrix)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.where(there, matrix, 0.0).sum(axis=1) / there.sum(axis=1), np.float64)
