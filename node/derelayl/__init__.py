"""What a user of derelayl needs from Python, by one name each; docs/PYTHON.md explains them with examples.

A name is imported when it is first asked for: `import derelayl` costs nothing and needs no torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from derelayl_plugins import resolve

if TYPE_CHECKING:
    from derelayl_protocol.errors import ProtocolError
    from derelayl_protocol.ledger.presets import DEVNET, MINIMAL, STANDARD
    from derelayl_protocol.ledger.rules import Rules
    from derelayl_training.data import load
    from derelayl_training.jobs import Architecture
    from derelayl_training.split import Split

    from .checkpoint import Checkpoint
    from .data import deal
    from .lease import Lease
    from .node import Node
    from .relay import Relay
    from .simulation import Simulation, simulate

_PLACES = {
    "Architecture": "derelayl_training.jobs",
    "Checkpoint": "derelayl.checkpoint",
    "DEVNET": "derelayl_protocol.ledger.presets",
    "Lease": "derelayl.lease",
    "MINIMAL": "derelayl_protocol.ledger.presets",
    "Node": "derelayl.node",
    "ProtocolError": "derelayl_protocol.errors",
    "Relay": "derelayl.relay",
    "Rules": "derelayl_protocol.ledger.rules",
    "STANDARD": "derelayl_protocol.ledger.presets",
    "Simulation": "derelayl.simulation",
    "Split": "derelayl_training.split",
    "deal": "derelayl.data",
    "load": "derelayl_training.data",
    "simulate": "derelayl.simulation",
}
"""The module of each public name."""

__all__ = [  # noqa: RUF022 - in the order of docs/PYTHON.md
    "load",
    "deal",
    "Split",
    "Architecture",
    "Relay",
    "Lease",
    "Checkpoint",
    "Rules",
    "MINIMAL",
    "DEVNET",
    "STANDARD",
    "Node",
    "simulate",
    "Simulation",
    "ProtocolError",
]


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module 'derelayl' has no attribute {name!r}; it has {', '.join(__all__)}")
    value = resolve(f"{_PLACES[name]}:{name}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
