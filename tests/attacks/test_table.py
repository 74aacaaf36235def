"""docs/SECURITY.md says what the attacks measure."""

from __future__ import annotations

from pathlib import Path

import pytest

from .measuring import Attack
from .table import DOCUMENT, SECTIONS, document

FOLDER = Path(__file__).parent


def test_the_committed_tables_are_what_is_measured() -> None:
    assert document() == DOCUMENT.read_text(encoding="utf-8"), "run python -m tests.attacks.table --write"


@pytest.mark.parametrize(
    "wanted",
    [
        "Self-dealing ring",
        "Validator that guesses",
        "Child withheld from validators",
        "Copied commit",
        "Commit without reveal",
        "Sybil bids from one purse",
        "Sniping the last improvement",
        "Poisoned leg",
        "Lazy leg",
        "Duplicate of another's child",
        "Stale parent",
        "Owner who withholds chunks",
        "Griefing by tiny bids",
        "Reentrant token",
        "Overflow at every limit",
        "Front-run submission",
        "Relayer that drops signatures",
        "Wash access purchases",
        "Average of tips",
        "Sybil bids: half a training a copy",
        "Junk legs that make room",
        "Framing",
        "Secret runner",
        "Hoarder",
        "Stalling the trunk",
    ],
)
def test_each_attack_that_was_thought_of_has_a_row(wanted: str) -> None:
    assert f"\n| {wanted}" in DOCUMENT.read_text(encoding="utf-8")


def test_every_attack_that_is_defined_is_in_a_table() -> None:
    listed = {attack for _, attacks in SECTIONS for attack in attacks}
    defined = {attack for attack in _descendants(Attack) if hasattr(attack, "title")}
    assert {attack for attack in defined if "<locals>" not in attack.__qualname__} == listed  # what a test varies


def _descendants(kind: type[Attack]) -> set[type[Attack]]:
    children = set(kind.__subclasses__())
    return children | {grandchild for child in children for grandchild in _descendants(child)}
