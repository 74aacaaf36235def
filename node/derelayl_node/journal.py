"""What a node has signed or sealed in a round, on disk before anybody else learns of it.

A validator's sealed answer: without its salt a commit cannot be opened, and a second answer to the same round costs the
stake. A trainer's child: a second one under the same lease costs the bid.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from derelayl_protocol.types import ModelId, Ppm, Root
from derelayl_training.files import write_json

from .ports import StoreDamaged, StoreFull

MAX_JOURNAL_ENTRIES = 128
"""Files kept, two a round at most; older rounds are over."""


@dataclass(frozen=True, slots=True)
class SealedScores:
    """What one seat committed to."""

    scores: tuple[Ppm, ...]
    salt: bytes


@dataclass(frozen=True, slots=True)
class SignedChild:
    """A child that this account has signed, with its manifest as peers will get it."""

    root: Root
    manifest: bytes


class Journal:
    """One small file for each answer and each child. Written before what it names leaves the process."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def write(self, model: ModelId, round_number: int, sealed: SealedScores) -> None:
        """Keep the answer, readable by its owner alone. Raises StoreFull."""
        document = {"scores": list(sealed.scores), "salt": sealed.salt.hex()}
        self._write(self._answer_path(model, round_number), document)

    def read(self, model: ModelId, round_number: int) -> SealedScores | None:
        """The answer given in the round, None if there is none. Raises StoreDamaged."""
        path = self._answer_path(model, round_number)
        try:
            entry = json.loads(path.read_text())
            return SealedScores(tuple(Ppm(int(score)) for score in entry["scores"]), bytes.fromhex(entry["salt"]))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise StoreDamaged(f"{path} is damaged ({error}); delete it: this round's reveal is lost") from error

    def write_child(self, model: ModelId, round_number: int, parent: Root, child: SignedChild) -> None:
        """Keep the child signed under a lease. Raises StoreFull."""
        document = {"child": child.root.hex(), "manifest": child.manifest.hex()}
        self._write(self._child_path(model, round_number, parent), document)

    def child(self, model: ModelId, round_number: int, parent: Root) -> SignedChild | None:
        """The child signed under a lease, None if there is none. Raises StoreDamaged."""
        path = self._child_path(model, round_number, parent)
        try:
            entry = json.loads(path.read_text())
            return SignedChild(Root(bytes.fromhex(entry["child"])), bytes.fromhex(entry["manifest"]))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise StoreDamaged(f"{path} is damaged ({error}); delete it when round {round_number} is over") from error

    def _write(self, path: Path, document: Mapping[str, object]) -> None:
        try:
            write_json(path, document)
        except OSError as error:
            raise StoreFull(f"cannot write {path}: {error.strerror}; free some space") from error
        self._forget_old()

    def _answer_path(self, model: ModelId, round_number: int) -> Path:
        return self._folder / f"{model.hex()[:16]}-{round_number:08d}.json"

    def _child_path(self, model: ModelId, round_number: int, parent: Root) -> Path:
        return self._folder / f"{model.hex()[:16]}-{round_number:08d}-{parent.hex()[:16]}.json"

    def _forget_old(self) -> None:
        entries = sorted(self._folder.glob("*.json"), key=lambda path: path.stat().st_mtime_ns)
        for path in entries[:-MAX_JOURNAL_ENTRIES]:
            path.unlink(missing_ok=True)
