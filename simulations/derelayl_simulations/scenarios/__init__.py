"""Scenarios: one TOML file each, checked before anything runs.

`load` reads one by its name or path, `names` lists those that come with the package.
"""

from .load import Scenario, load, names

__all__ = ["Scenario", "load", "names"]
