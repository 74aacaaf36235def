"""Strategies and rules of one's own for this process, without a package: what a notebook starts with."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from importlib import metadata
from os import PathLike
from typing import Any

from derelayl_plugins import RULES, STRATEGIES
from derelayl_protocol.errors import LocalFault

from .ledger.mechanism.port import Rule
from .world import strategies
from .world.strategies import foreign
from .world.strategies.port import Judge, Trainer

Strategy = Trainer | Judge

CACHES = (strategies._plugin_names, strategies.trainer_of, strategies.judge_of, foreign.role_and_strategy)
"""What a process looks up once of its plug-ins."""


def offer(name: str, kind: type[Strategy] | type[Rule]) -> Callable[[], None]:
    """Give a strategy or a rule of the mechanism a name that scenarios of this process may use.

    `kind` is derived from `Trainer` or `Judge`, or from a kind of rule: `Payment`, `Delivery`, `Base`, `Matching`,
    `Duplicates`, `Score`. A name offered again stands for the new class. Worker processes know nothing of it: for
    those, and for others, make a package (docs/EXTENDING.md). Returns a function that takes the name back. Raises
    LocalFault for another class.
    """
    if not issubclass(kind, Trainer | Judge | Rule):
        raise LocalFault(f"{kind.__name__} is no strategy (Trainer, Judge) and no rule (Payment, Base, …)")
    _offered[name] = kind
    if _finder not in sys.meta_path:
        sys.meta_path.append(_finder)
    _forget()

    def take_back() -> None:
        _offered.pop(name, None)
        _forget()

    return take_back


# --- Inside -----------------------------------------------------------------------------------------------------------

_offered: dict[str, type[Strategy] | type[Rule]] = {}


def __getattr__(name: str) -> Any:
    """Find an offered class by its name: what the entry points point to."""
    if name in _offered:
        return _offered[name]
    raise AttributeError(name)


class _Distribution(metadata.Distribution):
    """What is offered, as an installed package's entry points."""

    def read_text(self, filename: str) -> str | None:
        if filename == "METADATA":
            return "Metadata-Version: 2.1\nName: this-process\nVersion: 0\n"
        if filename != "entry_points.txt":
            return None
        lines = []
        for group, kinds in ((STRATEGIES, (Trainer, Judge)), (RULES, (Rule,))):
            lines.append(f"[{group}]")
            lines += [f"{name} = {__name__}:{name}" for name, kind in _offered.items() if issubclass(kind, kinds)]
        return "\n".join(lines)

    def locate_file(self, path: str | PathLike[str]) -> Any:
        raise FileNotFoundError(f"{path}: what this process offers has no files")


class _Finder(metadata.DistributionFinder):
    def find_spec(self, name: str, path: Any = None, target: Any = None) -> None:
        """Find no module: only what is offered is found here."""

    def find_distributions(self, context: Any = None) -> Iterable[metadata.Distribution]:
        return (_Distribution(),) if _offered else ()


_finder = _Finder()


def _forget() -> None:
    for cached in CACHES:
        cached.cache_clear()
