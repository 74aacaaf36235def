"""The histories of calls on disk are what the reference does today; the contract replays them under forge."""

from __future__ import annotations

import json

from eth_utils.crypto import keccak

from .generate_calls import CALLS, HERE, files


def test_generating_the_calls_again_changes_nothing() -> None:
    for path, text in files().items():
        assert (HERE / path).read_text(encoding="utf-8") == text, f"{path} is stale: generate_calls.py writes it"


def test_no_file_is_left_over() -> None:
    assert {path.name for path in (HERE / "calls").glob("*.json")} == {path.split("/")[1] for path in files()}


def test_every_function_of_the_ledger_is_called_and_succeeds() -> None:
    histories = [history for text in files().values() for history in json.loads(text)]
    called = {step["data"][:10] for history in histories for step in history["steps"] if step["refused"] == "0x"}
    wanted = {name: keccak(text=f"{name}({','.join(types)})")[:4] for name, types in CALLS.values()}
    assert {name for name, selector in wanted.items() if "0x" + selector.hex() not in called} == set()
