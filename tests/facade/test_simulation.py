"""Scenarios from Python: the runs and claims of `derelayl sim run`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import derelayl
from derelayl_protocol.errors import LocalFault
from derelayl_protocol.limits import MAX_SCORE_PPM
from derelayl_protocol.types import Ppm
from derelayl_simulations.study.verdict import Answer

SMALL = {"rounds": 6, "world.participants": 24, "world.relays": 1}


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"scenario": "hopeful"}, "no scenario is called 'hopeful'"),
        ({"scenario": "honest", "values": {"rounds": 0}}, "rounds"),
        ({"scenario": "honest", "seeds": 0}, "0 seeds"),
        ({"scenario": "honest", "rules": derelayl.MINIMAL}, "min_bid"),
    ],
)
def test_what_cannot_be_played_is_refused(arguments: dict[str, Any], reason: str) -> None:
    with pytest.raises(LocalFault, match=reason):
        derelayl.simulate(**arguments)


def test_the_same_call_gives_the_same_result_and_finished_runs_are_kept(tmp_path: Path) -> None:
    first = derelayl.simulate("honest", seeds=2, values=SMALL)
    kept = derelayl.simulate("honest", seeds=2, values=SMALL, keep=tmp_path / "runs")
    again = derelayl.simulate("honest", seeds=2, values=SMALL, keep=tmp_path / "runs")
    assert first.rounds.equals(kept.rounds)
    assert kept.people.equals(again.people)
    assert first.rounds.height == 2 * 6
    assert {claim.answer for claim in first.claims} <= set(Answer)
    assert first.answer in Answer


def test_a_model_s_own_rules_are_played() -> None:
    enough = SMALL | {"world.participants": 80}  # for eleven seats
    own = derelayl.simulate("honest", seeds=1, values=enough, rules=derelayl.STANDARD)
    harsh = replace(derelayl.STANDARD, margin_ppm=Ppm(MAX_SCORE_PPM))
    assert own.rounds["selected"].sum() > 0
    assert derelayl.simulate("honest", seeds=1, values=enough, rules=harsh).rounds["selected"].sum() == 0
