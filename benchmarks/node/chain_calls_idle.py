"""What an idle seeder asks its chain in a minute, and its share of a core, beside an earlier commit in turns.

Nobody bids, so the embedded chain makes no blocks.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

from benchmarks.rows import Row

from .beside import rows_beside, start
from .counting import CountingChain

CASE = "chain_calls_idle"
TURNS = 2
SETTLE_SECONDS = 45.0
"""A node looks often in its first half minute, and loads what it needs later."""


def measure(quick: bool) -> list[Row]:
    """Rows of the case."""
    seconds = 20.0 if quick else 60.0

    def idle(tree: start.Tree, net: Path, chain: CountingChain) -> Mapping[str, float]:
        with start.node(tree, net, "bootstrap", "seeder") as process:
            time.sleep(SETTLE_SECONDS)
            calls, used = chain.calls.total(), start.processor_seconds(process)
            time.sleep(seconds)
            return {
                "calls a minute of an idle seeder": (chain.calls.total() - calls) * 60 / seconds,
                "share of a core of an idle seeder": (start.processor_seconds(process) - used) / seconds,
            }

    return rows_beside(CASE, idle, 1 if quick else TURNS)
