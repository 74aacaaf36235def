"""A model's rules as TOML: what `model create` registers and what the simulator plays, from the same text.

Every rule by its name, amounts in wei; or `preset = "standard"` and only what departs from it.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from dataclasses import asdict
from difflib import get_close_matches
from typing import Any

from ..errors import LocalFault, ProtocolError
from .presets import PRESETS
from .rules import BOUNDS, Rules

PRESET = "preset"
"""The one key of a file that is no rule."""


def find_rules(given: str, read: Callable[[str], str]) -> Rules:
    """The rules that a command line names: a preset, else the file whose text `read` returns. Raises LocalFault."""
    if given in PRESETS:
        return PRESETS[given]
    try:
        return parse_rules(read(given))
    except OSError as error:
        known = ", ".join(PRESETS)
        raise LocalFault(f"{given} is no preset ({known}) and cannot be read as a file: {error.strerror}") from None
    except (ProtocolError, UnicodeDecodeError) as error:
        raise LocalFault(f"{given} does not hold a model's rules: {error}") from None


def parse_rules(text: str) -> Rules:
    """Read rules and check them. Raises LocalFault or RuleViolation, naming the first key that is wrong."""
    try:
        document = tomllib.loads(text)
    except ValueError as error:  # a number of thousands of digits is none of tomllib's own
        raise LocalFault(f"not TOML: {error}") from None
    values = _preset(document.pop(PRESET)) if PRESET in document else {}
    for name, value in document.items():
        if name not in BOUNDS:
            raise LocalFault(f"{name} is no rule{_nearest(name)}")
        if type(value) is not int:
            raise LocalFault(f"{name} is {value!r}, allowed is a whole number")
        values[name] = value
    missing = [name for name in BOUNDS if name not in values]
    if missing:
        raise LocalFault(f"{', '.join(missing)} missing: give a value, or a {PRESET} for what is left out")
    rules = Rules(**values)
    rules.check()
    return rules


def format_rules(rules: Rules) -> str:
    """Write every rule as `parse_rules` reads it."""
    return "".join(f"{name} = {value:_}\n" for name, value in asdict(rules).items())


def _preset(name: object) -> dict[str, Any]:
    if not isinstance(name, str) or name not in PRESETS:
        raise LocalFault(f"{PRESET} is {name!r}, allowed is {', '.join(PRESETS)}")
    return asdict(PRESETS[name])


def _nearest(name: str) -> str:
    near = get_close_matches(name, BOUNDS, n=1)
    return f", did you mean {near[0]}?" if near else f"; the rules are {', '.join(BOUNDS)}"
