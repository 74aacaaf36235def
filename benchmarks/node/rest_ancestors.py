"""The REST API's answer for a page of a checkpoint's ancestors: a recursive question and 50 rows."""

from __future__ import annotations

from benchmarks.node.rest import measure_path
from benchmarks.rows import Row


def measure(quick: bool) -> list[Row]:
    return measure_path("rest_ancestors", "/ancestors", quick)
