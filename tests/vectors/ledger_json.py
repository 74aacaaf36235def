"""Commands, events and states as JSON; see ledger/README.md here for the form."""

from __future__ import annotations

import typing
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from enum import IntEnum
from typing import Any

from derelayl_protocol.ledger import commands as c
from derelayl_protocol.ledger.events import Event
from derelayl_protocol.ledger.state import LedgerState, ModelState
from derelayl_protocol.types import Address, ModelId, Ppm, Root, Wei


def to_json(value: Any, hint: Any) -> Any:
    """Encode by the type hint: amounts and scores as decimal strings, bytes as hex, enumerations by name."""
    if hint in (Wei, Ppm):
        return str(value)
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, tuple):
        return [to_json(entry, typing.get_args(hint)[0]) for entry in value]
    if is_dataclass(value):
        return {name: to_json(getattr(value, name), kind) for name, kind in _hints(type(value)).items()}
    return value.name if isinstance(value, IntEnum) else value


def from_json(value: Any, hint: Any) -> Any:
    """Decode what `to_json` wrote."""
    if hint in (Wei, Ppm):
        return int(value)
    if typing.get_origin(hint) is tuple:
        return tuple(from_json(entry, typing.get_args(hint)[0]) for entry in value)
    if isinstance(hint, type) and is_dataclass(hint):
        return hint(**{name: from_json(value[name], kind) for name, kind in _hints(hint).items()})
    return bytes.fromhex(value) if hint in (bytes, Root, ModelId) else value


def message_to_json(message: c.Command | Event) -> dict[str, Any]:
    """A command or an event: its fields and, as `type`, its name."""
    return {"type": type(message).__name__, **to_json(message, type(message))}


def command_from_json(value: Mapping[str, Any]) -> c.Command:
    """Decode a command."""
    command: c.Command = from_json(value, getattr(c, value["type"]))
    return command


def state_to_json(state: LedgerState) -> dict[str, Any]:
    """Balances and models, in the order of their names."""
    return {
        "wallets": amounts(state.wallets),
        "free": amounts(state.free),
        "models": {model.hex(): _model_to_json(held) for model, held in sorted(state.models.items())},
    }


def _model_to_json(held: ModelState) -> dict[str, Any]:
    checkpoints = {key.hex(): to_json(record, type(record)) for key, record in sorted(held.checkpoints.items())}
    hints = _hints(ModelState)
    plain = ("budget", "carry", "settled_rounds", "next_seed", "validators")
    return {
        **{name: to_json(getattr(held, name), hints[name]) for name in plain},
        "stakes": amounts(held.stakes),
        "unbonding": {
            account: {"amount": str(entry.amount), "release_time": entry.release_time}
            for account, entry in sorted(held.unbonding.items())
        },
        "buyers": {root.hex(): sorted(accounts) for root, accounts in sorted(held.buyers.items())},
        "round": held.current.number,
        "phase": held.current.phase.name,
        "tips": [tip.root.hex() for tip in held.current.tips],
        "checkpoints": checkpoints,
    }


def amounts(balances: Mapping[Address, Wei]) -> dict[str, str]:
    """Balances by account, in the order of their names, without the empty ones."""
    return {account: str(amount) for account, amount in sorted(balances.items()) if amount}


def _hints(kind: Any) -> dict[str, Any]:
    hints = typing.get_type_hints(kind)
    return {field.name: hints[field.name] for field in fields(kind)}
