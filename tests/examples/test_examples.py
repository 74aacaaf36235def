"""Every example runs as it stands and says what its description promises."""

from __future__ import annotations

import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from derelayl_protocol.spelling import to_hex
from derelayl_training.train import configure_torch

from ..facade.playing import index_of, play, served, tiny_relay

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
README = (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> None:
    configure_torch(threads=1)


def run(name: str, capsys: pytest.CaptureFixture[str]) -> str:
    runpy.run_path(str(EXAMPLES / name), run_name="example")
    return capsys.readouterr().out


def test_a_relay_in_twenty_lines_learns_and_pays(capsys: pytest.CaptureFixture[str]) -> None:
    said = run("relay_in_twenty_lines.py", capsys)
    accuracy = re.search(r"^(\S+)% of the samples that nobody had", said, re.MULTILINE)
    assert accuracy
    assert float(accuracy[1]) > 80
    assert "by founder in round 0" in said
    assert "was selected" in said


def test_the_readme_shows_the_example_that_runs() -> None:
    source = (EXAMPLES / "relay_in_twenty_lines.py").read_text(encoding="utf-8")
    assert len(source.splitlines()) <= 20
    code = source.partition("\n\n")[2]  # without its description
    assert f"```python\n{code}```" in README


def test_a_loop_of_one_s_own_makes_an_accepted_child(capsys: pytest.CaptureFixture[str]) -> None:
    said = run("own_training_loop.py", capsys)
    assert "leg 0: gain +" in said
    assert "trained by adam of my own" in said


def test_a_served_lineage_is_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    relay = tiny_relay()
    play(relay, 2)
    main = runpy.run_path(str(EXAMPLES / "read_lineage.py"))["main"]
    with index_of(relay, tmp_path) as index, served(relay, index) as url:
        main(url)
    said = capsys.readouterr().out
    assert f"round 0: {relay.keys['founder'].address} made {to_hex(relay.genesis)}, gaining +0.000\n" in said
    assert f"{to_hex(relay.best.root)}, gaining +" in said


def test_a_reader_without_a_node_is_told_the_usage() -> None:
    command = [sys.executable, str(EXAMPLES / "read_lineage.py")]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (ran.returncode, ran.stdout) == (1, "")
    assert ran.stderr == "usage: python examples/read_lineage.py http://localhost:8080 [network.toml]\n"


def test_an_own_scenario_is_played_and_judged(capsys: pytest.CaptureFixture[str]) -> None:
    said = run("own_scenario.py", capsys)
    assert re.search(r"^ +(yes|no|undecided)  honest work pays the median trainer", said, re.MULTILINE)
    assert "trainer, ring: " in said
