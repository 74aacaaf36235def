"""How commands speak: one place for output, errors and the exit status.

Exit status 0 only on success, 2 for wrong usage (typer's own), 1 otherwise; an error is one sentence with the remedy on
standard error, a trace only with --debug.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import trio
from rich.console import Console

from derelayl_protocol.errors import ProtocolError, RuleViolation
from derelayl_protocol.spelling import exact_tokens

from ..failures import Failure
from ..refusals import sentence_of
from ..sparing import SparingHandler

INTERRUPTED = 130
"""Exit status after Ctrl-C or SIGTERM, as shells have it."""

out = Console()
err = Console(stderr=True)

EXPECTED = (ProtocolError, Failure, trio.TooSlowError, OSError)
"""Errors that a user can do something about; anything else is our bug and keeps its trace."""


def leaves(error: BaseException) -> Iterator[BaseException]:
    """The exceptions inside a group that nurseries make, or the exception itself."""
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from leaves(inner)
    else:
        yield error


def run(command: Callable[[], None], *, debug: bool) -> int:
    """Run a command and turn what it raises into an exit status."""
    try:
        command()
    except BaseException as error:
        found = list(leaves(error))
        if any(isinstance(leaf, SystemExit) for leaf in found):
            raise
        if all(isinstance(leaf, KeyboardInterrupt | trio.Cancelled) for leaf in found):
            return INTERRUPTED
        expected = next((leaf for leaf in found if isinstance(leaf, EXPECTED)), None)
        if expected is None or debug:
            raise
        say(f"derelayl: {sentence(expected)}")
        return 1
    return 0


def sentence(error: BaseException) -> str:
    """One line about an error."""
    if isinstance(error, RuleViolation):
        return sentence_of(error)
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}: {error.filename}" if error.filename else error.strerror
    return " ".join(str(error).split()) or type(error).__name__


def say(text: str) -> None:
    """One line on standard error, never wrapped or styled."""
    err.print(text, markup=False, highlight=False, soft_wrap=True)


def show(text: str) -> None:
    """One line on standard output."""
    out.print(text, markup=False, highlight=False, soft_wrap=True)


def show_json(document: Mapping[str, Any] | list[Any]) -> None:
    """A document on standard output for programs."""
    sys.stdout.write(json.dumps(document, indent=2) + "\n")


def in_tokens(document: Mapping[str, Any]) -> dict[str, Any]:
    """A document for people: each `NAME_wei` is `NAME`, in tokens."""
    return {
        name.removesuffix("_wei"): f"{exact_tokens(int(value))} tokens" if name.endswith("_wei") else value
        for name, value in document.items()
    }


def log_to_stderr(level: int = logging.INFO) -> None:
    """Log lines of our own packages at `level`, of others from warnings on; no stranger sets how many."""
    logging.basicConfig(
        format="%(asctime)s %(levelname)-7s %(name)s: %(message)s",
        level=logging.WARNING,
        handlers=[SparingHandler(time.monotonic)],
    )
    logging.getLogger("derelayl_node").setLevel(level)
