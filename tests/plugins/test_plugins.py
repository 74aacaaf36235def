"""What installed packages offer: found without an import, used by name, and blamed by the package's."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from derelayl_node.cli.main import build as command_line
from derelayl_plugins import FIGURES, LOADERS, RULES, STRATEGIES, plugin, plugins
from derelayl_protocol.errors import LocalFault
from derelayl_simulations.scenarios.load import Scenario, check, load
from derelayl_simulations.show.report.build import build
from derelayl_simulations.study.run import run
from derelayl_simulations.world.strategies import listed
from derelayl_training.data import load as load_data
from derelayl_training.kinds import InputKind

from ..simulations.fakes import results_of
from .conftest import Install

BROKEN = {"broken": "import nothing_of_that_name\n"}


def scenario(strategy: str, role: str = "trainer") -> Scenario:
    """A small world, in which trainers or validators follow a strategy."""
    groups = [
        {"name": "trainers", "share": 0.7, "strategy": strategy if role == "trainer" else "honest"},
        {"name": "judges", "role": "validator", "share": 0.3, "strategy": strategy if role != "trainer" else "honest"},
    ]
    asked = {"name": "one", "question": "Does it pay?", "rules": "ledger", "rounds": 4, "seeds": 1}
    return check(asked | {"world": {"participants": 20, "group": groups}})


def invoke(*arguments: str) -> str:
    ran = CliRunner().invoke(command_line(arguments), arguments, env={"COLUMNS": "200"})
    assert ran.exit_code == 0, ran.output
    return ran.output


@pytest.mark.usefixtures("example")
def test_what_is_offered_is_listed_with_its_package_and_not_imported() -> None:
    assert "moons[:ARGUMENT]" in invoke("data", "list")
    assert "miser" in invoke("sim", "strategies")
    assert "podium" in invoke("sim", "rules")
    assert "of derelayl-example 1.0" in invoke("sim", "figures")
    offered = [list(plugins(group)) for group in (LOADERS, STRATEGIES, RULES, FIGURES)]
    assert offered == [["moons"], ["miser"], ["podium"], ["supply"]]
    assert not any(name.startswith("derelayl_example") for name in sys.modules)


@pytest.mark.usefixtures("example")
def test_a_loader_of_a_plugin_gives_a_peer_its_data() -> None:
    split = load_data("moons:100")
    assert (split.kind, split.train_x.shape, split.held_x.shape) == (InputKind.TABLE, (80, 2), (20, 2))
    with pytest.raises(LocalFault, match=r"moons of the package derelayl-example 1\.0 .*invalid literal for int"):
        load_data("moons:many")


@pytest.mark.usefixtures("example")
def test_a_strategy_of_a_plugin_plays_in_a_scenario() -> None:
    miserly, honest = run(scenario("miser"), 1), run(scenario("honest"), 1)
    assert set(miserly.people["strategy"]) == {"miser", "honest"}
    assert np.nansum(miserly.table["round"]) == np.nansum(honest.table["round"])
    assert scenario("honest").with_values({"search.trainer": ["miser"]}).search.trainer == ("miser",)


@pytest.mark.usefixtures("example")
def test_a_strategy_of_a_plugin_is_no_strategy_of_the_other_role() -> None:
    with pytest.raises(LocalFault, match="miser is no strategy of a validator, but of a trainer"):
        scenario("miser", role="validator")


@pytest.mark.usefixtures("example")
def test_a_rule_of_a_plugin_plays_in_a_scenario_and_is_marked() -> None:
    podium = scenario("honest").with_values({"mechanism.payment": "podium"})
    assert podium.not_run() == ("payment = podium: of derelayl-example 1.0",)
    paid, usual = run(podium, 1), run(scenario("honest"), 1)
    assert not np.array_equal(paid.people["coins"], usual.people["coins"])
    with pytest.raises(LocalFault, match=r"mechanism\.score: podium is no rule of score, but of payment"):
        scenario("honest").with_values({"mechanism.score": "podium"})
    with pytest.raises(LocalFault, match=r"mechanism\.payment: payment podium has no dial: leave out :2"):
        scenario("honest").with_values({"mechanism.payment": "podium:2"})


@pytest.mark.usefixtures("example")
def test_a_figure_of_a_plugin_is_drawn_when_it_is_asked_for(tmp_path: Path) -> None:
    results = results_of(tmp_path / "out")
    assert not any("plugin" in path.name for path in build(results)[1])
    page, figures = build(results, ["supply"])
    assert figures[-1].name == "plugin-supply.png"
    assert "How many coins there are." in page.read_text()


def test_names_of_nobody_are_refused_with_those_that_there_are(tmp_path: Path) -> None:
    with pytest.raises(LocalFault, match="data spec 'moons:1' is unknown"):
        load_data("moons:1")
    with pytest.raises(LocalFault, match="miser is no strategy of a trainer, whose are honest, lazy"):
        scenario("miser")
    with pytest.raises(LocalFault, match=r"mechanism\.base: podium is no rule of base, which are public, parent, tips"):
        scenario("honest").with_values({"mechanism.base": "podium"})
    with pytest.raises(LocalFault, match="no installed package offers a figure 'supply'; there are none"):
        build(results_of(tmp_path / "out"), ["supply"])


def test_a_plugin_that_cannot_be_imported_is_refused_with_its_package_and_harms_nothing_else(
    install: Install, tmp_path: Path
) -> None:
    groups = (LOADERS, STRATEGIES, RULES, FIGURES)
    install("rotten-apple", {group: {"rotten": "broken:anything"} for group in groups}, BROKEN)
    refused = r"rotten of the package rotten-apple 1\.0 .*ModuleNotFoundError: No module named 'nothing_of_that_name'"
    with pytest.raises(LocalFault, match=refused):
        load_data("rotten:1")
    with pytest.raises(LocalFault, match=refused):
        scenario("rotten")
    with pytest.raises(LocalFault, match=refused):
        scenario("honest").with_values({"mechanism.payment": "rotten"})
    results = results_of(tmp_path / "out")
    with pytest.raises(LocalFault, match=refused):
        build(results, ["rotten"])
    assert len(load_data("mnist-5k").train_y) == 4_000
    assert load("honest").name == "honest"
    assert build(results)[1]
    assert "rotten-apple" in invoke("data", "list")


def test_a_plugin_that_gives_the_wrong_thing_is_refused_with_its_package(install: Install, tmp_path: Path) -> None:
    wrong = "def load(argument): return 3\ndef draw(results): return 'a picture'\nclass Neither: pass\n"
    groups = {LOADERS: {"three": "wrong:load"}, FIGURES: {"picture": "wrong:draw"}}
    groups |= {STRATEGIES: {"no": "wrong:Neither"}, RULES: {"no": "wrong:Neither"}}
    install("wrong-thing", groups, {"wrong": wrong})
    with pytest.raises(LocalFault, match=r"wrong-thing 1\.0 .*it gave int, a Split is needed"):
        load_data("three")
    with pytest.raises(LocalFault, match=r"wrong-thing 1\.0 .*it gave str, a Drawing is needed"):
        build(results_of(tmp_path / "out"), ["picture"])
    with pytest.raises(LocalFault, match=r"wrong-thing 1\.0 .*neither from Trainer nor from Judge"):
        scenario("no")
    with pytest.raises(LocalFault, match=r"wrong-thing 1\.0 .*derived from none of the kinds of rules"):
        scenario("honest").with_values({"mechanism.matching": "no"})


@pytest.mark.parametrize(
    ("role", "body", "told"),
    [
        ("trainer", "class S(Trainer):\n    def bid(self, market, mine): return market.usual[mine] - 1e30\n", "no bid"),
        ("trainer", "class S(Trainer):\n    def train(self, *all): raise KeyError('lost')\n", "KeyError: 'lost'"),
        ("validator", "class S(Judge):\n    def score(self, bench, mine): return [0.5]\n", "not whole ppm"),
    ],
)
def test_a_strategy_that_fails_in_play_is_told_with_its_package(
    install: Install, role: str, body: str, told: str
) -> None:
    imports = "from derelayl_simulations.world.strategies.port import Judge, Trainer\n"
    install("clumsy", {STRATEGIES: {"clumsy": "clumsy_strategy:S"}}, {"clumsy_strategy": imports + body})
    with pytest.raises(LocalFault, match=rf"clumsy of the package clumsy 1\.0 .*{told}"):
        run(scenario("clumsy", role), 1)


NEGATIVE = "class R(Payment):\n    def weights(self, gains): return np.where(gains.selected, -1, 0)\n"
NUMBERLESS = "class R(Base):\n    def base(self, parent, best, average): return parent * np.nan\n"
GREEDY = "class R(Matching):\n    def bonds(self, bids): return np.where(bids > 0, bids + 1, 0)\n"
NOWHERE = "class R(Matching):\n    def ranks(self, legs, tips, most, width): return np.full((len(legs), width), 7)\n"
FORWARD = "class R(Duplicates):\n    def classes(self, copies): return np.full(copies.judged.shape, 99)\n"
ABSENT = "class R(Delivery):\n    def counts(self, tip, is_leg, submitted): return 0 * submitted\n"
LATE = "class R(Score):\n    def judge(self, ballots): raise KeyError('lost')\n"


@pytest.mark.parametrize(
    ("kind", "body", "told"),
    [
        ("payment", NEGATIVE, "a weight below 0"),
        ("delivery", ABSENT, "not a boolean for each leg"),
        ("base", NUMBERLESS, "one that is no number"),
        ("matching", GREEDY, "above its bid"),
        ("matching", NOWHERE, "a tip that there is not"),
        ("duplicates", FORWARD, "a class that is no number of a leg"),
        ("score", LATE, "KeyError: 'lost'"),
    ],
)
def test_a_rule_that_fails_in_play_is_told_with_its_package(install: Install, kind: str, body: str, told: str) -> None:
    imports = "import numpy as np\nfrom derelayl_simulations.ledger.mechanism.port import *\n"
    install("clumsy", {RULES: {"clumsy": "clumsy_rule:R"}}, {"clumsy_rule": imports + body})
    with pytest.raises(LocalFault, match=rf"clumsy of the package clumsy 1\.0 .*{told}"):
        run(scenario("honest").with_values({f"mechanism.{kind}": "clumsy"}), 1)


def test_a_name_that_two_packages_offer_is_refused_with_both(install: Install) -> None:
    for name in ("first", "second"):
        install(name, {LOADERS: {"same": "nowhere:load"}})
    with pytest.raises(LocalFault, match=r"same is offered by the packages .*1\.0 and .*1\.0; uninstall all but one"):
        plugin(LOADERS, "same")


def test_our_own_names_go_first(install: Install) -> None:
    install("thief", {LOADERS: {"mnist-5k": "broken:anything"}, STRATEGIES: {"lazy": "broken:anything"}}, BROKEN)
    assert len(load_data("mnist-5k").train_y) == 4_000
    assert scenario("lazy").world.group[0].strategy == "lazy"


def test_a_strategy_that_nobody_can_ask_for_is_not_listed(install: Install) -> None:
    names = {"honest": "broken:anything", "lazy": "broken:anything"}  # a judge may still be lazy
    install("thief", {STRATEGIES: names}, BROKEN)
    assert [name for role, name, _ in listed() if role == "plug-in"] == ["lazy"]


def test_a_package_whose_entry_points_cannot_be_read_is_left_out_and_logged(
    install: Install, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    install("garbled", {LOADERS: {}})
    (tmp_path / "site" / "garbled-1.0.dist-info" / "entry_points.txt").write_text(f"[{LOADERS}]\nno equals sign\n")
    with caplog.at_level(logging.WARNING):
        assert plugins(LOADERS) == {}
    assert "garbled" in caplog.text
