"""Files that other programs read while we write them, and that a power cut must not leave in half."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

TEMPORARY_SUFFIX = ".partial"
"""How a file's name ends until the file is complete."""


@contextmanager
def replacing(path: Path, *, shared: bool = False) -> Iterator[Path]:
    """Yield where to write what takes the place of `path`, flushed to disk, when the block ends without an error.

    `path` is complete or as it was. A process that is killed leaves a temporary file, which the next write overwrites;
    with `shared`, when others may write the same path at the same time, each has a name of its own that stays behind.
    Raises OSError.
    """
    token = f".{secrets.token_hex(4)}" if shared else ""
    part = path.with_name(f"{path.name}{token}{TEMPORARY_SUFFIX}")
    try:
        yield part
        flush(part)
        os.replace(part, path)
    except BaseException:
        with suppress(OSError):  # the first error is the one to tell
            part.unlink(missing_ok=True)
        raise
    flush(path.parent)


def flush(path: Path) -> None:
    """Make a file's bytes, or the names in a folder, survive a power cut. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_text(path: Path, text: str) -> None:
    """Write a file atomically. Raises OSError."""
    with replacing(path) as part:
        part.write_text(text, encoding="utf-8")


def write_private(path: Path, text: str) -> None:
    """Write a file atomically that only its owner may read. Raises OSError."""
    with replacing(path) as part:
        part.unlink(missing_ok=True)  # a killed process may have left one that others read
        with open(part, "x", encoding="utf-8", opener=_open_private) as file:
            file.write(text)


def write_json(path: Path, document: Mapping[str, Any]) -> None:
    """Write a JSON object atomically, readable by its owner alone. Raises OSError."""
    write_private(path, json.dumps(document, indent=2) + "\n")


def _open_private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
