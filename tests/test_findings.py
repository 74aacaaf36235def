"""The scripts in findings/ have the form that their README states; what they show needs the network and is not run."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

FINDINGS = Path(__file__).parents[1] / "findings"
SCRIPTS = sorted(FINDINGS.glob("*.sh"))
README = (FINDINGS / "README.md").read_text(encoding="utf-8")
HEADER = ("#!/usr/bin/env bash\n# Expected: ", "\n# Happens:  ", "\n# Versions: ", "\n# Matters to ")
PINNED = re.compile(r'"[\w./@-]+(\[[\w-]+\])?(==|@)(\d[\w.]*|\$version)"')


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_a_finding_has_the_form_that_the_readme_states(script: Path) -> None:
    text = script.read_text(encoding="utf-8")
    places = [text.find(part) for part in HEADER]
    assert min(places) == 0, "the header says what was expected, what happens, with which versions and for whom"
    assert places == sorted(places)
    assert re.search(r"seen \d{4}-\d{2}-\d{2}\.", text), "the header says when it was seen"
    assert "\nset -euo pipefail\nwork=$(mktemp -d)\ntrap 'rm -rf \"$work\"' EXIT\n" in text
    assert PINNED.search(text), "packages are pinned"
    assert "changed" in text, "another behaviour ends it with a sentence"
    assert "derelayl" not in text, "it runs without our code"
    assert os.access(script, os.X_OK)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_a_finding_is_a_script_that_bash_can_read(script: Path) -> None:
    if (bash := shutil.which("bash")) is None:
        pytest.skip("no bash on this machine")
    subprocess.run([bash, "-n", str(script)], check=True)


def test_the_readme_lists_every_finding_and_no_other() -> None:
    listed = re.findall(r"^\| \[([\w-]+)\]\(\1\.sh\) \|", README, flags=re.MULTILINE)
    assert listed == [script.stem for script in SCRIPTS]
