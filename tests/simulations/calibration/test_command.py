"""`derelayl sim calibrate --network`: what it prints is a part of a scenario."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from derelayl_protocol.ledger.events import Event
from derelayl_protocol.types import ModelId
from derelayl_simulations.cli import app, mounted
from derelayl_simulations.scenarios.load import load

from .reference import Ledger

HEAD = 'name = "fitted"\nquestion = "?"\nrules = "ledger"\nrounds = 5\n'


@pytest.fixture(scope="module")
def ledger() -> Ledger:
    ledger = Ledger()
    ledger.play(24)
    return ledger


def calibrate(ledger: Ledger, *arguments: str | Path) -> tuple[int, str, str]:
    def read(network: Path, model: str | None, chain_url: str | None) -> tuple[ModelId, Iterable[Event]]:
        assert (network, model, chain_url) == (Path("network.toml"), None, "http://chain")
        return ledger.model, ledger.log

    given = ["calibrate", "--network", "network.toml", "--chain-url", "http://chain", *map(str, arguments)]
    result = CliRunner().invoke(mounted(read), given)
    return result.exit_code, result.stdout, result.stderr


@pytest.mark.parametrize(
    "arguments",
    [(), ("report.json", "--network", "n.toml"), ("report.json", "--holdout", "0.2"),
     ("--network", "n.toml", "--draws", "3"), ("--network", "n.toml", "--out", "x")],
)  # fmt: skip
def test_options_that_do_not_go_together_are_wrong_usage(arguments: tuple[str, ...]) -> None:
    result = CliRunner().invoke(app, ["calibrate", *arguments])
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("error: ")


def test_a_network_without_enough_rounds_is_refused_with_a_sentence() -> None:
    short = Ledger()
    short.play(3)
    status, out, err = calibrate(short)
    assert (status, out) == (1, "")
    assert err.startswith("error: the history has 3 rounds with 15 judged legs, at least 12 rounds with 40 legs")


def test_what_is_printed_goes_into_a_scenario_as_it_is(ledger: Ledger, tmp_path: Path) -> None:
    status, out, err = calibrate(ledger)
    assert (status, err) == (0, "")
    assert "\n# not told: what people's work costs them" in out
    assert "rate = 0." in out
    line = next(each for each in out.splitlines() if each.startswith("rate = "))
    assert line.endswith("]")
    assert "  # [" in line
    file = tmp_path / "fitted.toml"
    file.write_text(HEAD + out, encoding="utf-8")
    fitted = load(file)
    assert (fitted.world.relays, fitted.world.group[0].count, fitted.world.group[1].count) == (1, 6, 6)
    assert fitted.event[0].kind == "partition"
    assert fitted.ledger.committee_size == 5


def test_draws_are_scenarios_of_their_own(ledger: Ledger, tmp_path: Path) -> None:
    status, _, err = calibrate(ledger, "--draws", "3", "--out", tmp_path / "draws")
    assert status == 0
    assert "3 scenarios are in" in err
    files = sorted((tmp_path / "draws").glob("*.toml"))
    assert [file.name for file in files] == ["draw-001.toml", "draw-002.toml", "draw-003.toml"]
    drawn = [load(file) for file in files]
    assert len({each.world.learning.rate for each in drawn}) > 1
    assert drawn[0].rounds == load("honest").rounds


@pytest.mark.slow
def test_the_held_out_rounds_are_judged_in_text_and_in_json(ledger: Ledger) -> None:
    status, out, _ = calibrate(ledger, "--holdout", "0.25", "--json")
    assert status == 0
    document = json.loads(out)
    assert document["rounds"] == [1, 24]
    assert document["holdout"]["fitted_rounds"] == 18
    assert set(document["holdout"]["measures"]) >= {"legs", "selected share"}
    rate = document["values"]["world.learning.rate"]
    assert document["intervals"]["world.learning.rate"][0] == pytest.approx(rate, rel=1e-3)
    text = calibrate(ledger, "--holdout", "0.25")[1]
    assert tomllib.loads(text)["world"]["learning"]
    last = text.rstrip().splitlines()[-1]
    assert last.startswith("# the calibrated world ")
    assert ("does not" in last) is not document["holdout"]["predicts"]


def test_the_simulator_alone_says_that_it_reads_no_network() -> None:
    result = CliRunner().invoke(app, ["calibrate", "--network", "network.toml"], obj=None)
    assert result.exit_code == 1
