"""Worlds whose numbers are known, and what is to be found of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.simulations.world.builders import scenario

from derelayl_simulations.calibration.network import Calibration
from derelayl_simulations.scenarios.load import Scenario

ALIKE: tuple[Mapping[str, Any], ...] = (
    {"name": "trainers", "share": 0.7, "quality": 1.0, "skill": 1.0, "skew": 0.0},
    {"name": "validators", "role": "validator", "share": 0.3, "quality": 1.0},
)
LEARNING: Mapping[str, Any] = {
    "rate": 0.3, "ceiling": 2.5, "forgetting": 0.0, "noise": 0.03, "roughness": 0.08, "averaging": 0.05, "drift": 0.0,
}  # fmt: skip
JUDGING: Mapping[str, Any] = {"noise": 0.03, "common": 0.3, "partiality": 0.0}


def world(**more: Any) -> Scenario:
    """Return a world of people who are alike, come and stay."""
    return scenario(**{"rounds": 50, "groups": ALIKE, "learning": dict(LEARNING), "judging": dict(JUDGING),
                       "churn": False, **more})  # fmt: skip


def within(found: Calibration, truth: Mapping[str, float]) -> set[str]:
    """Return the keys whose interval has the true value."""
    estimates = found.estimates()
    return {key for key, value in truth.items() if value in estimates[key]}
