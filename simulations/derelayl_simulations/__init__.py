"""Incentives of a relay, simulated. What docs/SIMULATION.md shows of Python can be imported from here.

Nothing is imported before it is asked for: `derelayl --help` loads this package.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .calibration.forecast import hold_out
    from .calibration.history import read_history
    from .calibration.network import calibrate
    from .calibration.played import play_history
    from .ledger.mechanism.port import Base, Delivery, Duplicates, Matching, Payment, Score
    from .own import offer
    from .scenarios.load import Scenario, SweepSettings, check, load, names
    from .search.equilibrium import best_response, deviations, deviations_of, replicator
    from .study.collect import collect
    from .study.plan import plan
    from .study.results import open_results
    from .study.run import run
    from .study.verdict import judge, overall
    from .world.strategies.port import Judge, Trainer

__all__ = [
    "Base",
    "Delivery",
    "Duplicates",
    "Judge",
    "Matching",
    "Payment",
    "Scenario",
    "Score",
    "SweepSettings",
    "Trainer",
    "best_response",
    "calibrate",
    "check",
    "collect",
    "deviations",
    "deviations_of",
    "hold_out",
    "judge",
    "load",
    "names",
    "offer",
    "open_results",
    "overall",
    "plan",
    "play_history",
    "read_history",
    "replicator",
    "run",
]

_PLACES = {
    "calibration.forecast": ("hold_out",),
    "calibration.history": ("read_history",),
    "calibration.network": ("calibrate",),
    "calibration.played": ("play_history",),
    "ledger.mechanism.port": ("Base", "Delivery", "Duplicates", "Matching", "Payment", "Score"),
    "own": ("offer",),
    "scenarios.load": ("Scenario", "SweepSettings", "check", "load", "names"),
    "search.equilibrium": ("best_response", "deviations", "deviations_of", "replicator"),
    "study.collect": ("collect",),
    "study.plan": ("plan",),
    "study.results": ("open_results",),
    "study.run": ("run",),
    "study.verdict": ("judge", "overall"),
    "world.strategies.port": ("Judge", "Trainer"),
}
_MODULE_OF = {name: module for module, several in _PLACES.items() for name in several}


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_MODULE_OF[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
