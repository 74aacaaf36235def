"""The notebook is what executing its source gives today."""

from __future__ import annotations

import json
import re
import runpy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from derelayl_simulations import own

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "examples" / "incentives.py"
NUMBER = re.compile(r"[-+]?\d+(?:\.\d+)?")


@pytest.fixture(scope="module")
def maker() -> dict[str, Any]:
    return runpy.run_path(str(ROOT / "scripts" / "notebook.py"))


@pytest.fixture(scope="module")
def committed() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(SOURCE.with_suffix(".ipynb").read_text(encoding="utf-8"))
    return found


@pytest.fixture
def takes_back(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(own, "_offered", {})
    yield
    monkeypatch.undo()
    own._forget()


def test_its_cells_are_those_of_the_source(maker: dict[str, Any], committed: dict[str, Any]) -> None:
    cells = list(maker["cells"](SOURCE.read_text(encoding="utf-8")))
    assert [(cell["cell_type"] == "markdown", "".join(cell["source"])) for cell in committed["cells"]] == cells


def test_it_is_committed_as_executed(committed: dict[str, Any]) -> None:
    code = [cell for cell in committed["cells"] if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1))
    pictures = [each for cell in code for each in cell["outputs"] if each["output_type"] == "display_data"]
    assert len(pictures) == 2
    assert len(json.dumps(committed)) < 200_000, "a repository keeps every version of its pictures"


@pytest.mark.slow
@pytest.mark.usefixtures("takes_back")
def test_executing_it_again_shows_the_same(maker: dict[str, Any], committed: dict[str, Any]) -> None:
    again = maker["execute"](SOURCE.read_text(encoding="utf-8"))
    for before, now in zip(committed["cells"], again["cells"], strict=True):
        then, today = maker["text_of"](before), maker["text_of"](now)
        assert NUMBER.sub("#", today) == NUMBER.sub("#", then)
        # matrix products differ in their last bits by processor, and a fit may then end a step of its grid further
        assert [float(each) for each in NUMBER.findall(today)] == pytest.approx(
            [float(each) for each in NUMBER.findall(then)], rel=0.05, abs=0.05
        )
        assert [each["output_type"] for each in now.get("outputs", ())] == [
            each["output_type"] for each in before.get("outputs", ())
        ]


def test_a_cell_that_fails_fails_the_notebook(maker: dict[str, Any]) -> None:
    with pytest.raises(ZeroDivisionError):
        maker["execute"]("# %%\nprint(1 / 0)\n")
