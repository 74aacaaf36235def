"""Text: windows of bytes from files and folders, and corpora in the layout of their npm packages."""

from pathlib import Path

import numpy as np
import pytest

from derelayl_protocol.errors import LocalFault
from derelayl_training.data import load
from derelayl_training.kinds import InputKind
from derelayl_training.loaders.corpora import untagged


def numbered(windows: int, length: int = 8) -> str:
    """Windows that carry their own number in every byte but the last, which ends a line."""
    return "".join(chr(ord("A") + index) * length + "\n" for index in range(windows))


def written(path: Path, text: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


# --- refusals ---


@pytest.mark.parametrize(
    ("argument", "reason"),
    [
        ("{0}/absent", "absent cannot be read: No such file"),
        ("{0}/a.txt,length=1", "length is '1', allowed is a number from 2 to 1024"),
        ("{0}/a.txt,length=8.5", "length is '8.5', allowed is a whole number"),
        ("{0}/a.txt,length=x", "length is 'x'"),
        ("{0}/a.txt,held=1", "held is '1'"),
        ("{0}/a.txt,gray", "'gray' is not an option|allowed is exactly one"),
        ("{0}/a.txt,length=200", "is empty: it has less than two windows of 201 bytes"),
        ("{0}/nothing", "has no text files"),
        ("{0}/nested", "nested/inner is not a file"),
        ("{0}/linked", "points outside the folder"),
        ("{0}/latin.txt", r"is not UTF-8: byte 1 is 0xe4"),
    ],
)
def test_a_text_that_cannot_be_read_is_refused(tmp_path: Path, argument: str, reason: str) -> None:
    written(tmp_path / "a.txt", numbered(10))
    (tmp_path / "nothing").mkdir()
    (tmp_path / "nested" / "inner").mkdir(parents=True)
    (tmp_path / "linked").mkdir()
    (tmp_path / "linked" / "b.txt").symlink_to(tmp_path / "a.txt")
    written(tmp_path / "latin.txt", "Bär".encode("latin-1"))
    with pytest.raises(LocalFault, match=reason):
        load(f"text:{argument.format(tmp_path)}")


def test_an_address_with_another_name_is_refused(tmp_path: Path) -> None:
    written(tmp_path / "1790_george_washington_n.txt", numbered(10))
    written(tmp_path / "notes.txt", numbered(10))
    with pytest.raises(LocalFault, match=r"notes\.txt is not named YEAR_PRESIDENT_PARTY\.txt"):
        load(f"sotu:{tmp_path}")


def test_a_folder_without_files_of_the_brown_corpus_is_refused(tmp_path: Path) -> None:
    written(tmp_path / "README", "words")
    with pytest.raises(LocalFault, match="has no files of the Brown corpus"):
        load(f"brown:{tmp_path}")


# --- windows ---


def test_labels_are_the_bytes_that_follow(tmp_path: Path) -> None:
    split = load(f"text:{written(tmp_path / 'a', numbered(10))},length=8")
    assert split.kind is InputKind.TEXT
    assert split.train_x.shape == split.train_y.shape == (8, 8)
    np.testing.assert_array_equal(split.train_y[:, :-1], split.train_x[:, 1:])
    assert set(split.train_y[:, -1].tolist()) == {ord("\n")}


def test_the_tail_is_held_out_and_no_byte_is_in_two_windows(tmp_path: Path) -> None:
    split = load(f"text:{written(tmp_path / 'a', numbered(20) + 'rest')},length=8,held=0.25")
    firsts = [chr(window[0]) for window in split.train_x], [chr(window[0]) for window in split.held_x]
    assert firsts == (list("ABCDEFGHIJKLMNO"), list("PQRST"))


def test_umlauts_and_emoji_are_their_bytes(tmp_path: Path) -> None:
    text = "Grüße 🙂 " * 20
    split = load(f"text:{written(tmp_path / 'a', text)},length=4")
    assert bytes(split.train_x[0]) == text.encode()[:4]
    assert split.train_x.max() > 127


def test_each_file_of_a_folder_is_a_site_with_a_tail_of_its_own(tmp_path: Path) -> None:
    written(tmp_path / "b.txt", numbered(10))
    written(tmp_path / "a.txt", numbered(20))
    written(tmp_path / "short.txt", "too short")
    split = load(f"text:{tmp_path},length=8,held=0.2")
    assert split.sites is not None
    assert split.sites.names == ("a.txt", "b.txt")
    assert np.bincount(split.sites.train).tolist() == [16, 8]
    assert split.sites.held.tolist() == [0, 0, 0, 0, 1, 1]
    assert [chr(window[0]) for window in split.held_x] == list("QRSTIJ")


# --- corpora ---


@pytest.mark.parametrize("inside", ["", "sotu/data"], ids=["the folder itself", "the package"])
def test_a_president_is_a_site(tmp_path: Path, inside: str) -> None:
    folder = tmp_path / inside
    written(folder / "1790_george_washington_n.txt", "first " * 40)
    written(folder / "1790_george_washington_n.json", "{}")
    written(folder / "1791_george_washington_n.txt", "second " * 40)
    written(folder / "1797_john_adams_f.txt", "third " * 40)
    split = load(f"sotu:{tmp_path},length=9")
    assert split.sites is not None
    assert split.sites.names == ("george_washington", "john_adams")
    assert b"first" in bytes(split.train_x[0])


def test_a_genre_is_a_site_and_tags_are_stripped(tmp_path: Path) -> None:
    tagged = "\n\n\tThe/at jury/nn said/vbd 1/2/cd ,/, ``/`` yes/rb ''/'' ./.\n" * 30
    for name in ("ca01", "ca02", "cr09", "README", "CONTENTS", "cats.txt", "package.json"):
        written(tmp_path / name, tagged)
    split = load(f"brown:{tmp_path},length=16")
    assert split.sites is not None
    assert split.sites.names == ("press-reportage", "humor")
    assert not any(b"/nn" in bytes(window) for window in split.pooled()[0])
    assert untagged(tagged).splitlines()[0] == "The jury said 1/2 , `` yes '' ."
