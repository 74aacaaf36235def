"""Where a leg should start: relays that differ in nothing but the rule by which honest legs choose what they train on.

Eight trainers, ROUNDS rounds of legs of STEPS steps at a constant rate, from a parent of 40 steps (early) or from a
trained one at a smaller rate (late), on the shards of `siblings`; a trainer holds a fifth of its samples out and
chooses by those. Five seats score every leg above their own bar as the protocol says, half a standard error taken off;
the best two thirds of the legs whose median score is above the margin are the next tips, the first of which the next
round continues. Every rule plays with the same shards, batches and judges, so relays are compared pair by pair: nats of
ln(loss) below the relay that starts from the leased tip, on samples that nobody trains on or judges with.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean, median

import numpy as np

from benchmarks.rows import Row, row
from derelayl_protocol.ledger.presets import STANDARD
from derelayl_protocol.ledger.scoring import PPM, score_ppm
from derelayl_protocol.limits import BPS
from derelayl_protocol.types import WHOLE_MODEL
from derelayl_training.architectures import SegmentedModel, build
from derelayl_training.bar import MAX_BAR_TIPS, candidates
from derelayl_training.judge import gain_error, sample_losses
from derelayl_training.split import Split

from .harness import Log, Measured
from .legs import State
from .siblings import DEALS, SPLITS, STAGES, TRAINERS, Field, Losses, average, lay_out

ROUNDS, QUICK_ROUNDS = 8, 2
STEPS = 20
RATES = {"early": 1.0, "late": 0.3}
"""What the kind's rate is multiplied by."""

HELD_OUT = 5
"""Every so manieth sample of a trainer is held out."""

JUDGES = 5
JUDGED_SAMPLES = 400
"""Of each judge."""

CASES = (
    *(f"{kind}, {deal}, {stage}" for deal in SPLITS for stage in STAGES for kind in ("tables", "digits")),
    *(f"{kind}, Dirichlet 0.1, late" for kind in ("tables", "digits")),
)
"""Not Dirichlet 0.1 from the beginning, where no leg is selected by any rule."""

TIP, OWN, AVERAGE, BETTER = "leased tip", "best on own data", "average of all tips", "average if better"

SURELY_WORSE = 2.0
"""Standard errors; a fifth rule, the average unless it is worse by so many on own data, is counted in the relay that
takes the average."""


@dataclass(frozen=True)
class Seen:
    """What a trainer measured on its own samples: losses (N,) of each candidate, the leased tip first; `all_of` is the
    place of the average of all tips."""

    losses: Sequence[Losses]
    all_of: int

    def gain(self, place: int) -> float:
        """Nats of ln(loss) below the leased tip."""
        return math.log(self.losses[0].mean() / self.losses[place].mean())

    def error(self, place: int) -> float:
        return gain_error(self.losses[0], self.losses[place]) or 0.0

    def best(self) -> int:
        return int(np.argmin([own.mean() for own in self.losses]))


RULES: Mapping[str, Callable[[Seen], int]] = {
    TIP: lambda _seen: 0,
    OWN: lambda seen: best if seen.gain(best := seen.best()) > seen.error(best) else 0,
    AVERAGE: lambda seen: seen.all_of,
    BETTER: lambda seen: seen.all_of if seen.gain(seen.all_of) > seen.error(seen.all_of) else 0,
}
"""The place of what a leg starts from; the margins are a standard error."""


class StartsTable:
    """Relays by RULES."""

    name = "starts"

    def cases(self, quick: bool) -> Sequence[str]:
        """See Table."""
        return CASES[:1] if quick else CASES

    def seeds(self, case: str, seeds: int) -> int:
        """See Table."""
        return seeds

    def measure(self, case: str, seed: int, quick: bool, log: Log) -> Measured:
        """See Table."""
        kind, deal, stage = case.split(", ")
        there = lay_out(kind, deal, seed, quick)
        start = there.parent(stage, quick)
        kind_of_legs = replace(there.kind, rate=there.kind.rate * RATES[stage])
        there = replace(there, kind=kind_of_legs, trainers=tuple(map(_held_out, there.trainers)))
        return {rule: _relay(there, start, rule, QUICK_ROUNDS if quick else ROUNDS) for rule in RULES}

    def rows(self, measured: Mapping[str, Sequence[Measured]]) -> list[Row]:
        """See Table."""
        groups = {
            **measured,
            **{
                f"all, {deal}": [run for case, runs in measured.items() if f", {deal}, " in case for run in runs]
                for deal in DEALS
            },
            "all": [run for runs in measured.values() for run in runs],
        }
        return [one for group, runs in groups.items() if runs for rule in RULES for one in _rows(group, rule, runs)]


TABLE = StartsTable()


class _Scales:
    """Losses of states, one network's memory for all."""

    def __init__(self, there: Field) -> None:
        self._model: SegmentedModel = build(there.kind.network)

    def losses(self, state: State, parts: Sequence[Split]) -> list[Losses]:
        """On each part's held-out samples."""
        self._model.load_state_dict(state)
        x, y = (np.concatenate([getattr(part, name) for part in parts]) for name in ("held_x", "held_y"))
        return np.split(sample_losses(self._model, x, y), np.cumsum([len(part.held_y) for part in parts])[:-1])


def _relay(there: Field, start: State, rule: str, rounds: int) -> dict[str, float]:
    """Play it, and tell how it went."""
    scales = _Scales(there)
    judges = [_first(seat, JUDGED_SAMPLES) for seat in there.seats[:JUDGES]]
    tips, scores, ever, idle, worse = [start], list[float](), set[int](), 0, 0
    for number in range(rounds):
        made = candidates([WHOLE_MODEL] * len(tips), [0])
        states = [average([tips[place] for place in each.tips]) for each in made]
        seen = _seen(there, scales, states, [len(each.tips) for each in made], rule)
        worse += sum(own.gain(own.all_of) < -SURELY_WORSE * own.error(own.all_of) for own in seen)
        starts = [RULES[rule](own) for own in seen]
        legs = [there.leg(states[place], trainer, STEPS, turn=number) for trainer, place in enumerate(starts)]
        worth = _scored(
            [scales.losses(state, judges) for state in states], [scales.losses(leg, judges) for leg in legs]
        )
        scores += worth
        kept = [
            leg
            for leg in sorted(range(TRAINERS), key=lambda leg: -worth[leg])
            if worth[leg] * PPM >= STANDARD.margin_ppm
        ]
        kept = kept[: TRAINERS * STANDARD.selection_bps // BPS]
        if kept:
            tips = [legs[leg] for leg in kept]
        ever |= set(kept)
        idle += not kept
    unseen = [there.test, there.seats[JUDGES]]
    sites = [float(own.mean()) for own in scales.losses(tips[0], there.trainers)]
    return {
        "loss": fmean(float(part.mean()) for part in scales.losses(tips[0], unseen)),
        "average": fmean(float(part.mean()) for part in scales.losses(average(tips[:MAX_BAR_TIPS]), unseen)),
        "sites": fmean(sites),
        "worst site": max(sites),
        "score": fmean(max(score, 0.0) for score in scores),
        "above": fmean(score * PPM >= STANDARD.margin_ppm for score in scores),
        "idle": idle / rounds,
        "never": 1 - len(ever) / TRAINERS,
        "worse": worse / rounds / TRAINERS,
    }


def _seen(there: Field, scales: _Scales, states: Sequence[State], sizes: Sequence[int], rule: str) -> list[Seen]:
    """What each trainer measures; under a rule that asks for no losses only the leased tip and the average."""
    every = int(np.argmax(sizes))
    if rule in (TIP, AVERAGE):
        asked = [scales.losses(states[place], there.trainers) for place in (0, every)]
        return [Seen([before, *[after] * every], every) for before, after in zip(*asked, strict=True)]
    measured = zip(*(scales.losses(state, there.trainers) for state in states), strict=True)
    return [Seen(own, every) for own in measured]


def _scored(made: Sequence[Sequence[Losses]], legs: Sequence[Sequence[Losses]]) -> list[float]:
    """The median over the seats of each leg's score above their bar, in nats."""
    bars = [min((one[seat] for one in made), key=lambda own: float(own.mean())) for seat in range(JUDGES)]
    return [
        median(
            score_ppm(float(bar.mean()), float(own.mean()), gain_error(bar, own)) / PPM
            for bar, own in zip(bars, leg, strict=True)
        )
        for leg in legs
    ]


def _held_out(part: Split) -> Split:
    """A part of which every HELD_OUT-th sample is held out; shuffled already."""
    held = np.arange(len(part.train_y)) % HELD_OUT == 0
    return Split(part.train_x[~held], part.train_y[~held], part.train_x[held], part.train_y[held])


def _first(part: Split, count: int) -> Split:
    return Split(part.train_x, part.train_y, part.held_x[:count], part.held_y[:count])


def _rows(group: str, rule: str, runs: Sequence[Measured]) -> list[Row]:
    name = f"{group}: {rule}"
    rows = []
    if rule != TIP:
        for metric, word in (
            ("loss", ""),
            ("average", ", average of the last tips"),
            ("sites", ", mean of the sites"),
            ("worst site", ", worst site"),
        ):
            gains = [math.log(run[TIP][metric] / run[rule][metric]) for run in runs]
            rows.append(row(name, f"beyond the leased tip{word}", "nats of ln(loss)", gains))
            if metric == "loss":
                rows.append(row(name, "mean", "nats of ln(loss)", [fmean(gains)]))
                if len(gains) > 1:
                    rows.append(
                        row(name, "standard error", "nats", [float(np.std(gains, ddof=1) / math.sqrt(len(gains)))])
                    )
    for metric, unit in (
        ("loss", "nats"),
        ("score", "nats"),
        ("above", "share"),
        ("idle", "share"),
        ("worse", "share"),
        ("never", "share"),
    ):
        rows.append(row(name, WORDS[metric], unit, [run[rule][metric] for run in runs]))
    return rows


WORDS = {
    "loss": "loss",
    "score": "score of a leg above the bar",
    "above": "legs above the bar",
    "idle": "rounds without a selected leg",
    "never": "trainers never selected",
    "worse": "starts whose average is surely worse on own data",
}
