"""Making the method that a recipe names: one of `dials.METHODS`; no code ever travels."""

from __future__ import annotations

from derelayl_plugins import resolve
from derelayl_protocol.errors import LocalFault

from ..dials import METHODS
from ..recipe import Recipe
from .gradient import GradientMethod
from .port import Leg, Method, Record
from .private import PrivateMethod


def make_method(recipe: Recipe) -> Method:
    """Make the recipe's method, for one leg. Raises LocalFault when it has no private form and one is wanted."""
    chosen: Method = resolve(METHODS[recipe.method].place)()
    if recipe.privacy == "none":
        return chosen
    if not isinstance(chosen, GradientMethod):
        raise LocalFault(
            f"privacy={recipe.privacy} works with methods that follow a gradient, not with {recipe.method}"
        )
    return PrivateMethod(chosen)


__all__ = ["GradientMethod", "Leg", "Method", "Record", "make_method"]
