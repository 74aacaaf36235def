"""Which points of the parameters a sweep tries.

The designs are SALib's: Latin hypercube, and Saltelli's extension of the Sobol sequence, which the indices of first
order and in total need. Only the grid and one factor at a time are made here. Everything is drawn with a fixed seed:
the same sweep always has the same points.
"""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np

from derelayl_protocol.errors import LocalFault

from ..scenarios.load import Scenario, Span, SweepSettings

Point = dict[str, Any]  # dotted key → value
DESIGN_SEED = 20_260_502  # of the points, apart from the seeds of the runs


def sample(scenario: Scenario, sweep: SweepSettings) -> list[Point]:
    """Return the points of a sweep in order, without repetition where the design allows it.

    A key whose value in the scenario is a whole number only gets whole numbers.
    Raises LocalFault for an unknown key, and for a Sobol sweep whose samples are no power of two.
    """
    known = scenario.values()
    for key in sweep.over:
        if key not in known:
            raise LocalFault(f"{key} is no key of the scenario {scenario.name}, so it cannot be swept over")
    whole = {key: isinstance(known[key], int) for key in sweep.over}
    if sweep.method == "grid":
        axes = [_axis(values, whole[key]) for key, values in sweep.over.items()]
        return [dict(zip(sweep.over, combination, strict=True)) for combination in itertools.product(*axes)]
    if sweep.method == "one-at-a-time":
        return _one_at_a_time(sweep, whole)
    unit = _design(sweep)
    return [
        {key: _at(u, values, whole[key]) for u, (key, values) in zip(row, sweep.over.items(), strict=True)}
        for row in unit.tolist()
    ]


def problem(keys: list[str]) -> dict[str, Any]:
    """Describe unit ranges to SALib: the designs are made, and the indices computed, in [0, 1)."""
    return {"num_vars": len(keys), "names": keys, "bounds": [[0.0, 1.0]] * len(keys)}


def _design(sweep: SweepSettings) -> Any:
    """Return a design in the unit cube, (points, keys)."""
    from SALib.sample import latin, sobol  # type: ignore[import-untyped]  # a second, which few commands need

    unit = problem(list(sweep.over))
    if sweep.method == "latin":
        return latin.sample(unit, sweep.samples, seed=DESIGN_SEED)
    if not math.log2(sweep.samples).is_integer():
        raise LocalFault(f"sweep.samples is {sweep.samples}, a Sobol sweep needs a power of two")
    return sobol.sample(unit, sweep.samples, calc_second_order=False, seed=DESIGN_SEED)


def _one_at_a_time(sweep: SweepSettings, whole: dict[str, bool]) -> list[Point]:
    """Return the scenario itself, then each key's lowest and highest value with all others as they are."""
    points: list[Point] = [{}]
    for key, values in sweep.over.items():
        axis = _axis(values, whole[key])
        points += [{key: axis[0]}, {key: axis[-1]}]
    return points


def _axis(values: Span | tuple[Any, ...], whole: bool) -> list[Any]:
    """Return the values of one key on a grid."""
    if not isinstance(values, Span):
        return list(dict.fromkeys(values))
    steps = np.linspace(values.low, values.high, values.steps)
    if whole:
        return sorted({round(step) for step in steps.tolist()})
    return [float(f"{step:.12g}") for step in steps.tolist()]  # 0.30000000000000004 is not what was asked for


def _at(unit: float, values: Span | tuple[Any, ...], whole: bool) -> Any:
    """Return the value at a place in [0, 1) of a key's range."""
    if not isinstance(values, Span):
        return values[min(int(unit * len(values)), len(values) - 1)]
    if whole:
        low, high = math.ceil(values.low), math.floor(values.high)
        return min(low + int(unit * (high - low + 1)), high)
    return values.low + unit * (values.high - values.low)
