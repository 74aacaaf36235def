"""What the peers of one network agree on about their tables: columns, categories, scale and classes, as a TOML file.

One person makes it from one table and shares it; nothing is fitted at any other peer, so that a number means the same
to the network wherever it comes from.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from derelayl_protocol.errors import LocalFault
from derelayl_protocol.limits import MIB

from ..split import MAX_CLASSES

MAX_SCHEMA_BYTES = 4 * MIB
MAX_COLUMNS = 10_000
MAX_VALUES = 100
"""Different texts of one category; a column with more is a name or a free text."""

MAX_FEATURES = 65_536
"""Numbers that one row may become, the widest that the registry's networks take."""

Name = Annotated[str, Field(min_length=1, max_length=200)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, strict=True)


class NumberColumn(_Part):
    """One feature, (value - mean) / scale, and one more that says where it is missing, if `missing`."""

    name: Name
    kind: Literal["number"]
    mean: float
    scale: Annotated[float, Field(gt=0)]
    missing: bool = False

    @property
    def width(self) -> int:
        """How many features it becomes."""
        return 1 + self.missing


class CategoryColumn(_Part):
    """A feature for each value, one for any other, and one more that says where it is missing, if `missing`."""

    name: Name
    kind: Literal["category"]
    values: Annotated[list[Name], Field(min_length=1, max_length=MAX_VALUES)]
    missing: bool = False

    @model_validator(mode="after")
    def _values_differ(self) -> Self:
        if len(set(self.values)) < len(self.values):
            raise ValueError(f"column {self.name!r} lists a value twice")
        return self

    @property
    def width(self) -> int:
        """How many features it becomes."""
        return len(self.values) + 1 + self.missing


Column = Annotated[NumberColumn | CategoryColumn, Field(discriminator="kind")]


class Schema(_Part):
    """The columns of a row in the order of its features, and what its label may be: class i is the label i."""

    label: Name
    classes: Annotated[list[Name], Field(min_length=2, max_length=MAX_CLASSES)]
    site: Name | None = None
    columns: Annotated[list[Column], Field(min_length=1, max_length=MAX_COLUMNS)]

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        names = [column.name for column in self.columns]
        if len(set(names)) < len(names):
            raise ValueError("a column is listed twice")
        if len(set(self.classes)) < len(self.classes):
            raise ValueError("a class is listed twice")
        if self.label in names or self.site in names or self.site == self.label:
            raise ValueError("the label and the site are no columns to learn from")
        if self.features > MAX_FEATURES:
            raise ValueError(f"a row becomes {self.features} features, allowed are {MAX_FEATURES}")
        return self

    @property
    def features(self) -> int:
        """Numbers that one row becomes."""
        return sum(column.width for column in self.columns)


def read_schema(path: Path) -> Schema:
    """Read a schema file. Raises LocalFault naming the file and what is wrong."""
    try:
        if (size := path.stat().st_size) > MAX_SCHEMA_BYTES:
            raise LocalFault(f"the schema {path} has {size} bytes, allowed are {MAX_SCHEMA_BYTES}")
        return Schema.model_validate(tomllib.loads(path.read_text(encoding="utf-8-sig")))
    except OSError as error:
        raise LocalFault(
            f"the schema {path} cannot be read: {error.strerror}; make one with `derelayl data schema`"
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise LocalFault(f"the schema {path} is not TOML: {error}") from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "as a whole"
        raise LocalFault(f"the schema {path}, {where}: {first['msg']}") from None


def schema_text(schema: Schema) -> str:
    """Write a schema as TOML; the same schema gives the same text."""
    head = [
        "# How a table becomes numbers. All peers of a network use one copy of this file.",
        f"label = {_toml(schema.label)}",
        f"classes = {_toml(schema.classes)}",
        *([f"site = {_toml(schema.site)}"] if schema.site is not None else []),
    ]
    columns = [
        ["", "[[columns]]", *(f"{key} = {_toml(value)}" for key, value in column.model_dump().items())]
        for column in schema.columns
    ]
    return "\n".join([*head, *(line for column in columns for line in column)]) + "\n"


def _toml(value: str | float | bool | Sequence[str]) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case float() | int():
            return repr(float(value))
        case str():
            return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007F")  # else JSON's strings are TOML's
    return "[" + ", ".join(_toml(each) for each in value) + "]"
