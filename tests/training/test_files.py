"""A file is complete or as it was, whoever may read it, and whatever a killed process has left."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from derelayl_training.files import TEMPORARY_SUFFIX, replacing, write_json, write_private, write_text


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def fail_half_way(path: Path, shared: bool) -> None:
    with replacing(path, shared=shared) as part:
        part.write_text("ne")
        raise ZeroDivisionError


@pytest.mark.parametrize("shared", [False, True])
def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path: Path, shared: bool) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    with pytest.raises(ZeroDivisionError):
        fail_half_way(path, shared)
    assert (path.read_text(), list(tmp_path.iterdir())) == ("old", [path])


def test_a_place_that_cannot_be_taken_is_an_os_error_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "file" / "inside").mkdir(parents=True)
    with pytest.raises(OSError, match="file"):
        write_text(tmp_path / "file", "new")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_two_writers_of_a_shared_path_are_not_in_each_other_s_way(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with replacing(path, shared=True) as first, replacing(path, shared=True) as second:
        first.write_text("1")
        second.write_text("2")
    assert (path.read_text(), list(tmp_path.iterdir())) == ("1", [path])


def test_what_a_killed_process_left_is_overwritten_and_never_makes_a_private_file_public(tmp_path: Path) -> None:
    path = tmp_path / "file"
    left = tmp_path / f"file{TEMPORARY_SUFFIX}"
    left.write_text("left behind, and long")
    left.chmod(0o644)
    write_private(path, "new")
    assert (path.read_text(), mode_of(path), list(tmp_path.iterdir())) == ("new", 0o600, [path])


def test_json_is_private_and_other_text_is_what_the_user_s_files_are(tmp_path: Path) -> None:
    before = os.umask(0o022)
    write_json(tmp_path / "private", {"a": 1})
    write_text(tmp_path / "public", "é")
    os.umask(before)
    assert (tmp_path / "private").read_text() == '{\n  "a": 1\n}\n'
    assert (tmp_path / "public").read_bytes() == "é".encode()
    assert (mode_of(tmp_path / "private"), mode_of(tmp_path / "public")) == (0o600, 0o644)
