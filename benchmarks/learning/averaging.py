"""The averager: what plain means of a round's tips gain without training, and whether the network should make them.

Ten rounds with eight trainers, from genesis (early) or from a trained parent (late). The children of a round are judged
on three seats' samples, the best two thirds of those that gain are selected. *Best child*: the next round continues the
best child. *Merged tip*: it continues the mean of all selected children if that is better on the judges' samples.
*Bar*: as best child, but a leg counts only above the best plain mean of the tips that anybody could have handed over
instead. Gains are nats of ln(loss) over the leased tip, on samples that nobody trains on or judges with.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean, median

from benchmarks.rows import Row, row
from derelayl_protocol.ledger.presets import STANDARD
from derelayl_protocol.ledger.scoring import PPM
from derelayl_protocol.limits import BPS
from derelayl_training.architectures import build
from derelayl_training.judge import share_correct

from .harness import Log, Measured
from .legs import State
from .siblings import SPLITS, STAGES, TRAINERS, Field, average, lay_out

ROUNDS, QUICK_ROUNDS = 10, 2
STEPS = 20
"""Of a leg; ten rounds are 200 steps of each line."""

GAIN_ROUNDS = (1, 4, 7)
"""Whose averages and legs are told; the tip of round 0 has no averages to be beside."""

JUDGES = 3
JUDGED_SAMPLES = 200
"""Of each judge."""

BEST, MERGED, BAR = "best child", "merged tip", "bar"
LEG, BEST_LEG, ABOVE = "honest leg, median", "honest leg, best of eight", "honest legs above the bar"
TWO, THREE, ALL, WITH_PARENT = (
    "mean of the best two",
    "mean of the best three",
    "mean of the selected",
    "parent and best",
)

FEWER = {"text": 2}
"""Seeds of what takes too long for as many as asked for."""

CASES = (
    *(f"tables, {split}, {stage}" for split in SPLITS for stage in STAGES),
    *(f"images, Dirichlet 0.5, {stage}" for stage in STAGES),
    "text, even, late",
)
"""Not all there are: each takes minutes."""

NO_BAR = ("images", "text")
"""Kinds for which the third relay takes too long; how many legs are above the bar is told of them, too."""


@dataclass
class Line:
    """A relay by one rule: the leased tip, what it continued, and the selected children of the round before it."""

    tip: State
    parent: State | None = None
    selected: list[State] = field(default_factory=list)
    merged: int = 0
    idle: int = 0

    def averages(self) -> dict[str, State]:
        """What can be made without training, by name; the selected are the best first."""
        made = {}
        for name, count in ((TWO, 2), (THREE, 3), (ALL, len(self.selected))):
            if len(self.selected) >= max(2, count):
                made[name] = average(self.selected[:count])
        if self.parent is not None:
            made[WITH_PARENT] = average([self.parent, self.tip])
        return made


class AveragingTable:
    """Means of tips, and relays with and without them."""

    name = "averaging"

    def cases(self, quick: bool) -> Sequence[str]:
        """See Table."""
        return CASES[:2] if quick else CASES

    def seeds(self, case: str, seeds: int) -> int:
        """See Table."""
        return min(seeds, FEWER.get(case.partition(", ")[0], seeds))

    def measure(self, case: str, seed: int, quick: bool, log: Log) -> Measured:
        """See Table."""
        kind, split, stage = case.split(", ")
        there = lay_out(kind, split, seed, quick)
        rounds = QUICK_ROUNDS if quick else ROUNDS
        measured: Measured = {"gains": []}
        early = stage == STAGES[0]
        start = build(there.kind.network, seed).state_dict() if early else there.parent(stage, quick)
        for rule in (BEST, MERGED) if kind in NO_BAR else (BEST, MERGED, BAR):
            line = Line(start)
            for number in range(rounds):
                legs = [there.leg(line.tip, trainer, STEPS, turn=number) for trainer in range(TRAINERS)]
                if rule == BEST and number in GAIN_ROUNDS:
                    measured["gains"].append(gains(there, line, legs))
                settle(there, line, legs, rule)
            measured[rule] = {
                "loss": tested(there, line.tip),
                "accuracy": accuracy(there, line.tip),
                "merged": line.merged / rounds,
                "idle": line.idle / rounds,
            }
        return measured

    def rows(self, measured: Mapping[str, Sequence[Measured]]) -> list[Row]:
        """See Table."""
        return [one for case, runs in measured.items() for one in (*_gain_rows(case, runs), *_end_rows(case, runs))]


TABLE = AveragingTable()


def gains(there: Field, line: Line, legs: Sequence[State]) -> dict[str, float]:
    """What each average and the legs gain over the leased tip on the test samples."""
    before = tested(there, line.tip)
    made = {name: math.log(before / tested(there, state)) for name, state in line.averages().items()}
    trained = [math.log(before / tested(there, state)) for state in legs]
    bar = max([0.0, *made.values()])
    above = fmean(gain > bar for gain in trained)
    return {**made, LEG: median(trained), BEST_LEG: max(trained), ABOVE: above}


def settle(there: Field, line: Line, legs: Sequence[State], rule: str) -> None:
    """Select by the judges' mean loss and move the line on; where nothing is above the bar it stays where it is."""
    bar = judged(there, line.tip)
    if rule == BAR:
        bar = min([bar, *(judged(there, state) for state in line.averages().values())])
    scores = sorted(((math.log(bar / judged(there, leg)), number) for number, leg in enumerate(legs)), reverse=True)
    passed = [number for score, number in scores if score * PPM >= STANDARD.margin_ppm]
    kept = passed[: TRAINERS * STANDARD.selection_bps // BPS]
    if not kept:
        line.idle += 1
        return
    line.parent, line.selected = line.tip, [legs[number] for number in kept]
    line.tip = line.selected[0]
    if rule == MERGED and len(kept) > 1:
        mean = average(line.selected)
        if judged(there, mean) < judged(there, line.tip):
            line.tip = mean
            line.merged += 1


def judged(there: Field, state: State) -> float:
    """Mean loss over the judges' samples."""
    return fmean(float(there.losses(state, seat, JUDGED_SAMPLES).mean()) for seat in there.seats[:JUDGES])


def tested(there: Field, state: State) -> float:
    """Mean loss on the test samples and those of a seat that does not judge."""
    return fmean(float(there.losses(state, held).mean()) for held in (there.test, there.seats[JUDGES]))


def accuracy(there: Field, state: State) -> float:
    """Share of the test samples (of text: bytes) that are told right."""
    model = build(there.kind.network)
    model.load_state_dict(state)
    return share_correct(model, there.test.held_x, there.test.held_y)


def _gain_rows(case: str, runs: Sequence[Measured]) -> list[Row]:
    """Means over GAIN_ROUNDS."""
    rows = []
    for metric in (LEG, BEST_LEG, TWO, THREE, ALL, WITH_PARENT, ABOVE):
        told = [[each[metric] for each in run["gains"] if metric in each] for run in runs]
        if values := [fmean(found) for found in told if found]:
            rows.append(row(case, metric, "share" if metric == ABOVE else "nats", values))
    return rows


def _end_rows(case: str, runs: Sequence[Measured]) -> list[Row]:
    rows = []
    for rule in (rule for rule in (BEST, MERGED, BAR) if rule in runs[0]):
        name = f"{case}: {rule}"
        rows.append(row(name, "accuracy", "share", [run[rule]["accuracy"] for run in runs]))
        rows.append(row(name, "loss", "nats", [run[rule]["loss"] for run in runs]))
        if rule != BEST:
            apart = [math.log(run[BEST]["loss"] / run[rule]["loss"]) for run in runs]
            points = [100 * (run[rule]["accuracy"] - run[BEST]["accuracy"]) for run in runs]
            rows.append(row(name, "beyond the best child", "nats of ln(loss)", apart))
            rows.append(row(name, "accuracy above the best child's", "points", points))
        if rule == MERGED:
            rows.append(row(name, "rounds that took the mean", "share", [run[rule]["merged"] for run in runs]))
        rows.append(row(name, "rounds without a selected leg", "share", [run[rule]["idle"] for run in runs]))
    return rows
