"""What a rival is asked and what it answers, as JSON files; runs in the rival's own environment."""

from __future__ import annotations

import hashlib
import json
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.simulation.plain_relay import PlainRelay
from benchmarks.simulation.relay_luck import ACCOUNTS, BUDGET, FREE, STAKE, TRAINERS


@dataclass(frozen=True, slots=True)
class Job:
    rules: dict[str, int]
    relays: int
    rounds: int
    seed: int


Start = Callable[[Job], tuple[Callable[[], None], Callable[[], Sequence[PlainRelay]]]]
"""Set a rival up: what runs all rounds, and what says where its relays are then."""


def serve(start: Start) -> None:
    """Run the job in the file that the command line names; write seconds and digest where it says."""
    asked = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    out = Path(asked.pop("out"))
    go, relays = start(Job(**asked))
    begin = time.perf_counter()
    go()
    seconds = time.perf_counter() - begin
    out.write_text(json.dumps({"seconds": seconds, "digest": digest(map(balances, relays()))}), encoding="utf-8")


def new_relay(rules: dict[str, int], accounts: list[Any]) -> PlainRelay:
    """A relay of the benchmark's world; `accounts` are ACCOUNTS objects as `opening` says."""
    return PlainRelay(rules, accounts, list(range(TRAINERS, ACCOUNTS)), BUDGET)


def opening(number: int) -> tuple[int, int]:
    """What an account has at first, free and staked, in wei."""
    return (FREE, 0) if number < TRAINERS else (FREE - STAKE, STAKE)


def balances(relay: PlainRelay) -> list[int]:
    pending = sum(checkpoint.pending for checkpoint in relay.checkpoints)
    kept = [relay.budget, relay.carry, pending, relay.settled_rounds, len(relay.tips)]
    return [account.free for account in relay.accounts] + [account.stake for account in relay.accounts] + kept


def digest(relays: Iterable[Sequence[int]]) -> str:
    """A hash of every balance of every relay."""
    state = hashlib.sha256()
    for amounts in relays:
        state.update(" ".join(map(str, amounts)).encode() + b"\n")
    return state.hexdigest()
