"""Tables: a CSV or Parquet file, and what a schema makes of its rows."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from derelayl_protocol.errors import LocalFault

from ..split import MAX_CLASSES, MAX_SHARD_BYTES, Inputs, Labels, Sites, Split, check_split
from .cells import is_numeric, numbers, texts
from .schema import MAX_VALUES, CategoryColumn, Column, NumberColumn, Schema, read_schema
from .spec import Options, held_rows, parse_options

TABLE_KEYS = ("schema", "label", "site", "keep", "drop", "unlabelled", "held")
REPEATABLE_KEYS = ("keep", "drop")

CSV_ENDINGS = (".csv",)
PARQUET_ENDINGS = (".parquet", ".pq")

WHOLE_NUMBER = r"^-?\d+$"

MAX_NUMBERS = 100
"""Classes that are whole numbers; a label with more is a quantity. A schema may list more by hand."""


def load_table(argument: str) -> Split:
    """Load a CSV or Parquet file: `FILE` and options of TABLE_KEYS.

    Raises LocalFault naming the file, and the column and row (counted from 1) where one is at fault.
    """
    options = parse_options("table", argument, TABLE_KEYS, REPEATABLE_KEYS)
    return split_table(str(options.path), read_table(options.path), options)


def read_table(path: Path) -> pl.DataFrame:
    """Read a CSV file (all cells as text) or a Parquet file. Raises LocalFault naming the file."""
    ending = path.suffix.lower()
    if ending not in CSV_ENDINGS + PARQUET_ENDINGS:
        raise LocalFault(f"{path}: tables end in {', '.join(CSV_ENDINGS + PARQUET_ENDINGS)}, not in {ending!r}")
    try:
        if (size := path.stat().st_size) > MAX_SHARD_BYTES:
            raise LocalFault(f"{path} has {size} bytes, allowed are {MAX_SHARD_BYTES}")
        with path.open("rb") as file:
            # text throughout, or 007 and 7 would be the same category in one file and not in the next
            frame = pl.read_csv(file, infer_schema=False) if ending in CSV_ENDINGS else pl.read_parquet(file)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise LocalFault(f"{path} cannot be read as a table: {error}") from error
    if twice := [name for name in frame.columns if re.search(r"_duplicated_\d+$", name)]:
        raise LocalFault(f"{path} has the column {twice[0].rpartition('_duplicated_')[0]!r} twice")
    return frame


def split_table(source: str, frame: pl.DataFrame, options: Options, classes: Sequence[str] | None = None) -> Split:
    """Turn rows into a split by the options' schema, or by one made from the rows to train on. Raises LocalFault."""
    given = None if (path := options.one("schema")) is None else read_schema(Path(path))
    frame = _labelled(source, frame, given.label if given else options.one("label"), options)
    if not frame.height:
        raise LocalFault(f"{source} is empty: it has no rows")
    held = held_rows(frame.height, options.held())
    schema = given or _own_schema(source, frame, options, ~held, classes)
    inputs, labels = encode(source, frame, schema)
    sites = site_codes(source, frame, options.one("site") or schema.site, held)
    return check_split(source, Split(inputs[~held], labels[~held], inputs[held], labels[held], sites))


def _labelled(source: str, frame: pl.DataFrame, label: str | None, options: Options) -> pl.DataFrame:
    """Leave out the rows without a label if asked to. Raises LocalFault: options that do not go together."""
    if label is None:
        raise LocalFault(f"{source}: say what is to be predicted by label=COLUMN, or give schema=FILE")
    own = [key for key in ("label", "keep", "drop") if options.many(key)]
    if options.one("schema") is not None and own:
        raise LocalFault(f"{source}: the schema says which columns count; leave {own[0]}= away")
    if (unlabelled := options.one("unlabelled")) is None or label not in frame.columns:
        return frame
    if unlabelled != "drop":
        raise LocalFault(f"{source}: unlabelled is {unlabelled!r}, allowed is drop")
    return frame.filter(texts(source, frame[label]).is_not_null())


def _own_schema(
    source: str, frame: pl.DataFrame, options: Options, train: NDArray[np.bool_], classes: Sequence[str] | None
) -> Schema:
    return make_schema(
        source,
        frame,
        options.values["label"][0],
        site=options.one("site"),
        keep=options.many("keep"),
        drop=options.many("drop"),
        fit_on=train,
        classes=classes,
    )


def make_schema(
    source: str,
    frame: pl.DataFrame,
    label: str,
    *,
    site: str | None = None,
    keep: Collection[str] = (),
    drop: Collection[str] = (),
    missing_anywhere: bool = False,
    fit_on: NDArray[np.bool_] | None = None,
    classes: Sequence[str] | None = None,
) -> Schema:
    """Make a schema from a table: the columns in `keep`, by default all, become features.

    Never those in `drop`, nor the label and the site. Means, scales and values come from the rows in `fit_on` (rows,),
    by default all. A column has a feature for "missing" where a cell of it is missing, or all have with
    `missing_anywhere`. `classes` are taken as they are, else read from the label column. Raises LocalFault: no such
    column, a label that is no class, a column that cannot be used.
    """
    for name in (label, *([site] if site else []), *keep, *drop):
        if name not in frame.columns:
            raise LocalFault(f"{source} has no column {name!r}; it has {_listed(frame.columns)}")
    kept = [name for name in frame.columns if name not in {label, site, *drop} and (not keep or name in keep)]
    if not kept:
        raise LocalFault(f"{source} has no column to learn from")
    columns = [_column(source, frame[name], fit_on, missing_anywhere) for name in kept]
    try:
        found = list(classes) if classes is not None else label_classes(source, frame[label])
        return Schema(label=label, classes=found, site=site, columns=columns)
    except ValueError as error:
        raise LocalFault(f"{source}: {error}") from None


def _column(source: str, column: pl.Series, fit_on: NDArray[np.bool_] | None, missing_anywhere: bool) -> Column:
    chosen = np.ones(len(column), np.bool_) if fit_on is None else fit_on
    if is_numeric(source, column):
        values, missing = numbers(source, column)
        seen = values[chosen & ~missing]
        mean = math.fsum(seen) / max(1, len(seen))  # exact, so that no order of additions shows in the file
        scale = math.sqrt(math.fsum((seen - mean) ** 2) / max(1, len(seen)))
        return NumberColumn(
            name=column.name,
            kind="number",
            mean=mean,
            scale=scale or 1.0,
            missing=bool(missing.any()) or missing_anywhere,
        )
    plain = texts(source, column)
    values_seen = sorted(plain.filter(pl.Series(chosen)).drop_nulls().unique().to_list())
    if not 1 <= len(values_seen) <= MAX_VALUES:
        raise LocalFault(
            f"{source}: column {column.name!r} has {len(values_seen)} different texts, a category has 1 to "
            f"{MAX_VALUES}; leave it out with drop=, or name the columns to learn from with keep="
        )
    return CategoryColumn(
        name=column.name,
        kind="category",
        values=values_seen,
        missing=plain.null_count() > 0 or missing_anywhere,
    )


def label_classes(source: str, column: pl.Series) -> list[str]:
    """List the classes of a label column: whole numbers in their order, else text by code point. Raises LocalFault."""
    plain = texts(source, column).drop_nulls()
    values = plain.unique().to_list()
    whole = plain.str.contains(WHOLE_NUMBER).all()
    if (is_numeric(source, column) and not whole) or len(values) > (MAX_NUMBERS if whole else MAX_CLASSES):
        raise LocalFault(
            f"{source}: label {column.name!r} has {len(values)} different values such as {min(values)!r}: regression "
            f"is not offered, only classes (at most {MAX_CLASSES} texts or {MAX_NUMBERS} whole numbers)"
        )
    if len(values) < 2:
        raise LocalFault(f"{source}: label {column.name!r} has {len(values)} classes, needed are at least 2")
    return sorted(values, key=int) if whole else sorted(values)


def encode(source: str, frame: pl.DataFrame, schema: Schema) -> tuple[Inputs, Labels]:
    """Turn rows into features float32 (N, F) and labels (N,). Raises LocalFault naming the column and the row."""
    for name in (schema.label, *(column.name for column in schema.columns)):
        if name not in frame.columns:
            raise LocalFault(f"{source} lacks the column {name!r} of the schema; it has {_listed(frame.columns)}")
    size = frame.height * schema.features * np.float32().nbytes
    if size > MAX_SHARD_BYTES:
        raise LocalFault(f"{source} becomes {size} bytes, allowed are {MAX_SHARD_BYTES}")
    inputs = np.zeros((frame.height, schema.features), np.float32)
    place = 0
    for column in schema.columns:
        _fill(source, frame[column.name], column, inputs[:, place : place + column.width])
        place += column.width
    return inputs, encode_labels(source, frame[schema.label], schema.classes)


def _fill(source: str, cells: pl.Series, column: NumberColumn | CategoryColumn, features: Inputs) -> None:
    """Write one column's features (N, width), which are zero before."""
    if isinstance(column, NumberColumn):
        values, missing = numbers(source, cells)
        with np.errstate(over="ignore"):  # an infinity is refused by check_split, with its row
            features[:, 0] = np.where(missing, 0.0, (values - column.mean) / column.scale)
    else:
        plain = texts(source, cells)
        missing = plain.is_null().to_numpy()
        codes = _codes(plain, column.values, other=len(column.values))
        features[np.flatnonzero(~missing), codes[~missing]] = 1.0
    if column.missing:
        features[:, -1] = missing
    elif missing.any():
        raise LocalFault(
            f"{source}: column {column.name!r}, row {int(missing.argmax()) + 1} is missing, which the schema does not "
            f"foresee; let the network's schema say missing = true there"
        )


def encode_labels(source: str, cells: pl.Series, classes: Sequence[str]) -> Labels:
    """Number each label by its class (N,). Raises LocalFault naming the row of one that is missing or no class."""
    plain = texts(source, cells)
    labels = _codes(plain, classes, other=-1)
    if (labels < 0).any():
        row = int((labels < 0).argmax())
        found = "missing" if plain[row] is None else f"{plain[row]!r}"
        raise LocalFault(
            f"{source}: label {cells.name!r}, row {row + 1} is {found}, allowed are {_listed(classes)}"
            + ("; unlabelled=drop leaves such rows out" if plain[row] is None else "")
        )
    return labels


def site_codes(source: str, frame: pl.DataFrame, column: str | None, held: NDArray[np.bool_]) -> Sites | None:
    """Read the sites of the rows from a column, None for none. Raises LocalFault."""
    if column is None:
        return None
    if column not in frame.columns:
        raise LocalFault(f"{source} has no column {column!r} for the site; it has {_listed(frame.columns)}")
    plain = texts(source, frame[column])
    if plain.null_count():
        raise LocalFault(f"{source}: site {column!r}, row {(plain.is_null().arg_max() or 0) + 1} is missing")
    names = sorted(plain.unique().to_list())
    codes = _codes(plain, names, other=-1)
    return Sites(codes[~held], codes[held], tuple(names))


def _codes(plain: pl.Series, values: Sequence[str], other: int) -> NDArray[np.int64]:
    """Number each text by its place in `values`; `other` for one that is not there, or is missing."""
    places = pl.Series(range(len(values)), dtype=pl.Int64)
    known = pl.Series(values, dtype=pl.String)
    return plain.replace_strict(known, places, default=other, return_dtype=pl.Int64).to_numpy().astype(np.int64)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:20]) + (f" and {len(names) - 20} more" if len(names) > 20 else "")
