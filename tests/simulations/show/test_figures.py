"""The figures: what they are drawn from, what they say of themselves, and that nothing empty is drawn."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from derelayl_simulations.scenarios.load import Scenario, check
from derelayl_simulations.show.figures.landscape import draw_extinction, draw_response
from derelayl_simulations.show.figures.money import draw_market, draw_money
from derelayl_simulations.show.figures.quality import draw_quality
from derelayl_simulations.show.figures.roles import draw_roles, draw_survival
from derelayl_simulations.show.figures.sensitivity import draw_sobol, draw_tornado
from derelayl_simulations.show.figures.sheet import Drawing, bare, caption
from derelayl_simulations.show.figures.strategies import draw_strategies, strategies
from derelayl_simulations.show.figures.theory import draw_branching, draw_cheating, draw_issuance
from derelayl_simulations.show.figures.versions import draw_versions
from derelayl_simulations.show.figures.wealth import draw_coins, draw_inequality
from derelayl_simulations.study.collect import collect
from derelayl_simulations.study.plan import plan
from derelayl_simulations.study.results import Results

from ..fakes import results_of, small

Draw = Callable[[Results], Drawing | None]

ALWAYS: tuple[Draw, ...] = (
    draw_versions, draw_coins, draw_inequality, draw_money, draw_survival, draw_quality, draw_issuance
)  # fmt: skip
SWEPT: tuple[Draw, ...] = (draw_extinction, draw_response, draw_sobol, draw_tornado)


def of(folder: Path, scenario: Scenario, seeds: int = 2) -> Results:
    """Return results that were really played."""
    return collect(plan(scenario, range(seeds), sweep=scenario.sweep), folder)


def names(results: Results, draws: tuple[Draw, ...]) -> list[str]:
    return [drawing.name for draw in draws if (drawing := draw(results)) is not None]


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Results:
    return of(tmp_path_factory.mktemp("published") / "out", small(rounds=12, published={"N": 24}))


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Results:
    document = {"name": "relay", "question": "?", "rules": "ledger", "rounds": 12, "ledger": {"access_fee": 0.5}}
    groups = [
        {"name": "honest", "share": 0.6},
        {"name": "lazy", "share": 0.2, "strategy": "lazy"},
        {"name": "judges", "share": 0.2, "role": "validator"},
    ]
    world = {"participants": 30, "group": groups, "demand": {"consumers": 6.0}}
    return of(tmp_path_factory.mktemp("ledger") / "out", check(document | {"world": world}))


def test_a_figure_without_its_data_is_left_out(tmp_path: Path, published: Results) -> None:
    bare_results = results_of(tmp_path / "out")  # no versions, no quality, no roles
    assert names(bare_results, (draw_versions, draw_quality, draw_roles, draw_market, draw_strategies)) == []
    assert names(published, (draw_roles, draw_market, draw_strategies, draw_cheating, *SWEPT)) == []


def test_a_published_run_has_its_figures(published: Results) -> None:
    expected = ["versions", "coins", "inequality", "money", "survival", "quality", "theory-issuance"]
    assert names(published, ALWAYS) == expected
    assert names(published, (draw_branching,)) == ["theory-branching"]


def test_a_ledger_run_has_its_figures(ledger: Results) -> None:
    assert len(names(ledger, ALWAYS)) == len(ALWAYS)
    draws = (draw_roles, draw_market, draw_strategies, draw_cheating, draw_branching)
    assert names(ledger, draws) == ["roles", "market", "strategies", "theory-cheating"]
    assert strategies(ledger) == ["honest", "lazy"]


def test_the_same_results_give_the_same_bytes(published: Results) -> None:
    first, second = draw_versions(published), draw_versions(published)
    assert first is not None
    assert second is not None
    assert first.png == second.png


def test_a_caption_states_seeds_parameters_and_commit(tmp_path: Path) -> None:
    study = plan(small(published={"k": 3}), range(4), {"published.trainers_per_owner": 3})
    said = caption(results_of(tmp_path / "out", study), "no bands")
    assert "4 seeds (0 … 3)" in said
    assert "published.trainers_per_owner = 3" in said
    assert "3 rounds" in said
    assert "commit " in said or "release " in said


def test_a_caption_of_an_unfinished_study_says_so(tmp_path: Path) -> None:
    results = results_of(tmp_path / "out")
    next(results.folder.glob("rounds/*/seed=2/*.parquet")).unlink()
    assert "2 of 3 runs finished" in caption(results, "")


@pytest.mark.parametrize(
    ("sweep", "name"),
    [
        ({"over": {"k": [2, 3, 4], "s": [0.5, 0.75]}}, "extinction"),
        ({"over": {"k": [2, 3], "s": [0.5, 0.75], "p": [0.5, 0.9]}}, "extinction"),
        ({"over": {"k": [2, 3, 4]}}, "response"),
        (
            {"over": {"k": {"low": 2, "high": 5}, "s": {"low": 0.3, "high": 0.9}}, "method": "sobol", "samples": 4},
            "sobol",
        ),
        ({"over": {"k": [2, 5], "s": [0.3, 0.9]}, "method": "one-at-a-time"}, "tornado"),
    ],
)
def test_each_kind_of_sweep_has_its_figure(tmp_path: Path, sweep: dict[str, object], name: str) -> None:
    results = of(tmp_path / "out", small(rounds=6, published={"N": 24}, sweep=sweep))
    assert names(results, SWEPT) == [name]


def test_indices_of_an_unfinished_sweep_are_not_drawn(tmp_path: Path) -> None:
    sweep = {"over": {"s": {"low": 0.3, "high": 0.9}}, "method": "sobol", "samples": 4}
    results = of(tmp_path / "out", small(rounds=6, published={"N": 24}, sweep=sweep))
    next(results.folder.glob("rounds/*/seed=1/*.parquet")).unlink()
    assert names(results, SWEPT) == ["response"]


def test_a_key_is_written_readably() -> None:
    assert bare("published.trainers_per_owner") == "trainers per owner"
    assert bare("world.group.ring.share") == "ring: share"
