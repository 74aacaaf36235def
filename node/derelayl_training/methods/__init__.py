"""The registry of methods: a recipe names one of ours; no code ever travels."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from derelayl_protocol.errors import LocalFault

from ..recipe import MethodName, Recipe
from .adapter import AdapterMethod
from .backprop import BackpropMethod
from .ela import ElaMethod
from .gradient import GradientMethod
from .incubation import IncubationMethod
from .local import LocalMethod
from .port import Leg, Method, Record
from .private import PrivateMethod
from .pseudoinverse import PseudoinverseMethod
from .sparse import SparseMethod

METHODS: Mapping[MethodName, Callable[[], Method]] = {
    "adapter": AdapterMethod,
    "backprop": BackpropMethod,
    "ela": ElaMethod,
    "incubation": IncubationMethod,
    "local": LocalMethod,
    "pseudoinverse": PseudoinverseMethod,
    "sparse": SparseMethod,
}


def make_method(recipe: Recipe) -> Method:
    """Make the recipe's method, for one leg. Raises LocalFault: this version lacks it."""
    method = METHODS.get(recipe.method)
    if method is None:
        raise LocalFault(f"method {recipe.method!r} is not in this version; it has {sorted(METHODS)}")
    chosen = method()
    if recipe.privacy == "none":
        return chosen
    if not isinstance(chosen, GradientMethod):
        raise LocalFault(f"privacy={recipe.privacy} goes with methods that follow a gradient, not with {recipe.method}")
    return PrivateMethod(chosen)


__all__ = ["METHODS", "Leg", "Method", "Record", "make_method"]
