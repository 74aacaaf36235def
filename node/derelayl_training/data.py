"""A peer's own samples: where a data spec points."""

from __future__ import annotations

from derelayl_plugins import LOADERS as GROUP
from derelayl_plugins import Plugin, plugin, resolve
from derelayl_protocol.errors import LocalFault

from .registry import LOADERS, SPECS
from .shard import load_shard
from .split import MAX_CLASSES, MAX_SHARD_BYTES, Sites, Split, check_split


def load(spec: str) -> Split:
    """Load what a data spec names: one of SPECS, or a plug-in's NAME[:ARGUMENT]. Raises LocalFault."""
    kind, _, argument = spec.partition(":")
    loader = LOADERS.get(kind)
    if loader is None and (offered := plugin(GROUP, kind)):
        return _load_by(offered, argument)
    if loader is None or not loader.accepts(argument):
        raise LocalFault(f"data spec {spec!r} is unknown; allowed are {SPECS}; docs/DATA.md has all options")
    split = resolve(loader.place)(argument)
    assert isinstance(split, Split)
    return split


def _load_by(offered: Plugin, argument: str) -> Split:
    """Load by somebody else's function, given what stands after the colon. Raises LocalFault naming the package."""
    read = offered.load()
    with offered.blamed():
        split = read(argument)
        if not isinstance(split, Split):
            raise TypeError(f"it gave {type(split).__name__}, a Split is needed")
        return check_split(f"{offered.name}:{argument}", split)


__all__ = ["MAX_CLASSES", "MAX_SHARD_BYTES", "SPECS", "Sites", "Split", "check_split", "load", "load_shard"]
