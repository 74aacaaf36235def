"""The histories on disk are what the reference does today."""

from __future__ import annotations

import json
from typing import Any

import pytest

from derelayl_protocol.errors import RuleViolation
from derelayl_protocol.ledger.apply import apply
from derelayl_protocol.ledger.state import LedgerState
from derelayl_protocol.ledger.totals import conserved
from derelayl_protocol.types import Address, Timestamp, Wei

from .generate_ledger import HERE, files
from .ledger_json import command_from_json, message_to_json, state_to_json
from .signatures import recover

HISTORIES = [
    pytest.param(history, id=history["name"])
    for path in sorted((HERE / "ledger").glob("*.json"))
    for history in json.loads(path.read_text(encoding="utf-8"))
]


def test_generating_the_histories_again_changes_nothing() -> None:
    for path, text in files().items():
        assert (HERE / path).read_text(encoding="utf-8") == text, f"{path} is stale: generate_ledger.py writes it"


@pytest.mark.parametrize("history", HISTORIES)
def test_a_replay_gives_the_same_events_refusals_and_balances(history: dict[str, Any]) -> None:
    state = LedgerState(wallets={Address(account): Wei(int(wei)) for account, wei in history["wallets"].items()})
    supply = Wei(sum(state.wallets.values()))
    for number, step in enumerate(history["steps"]):
        command, sender, now = command_from_json(step["command"]), Address(step["sender"]), Timestamp(step["now"])
        if "refused" in step:
            with pytest.raises(RuleViolation) as refusal:
                apply(state, command, sender, now, recover)
            assert refusal.value.reason == step["refused"], f"step {number}"
            continue
        state, events = apply(state, command, sender, now, recover)
        assert [message_to_json(event) for event in events] == step["events"], f"step {number}"
        assert conserved(state, supply)
    assert state_to_json(state) == history["final"]
