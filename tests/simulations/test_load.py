"""Scenario files: what is refused and with which words, and what a scenario says of itself."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from derelayl_protocol.errors import LocalFault
from derelayl_simulations.scenarios import load, names
from derelayl_simulations.scenarios.dotted import parse
from derelayl_simulations.scenarios.load import IDLE, MAX_FILE_BYTES, Scenario, check
from derelayl_simulations.study.plan import plan

from .fakes import small

LEDGER = """
name = "mine"
question = "Does it work?"
rules = "ledger"
rounds = 5
[[world.group]]
name = "people"
share = 0.8
[[world.group]]
name = "judges"
role = "validator"
share = 0.2
"""


def written(path: Path, text: str) -> Path:
    file = path / "mine.toml"
    file.write_text(text, encoding="utf-8")
    return file


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"k": 0}, "published.trainers_per_owner is 0, allowed is whole numbers 1 … 100000"),
        ({"s": 1.2}, "published.selected_share is 1.2, allowed is 0 … 1"),
        ({"p": "often"}, "published.success_probability is 'often', allowed is 0 … 1"),
        (
            {"published.trainer_per_owner": 2},
            "published.trainer_per_owner is unknown, did you mean trainers_per_owner?",
        ),
        ({"rounds": 2.5}, "rounds is 2.5, allowed is whole numbers 1 … 100000"),
        ({"rules": "mine"}, "rules is 'mine', allowed is 'published', 'ledger'"),
        ({"verdict.confidence": 1.0}, "verdict.confidence is 1.0, allowed is 0.5 … 0.999"),
        ({"verdict": 3}, "verdict is 3, allowed is a section"),
        ({"name": "Not a name"}, "name is 'Not a name'"),
        ({"sweep": {"over": {"k": {"low": 1}}}}, "sweep.over.published.trainers_per_owner.high is missing"),
        ({"sweep": {"over": {"k": {"low": 3, "high": 2}}}}, "low is 3.0, which must be below high, 2.0"),
        ({"sweep": {"over": {"k": []}}}, "allowed is a list of 1 … 1000 values"),
        ({"sweep": {"over": {"k": [1]}, "method": "guess"}}, "sweep.method is 'guess', allowed is 'grid', 'latin'"),
        ({"ledger.gamma": 0.3, "k": 2}, "ledger has no effect under the rules 'published'"),
        ({"name.first": 1}, "name is the value 'small', not a section"),
    ],
)
def test_a_wrong_value_is_named_with_its_key_and_what_is_allowed(change: dict[str, object], sentence: str) -> None:
    with pytest.raises(LocalFault) as caught:
        small().with_values(change)
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"published.test_fee": 1}, "published has no effect under the rules 'ledger'; leave it out"),
        ({"world.costs.energy_price": -1}, "world.costs.energy_price is -1, allowed is 0 … 1e+06"),
        ({"world.group.0.cost": {"mean": -1}}, "world.group.0.cost.mean is -1, allowed is 0 … 1e+09"),
        ({"world.group.nobody.share": 1}, "world.group.nobody names no entry; there are people, judges"),
        ({"ledger.quorum": 15}, "ledger: quorum is 15, allowed is 1 … 11"),
        ({"event": [{"round": 1, "kind": "boom", "amount": 1}]}, "event.0.kind is 'boom', allowed is 'cost', 'demand'"),
    ],
)
def test_a_wrong_value_of_the_world_is_named_too(tmp_path: Path, change: dict[str, object], sentence: str) -> None:
    with pytest.raises(LocalFault) as caught:
        load(written(tmp_path, LEDGER)).with_values(change)
    assert sentence in str(caught.value)


def test_the_byte_order_mark_that_some_editors_write_is_passed_over(tmp_path: Path) -> None:
    file = written(tmp_path, LEDGER)
    plain = load(file)
    file.write_text(file.read_text(encoding="utf-8"), encoding="utf-8-sig")
    assert load(file) == plain


def test_every_fault_of_a_file_is_told_once(tmp_path: Path) -> None:
    file = written(tmp_path, LEDGER + "share = 0.3\n")  # a key twice: not even TOML
    with pytest.raises(LocalFault, match=r"mine\.toml is not TOML"):
        load(file)
    file = written(tmp_path, LEDGER.replace("rounds = 5", "rounds = 0\nround = 5"))
    with pytest.raises(LocalFault) as caught:
        load(file)
    assert str(caught.value).startswith(f"{file}: ")
    assert "rounds is 0, allowed is whole numbers 1 … 100000; round is unknown, did you mean rounds?" in str(
        caught.value
    )


@pytest.mark.parametrize("content", [b"\xff\xfe", b"#" * (MAX_FILE_BYTES + 1)])
def test_a_file_that_is_no_scenario_is_refused_in_a_sentence(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "mine.toml"
    file.write_bytes(content)
    with pytest.raises(LocalFault, match="not a scenario"):
        load(file)


def test_a_file_that_is_not_there_and_a_name_that_nobody_has_are_refused(tmp_path: Path) -> None:
    with pytest.raises(LocalFault, match="No such file"):
        load(tmp_path / "absent.toml")
    with pytest.raises(LocalFault, match=r"no scenario is called 'publisht'; there are .*published"):
        load("publisht")


def test_a_short_name_and_the_long_one_together_are_refused() -> None:
    with pytest.raises(LocalFault, match="are the same; give one of them"):
        small(published={"k": 3, "trainers_per_owner": 4})


def test_short_names_are_taken_in_files_in_changes_and_in_sweeps(tmp_path: Path) -> None:
    assert small(published={"k": 3, "s": 0.75, "N": 24}).published.trainers_per_owner == 3
    assert small().with_values({"q": 0.25}).published.active_share == 0.25
    swept = small(sweep={"over": {"k": [2, 3], "p": {"low": 0.5, "high": 0.9}}}).sweep
    assert swept is not None
    assert list(swept.over) == ["published.trainers_per_owner", "published.success_probability"]
    ledger = load(written(tmp_path, LEDGER))
    assert ledger.with_values({"k": 2, "N": 64}).differences(ledger) == {
        "ledger.legs_per_tip": 2,
        "world.participants": 64,
    }


def test_an_entry_of_a_list_goes_by_its_name_or_its_place(tmp_path: Path) -> None:
    scenario = load(written(tmp_path, LEDGER))
    by_name = scenario.with_values({"world.group.judges.share": 0.4})
    assert by_name == scenario.with_values({"world.group.1.share": 0.4})
    assert by_name.differences(scenario) == {"world.group.judges.share": 0.4}


@pytest.mark.parametrize("name", names())
def test_a_scenario_of_the_package_is_called_what_its_file_is_and_asks_a_question(name: str) -> None:
    scenario = load(name)
    assert scenario.name == name
    assert "?" in scenario.question


@pytest.mark.parametrize("name", names())
def test_every_value_of_a_scenario_can_be_set_to_what_it_is(name: str) -> None:
    scenario = load(name)
    idle = ("sweep", *IDLE[scenario.rules])
    keep = {key: value for key, value in scenario.values().items() if value is not None and not key.startswith(idle)}
    assert scenario.with_values(keep) == scenario
    assert check(scenario.model_dump(mode="json")) == scenario


@given(st.integers(1, 50), st.floats(0, 1))
def test_what_was_set_is_what_differs(k: int, share: float) -> None:
    changed: Scenario = small().with_values({"k": k, "s": share})
    expected = {"published.trainers_per_owner": k, "published.selected_share": share}
    assert changed.differences(small()) == {
        key: value for key, value in expected.items() if small().values()[key] != value
    }


@pytest.mark.parametrize(
    ("text", "value"), [("3", 3), ("0.75", 0.75), ("true", True), ("grid", "grid"), ("[1, 2]", [1, 2])]
)
def test_values_on_the_command_line_are_read_as_toml_reads_them(text: str, value: object) -> None:
    assert parse(text) == value


def test_a_scenario_says_what_of_its_rules_nobody_runs() -> None:
    honest = load("honest")
    assert honest.not_run() == ()
    assert load("published").not_run() == ("the published mechanism",)
    parent = honest.with_values({"mechanism.base": "parent"})
    mark = "base = parent: Compares a child with its parent alone, without the averages of the tips"
    assert parent.not_run() == (mark,)
    assert parent.with_values({"mechanism.payment": "best"}).not_run()[0].startswith("payment = best: Pays the best")
    swept = {"over": {"mechanism.base": ["public", "parent"]}}
    study = plan(honest, [0], sweep=honest.with_values({"sweep": swept}).sweep)
    assert study.not_run() == parent.not_run()
