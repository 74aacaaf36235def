"""Exceptions out of a nursery, without the nursery."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import trio


def single(error: BaseException) -> BaseException:
    """Return the one exception that nested groups hold, or the first if all are of one type; else the group itself.

    Cancellations beside a real exception are its consequence and are left out.
    """
    while isinstance(error, BaseExceptionGroup):
        inner = [each for each in error.exceptions if not isinstance(each, trio.Cancelled)] or list(error.exceptions)
        if len({type(each) for each in inner}) != 1 or isinstance(inner[0], trio.Cancelled):
            break
        error = inner[0]
    return error


@contextmanager
def ungrouped() -> Iterator[None]:
    """Let the body's exception through as if its nurseries were not there."""
    failure: BaseException | None = None
    try:
        yield
    except BaseExceptionGroup as group:
        failure = single(group)
    if failure is not None:
        raise failure
