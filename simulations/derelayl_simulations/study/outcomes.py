"""What each run came to: one row a run, for lists, comparisons and sweeps."""

from __future__ import annotations

import numpy as np
import polars as pl

from .results import Results

TOTALS = ("minted", "burned", "revenue", "slashed", "demand", "audits")
"""Columns that are added up over the rounds; of all others the last round counts."""

LISTED = (
    "supply", "minted", "burned", "gini", "owners", "trainers", "models", "share_latest", "share_behind_1",
    "share_behind_2",
)  # fmt: skip
"""What `derelayl sim run --json` says of every run."""

TAGS = ("scenario", "seed", "run", "point", "round", "extinct_round")


def outcomes(results: Results, point: int | None = None) -> pl.DataFrame:
    """Return one row a run, sorted by run: scenario, seed, run, point, rounds, extinct_round, alive (0 or 1), swept
    keys, then every column: the total of TOTALS, the last round of the others, null where that does not exist.
    """
    table = results.rounds(point=point)
    if table.is_empty():
        return table
    kept = [*TAGS, *(key for key in results.study.over if key in table.columns)]
    metrics = [name for name in table.columns if name not in kept]
    # A run that never had such a thing has no total either; polars would call it 0.
    values = [
        pl.when(pl.col(name).count() > 0).then(pl.col(name).sum()).alias(name)
        if name in TOTALS
        else pl.col(name).last()
        for name in metrics
    ]
    constants = [pl.col(name).last() for name in kept if name not in ("run", "round")]
    rows = table.group_by("run", maintain_order=True).agg(pl.col("round").last().alias("rounds"), *constants, *values)
    return rows.with_columns(alive=pl.col("extinct_round").is_null().cast(pl.Float64)).sort("run")


def column(rows: pl.DataFrame, name: str) -> np.typing.NDArray[np.float64]:
    """Return a column of outcomes over the runs, (runs,), NaN where it does not exist."""
    if name not in rows.columns:
        return np.full(len(rows), np.nan)
    return rows[name].cast(pl.Float64).to_numpy(allow_copy=True).astype(np.float64)
