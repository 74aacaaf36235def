"""Run a target over many inputs and say what came out that should not have."""

from __future__ import annotations

import logging
import resource
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from .mutation import Mutator
from .targets import Target

MAX_SECONDS = 1.0
"""Processor time that one input of at most a few kilobytes may take: a thousand times what it takes."""

MAX_GROWTH_KIB = 128 * 1_024
"""Memory that a whole campaign of a target may add to the process."""

MAX_KEPT = 20
"""Failures that are kept of a target."""


@dataclass
class Finding:
    """An input that broke a promise."""

    target: str
    data: bytes
    what: str

    def __str__(self) -> str:
        return f"{self.target}: {self.what}: {self.data[:200].hex()}{'…' if len(self.data) > 200 else ''}"


@dataclass
class Outcome:
    """What a campaign came to. `accepted` inputs were decoded, the others refused."""

    target: str
    inputs: int = 0
    accepted: int = 0
    seconds: float = 0.0
    slowest: float = 0.0
    findings: list[Finding] = field(default_factory=list)

    def __str__(self) -> str:
        rate = self.inputs / self.seconds if self.seconds else 0.0
        return (
            f"{self.target:16} {self.inputs:>10,} inputs, {self.accepted:>9,} accepted, {rate:>9,.0f}/s, "
            f"slowest {1_000 * self.slowest:.1f} ms, {len(self.findings)} findings"
        )


def inputs_of(target: Target, seed: int, count: int) -> Iterator[bytes]:
    """The good inputs first, then mutated ones."""
    yield from target.corpus
    mutator = Mutator(f"{seed} {target.name}", target.corpus, target.max_bytes)
    for _ in range(count - len(target.corpus)):
        yield mutator.next()


def run_target(target: Target, seed: int, count: int) -> Outcome:
    """Give the target so many inputs drawn from a seed."""
    outcome = Outcome(target.name)
    logging.disable(logging.CRITICAL)
    try:
        _feed(target, inputs_of(target, seed, count), outcome)
    finally:
        logging.disable(logging.NOTSET)
    return outcome


def _feed(target: Target, inputs: Iterable[bytes], outcome: Outcome) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.thread_time()
    for data in inputs:
        try_one(target, data, outcome)
        if len(outcome.findings) >= MAX_KEPT:
            break
    outcome.seconds = time.thread_time() - began
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    if grown > MAX_GROWTH_KIB:
        outcome.findings.append(Finding(target.name, b"", f"the process grew by {grown} KiB"))


def try_one(target: Target, data: bytes, outcome: Outcome) -> None:
    """Decode one input and note what should not be."""
    began = time.thread_time()
    try:
        target.run(data)
        outcome.accepted += 1
    except target.expected:
        pass
    except Exception as error:  # noqa: BLE001 -- whatever it is, it was not declared
        outcome.findings.append(Finding(target.name, data, f"{type(error).__name__}: {str(error)[:200]}"))
    took = time.thread_time() - began
    outcome.inputs += 1
    outcome.slowest = max(outcome.slowest, took)
    if took > MAX_SECONDS:
        outcome.findings.append(Finding(target.name, data, f"took {took:.1f} s"))
