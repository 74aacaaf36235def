"""Modules load faster while nothing looks for garbage among them."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def loading() -> Iterator[None]:
    """Load modules inside: they stay, so looking for garbage meanwhile only costs time.

    Nor is it looked for among them later, which would copy to each process the memory that forked processes share.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
