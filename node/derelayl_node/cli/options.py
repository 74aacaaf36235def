"""The options of `node run`, and the tables of docs/SETTINGS.md, made from the fields of NodeSettings and of a recipe.

`python -m derelayl_node.cli.options docs/SETTINGS.md` brings the page up to date.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_args

import typer
from pydantic.fields import FieldInfo

from derelayl_training.dials import METHODS
from derelayl_training.recipe import Recipe

from ..settings import NodeSettings, option_of, variable_of

Command = TypeVar("Command", bound=Callable[..., None])

PARSED: tuple[type, ...] = (bool, int, float, Path)
"""Types that the command line reads itself; what else there is it hands on as text, and the settings refuse it."""


def takes_settings(command: Command) -> Command:
    """Give a command an option for each setting: it gets them by name, None where not given, beside its own."""
    own = [
        parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)
        for parameter in inspect.signature(command, eval_str=True).parameters.values()
        if parameter.kind is not inspect.Parameter.VAR_KEYWORD
    ]
    options = [_parameter(name, field) for name, field in NodeSettings.model_fields.items()]
    command.__signature__ = inspect.Signature([*options, *own])  # type: ignore[attr-defined]
    return command


def page(text: str) -> str:
    """The text of the page with its tables as they are now, each between two comments."""
    for name, table in (("settings", settings_table()), ("dials", dials_table())):
        before, begin, rest = text.partition(f"<!-- {name}: generated -->\n")
        _, end, after = rest.partition(f"<!-- end of {name} -->\n")
        text = before + begin + table + end + after
    return text


def settings_table() -> str:
    """The settings as a table in Markdown."""
    rows = ["| option | variable | default | |", "|---|---|---|---|"]
    for name, field in NodeSettings.model_fields.items():
        cells = (f"`{option_of(name)}`", f"`{variable_of(name)}`", _default(field), str(field.description))
        rows.append(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |")
    return "\n".join(rows) + "\n"


def dials_table() -> str:
    """The dials of a recipe as a table in Markdown."""
    rows = ["| dial | of | default | |", "|---|---|---|---|"]
    for name, field in Recipe.model_fields.items():
        owners = ", ".join(
            f"`{method}`"
            for method, entry in METHODS.items()
            if any(name in group.__annotations__ for group in entry.dials)
        )
        if name != "method":
            rows.append(f"| `{name}` | {owners or 'all'} | {_default(field)} | {field.description} |")
    return "\n".join(rows) + "\n"


def _parameter(name: str, field: FieldInfo) -> inspect.Parameter:
    kinds = {field.annotation, *get_args(field.annotation)}
    kind: Any = next((kind for kind in PARSED if kind in kinds), str)
    if field.annotation == tuple[str, ...]:
        kind = list[str]
    default = "" if field.is_required() else _default(field).strip("`")
    shown = typer.Option(option_of(name), help=field.description, show_default=default or False)
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[kind | None, shown]
    )


def _default(field: FieldInfo) -> str:
    value = field.get_default()
    if field.is_required():
        return "required"
    if isinstance(value, tuple):
        value = ",".join(value)
    return "" if value in (None, "") else f"`{str(value).lower() if isinstance(value, bool) else value}`"


if __name__ == "__main__":
    file = Path(sys.argv[1])
    file.write_text(page(file.read_text(encoding="utf-8")), encoding="utf-8")
