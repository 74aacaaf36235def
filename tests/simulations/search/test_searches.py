"""Deviations and equilibria that are kept beside the runs."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.simulations.world.builders import FEW_SEATS

from derelayl_protocol.errors import LocalFault
from derelayl_simulations.scenarios.load import Scenario, check
from derelayl_simulations.search.searches import SEARCH, STARTS, Searches, look, read
from derelayl_simulations.show.figures.phase import draw_best_response, draw_phases
from derelayl_simulations.show.figures.strategies import draw_deviations
from derelayl_simulations.study.plan import plan
from derelayl_simulations.study.results import Results
from derelayl_simulations.study.verdict import Answer, judge

from ..fakes import results_of


def searched() -> Scenario:
    search = {
        "trainer": ["lazy", "copier"],
        "validator": ["silent"],
        "rings": [],
        "control": ["bold"],
        "rounds": 12,
        "agents": 1,
        "steps": 3,
    }
    world = {"participants": 24, "churn": False}
    text = {"name": "searched", "question": "?", "rules": "ledger", "rounds": 4, "ledger": FEW_SEATS}
    return check(text | {"search": search, "world": world})


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> tuple[Results, Searches]:
    results = results_of(tmp_path_factory.mktemp("searched") / "out", plan(searched(), range(2)))
    return results, look(results)


def test_the_published_rules_know_no_strategies(tmp_path: Path) -> None:
    with pytest.raises(LocalFault, match="the published rules know no strategies"):
        look(results_of(tmp_path / "out"))


def test_a_broken_file_is_refused_in_a_sentence(tmp_path: Path) -> None:
    assert read(tmp_path) is None
    for content in ("{", '{"seeds": []}'):
        (tmp_path / SEARCH).write_text(content)
        with pytest.raises(LocalFault, match="delete it and search again"):
            read(tmp_path)


def test_what_was_found_is_kept_and_not_looked_for_again(found: tuple[Results, Searches]) -> None:
    results, searches = found
    assert read(results.folder) == searches
    told: list[str] = []
    assert look(results, told.append) == searches
    assert told == []


def test_every_deviation_is_tried_with_every_seed(found: tuple[Results, Searches]) -> None:
    searches = found[1]
    assert list(searches.gains()) == ["lazy", "copier", "bold", "silent"]
    assert all(len(gains) == len(searches.seeds) == 2 for gains in searches.gains().values())
    silent = searches.deviations[0][-1]
    assert silent.roles == ("validator",)
    assert searches.gains()["silent"][0] == silent.profit - silent.before < 0  # its stake is slashed


def test_the_replicator_starts_from_several_mixes_that_add_up(found: tuple[Results, Searches]) -> None:
    ways = found[1].replicator
    assert 2 <= len(ways) <= 1 + STARTS
    assert len({way.shares[0] for way in ways}) == len(ways)
    for way in ways:
        assert way.strategies == ("honest", "lazy", "copier")
        assert all(sum(row) == pytest.approx(1.0) for row in way.shares)


def test_the_verdict_and_the_figures_use_what_was_found(found: tuple[Results, Searches]) -> None:
    results, searches = found
    claim = next(each for each in judge(results, searches.gains()) if each.claim.startswith("no tested deviation"))
    assert claim.answer is not Answer.NOT_MEASURED
    for drawing in (draw_deviations(results, searches), draw_phases(results, searches)):
        assert drawing is not None
        assert drawing.png.startswith(b"\x89PNG")
    response = draw_best_response(results, searches)
    assert (response is None) == (searches.best_response is not None and len(searches.best_response.shares) < 2)
