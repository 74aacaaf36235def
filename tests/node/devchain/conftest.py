"""The chain is tried with a ledger on it, too."""

from ..evm.conftest import template, world

__all__ = ["template", "world"]
