"""The recipe of a leg: its method and every dial of it, checked once; the manifest holds what is not the default.

A recipe is written as `key=value` pairs, e.g. `method=local,sgr=0.1,prox=0.01`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

from pydantic import ValidationError, model_validator

from derelayl_protocol.errors import LocalFault

from .dials import METHODS, EveryDial

MAX_RECIPE_TEXT = 4096
"""Characters of a recipe on the command line."""


class Recipe(EveryDial):
    """How a leg optimises: a method and every dial there is."""

    @model_validator(mode="after")
    def _dials_go_together(self) -> Self:
        if self.supervision and not METHODS[self.method].supervised:
            allowed = " or ".join(name for name, method in METHODS.items() if method.supervised)
            raise ValueError(f"supervision goes with method={allowed}, not with {self.method}")
        if self.privacy == "dp" and not METHODS[self.method].private:
            allowed = " or ".join(name for name, method in METHODS.items() if method.private)
            raise ValueError(f"privacy=dp goes with method={allowed}, not with {self.method}")
        if self.privacy == "dp" and (self.rehearse or self.distil or self.consolidate):
            raise ValueError("privacy=dp does not go with rehearse, distil or consolidate: they are not accounted for")
        return self

    @property
    def starts_anywhere(self) -> bool:
        """Whether a leg may start from what is better than its parent on this peer's data.

        Not a private one: what it starts from would tell of the data, and is not accounted for.
        """
        return METHODS[self.method].starts_anywhere and self.privacy == "none"

    def record(self) -> dict[str, int | str | bool]:
        """The method and what differs from the defaults, as a manifest may hold it: a fraction is written as text."""
        changed = {name: value for name, value in self.model_dump().items() if value != DEFAULTS[name]}
        return {
            "method": self.method,
            **{name: repr(value) if isinstance(value, float) else value for name, value in changed.items()},
        }


DEFAULT = Recipe()

DEFAULTS: Mapping[str, object] = DEFAULT.model_dump()


def parse_recipe(text: str) -> Recipe:
    """Read `key=value,key=value`; nothing is the default. Raises LocalFault naming the key and what is allowed."""
    return make_recipe(parse_pairs(text))


def parse_pairs(text: str) -> dict[str, str]:
    """Part `key=value,key=value`. Raises LocalFault."""
    if len(text) > MAX_RECIPE_TEXT:
        raise LocalFault(f"a recipe has at most {MAX_RECIPE_TEXT} characters")
    pairs: dict[str, str] = {}
    for part in filter(None, (each.strip() for each in text.split(","))):
        key, equals, value = part.partition("=")
        if not equals or key in pairs:
            raise LocalFault(f"recipe: {part!r} is not key=value, or {key!r} is given twice")
        pairs[key] = value
    return pairs


def make_recipe(values: Mapping[str, object]) -> Recipe:
    """Check the dials. Raises LocalFault naming the first that is wrong and what is allowed."""
    try:
        return Recipe.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        if first["type"] == "extra_forbidden":
            raise LocalFault(f"recipe: {key} is unknown; there are {', '.join(Recipe.model_fields)}") from None
        if first["type"] == "value_error":  # dials that do not go together
            raise LocalFault(f"recipe: {first['ctx']['error']}") from None
        raise LocalFault(f"recipe: {key}: {first['msg']}, not {first['input']!r}") from None
