"""What commands keep between runs of what they read from a chain: a copy, which may be deleted at any time."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from derelayl_protocol.types import LedgerId

MAX_KEPT_LEDGERS = 8
"""Ledgers of which something is kept; beyond that, what was used least lately goes."""


def kept_folder(ledger: LedgerId, start_block: int) -> Path | None:
    """The folder for copies of a ledger's log, made if need be; None where nothing can be written.

    It lies in the user's cache, and is named by all that makes a log what it is.
    """
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "derelayl"
    folder = base / f"{ledger.chain_id}-{ledger.address}-{start_block}"
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        os.utime(folder)
        others = sorted((each for each in base.iterdir() if each.is_dir()), key=lambda each: each.stat().st_mtime)
        for old in others[:-MAX_KEPT_LEDGERS]:
            shutil.rmtree(old, ignore_errors=True)
    except OSError:
        return None
    return folder
