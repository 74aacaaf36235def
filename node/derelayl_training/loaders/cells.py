"""Cells of a table as text or as numbers, by rules that look at one cell at a time and so agree between peers."""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray

from derelayl_protocol.errors import LocalFault

MISSING_TEXTS = ("", "NA", "?", ".")
"""Text cells that count as missing: as spreadsheets, R, the UCI archive and SAS write them."""


def texts(source: str, column: pl.Series) -> pl.Series:
    """Write each cell as text; a missing cell is null. Raises LocalFault for a type that has no plain text.

    Spaces around are cut, 1.0 becomes 1 and True becomes true, so that CSV and Parquet files give the same.
    """
    _check_type(source, column)
    plain = column.cast(pl.String).str.strip_chars()
    plain = plain.str.replace(r"^(-?\d+)\.0+$", "$1").str.replace(r"^(?i:true)$", "true")
    plain = plain.str.replace(r"^(?i:false)$", "false")
    return plain.set(plain.is_in(list(MISSING_TEXTS)).fill_null(False), None)


def numbers(source: str, column: pl.Series) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return each cell as a number (rows,), 0 where it is missing, and which are missing (rows,).

    Raises LocalFault naming the row of a cell that is no finite number.
    """
    values, missing = _parse(source, column)
    unread = values.is_null() & ~missing
    if unread.any():
        row = unread.arg_max() or 0
        raise LocalFault(f"{source}: column {column.name!r}, row {row + 1}: {column[row]!r} is not a number")
    found = values.fill_null(0.0).to_numpy()
    if not np.isfinite(found).all():
        row = int(np.flatnonzero(~np.isfinite(found))[0])
        raise LocalFault(f"{source}: column {column.name!r}, row {row + 1}: {found[row]} is not a finite number")
    return found, missing.to_numpy()


def is_numeric(source: str, column: pl.Series) -> bool:
    """Whether every cell that is there is a number, and at least one is. Raises LocalFault for an unusable type."""
    if column.dtype == pl.Boolean:
        return False
    values, missing = _parse(source, column)
    return bool((values.is_null() == missing).all()) and not missing.all()


def _parse(source: str, column: pl.Series) -> tuple[pl.Series, pl.Series]:
    """Return numbers, null where a cell is not one, and which cells are missing."""
    if column.dtype.is_numeric():
        return column.cast(pl.Float64), column.is_null()
    plain = texts(source, column)
    return plain.cast(pl.Float64, strict=False), plain.is_null()


def _check_type(source: str, column: pl.Series) -> None:
    kind = column.dtype
    if not (kind.is_numeric() or kind in (pl.String, pl.Boolean, pl.Categorical, pl.Enum, pl.Null)):
        raise LocalFault(
            f"{source}: column {column.name!r} has the type {kind}, allowed are numbers, text and booleans: "
            f"leave it out"
        )
