"""The samples of one peer, loaded when they are first asked for and again when their files change. Needs no torch."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Iterator
from pathlib import Path

from . import data
from .job_lines import SamplesDone
from .split import Split

log = logging.getLogger(__name__)


class OwnData:
    """What a data spec points to, kept until a file of it has another size or another time of change."""

    def __init__(self, spec: str, judge_only: bool = False) -> None:
        """`spec` is one of data.SPECS; a peer that only judges holds all of it out."""
        self.spec = spec
        self._judge_only = judge_only
        self._loaded: Split | None = None
        self._mark = b""

    def load(self) -> Split:
        """The samples. Raises LocalFault."""
        mark = _mark(self.spec)  # before the files are read: what changes meanwhile is read again next time
        if self._loaded is not None and mark != self._mark:
            log.info("%s has changed and is loaded again", self.spec)
            self._loaded = None
        if self._loaded is None:
            whole = data.load(self.spec)
            self._loaded, self._mark = whole.all_held_out() if self._judge_only else whole, mark
        return self._loaded

    def samples(self) -> SamplesDone:
        """How many samples there are to train on and held out. Raises LocalFault."""
        own = self.load()
        return SamplesDone(train=len(own.train_y), held=len(own.held_y))


def _mark(spec: str) -> bytes:
    """Digest of path, size and time of change of each file that the spec names; data of a package never change."""
    digest = hashlib.sha256()
    for part in spec.partition(":")[2].split(","):
        for path in _files(Path(part.rpartition("=")[2])):
            seen = path.stat()
            digest.update(f"{path}\0{seen.st_size}\0{seen.st_mtime_ns}\0".encode())
    return digest.digest()


def _files(place: Path) -> Iterator[Path]:
    if place.is_file():
        yield place
    elif place.name and place.is_dir():
        for folder, folders, names in os.walk(place):
            folders.sort()
            yield from (path for name in sorted(names) if (path := Path(folder, name)).is_file())
