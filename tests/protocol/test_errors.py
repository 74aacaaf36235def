"""Exceptions say who is at fault."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import derelayl_protocol
from derelayl_protocol.errors import Ignored, LocalFault, PeerFault, ProtocolError, Reason, RuleViolation

SOURCES = sorted(Path(next(iter(derelayl_protocol.__path__))).rglob("*.py"))


def test_an_error_without_a_culprit_cannot_be_raised() -> None:
    with pytest.raises(TypeError, match="who is at fault"):
        raise ProtocolError("something")


@pytest.mark.parametrize("kind", [PeerFault, Ignored, LocalFault])
def test_each_culprit_has_an_error(kind: type[ProtocolError]) -> None:
    with pytest.raises(ProtocolError, match="why"):
        raise kind("why")


def test_a_violation_names_the_contracts_error_and_the_detail() -> None:
    assert str(RuleViolation(Reason.WRONG_ROUND)) == "WrongRound"
    assert str(RuleViolation(Reason.WRONG_ROUND, "2 is running")) == "WrongRound: 2 is running"
    assert RuleViolation(Reason.TOO_LATE).reason is Reason.TOO_LATE


def test_reasons_are_spelled_as_the_contract_spells_its_errors() -> None:
    for reason in Reason:
        assert reason.value == "".join(part.capitalize() for part in reason.name.split("_"))


def test_every_reason_is_used() -> None:
    text = "\n".join(source.read_text(encoding="utf-8") for source in SOURCES)
    assert set(re.findall(r"\bReason\.([A-Z_]+)", text)) == {reason.name for reason in Reason}
