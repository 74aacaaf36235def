"""Two studies side by side: every column's difference with an interval."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..columns import COLUMNS
from .outcomes import column, outcomes
from .results import Results
from .statistics import CONFIDENCE, Interval, difference, mean

EXTRA = {"alive": "1 if not extinct after the last round"}


@dataclass(frozen=True, slots=True)
class Compared:
    """One column in both studies."""

    column: str
    first: Interval
    second: Interval
    difference: Interval  # second less first
    paired: bool  # over the seeds that both have

    @property
    def clear(self) -> bool:
        """Tell whether the interval of the difference leaves zero out."""
        return self.difference.low > 0 or self.difference.high < 0


def compare(first: Results, second: Results, confidence: float = CONFIDENCE) -> list[Compared]:
    """Compare the first points of two studies, see outcomes.outcomes for what counts of a column.

    Seeds that both have are paired: they play on the same luck where the worlds are alike. Columns that either has not
    are left out.
    """
    rows = [outcomes(results, 0) for results in (first, second)]
    seeds = [set(each["seed"].to_list()) for each in rows]
    paired = len(seeds[0] & seeds[1]) > 1
    if paired:
        rows = [each.filter(each["seed"].is_in(sorted(seeds[0] & seeds[1]))).sort("seed") for each in rows]
    compared = []
    for name in [*EXTRA, *(name for name in rows[0].columns if name in COLUMNS or name.startswith("profit_"))]:
        a, b = (column(each, name) for each in rows)
        if name in rows[1].columns and not (np.isnan(a).all() or np.isnan(b).all()):
            found = difference(a, b, paired, confidence)
            compared.append(Compared(name, mean(a, confidence), mean(b, confidence), found, paired))
    return compared
