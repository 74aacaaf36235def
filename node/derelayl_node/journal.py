"""What a node has signed or sealed in a round, on disk before anybody else learns of it.

A validator's sealed answer: without its salt a commit cannot be opened, and a second answer to the same round costs the
stake. A trainer's child: a second one under the same lease costs the bid. So the first word stands, whoever writes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from derelayl_protocol.types import ModelId, Ppm, Root
from derelayl_training.files import write_json

from .lock import alone_in
from .ports import StoreDamaged, StoreFull
from .store.chunks import DISK_IS_FULL

Kept = TypeVar("Kept")

MAX_JOURNAL_ENTRIES = 128
"""Files kept, two a round at most; older rounds are over."""


@dataclass(frozen=True, slots=True)
class SealedScores:
    """What one seat committed to."""

    scores: tuple[Ppm, ...]
    originals: tuple[int, ...]
    salt: bytes


@dataclass(frozen=True, slots=True)
class SignedChild:
    """A child that this account has signed, with its manifest as peers will get it."""

    root: Root
    manifest: bytes


class Journal:
    """One small file for each answer and each child. Written before what it names leaves the process, and once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def write(self, model: ModelId, round_number: int, sealed: SealedScores) -> SealedScores:
        """Keep the answer, readable by its owner alone, and return the one that stands: the first one of the round.

        Raises StoreFull, StoreDamaged.
        """
        document = {
            "scores": list(sealed.scores),
            "originals": list(sealed.originals),
            "salt": sealed.salt.hex(),
        }
        path = self._answer_path(model, round_number)
        self._write(path, document)
        return _standing(self.read(model, round_number), path)

    def read(self, model: ModelId, round_number: int) -> SealedScores | None:
        """The answer given in the round, None if there is none. Raises StoreDamaged."""
        path = self._answer_path(model, round_number)
        try:
            entry = json.loads(path.read_text())
            scores = tuple(Ppm(int(score)) for score in entry["scores"])
            originals = tuple(int(original) for original in entry["originals"])
            return SealedScores(scores, originals, bytes.fromhex(entry["salt"]))
        except FileNotFoundError:
            return None
        except OSError as error:
            raise _unreadable(path, error) from error
        except (ValueError, KeyError, TypeError) as error:
            raise StoreDamaged(f"{path} is damaged ({error}); delete it: this round's reveal is lost") from error

    def write_child(self, model: ModelId, round_number: int, parent: Root, child: SignedChild) -> SignedChild:
        """Keep the child signed under a lease, and return the one that stands: the first one.

        Raises StoreFull, StoreDamaged.
        """
        document = {"child": child.root.hex(), "manifest": child.manifest.hex()}
        path = self._child_path(model, round_number, parent)
        self._write(path, document)
        return _standing(self.child(model, round_number, parent), path)

    def child(self, model: ModelId, round_number: int, parent: Root) -> SignedChild | None:
        """The child signed under a lease, None if there is none. Raises StoreDamaged."""
        path = self._child_path(model, round_number, parent)
        try:
            entry = json.loads(path.read_text())
            return SignedChild(Root(bytes.fromhex(entry["child"])), bytes.fromhex(entry["manifest"]))
        except FileNotFoundError:
            return None
        except OSError as error:
            raise _unreadable(path, error) from error
        except (ValueError, KeyError, TypeError) as error:
            raise StoreDamaged(f"{path} is damaged ({error}); delete it when round {round_number} is over") from error

    def _write(self, path: Path, document: Mapping[str, object]) -> None:
        """Put a whole document at `path` unless there is one, whoever else writes. Raises StoreFull."""
        try:
            with alone_in(self._folder, wait=True):
                if not path.exists():
                    write_json(path, document)
                    self._forget_old(path)
        except OSError as error:
            # no LocalFault, which would end a peer that may have scores to reveal
            remedy = "free some space" if error.errno in DISK_IS_FULL else "check the folder's permissions"
            raise StoreFull(f"cannot write {path}: {error.strerror}; {remedy}") from error

    def _answer_path(self, model: ModelId, round_number: int) -> Path:
        return self._folder / f"{model.hex()[:16]}-{round_number:08d}.json"

    def _child_path(self, model: ModelId, round_number: int, parent: Root) -> Path:
        return self._folder / f"{model.hex()[:16]}-{round_number:08d}-{parent.hex()[:16]}.json"

    def _forget_old(self, new: Path) -> None:
        others = [path for path in self._folder.glob("*.json") if path != new]  # the clock may have gone back
        others.sort(key=lambda path: path.stat().st_mtime_ns)
        for path in others[: -(MAX_JOURNAL_ENTRIES - 1)]:
            path.unlink(missing_ok=True)


def _unreadable(path: Path, error: OSError) -> StoreDamaged:
    """Not to be deleted: what it holds may be whole."""
    return StoreDamaged(f"{path} cannot be read: {error.strerror}; fix its permissions or its disk")


def _standing(found: Kept | None, path: Path) -> Kept:
    if found is None:
        raise StoreDamaged(f"{path} was deleted while it was written; leave the journal's folder to the node")
    return found
