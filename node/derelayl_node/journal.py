"""A validator's sealed answers, kept on disk until they are revealed: without its salt a commit cannot be opened."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from derelayl_protocol.types import ModelId, Ppm

from .files import write_json
from .ports import StoreDamaged, StoreFull

MAX_JOURNAL_ENTRIES = 64
"""Rounds remembered; older ones are past their reveal."""


@dataclass(frozen=True, slots=True)
class SealedScores:
    """What one seat committed to."""

    scores: tuple[Ppm, ...]
    salt: bytes


class Journal:
    """One small file a round. Written before the commit is sent, so a crash in between loses nothing."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def write(self, model: ModelId, round_number: int, sealed: SealedScores) -> None:
        """Keep the answer, readable by its owner alone. Raises StoreFull."""
        path = self._path(model, round_number)
        try:
            write_json(path, {"scores": list(sealed.scores), "salt": sealed.salt.hex()})
        except OSError as error:
            raise StoreFull(f"cannot write {path}: {error.strerror}; free some space") from error
        self._forget_old()

    def read(self, model: ModelId, round_number: int) -> SealedScores | None:
        """The answer given in the round, None if there is none. Raises StoreDamaged."""
        path = self._path(model, round_number)
        try:
            entry = json.loads(path.read_text())
            return SealedScores(tuple(Ppm(int(score)) for score in entry["scores"]), bytes.fromhex(entry["salt"]))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise StoreDamaged(f"{path} is damaged ({error}); delete it: this round's reveal is lost") from error

    def _path(self, model: ModelId, round_number: int) -> Path:
        return self._folder / f"{model.hex()[:16]}-{round_number:08d}.json"

    def _forget_old(self) -> None:
        entries = sorted(self._folder.glob("*.json"), key=lambda path: path.stat().st_mtime_ns)
        for path in entries[:-MAX_JOURNAL_ENTRIES]:
            path.unlink(missing_ok=True)
