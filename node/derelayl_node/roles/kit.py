"""What the roles of a peer work with, made once and handed to each of them whole."""

from __future__ import annotations

from dataclasses import dataclass

from derelayl_protocol.ledger.rules import Rules
from derelayl_protocol.ledger.signed import Recover
from derelayl_protocol.types import ModelId

from ..handoff import Handoff
from ..journal import Journal
from ..ports import Clock, Ledger, Registry, Trainer
from .submission import Submission


@dataclass(frozen=True, slots=True, kw_only=True)
class Kit:
    """One account's part in one model; each role uses what it needs of it.

    `recover` names the signers of messages for this ledger.
    """

    model: ModelId
    rules: Rules
    ledger: Ledger
    registry: Registry
    handoff: Handoff
    trainer: Trainer
    clock: Clock
    journal: Journal
    submission: Submission
    recover: Recover
