"""From the index any rule is found in every form: nothing in it is missing, and no rule is left out."""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from functools import cache
from importlib import import_module
from pathlib import Path

import pytest

from derelayl_protocol import limits, types
from derelayl_protocol.ledger import scoring
from derelayl_protocol.ledger.apply import HANDLERS

from .rules_index import PAGE, ROOT, Rule, file_of, headings, page, rules

RULES = rules()
ROWS = pytest.mark.parametrize("rule", RULES, ids=lambda rule: f"{rule.at}: {rule.rule}")
CONSTANTS = (ROOT / "contracts" / "src" / "libraries" / "ConstantsLib.sol").read_text(encoding="utf-8")
INTERFACE = (ROOT / "contracts" / "src" / "interfaces" / "IRelayLedger.sol").read_text(encoding="utf-8")
LONE_SECTIONS = {"2-canonical-json-stable", "6-limits"}
"""Sections without headings of their own."""


@cache
def functions(file: Path) -> frozenset[str]:
    """The names of the functions of a file, Python or Solidity."""
    text = file.read_text(encoding="utf-8")
    if file.suffix == ".sol":
        return frozenset(re.findall(r"\bfunction (\w+)", text))
    nodes = ast.walk(ast.parse(text))
    return frozenset(node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def names(part: Sequence[str] | str) -> list[str]:
    return [] if isinstance(part, str) else list(part)


def test_every_rule_is_in_the_index_and_nothing_that_is_no_rule() -> None:
    sections = {anchor for anchor in headings() if anchor[0].isdigit()}
    assert {rule.at for rule in RULES} == headings().keys() - sections | LONE_SECTIONS


def test_the_page_is_what_the_table_says() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run: python -m tests.rules_index --write"


@ROWS
def test_what_the_index_names_exists(rule: Rule) -> None:
    assert rule.reference
    assert rule.tests
    for name in (*rule.reference, *names(rule.simulator)):
        module, _, attributes = name.partition(":")
        found = import_module(module)
        for attribute in filter(None, attributes.split(".")):
            found = getattr(found, attribute)
    for name in names(rule.contract):
        _, _, function = name.partition(".")
        assert not function or function in functions(file_of(name)), name
    for name in rule.tests:
        assert name.rpartition("::")[2] in functions(file_of(name)), name


@ROWS
def test_the_simulator_s_form_is_the_simulator_s_and_a_contract_s_rule_is_tested_on_the_contract(rule: Rule) -> None:
    assert all(name.startswith("derelayl_simulations.") for name in names(rule.simulator))
    assert not names(rule.contract) or any("contracts" in test for test in rule.tests) or rule.at in UNTESTED_ALONE


UNTESTED_ALONE = {"paid-models", "6-limits"}
"""Rules whose part in the contract is a view or a constant, which other rows test."""


def test_every_command_of_the_reference_and_of_the_contract_is_in_the_index() -> None:
    handlers = {f"{handler.__module__}:{handler.__name__}" for handler in HANDLERS.values()}
    assert handlers <= {name for rule in RULES for name in rule.reference}
    commands = {f"RelayLedger.{name}" for name in re.findall(r"function (\w+)\([^)]*\) external;", INTERFACE)}
    assert len(commands) >= len(HANDLERS)
    assert commands <= {name for rule in RULES for name in names(rule.contract)}


def test_the_contract_s_constants_are_the_protocol_s() -> None:
    written = re.findall(r"^\w+ constant (\w+) = ([^;]+);", CONSTANTS, re.MULTILINE)
    spelled = {"30 days": 30 * 24 * 3600, "type(uint96).max": 2**96 - 1, "type(int64).min": -(2**63)}
    values = {name: spelled[text] if text in spelled else int(text) for name, text in written}
    known = {**vars(scoring), **vars(types), **vars(limits)}
    assert values
    assert values == {name: known[name] for name in values}
