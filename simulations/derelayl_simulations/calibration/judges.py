"""How well the judges see: from the scores that the seats of a round revealed of the same legs.

Only differences between seats say anything, as nobody knows what a leg gained in truth. Within a round the scores are
a table of seats and legs. What is left of it without the means of its rows and columns is each seat's own error about
each leg; what the rows' means differ by beyond that is about all legs of the round; and what a seat says of the same
trainer again and again is partiality. A seat that does not judge honestly counts like the others.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np

from ..world.people import Floats, Ints
from .fitted import Fitted, fitted, ratio
from .history import Round

FEWEST_TABLES = 4  # rounds with two seats and two legs; fewer say nothing of what differs by round


@dataclass(frozen=True, slots=True)
class JudgesFit:
    """The judges' errors, nats; every array has one entry a resampled history, the history itself first."""

    noise: Floats  # root mean square over seats of the error that they know
    common: Floats  # share of its variance that is about all legs of a round
    partiality: Floats  # nats of error about a trainer's data that stay
    by_seat: dict[Hashable, float]  # each seat's own error about a leg, with all that it is partial
    tables: int  # rounds that it rests on
    met: bool  # whether a seat judged a trainer more than once, so that partiality can show

    def intervals(self) -> dict[str, Fitted]:
        """Return each number with its interval."""
        return {name: fitted(getattr(self, name)) for name in ("noise", "common", "partiality")}

    def variance(self, seats: int) -> float:
        """Return the variance that a committee's median of one leg has beyond what is about the whole round, nats²."""
        own = self.noise[0] ** 2 * (1 - self.common[0]) + self.partiality[0] ** 2
        return float(np.pi / 2 * own / max(seats, 1)) if seats > 2 else float(own / max(seats, 1))


@dataclass(frozen=True, slots=True)
class _Table:
    """The scores of one round without those of seats and legs of which not all is there."""

    place: int  # of the round among all
    left: Floats  # (K, L) without the means of rows and columns
    rows: Floats  # (K,) means of the rows less the mean of all
    seats: tuple[Hashable, ...]
    trainers: tuple[Hashable, ...]


def fit_judges(rounds: Sequence[Round], weights: Ints) -> JudgesFit | None:
    """Fit the judges' errors; `weights` are `resampled(len(rounds))`. None where too few rounds have two seats that
    revealed and two legs.
    """
    tables = [table for place, each in enumerate(rounds) if (table := _table(place, each)) is not None]
    if len(tables) < FEWEST_TABLES:
        return None
    places = [table.place for table in tables]
    weights = weights[:, places]
    shapes = np.array([table.left.shape for table in tables], np.float64)
    seats, legs = shapes.T
    own = ratio([float((table.left**2).sum()) for table in tables], (seats - 1) * (legs - 1), weights)
    of_rows = np.array([float((table.rows**2).sum()) for table in tables])
    # the rows' variance has a part of their own errors, which is taken off table by table
    rows = ratio(of_rows, seats - 1, weights) - own * ratio((seats - 1) / legs, seats - 1, weights)
    partial, met = _partiality(tables, weights)
    partial = np.minimum(partial, own)
    rows = np.maximum(rows, 0.0)
    known = np.maximum(own - partial, 0.0) + rows
    return JudgesFit(
        noise=np.sqrt(known),
        common=np.divide(rows, known, out=np.full_like(rows, np.nan), where=known > 0),
        partiality=np.sqrt(partial),
        by_seat=_by_seat(tables),
        tables=len(tables),
        met=met,
    )


def spread(round_: Round) -> float:
    """Return the standard deviation between seats of what they said of one leg, nats; NaN where it cannot be said."""
    table = _whole(round_.scores)
    if table is None:
        return float("nan")
    return float(np.sqrt(table[2].var(axis=0, ddof=1).mean()))


# --- Inside -----------------------------------------------------------------------------------------------------------


def _whole(scores: Floats) -> tuple[Ints, Ints, Floats] | None:
    """Return seats, legs and table of what all revealing seats said; None where there are not two of one."""
    seats = np.flatnonzero(~np.isnan(scores).all(axis=1)) if scores.size else np.zeros(0, np.int64)
    legs = np.flatnonzero(~np.isnan(scores[seats]).any(axis=0)) if len(seats) > 1 else np.zeros(0, np.int64)
    return (seats, legs, scores[np.ix_(seats, legs)]) if len(legs) else None


def _table(place: int, round_: Round) -> _Table | None:
    found = _whole(round_.scores)
    if found is None or len(found[1]) < 2:
        return None
    seats, legs, scores = found
    rows, columns = scores.mean(axis=1), scores.mean(axis=0)
    return _Table(
        place=place,
        left=scores - rows[:, None] - columns + scores.mean(),
        rows=rows - scores.mean(),
        seats=tuple(round_.seats[seat] for seat in seats),
        trainers=tuple(round_.trainers[leg] for leg in legs),
    )


def _partiality(tables: Sequence[_Table], weights: Ints) -> tuple[Floats, bool]:
    """Return the variance that stays between a seat and a trainer over rounds, the mean product of two rounds' errors,
    0 where it comes out below; and whether any pair met twice.
    """
    met: dict[tuple[Hashable, Hashable], list[tuple[int, float]]] = defaultdict(list)
    for number, table in enumerate(tables):
        shrunk = float(np.sqrt((1 - 1 / table.left.shape[0]) * (1 - 1 / table.left.shape[1])))  # by taking means off
        for seat, line in zip(table.seats, table.left, strict=True):
            for trainer, error in zip(table.trainers, line, strict=True):
                met[seat, trainer].append((number, float(error) / shrunk))
    above, below = np.zeros(len(weights)), np.zeros(len(weights))
    for pair in met.values():
        numbers, errors = (np.array(each) for each in zip(*pair, strict=True))
        held = weights[:, numbers].astype(np.float64)
        # products of different rounds: all less those of a round with itself, however often it was drawn
        above += (held @ errors) ** 2 - held**2 @ errors**2
        below += held.sum(axis=1) ** 2 - (held**2).sum(axis=1)
    found = np.divide(above, below, out=np.zeros(len(weights)), where=below > 0)
    return np.maximum(found, 0.0), bool(below[0] > 0)


def _by_seat(tables: Sequence[_Table]) -> dict[Hashable, float]:
    """Return each seat's own error about a leg.

    A seat's line still has a share of the others' errors, by the committee's size, which is taken off on average.
    """
    squares: dict[Hashable, list[float]] = defaultdict(list)
    for table in tables:
        seats, legs = table.left.shape
        each = (table.left**2).sum(axis=1) / (legs - 1)
        others = each.sum() / (seats * (seats - 1))
        # of two lines, which are the same, nobody can say whose error it is
        each = each * 2 if seats == 2 else (each - others) * seats / (seats - 2)
        for seat, value in zip(table.seats, each, strict=True):
            squares[seat].append(float(value))
    return {seat: max(sum(values) / len(values), 0.0) ** 0.5 for seat, values in squares.items()}
