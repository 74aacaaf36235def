"""The validator's journal survives restarts, stays private and says when it is damaged."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from derelayl_node.journal import MAX_JOURNAL_ENTRIES, Journal, SealedScores, SignedChild
from derelayl_node.ports import StoreDamaged, StoreFull
from derelayl_protocol.types import UNAVAILABLE, ModelId, Ppm, Root

MODEL = ModelId(b"m" * 32)
SEALED = SealedScores((Ppm(5), UNAVAILABLE), b"s" * 32)


def test_a_damaged_entry_is_named_with_what_is_lost(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.write(MODEL, 3, SEALED)
    path = next(tmp_path.iterdir())
    path.write_text(path.read_text()[:-9])
    with pytest.raises(StoreDamaged, match="reveal is lost"):
        journal.read(MODEL, 3)


def test_a_folder_that_cannot_be_written_is_reported(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j")
    (tmp_path / "j").rmdir()
    with pytest.raises(StoreFull, match="cannot write"):
        journal.write(MODEL, 3, SEALED)


def test_an_unknown_round_has_no_entry(tmp_path: Path) -> None:
    assert Journal(tmp_path).read(MODEL, 3) is None


def test_an_entry_reads_back_after_a_restart_and_is_private(tmp_path: Path) -> None:
    Journal(tmp_path).write(MODEL, 3, SEALED)
    assert Journal(tmp_path).read(MODEL, 3) == SEALED
    assert stat.S_IMODE(next(tmp_path.iterdir()).stat().st_mode) == 0o600


def test_old_rounds_are_forgotten(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    for number in range(MAX_JOURNAL_ENTRIES + 3):
        journal.write(MODEL, number, SEALED)
    assert len(list(tmp_path.iterdir())) == MAX_JOURNAL_ENTRIES
    assert journal.read(MODEL, MAX_JOURNAL_ENTRIES + 2) == SEALED


def test_a_child_reads_back_after_a_restart_and_belongs_to_its_lease(tmp_path: Path) -> None:
    parent, child = Root(b"p" * 32), SignedChild(Root(b"c" * 32), b"a manifest")
    Journal(tmp_path).write_child(MODEL, 3, parent, child)
    assert Journal(tmp_path).child(MODEL, 3, parent) == child
    assert Journal(tmp_path).child(MODEL, 3, child.root) is None
    assert Journal(tmp_path).child(MODEL, 4, parent) is None
    assert Journal(tmp_path).read(MODEL, 3) is None


def test_a_damaged_child_stops_the_leg_instead_of_signing_a_second_one(tmp_path: Path) -> None:
    Journal(tmp_path).write_child(MODEL, 3, Root(b"p" * 32), SignedChild(Root(b"c" * 32), b"a manifest"))
    path = next(tmp_path.iterdir())
    path.write_text("{}")
    with pytest.raises(StoreDamaged, match="when round 3 is over"):
        Journal(tmp_path).child(MODEL, 3, Root(b"p" * 32))
