"""What real relays say about learning: fits `LearningSettings` to the legs of a report of `derelayl demo`.

A report gives each leg's parent, child and score; a parent's level is the sum of the scores on its way from genesis.
Scores are the committee's, so the fit sees gains after judging, with the judges' caution in them. Forgetting is not
told apart from slow learning: set `forgetting` to 0 with fitted values.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from derelayl_protocol.errors import LocalFault
from derelayl_protocol.ledger.scoring import PPM

from ..world.people import Floats
from ..world.settings import LearningSettings

FEWEST_LEGS = 8  # four numbers from fewer would be noise
ITERATIONS = 50  # of reweighting: far more than it takes
MEAN_OF_HALF_NORMAL = math.sqrt(2 / math.pi)  # mean size of a standard normal
LEAST_NOISE = 1e-3  # nats: no leg weighs infinitely much
FITTED = ("rate", "ceiling", "forgetting", "noise", "roughness")  # the other fields of the settings stay as they are


class ReportedLeg(BaseModel):
    """What is read of a leg; a report says more."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    parent: str = Field(min_length=1)
    child: str | None
    score_ppm: int | None


class Report(BaseModel):
    """What is read of a report."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    legs: tuple[ReportedLeg, ...]


@dataclass(frozen=True, slots=True)
class Calibration:
    """Learning as real legs show it."""

    learning: LearningSettings
    legs: int  # judged legs that the fit rests on
    delivered: float  # share of the leases that were handed over in time


def read_reports(paths: Iterable[Path]) -> list[Report]:
    """Read reports. Raises LocalFault with one sentence for a file that cannot be read or is no report."""
    reports = []
    for path in paths:
        try:
            reports.append(Report.model_validate(json.loads(path.read_text(encoding="utf-8"))))
        except OSError as error:
            raise LocalFault(f"cannot read the report {path}: {error.strerror}") from None
        except (ValueError, ValidationError) as error:
            raise LocalFault(f"{path} is no report of a relay: {str(error).splitlines()[0]}") from None
    return reports


def calibrate(reports: Sequence[Report]) -> Calibration:
    """Fit rate, ceiling, noise and roughness by reweighted least squares: gain = rate · (ceiling - level) ± error.

    The error's size is noise + roughness · |distance|. Raises LocalFault for fewer than FEWEST_LEGS legs, or where
    gains do not fall with the level, so that there is no ceiling to be seen.
    """
    pairs = [pair for report in reports for pair in _levels_and_gains(report)]
    leases = sum(len(report.legs) for report in reports)
    if len(pairs) < FEWEST_LEGS:
        raise LocalFault(f"the reports have {len(pairs)} judged legs, at least {FEWEST_LEGS} are needed")
    level, gained = np.array(pairs).T
    delivered = sum(leg.child is not None for report in reports for leg in report.legs) / leases
    return Calibration(_fit(level, gained), len(pairs), delivered)


# --- Inside -----------------------------------------------------------------------------------------------------------


def _levels_and_gains(report: Report) -> list[tuple[float, float]]:
    """Return (level of the parent, gain), both in nats, of every judged leg. Parents come before their children."""
    levels: dict[str, float] = {}
    found = []
    for leg in report.legs:
        if leg.child is None or leg.score_ppm is None:
            continue
        level, gain = levels.get(leg.parent, 0.0), leg.score_ppm / PPM
        levels[leg.child] = level + gain
        found.append((level, gain))
    return found


def _fit(level: Floats, gained: Floats) -> LearningSettings:
    noise, roughness, weights = 0.0, 0.0, np.ones_like(level)
    slope = intercept = 0.0
    for _ in range(ITERATIONS):
        slope, intercept = _line(level, gained, weights)
        if not slope < 0 < intercept:
            raise LocalFault("gains do not fall as models get better: there is no ceiling to fit")
        distance = np.abs(-intercept / slope - level)
        size = np.abs(gained - intercept - slope * level) / MEAN_OF_HALF_NORMAL
        roughness, noise = _line(distance, size, np.ones_like(distance))
        if roughness < 0:
            roughness, noise = 0.0, float(size.mean())
        if noise < 0:
            roughness, noise = float(distance @ size / (distance @ distance)), 0.0
        weights = 1 / np.maximum(noise + roughness * distance, LEAST_NOISE) ** 2
    values: Mapping[str, Any] = {
        "rate": round(min(-slope, 1.0), 3), "ceiling": round(-intercept / slope, 3), "forgetting": 0.0,
        "noise": round(noise, 3), "roughness": round(roughness, 3),
    }  # fmt: skip
    return LearningSettings.model_validate(values)


def _line(across: Floats, up: Floats, weights: Floats) -> tuple[float, float]:
    """Return slope and intercept of the weighted least squares line; a slope of 0 where all stand in one column."""
    total = weights.sum()
    middle, height = (weights @ across) / total, (weights @ up) / total
    spread = float(weights @ (across - middle) ** 2)
    slope = float(weights @ ((across - middle) * (up - height))) / spread if spread > 0 else 0.0
    return slope, float(height - slope * middle)
