"""When to leave a network early: thresholds of its exits that make the most of a compute budget.

Pure arithmetic on what each exit said of calibration samples. A sample leaves at the first open exit whose confidence
reaches that exit's threshold. The search starts from the geometric schedule of MSDNet (Huang et al., ICLR 2018,
section 4.2), where the share of samples that leave changes by one factor from exit to exit, for each choice of open
exits; then it moves two thresholds at a time, so that the budget stays spent, as long as accuracy rises.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise, product

import numpy as np
from numpy.typing import NDArray

from derelayl_protocol.errors import LocalFault

MAX_EARLY_EXITS = 7
"""Early exits that are considered, spread evenly over those of a longer network: the choices of open ones double."""

SCHEDULES = 2.0 ** np.linspace(-6, 6, 25)
"""Factors of the geometric schedule: from nearly all leaving at the first open exit to nearly none."""

CUTS = 64
"""Places, evenly spaced by rank, where one threshold may lie: finer would fit the noise of the samples."""

MOVES = 16
"""Places that are tried for the first of two thresholds that move."""

REFINED = 3
"""Starts that are refined for each budget."""

PASSES = 4
"""The most moves that one start makes."""

SLACK = 1e-9
"""Shares of cost that differ by less are equal."""

Thresholds = tuple[float | None, ...]
"""Of each exit but the last; None: closed, its head is not even computed."""

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Evidence:
    """What E exits said of N samples: calibrated confidences (E, N), whether each was right (E, N), and costs (E,).

    `trunk[e]` is the cost of the blocks between exit e - 1 and exit e, `heads[e]` that of the head, as shares of the
    whole network's cost, which is all of `trunk` and the last head: early heads come on top of it.
    """

    confidence: Floats
    right: Bools
    trunk: Floats
    heads: Floats

    @property
    def early(self) -> int:
        return len(self.trunk) - 1

    def cost_at(self, is_open: Bools) -> Floats:
        """What a sample costs that leaves at exit e, (E,), when these of the early exits are open."""
        heads = np.append(np.where(is_open, self.heads[:-1], 0.0), self.heads[-1])
        paid: Floats = np.cumsum(self.trunk + heads)
        return paid


@dataclass(frozen=True, slots=True)
class Choice:
    """Thresholds, with the accuracy and the mean cost that they have on the evidence."""

    thresholds: Thresholds
    accuracy: float
    cost: float

    @property
    def worth(self) -> tuple[float, float]:
        """Orders choices: the more accurate, of equal ones the cheaper."""
        return self.accuracy, -self.cost


def weigh(evidence: Evidence, thresholds: Thresholds) -> Choice:
    """Find accuracy and mean cost of given thresholds."""
    is_open = _open(thresholds)
    exits = leave_at(evidence.confidence, thresholds)
    right = evidence.right[exits, np.arange(len(exits))]
    return Choice(thresholds, float(right.mean()), float(evidence.cost_at(is_open)[exits].mean()))


def leave_at(confidence: Floats, thresholds: Thresholds) -> NDArray[np.intp]:
    """The exit at which each sample leaves, (N,)."""
    bars = np.array([np.inf if bar is None else bar for bar in thresholds])
    leaves = np.vstack([confidence[:-1] >= bars[:, np.newaxis], np.ones((1, confidence.shape[1]), bool)])
    exits: NDArray[np.intp] = leaves.argmax(axis=0)
    return exits


class ThresholdSearch:
    """The best thresholds for any budget, from one body of evidence."""

    def __init__(self, evidence: Evidence) -> None:
        self._evidence = evidence
        self._starts = [weigh(evidence, thresholds) for thresholds in _starts(evidence)]

    @property
    def least_budget(self) -> float:
        """The cheapest that there is: everything leaves at the first exit."""
        return min(choice.cost for choice in self._starts)

    def best(self, budget: float) -> Choice:
        """Give the most accurate thresholds found whose mean cost is at most `budget`. Raises LocalFault: none is."""
        within = [choice for choice in self._starts if choice.cost <= budget + SLACK]
        if not within:
            raise LocalFault(f"a budget of {budget:g} is too small: the first exit alone costs {self.least_budget:.3f}")
        best_starts = sorted(within, key=lambda choice: choice.worth, reverse=True)[:REFINED]
        return max((self._refine(start, budget) for start in best_starts), key=lambda choice: choice.worth)

    def _refine(self, choice: Choice, budget: float) -> Choice:
        for _ in range(PASSES):
            better = max(self._moves(choice, budget), key=lambda moved: moved.worth, default=choice)
            if better.accuracy <= choice.accuracy:
                break
            choice = better
        return choice

    def _moves(self, choice: Choice, budget: float) -> Iterator[Choice]:
        """Choices within the budget that differ in one threshold, or in two of neighbouring open exits."""
        opened = np.flatnonzero(_open(choice.thresholds)).tolist()
        for exit in opened:
            yield from self._settle(choice.thresholds, exit, budget)
        neighbours = [pair for one, other in pairwise(opened) for pair in ((one, other), (other, one))]
        for first, second in neighbours:
            for bar in _bars(self._evidence.confidence[first], MOVES):
                yield from self._settle(_replaced(choice.thresholds, first, bar), second, budget)

    def _settle(self, thresholds: Thresholds, exit: int, budget: float) -> Iterator[Choice]:
        """The best place within the budget for the threshold of one exit, the others being given."""
        evidence = self._evidence
        confidence = evidence.confidence[exit]
        cost_at = evidence.cost_at(_open(thresholds))
        others = leave_at(evidence.confidence, _replaced(thresholds, exit, np.inf))
        samples = np.arange(len(others))
        reach = np.flatnonzero(others > exit)
        reach = reach[np.argsort(-confidence[reach], kind="stable")]
        gains = evidence.right[exit, reach].astype(np.int64) - evidence.right[others[reach], reach]
        savings = cost_at[others[reach]] - cost_at[exit]
        right = evidence.right[others, samples].sum() + np.append(0, np.cumsum(gains))
        cost = (cost_at[others].sum() - np.append(0.0, np.cumsum(savings))) / len(samples)
        ranked = confidence[reach]
        places = [k for k in _ranks(len(reach), CUTS) if _parts(ranked, k) and cost[k] <= budget + SLACK]
        if places:
            best = max(places, key=lambda k: (right[k], -cost[k]))
            moved = _replaced(thresholds, exit, _bar(ranked, best))
            yield Choice(moved, float(right[best]) / len(samples), float(cost[best]))


def _starts(evidence: Evidence) -> Iterator[Thresholds]:
    """No early exit; and for each choice of open ones, the geometric schedules and everything at the first."""
    yield (None,) * evidence.early
    considered = set(
        np.linspace(0, evidence.early - 1, min(evidence.early, MAX_EARLY_EXITS)).round().astype(int).tolist()
    )
    for is_open in product(*((False, True) if exit in considered else (False,) for exit in range(evidence.early))):
        if any(is_open):
            yield tuple(0.0 if opened else None for opened in is_open)
            for factor in SCHEDULES:
                yield _schedule(evidence.confidence, is_open, factor)


def _schedule(confidence: Floats, is_open: Sequence[bool], factor: float) -> Thresholds:
    """Thresholds at which the share of samples that leave changes by `factor` from one open exit to the next."""
    weights = factor ** np.arange(sum(is_open) + 1, dtype=np.float64)
    left = weights / weights[::-1].cumsum()[::-1]  # of the samples that reach an exit, the share that leaves there
    thresholds: list[float | None] = []
    remaining = np.arange(confidence.shape[1])
    for exit, opened in enumerate(is_open):
        if not opened:
            thresholds.append(None)
            continue
        share = left[sum(bar is not None for bar in thresholds)]
        ranked = -np.sort(-confidence[exit, remaining])
        bar = _bar(ranked, round(share * len(ranked)))
        thresholds.append(bar)
        remaining = remaining[confidence[exit, remaining] < bar]
    return tuple(thresholds)


def _bars(confidence: Floats, number: int) -> list[float]:
    ranked = -np.sort(-confidence)
    return sorted({_bar(ranked, k) for k in _ranks(len(ranked), number)})


def _ranks(samples: int, number: int) -> list[int]:
    """Evenly spaced numbers of samples that leave, from none to all."""
    return sorted(set(np.linspace(0, samples, number + 1).round().astype(int).tolist()))


def _parts(ranked: Floats, count: int) -> bool:
    """Whether a threshold can tell the first `count` of confidences in falling order from the rest."""
    return count == len(ranked) or bool((ranked[count - 1] if count else 1.0) > ranked[count])


def _bar(ranked: Floats, count: int) -> float:
    """A threshold that the first `count` of confidences in falling order reach: half-way to the next, against rounding.

    0 lets all leave; 1 holds all back that are not certain.
    """
    if count == len(ranked):
        return 0.0
    if count == 0:
        return 1.0
    last, following = float(ranked[count - 1]), float(ranked[count])
    middle = (last + following) / 2
    return middle if middle > following else last


def _replaced(thresholds: Thresholds, exit: int, bar: float) -> Thresholds:
    return (*thresholds[:exit], bar, *thresholds[exit + 1 :])


def _open(thresholds: Thresholds) -> Bools:
    return np.array([bar is not None for bar in thresholds], bool)
