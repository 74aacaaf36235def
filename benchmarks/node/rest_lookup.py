"""The REST API's answer for one checkpoint: a point lookup."""

from __future__ import annotations

from benchmarks.node.rest import measure_path
from benchmarks.rows import Row


def measure(quick: bool) -> list[Row]:
    return measure_path("rest_lookup", "", quick)
