"""The documents say what the code does: pictures from tables, every command and every route named somewhere."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import typer.main

from derelayl_node.cli.main import COMMANDS, build
from derelayl_node.cli.options import page
from derelayl_node.settings import variable_of
from derelayl_protocol.checkpoint.messages import CHUNKS_PROTOCOL, MANIFEST_PROTOCOL
from derelayl_protocol.errors import Reason
from derelayl_protocol.ledger.transitions import mermaid

ROOT = Path(__file__).parents[1]
DOCS = {
    str(path.relative_to(ROOT)): path.read_text(encoding="utf-8")
    for path in (*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"))
}
MOST_COLUMNS = 120
"""Of a line of a document, in characters; a row of a table and a web address cannot be broken."""

ALL = "\n".join(DOCS.values())


def test_the_phases_in_the_architecture_are_the_transition_table() -> None:
    assert mermaid().strip() in DOCS["docs/ARCHITECTURE.md"]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_and_a_place_in_the_documents(name: str) -> None:
    command = typer.main.get_command(build([name]))
    shown = command.commands[name] if hasattr(command, "commands") and name in command.commands else command
    assert shown.help
    assert f"derelayl {name}" in ALL


def test_the_wire_protocols_are_documented() -> None:
    for protocol in (MANIFEST_PROTOCOL, CHUNKS_PROTOCOL):
        assert protocol in DOCS["docs/PROTOCOL.md"]


def test_reasons_named_in_the_protocol_exist() -> None:
    named = set(re.findall(r"\b(?:Wrong|Too|Bad|Already|Zero|No[tA-Z])[A-Za-z]*[a-z]\b", DOCS["docs/PROTOCOL.md"]))
    known = {reason.value for reason in Reason}
    assert {name for name in named if name in known} >= {"WrongOrder", "WrongSeatOrder", "TooEarly", "BadScores"}


def test_the_settings_page_lists_what_the_fields_say() -> None:
    updated = page(DOCS["docs/SETTINGS.md"])
    assert f"`{variable_of('steps')}`" in updated
    assert DOCS["docs/SETTINGS.md"] == updated, "run: python -m derelayl_node.cli.options docs/SETTINGS.md"


def test_links_between_documents_lead_somewhere() -> None:
    for name, text in DOCS.items():
        for target, heading in re.findall(r"\]\((?!https?:)([^)#]*)#?([^)]*)\)", text):
            file = (ROOT / name).parent / target if target else ROOT / name
            assert file.exists(), f"{name} links to {target}"
            if heading:
                assert heading in anchors(file.read_text(encoding="utf-8")), f"{name} links to {target}#{heading}"


def anchors(text: str) -> set[str]:
    """Names by which a page shows its headings: lower case, spaces as hyphens, no punctuation."""
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_no_line_of_prose_or_code_is_longer_than_a_screen_is_wide() -> None:
    too_long = [
        f"{name}:{number}"
        for name, text in DOCS.items()
        for number, line in enumerate(text.splitlines(), 1)
        if len(line) > MOST_COLUMNS and not line.startswith("|") and "https://" not in line
    ]
    assert too_long == []


def test_the_citation_is_of_the_citation_file_format() -> None:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.citation-file-format"]
    done = subprocess.run([*command, str(ROOT / "CITATION.cff")], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_nothing_is_left_to_be_filled_in() -> None:
    assert "@@" not in ALL
