"""Is the relay sustainable? Seven claims with their definitions, each with an estimate and an interval over seeds.

The thresholds come from the scenario's [verdict]. Yes means that the whole interval is on the right side, no that the
whole interval is on the wrong one; in between more seeds are needed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from ..columns import ROLES
from .results import Floats, Results
from .statistics import Interval, mean, proportion


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
        _no_deviation(results, deviations or {}),
        _inflation(results, point),
        _quality(results, point),
    ]


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


def _no_deviation(results: Results, deviations: Mapping[str, Sequence[float]]) -> Statement:
    settings, controls = results.study.scenario.verdict, results.study.scenario.search.control
    definition = (
        f"no tried strategy brings a small group more than {settings.deviation_tolerance:g} beyond what it earns by "
        "staying honest on the same luck (Student's t over seeds; the most profitable is shown)"
    )
    claim, unit = "no tested deviation pays", "money a round and person"
    found = {name: mean(np.asarray(gains), settings.confidence) for name, gains in deviations.items()}
    found = {name: each for name, each in found.items() if each.count and name not in controls}
    if not found:
        return Statement(claim, definition, unit, None, Answer.NOT_MEASURED)
    answers = {name: below(each, settings.deviation_tolerance) for name, each in found.items()}
    best = max(found, key=lambda name: (answers[name] is Answer.NO, found[name].estimate))
    answer = next((each for each in (Answer.NO, Answer.UNDECIDED) if each in answers.values()), Answer.YES)
    return Statement(f"{claim} (best: {best})", definition, unit, found[best], answer)


def _inflation(results: Results, point: int) -> Statement:
    settings = results.study.at(point).verdict
    found = mean(last_quarter(results.matrix("inflation", point)), settings.confidence)
    return Statement(
        f"inflation stays below {settings.inflation_below:g}",
        "coins minted in a round as a share of the supply before it, mean over the last quarter of the rounds, is "
        f"below {settings.inflation_below:g} (Student's t over seeds)",
        "share of the supply a round",
        found if found.count else None,
        below(found, settings.inflation_below),
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
