"""The error of one seat's score: what more samples, pairing and control variates take off it.

On each kind of data eight legs train from one parent, the five best of them are the next tips, and eight legs more
train from their average. Those are judged on random draws from what nobody trains on, whose whole is the truth; the bar
is the best candidate on the draw, as the protocol says. *Error* is the root mean square of score less truth over draws
and legs, *between legs* the same of what a score differs from the mean score of the round, *bias* its mean; the half
standard error that a seat takes off is left out. *True bar*: against the candidate that is best in truth. A control
variate takes from a leg's score what the draw's mean of something differs from its mean over more samples, multiplied
by the slope of the leg's losses on it; its mean has to be known from samples that the children are not measured on: a
third more (what a seat does not draw in a round) or five times as many (all that a peer holds). *Trained on*: the bias
of a peer that judges others' legs by the samples that its own earlier leg, and the parent, were trained on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np
from numpy.typing import NDArray

from benchmarks.rows import Row, row
from derelayl_protocol.types import WHOLE_MODEL
from derelayl_training.architectures import build
from derelayl_training.bar import candidates
from derelayl_training.judge import sample_losses
from derelayl_training.split import Split

from .harness import Log, Measured
from .legs import State
from .siblings import TRAINERS, Field, average, lay_out

TIPS = 5
STEPS = 20
SAMPLES = (20, 100, 500)
DRAWS, QUICK_DRAWS = 100, 20
MORE = {"a third more": 4 / 3, "five times as many": 5.0}
"""Samples that a control's mean is known from, for each that a leg is measured on."""

CASES = tuple(
    f"{kind}, {split}, {stage}"
    for split, stage in (("even", "early"), ("even", "late"), ("Dirichlet 0.5", "late"))
    for kind in ("tables", "digits")
)

Matrix = NDArray[np.float64]
"""(what, samples)"""


@dataclass(frozen=True)
class Draw:
    """Losses of what the bar is made of and of the legs, (what, samples), and which label a sample has, (classes,
    samples)."""

    made: Matrix
    legs: Matrix
    labels: Matrix

    def of(self, chosen: NDArray[np.int64]) -> Draw:
        return Draw(self.made[:, chosen], self.legs[:, chosen], self.labels[:, chosen])

    @property
    def bar(self) -> int:
        return int(self.made.mean(1).argmin())

    def scores(self, bar: int) -> Matrix:
        """(legs,) in nats."""
        return np.asarray(np.log(self.made[bar].mean() / self.legs.mean(1)))

    def moves(self) -> Matrix:
        """What each sample adds to each leg's score, (legs, samples)."""
        bar = self.made[self.bar]
        return np.asarray(bar / bar.mean() - self.legs / self.legs.mean(1, keepdims=True))


CONTROLS: Mapping[str, Callable[[Draw, int], Matrix]] = {
    "bar's loss": lambda draw, bar: draw.made[[bar]],
    "labels": lambda draw, _bar: draw.labels,
}
"""(controls, samples) of a draw and the place of its bar."""

PLAIN, TRUE_BAR, TRAINED_ON, SIBLINGS = "as judged", "true bar", "trained on", "siblings' mean"


class PrecisionTable:
    """Errors of a score."""

    name = "precision"

    def cases(self, quick: bool) -> Sequence[str]:
        """See Table."""
        return CASES[:1] if quick else CASES

    def seeds(self, case: str, seeds: int) -> int:
        """See Table."""
        return seeds

    def measure(self, case: str, seed: int, quick: bool, log: Log) -> Measured:
        """See Table."""
        kind, split, stage = case.split(", ")
        there = lay_out(kind, split, seed, quick)
        made, legs = _play(there, stage, quick)
        unseen = [there.test, *there.seats]
        labels = np.concatenate([part.held_y for part in unseen])
        every = Draw(_losses(there, made, unseen), _losses(there, legs, unseen), np.eye(labels.max() + 1)[1:, labels])
        truth = every.scores(every.bar)
        found: dict[str, dict[str, float]] = {}
        rng = np.random.default_rng(seed)
        for samples in SAMPLES:
            off: dict[str, list[Matrix]] = {}
            for _ in range(QUICK_DRAWS if quick else DRAWS):
                order = rng.permutation(len(labels))
                for name, scores in _estimates(every, order, samples).items():
                    off.setdefault(name, []).append(scores - truth)
            found |= {f"{samples}: {name}": _errors(np.array(each)) for name, each in off.items()}
        own = [_where_trained_on(there, made, legs, trainer) - truth for trainer in range(TRAINERS)]
        return {
            "apart": float(truth.std(ddof=1)),
            "errors": found,
            TRAINED_ON: fmean(float(np.delete(each, trainer).mean()) for trainer, each in enumerate(own)),
            "paired": _paired_by_unpaired(every),
            **_explained(every),
        }

    def rows(self, measured: Mapping[str, Sequence[Measured]]) -> list[Row]:
        """See Table."""
        everywhere = [run for runs in measured.values() for run in runs]
        return [one for case, runs in {**measured, "all": everywhere}.items() for one in _rows(case, runs)]


TABLE = PrecisionTable()


def _play(there: Field, stage: str, quick: bool) -> tuple[list[State], list[State]]:
    """What the bar is made of, and the legs."""
    parent = there.parent(stage, quick)
    first = [there.leg(parent, trainer, STEPS) for trainer in range(TRAINERS)]
    tips = [first[number] for number in np.argsort(_losses(there, first, there.seats).mean(1))[:TIPS]]
    made = [average([tips[place] for place in each.tips]) for each in candidates([WHOLE_MODEL] * TIPS, [0])]
    return made, [there.leg(average(tips), trainer, STEPS, turn=1) for trainer in range(TRAINERS)]


def _losses(there: Field, states: Sequence[State], parts: Sequence[Split]) -> Matrix:
    """(states, samples held out in these parts)."""
    x, y = (np.concatenate([getattr(part, name) for part in parts]) for name in ("held_x", "held_y"))
    model, rows = build(there.kind.network), []
    for state in states:
        model.load_state_dict(state)
        rows.append(sample_losses(model, x, y))
    return np.array(rows)


def _estimates(every: Draw, order: NDArray[np.int64], samples: int) -> dict[str, Matrix]:
    """Scores on the first so many of these samples, by how they are estimated."""
    draw = every.of(order[:samples])
    plain = draw.scores(draw.bar)
    found = {PLAIN: plain, TRUE_BAR: draw.scores(every.bar)}
    for name, control in CONTROLS.items():
        near = control(draw, draw.bar)
        slopes, _ = _regressed(draw.moves(), near)
        for word, times in MORE.items():
            far = control(every.of(order[: round(samples * times)]), draw.bar)
            found[f"{name}, {word}"] = plain - (near.mean(1) - far.mean(1)) @ slopes
    return found


def _regressed(moves: Matrix, controls: Matrix) -> tuple[Matrix, Matrix]:
    """Least squares with a constant: slopes (controls, legs), and which share of each leg's variance is explained."""
    centred, target = ((each - each.mean(1, keepdims=True)).T for each in (controls, moves))
    slopes = np.linalg.lstsq(centred, target, rcond=None)[0]
    return slopes, 1 - ((target - centred @ slopes) ** 2).sum(0) / (target**2).sum(0)


def _where_trained_on(there: Field, made: Sequence[State], legs: Sequence[State], trainer: int) -> Matrix:
    """Scores by all that this trainer has trained on."""
    own = there.trainers[trainer]
    seen = [Split(own.train_x, own.train_y, own.train_x, own.train_y)]
    draw = Draw(_losses(there, made, seen), _losses(there, legs, seen), np.zeros((0, len(own.train_y))))
    return draw.scores(draw.bar)


def _paired_by_unpaired(every: Draw) -> float:
    """A score's standard error where bar and leg are measured on the same samples, by that where they are not."""
    bar = every.made[every.bar]
    alone = np.sqrt(bar.var() / bar.mean() ** 2 + every.legs.var(1) / every.legs.mean(1) ** 2)
    return float((every.moves().std(1) / alone).mean())


def _explained(every: Draw) -> dict[str, float]:
    """Which share of the variance of a score is explained by each control, and by the mean of the other legs."""
    moves = every.moves()
    rest = [float(_regressed(moves[[n]], np.delete(moves, n, 0).mean(0)[None])[1][0]) for n in range(len(moves))]
    shares = {name: _regressed(moves, control(every, every.bar))[1] for name, control in CONTROLS.items()}
    return {**{name: float(each.mean()) for name, each in shares.items()}, SIBLINGS: fmean(rest)}


def _errors(off: Matrix) -> dict[str, float]:
    """Of scores less truths, (draws, legs)."""
    between = off - off.mean(1, keepdims=True)
    return {
        "error": float(np.sqrt((off**2).mean())),
        "error between legs": float(np.sqrt((between**2).mean())),
        "bias": float(off.mean()),
    }


def _rows(case: str, runs: Sequence[Measured]) -> list[Row]:
    rows = [
        row(case, "true differences of legs", "nats", [run["apart"] for run in runs]),
        row(case, "standard error, paired by unpaired", "ratio", [run["paired"] for run in runs]),
        row(case, "bias where trained on", "nats", [run[TRAINED_ON] for run in runs]),
    ]
    for name in (*CONTROLS, SIBLINGS):
        rows.append(row(case, f"variance explained by {name}", "share", [run[name] for run in runs]))
    for name in runs[0]["errors"]:
        samples, _, way = name.partition(": ")
        for metric in ("error", "error between legs", "bias"):
            rival = None if way == PLAIN or metric == "bias" else PLAIN
            told, plain = ([run["errors"][each][metric] for run in runs] for each in (name, f"{samples}: {PLAIN}"))
            rows.append(row(f"{case}, {name}", metric, "nats", told, rival, plain if rival else ()))
    return rows
