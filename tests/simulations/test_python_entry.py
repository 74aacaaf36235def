"""What docs/SIMULATION.md shows of Python runs, and gives what it says."""

from __future__ import annotations

import ast
import inspect
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import derelayl_simulations
from derelayl_protocol.errors import LocalFault
from derelayl_simulations import Judge, Payment, Trainer, load, offer
from derelayl_simulations.ledger.mechanism import listed as rules
from derelayl_simulations.world.strategies import listed as strategies

SIMULATION = (Path(__file__).parents[2] / "docs" / "SIMULATION.md").read_text(encoding="utf-8")


@pytest.fixture
def takes_back(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nothing that a test offers outlasts it."""
    from derelayl_simulations import own

    monkeypatch.setattr(own, "_offered", {})
    yield
    monkeypatch.undo()
    own._forget()


@pytest.mark.usefixtures("takes_back")
def test_the_example_runs_and_says_what_a_deviation_gains(tmp_path: Path) -> None:
    (example,) = re.findall(r"```python\n(.*?)```", SIMULATION, re.DOTALL)
    names: dict[str, Any] = {"folder": tmp_path}
    exec(compile(example, "SIMULATION.md", "exec"), names)  # noqa: S102
    assert len(names["played"].table["quality"]) == names["scenario"].rounds == 40
    assert names["scenario"].ledger.royalty_share == 0.25
    tried = names["deviations"](names["small"], seed=0)
    assert {"sybil", "averager", "multi", "nudging-ring"} <= set(tried)
    assert tried["sybil"].gain == tried["sybil"].profit - tried["sybil"].before == names["gains"][0]
    assert len(names["swept"].points) == 2
    assert len(names["results"].finished()) == names["swept"].runs


@pytest.mark.parametrize("name", derelayl_simulations.__all__)
def test_every_name_is_there_and_says_what_it_is(name: str) -> None:
    found = getattr(derelayl_simulations, name)
    assert inspect.getdoc(found)
    assert name in dir(derelayl_simulations)


def test_every_name_that_the_docs_import_is_one_of_them() -> None:
    (example,) = re.findall(r"```python\n(.*?)```", SIMULATION, re.DOTALL)
    imports = [node for node in ast.walk(ast.parse(example)) if isinstance(node, ast.ImportFrom)]
    assert {node.module for node in imports} == {"derelayl_simulations"}
    assert {alias.name for node in imports for alias in node.names} <= set(derelayl_simulations.__all__)


def test_another_name_is_told_as_python_does() -> None:
    with pytest.raises(AttributeError, match="no attribute 'simulate'"):
        _ = derelayl_simulations.simulate


def test_importing_the_package_loads_nothing_of_it() -> None:
    program = "import sys, derelayl_simulations; print([n for n in sys.modules if 'derelayl' in n or n == 'numpy'])"
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert ran.stdout.strip() == "['derelayl_simulations']"


@pytest.mark.usefixtures("takes_back")
def test_what_is_offered_has_a_name_until_it_is_taken_back() -> None:
    class Mine(Trainer):
        pass

    class Flat(Payment):
        pass

    honest = load("honest")
    back = offer("mine", Mine)
    offer("flat", Flat)
    assert ("plug-in", "mine", "of this-process 0") in strategies()
    assert ("plug-in", "flat", "of this-process 0") in rules()
    changed = honest.with_values({"world.group.trainers.strategy": "mine", "mechanism.payment": "flat"})
    assert changed.not_run() == ("payment = flat: of this-process 0",)
    back()
    with pytest.raises(LocalFault, match="mine is no strategy of a trainer"):
        honest.with_values({"world.group.trainers.strategy": "mine"})


@pytest.mark.usefixtures("takes_back")
def test_a_name_offered_again_stands_for_the_new_class() -> None:
    class First(Trainer):
        pass

    class Second(Judge):
        pass

    offer("mine", First)
    load("honest").with_values({"world.group.trainers.strategy": "mine"})
    offer("mine", Second)
    load("honest").with_values({"world.group.validators.strategy": "mine"})


def test_a_class_that_is_neither_is_refused() -> None:
    with pytest.raises(LocalFault, match="dict is no strategy"):
        offer("mine", dict)  # type: ignore[arg-type]
