"""The documents name what the code has: reasons, events, calls, limits, routes, commands; pictures come from tables."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import get_args

import pytest
import typer.main
from fastapi import FastAPI
from typer.core import TyperCommand, TyperGroup

from derelayl_node.api.app import create_app
from derelayl_node.api.status import NodeStatus
from derelayl_node.cli.main import COMMANDS, build
from derelayl_node.cli.options import page
from derelayl_node.lineage.index import LineageIndex
from derelayl_node.lineage.proof import Chain
from derelayl_node.settings import variable_of
from derelayl_protocol import limits
from derelayl_protocol.checkpoint.messages import CHUNKS_PROTOCOL, MANIFEST_PROTOCOL
from derelayl_protocol.errors import Reason
from derelayl_protocol.ledger.events import Event
from derelayl_protocol.ledger.phases import VoidReason
from derelayl_protocol.ledger.transitions import mermaid
from derelayl_protocol.types import Address, LedgerId

ROOT = Path(__file__).parents[1]
DOCS = {
    str(path.relative_to(ROOT)): path.read_text(encoding="utf-8")
    for path in (*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"))
}
MOST_COLUMNS = 120
"""Of a line of a document, in characters; a row of a table and a web address cannot be broken."""

ALL = "\n".join(DOCS.values())
CURRENT = {name: text for name, text in DOCS.items() if name != "CHANGELOG.md"}
"""Pages about what is; the change log also names what is gone."""

Command = TyperCommand | TyperGroup

UNITS = {"KiB", "MiB"}
OF_BENCHMARKS = {"--goodput", "--inputs", "--resume"}
"""Options that the pages name alone and that `derelayl` does not have."""


def test_the_phases_in_the_architecture_are_the_transition_table() -> None:
    assert mermaid().strip() in DOCS["docs/ARCHITECTURE.md"]


def test_the_wire_protocols_are_documented() -> None:
    for protocol in (MANIFEST_PROTOCOL, CHUNKS_PROTOCOL):
        assert protocol in DOCS["docs/PROTOCOL.md"]


# --- The protocol's names ---------------------------------------------------------------------------------------------


def test_the_protocol_names_exactly_the_reasons_and_events_there_are() -> None:
    """A word with capitals inside is a name: of a reason, an event or a unit."""
    text = re.sub(r"\w+\.sol\b", "", DOCS["docs/PROTOCOL.md"])
    reasons, events = {reason.value for reason in Reason}, {event.__name__ for event in get_args(Event)}
    named = set(re.findall(r"\b[A-Z][a-z]+(?:[A-Z][a-z]*)+\b", text)) - UNITS
    assert named - reasons - events == set(), "named, but neither a reason nor an event"
    assert reasons - named == set(), "a reason of which the protocol says nothing"
    assert {event for event in events if not re.search(rf"\b{event}\b", text)} == set(), "an event without a word"


def test_every_constant_that_the_protocol_names_exists() -> None:
    named = set(re.findall(r"\b[A-Z]+(?:_[A-Z]+)+\b", DOCS["docs/PROTOCOL.md"]))
    ends = {reason.name for reason in VoidReason}
    assert named - ends - set(vars(limits)) == set()
    assert ends - named == set(), "a way to void a round of which the protocol says nothing"


def test_every_call_that_the_protocol_names_is_one_of_the_contract() -> None:
    artifact = json.loads((ROOT / "contracts/artifacts/RelayLedger.json").read_text(encoding="utf-8"))
    named = set(re.findall(r"`([a-z]+(?:[A-Z][a-z]+)+)\b", DOCS["docs/PROTOCOL.md"]))
    assert named >= {"createModel", "matchRound"}
    assert named - {entry["name"] for entry in artifact["abi"] if entry["type"] == "function"} == set()


# --- Routes -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> FastAPI:
    index = LineageIndex(tmp_path_factory.mktemp("docs") / "lineage.db")
    chain = Chain("documented", LedgerId(31_337, Address("0x" + "11" * 20)))
    return create_app(index, chain=chain, manifests=lambda root: None, status=lambda: NodeStatus(True, 0.0))


def test_every_route_of_the_api_is_documented_with_its_whole_path(app: FastAPI) -> None:
    paths = set(app.openapi()["paths"])
    assert len(paths) > 10
    assert {path for path in paths if f"`{path}`" not in DOCS["docs/INTEGRATION.md"]} == set()


def test_every_route_that_a_page_names_exists(app: FastAPI) -> None:
    routes = {re.sub(r"\{\w+\}", "*", path) for path in app.openapi()["paths"]}
    named = [(name, path) for name, text in CURRENT.items() for path in re.findall(r"/v1/[\w/{}.…-]*\w\}?", text)]
    assert len({name for name, _ in named}) > 1
    assert [each for each in named if re.sub(r"\{\w+\}|0x…", "*", each[1]) not in routes] == []


# --- Commands ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_and_a_place_in_the_documents(name: str) -> None:
    missing = [" ".join(path) for path, command in commands().items() if path[0] == name and not command.help]
    assert missing == []
    assert f"derelayl {name}" in ALL


@pytest.mark.parametrize("name", CURRENT)
def test_every_command_line_on_a_page_is_one_that_derelayl_takes(name: str) -> None:
    assert [fault for line in command_lines(CURRENT[name]) for fault in faults(line)] == []


def test_command_lines_are_found_where_pages_have_them() -> None:
    fenced = "```\nderelayl key new --home ~/x \\\n    --json  # --no\n```\n"
    text = f"{fenced}Call `derelayl stake show|add`; what\nderelayl does:\n\n    derelayl api"
    assert [line.split() for line in command_lines(text)] == [
        ["key", "new", "--home", "~/x", "--json"], ["api"], ["stake", "show|add"],
    ]  # fmt: skip
    assert sum(len(command_lines(page)) for page in CURRENT.values()) > 50


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("nod run", "no command: derelayl nod"),
        ("node walk", "no command: derelayl node walk"),
        ("stake show|hide", "no command: derelayl stake hide"),
        ("node run … --hom ~/relay", "no option: derelayl node run --hom"),
        ("stake add|show --tokens 3", "no option: derelayl stake add --tokens"),
        ("data schema table.csv -x schema.toml", "no option: derelayl data schema -x"),
    ],
)
def test_a_command_or_an_option_that_does_not_exist_is_found(line: str, fault: str) -> None:
    assert fault in faults(line)


def test_every_option_that_a_page_names_alone_exists() -> None:
    named = {option for text in CURRENT.values() for option in re.findall(r"`(--[a-z][\w-]*)[^`\n]*`", text)}
    assert len(named) > 20
    assert named - set().union(*(options(command) for command in commands().values())) - OF_BENCHMARKS == set()


@cache
def commands() -> dict[tuple[str, ...], Command]:
    """Every command and every group of commands by the words that call it."""
    found: dict[tuple[str, ...], Command] = {}
    for name in COMMANDS:
        whole = typer.main.get_command(build([name]))
        assert isinstance(whole, TyperGroup)
        command = whole.commands[name]
        assert isinstance(command, Command)
        found[(name,)] = command
        for word, each in command.commands.items() if isinstance(command, TyperGroup) else ():
            assert isinstance(each, Command)
            found[(name, word)] = each
    return found


def command_lines(text: str) -> list[str]:
    """What follows `derelayl` on the lines of a page's code and in its spans of code, without comments."""
    joined = text.replace("\\\n", "")
    code = re.findall(r"^```[\s\S]*?^```|^ {4}.*$", joined, re.MULTILINE)
    lines = re.findall(r"^ *derelayl ([a-z][^#\n]*)", "\n".join(code), re.MULTILINE)
    return lines + re.findall(r"`derelayl ([a-z][^`]*)`", joined)


def faults(line: str) -> list[str]:
    """What of a command line, as pages write them, does not exist: `a|b` stands for both, `…` for what is left out."""
    words = line.split()
    paths: list[tuple[str, ...]] = [(words[0],)]
    if isinstance(commands().get(paths[0]), TyperGroup) and re.match(r"[a-z]", "".join(words[1:2])):
        paths = [(words[0], word) for word in words[1].split("|")]
    given = [word.partition("=")[0] for word in words if re.match(r"--?[a-z]", word)]
    return [f"no command: derelayl {' '.join(path)}" for path in paths if path not in commands()] + [
        f"no option: derelayl {' '.join(path)} {option}"
        for path in paths
        if path in commands()
        for option in given
        if option not in options(commands()[path])
    ]


def options(command: Command) -> set[str]:
    return {"--help", "--debug"} | {
        name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)
    }


# --- Pages ------------------------------------------------------------------------------------------------------------


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
