"""Ledgers of protocol version 1: what their contract says in other words than today's.

Their networks can be read as ever: lineage, statements, checkpoints. Nobody takes part in them with this program,
because a bid and a reveal mean something else there; what an account has there it can still take out.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from derelayl_protocol.ledger.commands import Command, Release, Unstake, Withdraw
from derelayl_protocol.ledger.rules import Rules

from ..ports import LedgerUnavailable
from .typed_data import DOMAIN_VERSION

FIRST = "1"
"""What the contract of version 1 says in its EIP-712 domain."""

ADDED = frozenset({"duplicateBps", "stalled", "originals"})
"""Members of structs and events that version 1 does not have."""

MEANT: Mapping[type, Mapping[str, Any]] = {Rules: {"duplicate_bps": 0}}
"""What version 1 does as if these members said so; those that are left out have defaults, or follow from others."""

LEAVING = (Withdraw, Unstake, Release)
"""Commands that take money out: they are the same in both versions."""


class AnotherVersion(LedgerUnavailable):
    """The ledger is of a protocol version that this program does not take part in, or does not know."""


def without_added(part: Any) -> Any:
    """A piece of the contract's interface as version 1 has it."""
    if isinstance(part, list):
        return [without_added(each) for each in part if not (isinstance(each, dict) and each.get("name") in ADDED)]
    return {name: without_added(each) for name, each in part.items()} if isinstance(part, dict) else part


def check_readable(version: str) -> None:
    """Raise AnotherVersion for a ledger whose words are not known here."""
    if version not in (FIRST, DOMAIN_VERSION):
        raise AnotherVersion(f"The ledger is of protocol version {version}, which is not known here: update derelayl.")


def check_may_send(command: Command, version: str) -> None:
    """Raise AnotherVersion for a command that takes part in a network of another version than today's."""
    if not isinstance(command, LEAVING):
        check_takes_part(version)


def check_takes_part(version: str) -> None:
    """Raise AnotherVersion for a ledger of another version than today's."""
    if version != DOMAIN_VERSION:
        raise AnotherVersion(
            f"The ledger is of protocol version {version}, and this derelayl takes part in networks of version "
            f"{DOMAIN_VERSION}: this one can be read, and a stake or a balance taken out of it, no more."
        )
