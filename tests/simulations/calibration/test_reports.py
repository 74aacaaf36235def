from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.simulations.world.builders import generator

from derelayl_protocol.errors import LocalFault
from derelayl_simulations.calibration.reports import Report, calibrate, read_reports
from derelayl_simulations.scenarios.load import load

REAL = sorted((Path(__file__).parent / "reports").glob("*.json"))
"""Legs of three runs of `derelayl demo` (seeds 1 to 3); roots are cut short."""


def made_up(rate: float, ceiling: float, noise: float, roughness: float, legs: int = 400) -> Report:
    """Return a report of relays that learn exactly as the model says, eight legs each from its own genesis."""
    rng, lines = generator(), []
    for relay in range(legs // 8):
        level, parent = 0.0, f"genesis {relay}"
        for leg in range(8):
            distance = ceiling - level
            gain = rate * distance + (noise + roughness * abs(distance)) * rng.standard_normal()
            child = f"{relay}/{leg}"
            lines.append({"parent": parent, "child": child, "score_ppm": round(gain * 1e6)})
            level, parent = level + gain, child
    return Report.model_validate({"legs": lines})


def test_too_few_legs_are_refused() -> None:
    with pytest.raises(LocalFault, match="0 judged legs, at least 8"):
        calibrate([Report(legs=())])


def test_gains_that_grow_with_the_level_have_no_ceiling() -> None:
    legs = [{"parent": f"c{n - 1}", "child": f"c{n}", "score_ppm": 1000 * (n + 1)} for n in range(20)]
    with pytest.raises(LocalFault, match="no ceiling"):
        calibrate([Report.model_validate({"legs": legs})])


def test_a_file_that_is_no_report_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "legs.json"
    with pytest.raises(LocalFault, match=r"cannot read the report .*legs\.json"):
        read_reports([path])
    for text in ("{", "[]", '{"legs": [{"parent": "a"}]}'):
        path.write_text(text)
        with pytest.raises(LocalFault, match=r"legs\.json is no report"):
            read_reports([path])


@pytest.mark.parametrize("truth", [(0.5, 3.0, 0.05, 0.1), (0.2, 2.0, 0.02, 0.0), (0.4, 4.0, 0.02, 0.2)])
def test_the_parameters_that_made_the_legs_are_found_again(truth: tuple[float, float, float, float]) -> None:
    learning = calibrate([made_up(*truth)]).learning
    found = (learning.rate, learning.ceiling, learning.noise, learning.roughness)
    assert found == pytest.approx(truth, rel=0.15, abs=0.03)
    assert learning.forgetting == 0


def test_legs_that_were_not_handed_over_count_as_undelivered_only() -> None:
    report = made_up(0.5, 3.0, 0.05, 0.1, legs=80)
    lost = Report.model_validate({"legs": [{"parent": "x", "child": None, "score_ppm": None}] * 20})
    with_lost = calibrate([report, lost])
    assert with_lost.learning == calibrate([report]).learning
    assert (with_lost.legs, with_lost.delivered) == (80, 0.8)


def test_the_calibrated_scenario_has_the_values_that_real_relays_give() -> None:
    found = calibrate(read_reports(REAL))
    assert load("calibrated").world.learning == found.learning
    assert found.legs == sum(leg["score_ppm"] is not None for p in REAL for leg in json.loads(p.read_text())["legs"])
