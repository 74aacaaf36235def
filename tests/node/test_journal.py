"""A node's journal survives restarts, stays private, keeps the first word and says when it is damaged or refused."""

from __future__ import annotations

import errno
import os
import stat
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from threading import Barrier

import pytest

from derelayl_node.journal import MAX_JOURNAL_ENTRIES, Journal, SealedScores, SignedChild
from derelayl_node.ports import StoreDamaged, StoreFull
from derelayl_protocol.types import UNAVAILABLE, ModelId, Ppm, Root

MODEL = ModelId(b"m" * 32)
WRITERS = 8
SEALED = SealedScores((Ppm(5), UNAVAILABLE), (0, 1), b"s" * 32)


def test_a_damaged_entry_is_named_with_what_is_lost(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.write(MODEL, 3, SEALED)
    path = next(tmp_path.glob("*.json"))
    path.write_text(path.read_text()[:-9])
    with pytest.raises(StoreDamaged, match="reveal is lost"):
        journal.read(MODEL, 3)


@pytest.mark.parametrize(
    ("reason", "remedy"),
    [
        (errno.ENOSPC, "No space left on device; free some space"),
        (errno.EDQUOT, "free some space"),
        (errno.EACCES, "Permission denied; check the folder's permissions"),
        (errno.EROFS, "check the folder's permissions"),
    ],
)
def test_a_refused_write_is_told_with_its_reason_and_remedy_and_leaves_nothing(
    reason: int, remedy: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: object) -> None:
        raise OSError(reason, os.strerror(reason))

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(StoreFull, match=remedy):
        Journal(tmp_path).write(MODEL, 3, SEALED)
    assert [path.name for path in tmp_path.iterdir()] == ["lock"]


def test_a_folder_that_is_gone_is_reported(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j")
    (tmp_path / "j").rmdir()
    with pytest.raises(StoreFull, match="No such file or directory; check the folder"):
        journal.write(MODEL, 3, SEALED)


def test_a_second_answer_to_a_round_does_not_replace_the_first(tmp_path: Path) -> None:
    one, two = Journal(tmp_path), Journal(tmp_path)
    assert one.write(MODEL, 3, SEALED) == SEALED
    assert two.write(MODEL, 3, SealedScores((Ppm(6), Ppm(7)), (0, 0), b"t" * 32)) == SEALED
    assert two.read(MODEL, 3) == SEALED
    assert len(list(tmp_path.glob("*.json"))) == 1


def test_a_second_child_of_a_lease_does_not_replace_the_first(tmp_path: Path) -> None:
    parent, first = Root(b"p" * 32), SignedChild(Root(b"c" * 32), b"fetched 10 bytes")
    assert Journal(tmp_path).write_child(MODEL, 3, parent, first) == first
    assert Journal(tmp_path).write_child(MODEL, 3, parent, SignedChild(Root(b"d" * 32), b"fetched 0 bytes")) == first
    assert Journal(tmp_path).child(MODEL, 3, parent) == first


def test_of_many_writers_at_once_one_stands_and_all_are_told_it(tmp_path: Path) -> None:
    salts = [bytes([number]) * 32 for number in range(WRITERS)]
    at_once = Barrier(WRITERS)

    def write(salt: bytes) -> SealedScores:
        at_once.wait()
        return Journal(tmp_path).write(MODEL, 3, SealedScores((Ppm(5),), (0,), salt))

    with ThreadPoolExecutor(WRITERS) as pool:
        told = set(pool.map(write, salts))
    assert told == {Journal(tmp_path).read(MODEL, 3)}


def test_a_damaged_answer_is_not_replaced_either(tmp_path: Path) -> None:
    Journal(tmp_path).write(MODEL, 3, SEALED)
    path = next(tmp_path.glob("*.json"))
    path.write_text("{}")
    with pytest.raises(StoreDamaged, match="reveal is lost"):
        Journal(tmp_path).write(MODEL, 3, SEALED)
    assert path.read_text() == "{}"


def test_an_entry_that_cannot_be_read_is_not_called_damaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object) -> str:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(Path, "read_text", refuse)
    for read in (partial(Journal.read, round_number=3), partial(Journal.child, round_number=3, parent=Root(b"p" * 32))):
        with pytest.raises(StoreDamaged, match="cannot be read: Permission denied; fix its permissions"):
            read(Journal(tmp_path), MODEL)


def test_an_unknown_round_has_no_entry(tmp_path: Path) -> None:
    assert Journal(tmp_path).read(MODEL, 3) is None


def test_an_entry_reads_back_after_a_restart_and_is_private(tmp_path: Path) -> None:
    Journal(tmp_path).write(MODEL, 3, SEALED)
    assert Journal(tmp_path).read(MODEL, 3) == SEALED
    assert stat.S_IMODE(next(tmp_path.glob("*.json")).stat().st_mode) == 0o600


def test_old_rounds_are_forgotten(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    for number in range(MAX_JOURNAL_ENTRIES + 3):
        journal.write(MODEL, number, SEALED)
    assert len(list(tmp_path.glob("*.json"))) == MAX_JOURNAL_ENTRIES
    assert journal.read(MODEL, MAX_JOURNAL_ENTRIES + 2) == SEALED


def test_a_clock_that_went_back_does_not_make_the_newest_the_one_to_forget(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    for number in range(MAX_JOURNAL_ENTRIES):
        journal.write(MODEL, number, SEALED)
    for path in tmp_path.glob("*.json"):
        os.utime(path, (2**32, 2**32))
    assert journal.write(MODEL, MAX_JOURNAL_ENTRIES, SEALED) == SEALED
    assert len(list(tmp_path.glob("*.json"))) == MAX_JOURNAL_ENTRIES


def test_a_child_reads_back_after_a_restart_and_belongs_to_its_lease(tmp_path: Path) -> None:
    parent, child = Root(b"p" * 32), SignedChild(Root(b"c" * 32), b"a manifest")
    Journal(tmp_path).write_child(MODEL, 3, parent, child)
    assert Journal(tmp_path).child(MODEL, 3, parent) == child
    assert Journal(tmp_path).child(MODEL, 3, child.root) is None
    assert Journal(tmp_path).child(MODEL, 4, parent) is None
    assert Journal(tmp_path).read(MODEL, 3) is None


def test_a_damaged_child_stops_the_leg_instead_of_signing_a_second_one(tmp_path: Path) -> None:
    Journal(tmp_path).write_child(MODEL, 3, Root(b"p" * 32), SignedChild(Root(b"c" * 32), b"a manifest"))
    path = next(tmp_path.glob("*.json"))
    path.write_text("{}")
    with pytest.raises(StoreDamaged, match="when round 3 is over"):
        Journal(tmp_path).child(MODEL, 3, Root(b"p" * 32))
