"""A folder's lock: one process at a time, and free again when that process is gone, however it ended.

The lock is on the open file, not the file's existence: nothing is left behind that somebody would have to delete.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from derelayl_protocol.errors import LocalFault

LOCK_FILE = "lock"
"""In the folder; holds the process id of whoever has or last had the lock."""


@contextmanager
def alone_in(folder: Path, *, wait: bool = False) -> Iterator[bool]:
    """Whether nobody else is in this block with the same folder, thread or process; with `wait`, once nobody is.

    Raises OSError.
    """
    with (folder / LOCK_FILE).open("a") as file:  # unlike "w", leaves the id of who has the lock
        try:
            fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield True


@contextmanager
def only_node(home: Path) -> Iterator[None]:
    """Be the only node of a home until the block ends. Raises LocalFault.

    Two would answer one round twice, which costs the stake. Commands need no lock: they share the outbox.
    """
    with ExitStack() as stack:
        try:
            home.mkdir(parents=True, exist_ok=True)
            alone = stack.enter_context(alone_in(home))
            holder = (home / LOCK_FILE).read_text().strip()
        except OSError as error:
            raise LocalFault(
                f"the home {home} cannot be locked: {error.strerror}; it has to be a folder that you may write to, on "
                "a disk of this machine"
            ) from error
        if not alone:
            raise LocalFault(
                f"a node runs with the home {home} already, as process {holder or '(not known yet)'}: stop it first, "
                "or give this one a key and a folder of its own with --home"
            )
        yield
