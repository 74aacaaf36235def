"""Code by its name: ours from tables of `module:attribute`, other people's from entry points of installed packages.

Nothing is imported before its name is asked for. Only what stays on one machine is open to entry points: data loaders,
simulated strategies and rules, figures. Architectures and methods travel by name in manifests and are ours alone.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module, metadata
from typing import Any

from derelayl_protocol.errors import LocalFault, ProtocolError

LOADERS, STRATEGIES, FIGURES = "derelayl.loaders", "derelayl.strategies", "derelayl.figures"
RULES = "derelayl.rules"
"""The groups of entry points."""

log = logging.getLogger(__name__)


def resolve(place: str) -> Any:
    """Import what `module:attribute` names. Raises what the import raises."""
    module, _, attribute = place.partition(":")
    return getattr(import_module(module), attribute)


@dataclass(frozen=True, slots=True)
class Plugin:
    """A name that an installed distribution offers in one of the groups; nothing of it is imported yet."""

    group: str
    name: str
    place: str
    distribution: str
    """Name and version, for messages."""

    def load(self) -> Any:
        """Import it. Raises LocalFault naming the distribution, whatever goes wrong there."""
        with self.blamed():
            return resolve(self.place)

    @contextmanager
    def blamed(self) -> Iterator[None]:
        """Turn whatever this plug-in raises into a LocalFault that names its distribution."""
        try:
            yield
        except (Exception, SystemExit) as error:  # it is not our code: anything may come
            told = str(error) if isinstance(error, ProtocolError) else f"{type(error).__name__}: {error}"
            raise self.fault(told) from error

    def fault(self, reason: str) -> LocalFault:
        """What is wrong with it, in one sentence."""
        return LocalFault(f"{self.name} of the package {self.distribution} ({self.group}, {self.place}): {reason}")


def plugins(group: str) -> Mapping[str, tuple[Plugin, ...]]:
    """List what installed packages offer in a group, by name in alphabetical order; more than one is a conflict.

    A package whose entry points cannot be read offers nothing, which is logged.
    """
    found: dict[str, dict[str, Plugin]] = {}
    for distribution in metadata.distributions():
        for each in _offered(distribution, group):
            # of two copies of one package the first on the path counts, as for imports
            found.setdefault(each.name, {}).setdefault(each.distribution.partition(" ")[0].lower(), each)
    return {name: tuple(found[name].values()) for name in sorted(found)}


def plugin(group: str, name: str) -> Plugin | None:
    """Find the plug-in of that name, not yet imported. Raises LocalFault if several packages offer it."""
    found = plugins(group).get(name, ())
    if len(found) > 1:
        offered = " and ".join(each.distribution for each in found)
        raise LocalFault(f"{name} is offered by the packages {offered}; uninstall all but one ({group})")
    return found[0] if found else None


def _offered(distribution: metadata.Distribution, group: str) -> tuple[Plugin, ...]:
    text = distribution.read_text("entry_points.txt") or ""
    if group not in text:
        return ()  # the metadata of most packages never have to be read
    label = "a package without a name"
    try:
        label = f"{distribution.name} {distribution.version}"
        entries = [entry for entry in distribution.entry_points if entry.group == group]
    except (KeyError, TypeError, ValueError) as error:
        log.warning("the entry points of %s cannot be read (%s) and are left out: %s", label, error, text)
        return ()
    return tuple(Plugin(group, entry.name, entry.value.partition("[")[0].strip(), label) for entry in entries)
