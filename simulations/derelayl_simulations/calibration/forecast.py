"""Does the calibrated world predict rounds that it has not seen? Fit on the first rounds, predict the last ones."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from derelayl_protocol.errors import LocalFault

from ..world.people import Floats
from .history import History, Round
from .judges import spread
from .network import Calibration, calibrate
from .played import play_history

if TYPE_CHECKING:
    from ..scenarios.load import Scenario

WORLDS = 40  # of as many resampled fits and seeds: the ends of the interval are the second from either side
CONFIDENCE = 0.9  # of the interval of one round
LEAST_COVERED = 0.6  # share of the held-out rounds that the intervals must hold: rounds in a row are alike, so that
# of simulated networks one in six holds less than 0.75 of some measure
WORSE = 1.25  # times the error of the mean, the forecast of who knows nothing of relays
FEWEST_HELD_OUT = 4  # rounds: shares of fewer say nothing

MEASURES: dict[str, Callable[[Round], float]] = {
    "gain of a leg, nats": lambda each: float(each.score[each.judged].mean()) if each.judged.any() else math.nan,
    "spread of the seats' scores, nats": spread,
    "legs": lambda each: float(len(each.trainers)),
    "selected share": lambda each: (
        float(each.selected.sum() / each.submitted.sum()) if each.submitted.any() else math.nan
    ),
}
"""What is predicted of a round; NaN where it has none."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """How one measure of the held-out rounds was predicted."""

    name: str
    rounds: int  # held-out rounds that have it
    covered: float  # share of them inside the interval
    error: float  # mean distance from the median of the worlds
    last: float  # the same from the last round before
    mean: float  # the same from the mean of the rounds before

    @property
    def holds(self) -> bool:
        """Whether the intervals cover the rounds, and the world is not worse than the mean of the rounds before."""
        return self.covered >= LEAST_COVERED and self.error <= WORSE * self.mean


@dataclass(frozen=True, slots=True)
class Holdout:
    """What came of predicting the last rounds of a history."""

    fitted: int  # rounds that the fit has seen
    predictions: tuple[Prediction, ...]

    @property
    def holds(self) -> bool:
        """Whether every measure that the held-out rounds have was predicted."""
        return bool(self.predictions) and all(each.holds for each in self.predictions)

    def sentence(self) -> str:
        """Say whether the calibrated world predicts this network."""
        if self.holds:
            return "the calibrated world predicts this network's next rounds"
        wrong = [each.name.partition(",")[0] for each in self.predictions if not each.holds]
        return f"the calibrated world does not predict this network's next rounds: not {', nor '.join(wrong)}"


def hold_out(history: History, share: float, base: Scenario, worlds: int = WORLDS) -> Holdout:
    """Fit to the first rounds, play `worlds` calibrated worlds from genesis on, and compare with the last rounds.

    `share` of the rounds is held out, in (0, 1). Each world has the numbers of another resampled history and another
    seed, so that the intervals have the fit's uncertainty and chance. Raises LocalFault where too few rounds are left
    on either side.
    """
    held = round(share * len(history.rounds))
    if held < FEWEST_HELD_OUT:
        raise LocalFault(
            f"{held} of {len(history.rounds)} rounds would be held out, at least {FEWEST_HELD_OUT} are needed"
        )
    before, after = history.first(len(history.rounds) - held), history.rounds[-held:]
    found = calibrate(before)
    played = [_play(found, base, after[-1].number, draw) for draw in range(1, worlds + 1)]
    predictions = []
    for name, measure in MEASURES.items():
        truth = np.array([measure(each) for each in after])
        known = np.array([measure(each) for each in before.rounds])
        guesses = np.array([[_measured(world.get(each.number), measure) for each in after] for world in played])
        if (prediction := _compare(name, truth, known, guesses)) is not None:
            predictions.append(prediction)
    return Holdout(len(before.rounds), tuple(predictions))


# --- Inside -----------------------------------------------------------------------------------------------------------


def _play(found: Calibration, base: Scenario, rounds: int, draw: int) -> dict[int, Round]:
    world = found.scenario(base, draw).with_values({"rounds": rounds})
    return {each.number: each for each in play_history(world, seed=draw).rounds}


def _measured(each: Round | None, measure: Callable[[Round], float]) -> float:
    return math.nan if each is None else measure(each)


def _compare(name: str, truth: Floats, known: Floats, guesses: Floats) -> Prediction | None:
    there, before = ~np.isnan(truth), known[~np.isnan(known)]
    if not there.any() or not len(before):
        return None
    truth, guesses = truth[there], guesses[:, there]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "All-NaN", RuntimeWarning)  # a round that no world has is not predicted
        low, middle, high = np.nanquantile(guesses, [(1 - CONFIDENCE) / 2, 0.5, (1 + CONFIDENCE) / 2], axis=0)
    inside = (low <= truth) & (truth <= high)
    missed = np.where(np.isnan(middle), np.abs(truth), np.abs(truth - middle))
    return Prediction(
        name=name,
        rounds=len(truth),
        covered=float(inside.mean()),
        error=float(missed.mean()),
        last=_error(truth, before[-1:]),
        mean=_error(truth, before),
    )


def _error(truth: Floats, known: Sequence[float] | Floats) -> float:
    return float(np.abs(truth - np.mean(known)).mean())
