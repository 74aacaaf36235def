"""Write the histories of ledger/ as raw calls to the contract; see calls/README.md here for their format.

What is expected comes from the Python reference. Calls and views are encoded from the signatures below, not from an
artifact, so that a contract whose interface differs fails too. Run ``python -m tests.vectors.generate_calls`` after a
change of the rules; a test checks that the files are current.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import astuple, fields
from pathlib import Path
from typing import Any

from eth_abi.abi import encode
from eth_utils.crypto import keccak

from derelayl_protocol.errors import RuleViolation
from derelayl_protocol.ledger import commands as c
from derelayl_protocol.ledger.apply import apply
from derelayl_protocol.ledger.events import Event, RoundSettled, RoundVoided
from derelayl_protocol.ledger.rules import Rules
from derelayl_protocol.ledger.state import LedgerState, ModelState, RoundView, SeatEntry
from derelayl_protocol.types import Address, ModelId, Timestamp, Wei

from . import generate_ledger
from .ledger_json import command_from_json
from .signatures import CHAIN_ID, LEDGER, recover

HERE = Path(__file__).parent

_RULES = "uint8,uint16,uint8" + ",uint32" * 4 + ",uint8,uint8,int64,int64" + ",uint16" * 6
_RULES = f"({_RULES}{',uint128' * 4},uint32,uint32,uint16,uint128,uint16)"
_ABOUT = "bytes32,uint64"
_TWO = "bytes32[2]"
CALLS: Mapping[type[c.Command], tuple[str, tuple[str, ...]]] = {
    kind: (name, types)
    for kind, name, *words in (
        (c.Deposit, "deposit", "uint256"),
        (c.Withdraw, "withdraw", "uint256"),
        (c.CreateModel, "createModel", _RULES, "bytes32", "uint256"),
        (c.Fund, "fund", "bytes32", "uint256"),
        (c.Stake, "stake", "bytes32", "uint256"),
        (c.Unstake, "unstake", "bytes32"),
        (c.Release, "release", "bytes32"),
        (c.PlaceBid, "bid", "bytes32", "uint64", "uint8", "uint256"),
        (c.OfferTip, "offer", "bytes32", "uint64", "bytes32"),
        (c.MatchRound, "matchRound", "bytes32", "uint64", "bytes", "bytes"),
        (c.SubmitLeg, "submit", "bytes32", "uint64", "uint8", "bytes32"),
        (c.CommitScores, "commit", "bytes32", "uint64", "bytes32"),
        (c.RevealScores, "reveal", "bytes32", "uint64", "int64[]", "bytes32", "bytes32"),
        (c.SettleRound, "settle", "bytes32", "uint64", "bytes", "bytes"),
        (c.Advance, "advance", "bytes32", "uint64"),
        (c.CollectRoyalty, "collect", "bytes32", "bytes32", "uint8"),
        (c.BuyAccess, "buyAccess", "bytes32", "bytes32"),
        (c.BidBySig, "bidBySig", "bytes32", "uint64", "(address,uint8,uint256,uint64,bytes32,bytes32)[]"),
        (c.SubmitBySig, "submitBySig", "bytes32", "uint64", "(uint8,bytes32,bytes32,bytes32)[]"),
        (c.CommitBySig, "commitBySig", "bytes32", "uint64", "(address,bytes32,bytes32,bytes32)[]"),
        (c.RevealBySig, "revealBySig", "bytes32", "uint64", "(address,int64[],bytes32,bytes32,bytes32,bytes32)[]"),
        (c.ReportManifests, "reportManifests", "bytes32", "uint64", "uint8", _TWO, _TWO, _TWO),
        (c.ReportReveals, "reportReveals", "bytes32", "uint64", "address", "int64[][2]", _TWO, _TWO, _TWO, _TWO),
    )
    for types in [tuple(words)]
}
"""The contract's function for each command and the types of its arguments, the command's fields in order."""

ROUND_VIEW = (
    "(uint64,uint8,uint64,bytes32,(address,uint8,uint128)[],(bytes32,address,int64,bool,bool)[],"
    "(address,bytes32,address,uint8,uint128,uint128,bytes32)[],(address,uint128,bytes32,bool,int64[],bytes32)[])"
)
MODEL_VIEW = f"({_RULES},address,bytes32,uint256,uint256,uint64,bytes32)"
CHECKPOINT = "(address,bytes32,int64,uint64,uint256)"


def files() -> dict[str, str]:
    """Return the text of each vector file by its path in this folder."""
    return {
        path.replace("ledger/", "calls/"): json.dumps([translated(history) for history in json.loads(text)]) + "\n"
        for path, text in generate_ledger.files().items()
    }


# --- encoding ---------------------------------------------------------------------------------------------------------


def call_data(command: c.Command) -> bytes:
    """The bytes that the contract gets for a command."""
    name, types = CALLS[type(command)]
    return call(name, types, [part for field in fields(command) for part in _arguments(command, field.name)])


def call(name: str, types: Sequence[str], values: Sequence[Any]) -> bytes:
    return keccak(text=f"{name}({','.join(types)})")[:4] + encode(types, values)


_ENTRIES = c.SignedBid | c.SignedChild | c.SignedCommit | c.SignedReveal


def _arguments(command: Any, field: str) -> list[Any]:
    """The arguments that one field of a command becomes: a pair of signatures is two, r and vs."""
    value = getattr(command, field)
    if field.endswith("_order"):
        return [bytes(value)]
    if field == "originals":
        return [[_word(each) for each in value] if isinstance(command, c.ReportReveals) else _word(value)]
    if isinstance(value, Rules):
        return [astuple(value)]
    if isinstance(value, tuple) and value and isinstance(value[0], _ENTRIES):
        return [[tuple(part for each in fields(entry) for part in _arguments(entry, each.name)) for entry in value]]
    if field == "signature":
        return [value[:32], value[32:]]
    if isinstance(value, tuple) and value and isinstance(value[0], bytes) and len(value[0]) == 64:
        return [[signature[:32] for signature in value], [signature[32:] for signature in value]]
    return [value]


def _round_view(view: RoundView) -> tuple[Any, ...]:
    plain = (view.number, int(view.phase), view.deadline, view.seed)
    rows = [[astuple(entry) for entry in entries] for entries in (view.bids, view.tips, view.legs)]
    return (*plain, *rows, [_seat(seat) for seat in view.seats])


def _seat(seat: SeatEntry) -> tuple[Any, ...]:
    revealed = seat.scores is not None
    word = _word(seat.originals or ())
    return seat.validator, seat.weight, seat.commitment or bytes(32), revealed, seat.scores or (), word


def _word(originals: Sequence[int]) -> bytes:
    return bytes(originals).ljust(32, b"\0")


def views(model: ModelId, held: ModelState) -> list[tuple[bytes, bytes]]:
    """Calls that read everything of a model, each with what it must return."""

    def ask(name: str, kinds: Sequence[str], values: Sequence[Any], returns: Sequence[str], *result: Any) -> None:
        asked.append((call(name, ["bytes32", *kinds], [model, *values]), encode(returns, result)))

    asked: list[tuple[bytes, bytes]] = []
    money = (held.budget, held.carry, held.settled_rounds, held.next_seed)
    ask("modelOf", [], [], [MODEL_VIEW], (astuple(held.rules), held.creator, held.genesis, *money))
    ask("roundOf", [], [], [ROUND_VIEW], _round_view(held.current))
    ask("validatorsOf", [], [], ["address[]"], held.validators)
    for account, stake in held.stakes.items():
        ask("stakeOf", ["address"], [account], ["uint256"], stake)
    for account, unbonding in held.unbonding.items():
        ask("unbondingOf", ["address"], [account], ["uint256", "uint64"], *astuple(unbonding))
    for name, record in held.checkpoints.items():
        ask("checkpointOf", ["bytes32"], [name], [CHECKPOINT], astuple(record))
        buyers = sorted(held.buyers.get(name, ()))
        for account in (held.creator, record.owner, *buyers):
            may = held.rules.access_fee == 0 or record.owner == account or account in buyers
            ask("accessOf", ["bytes32", "address"], [name, account], ["bool"], may)
    return asked


# --- translating ------------------------------------------------------------------------------------------------------


def translated(history: Mapping[str, Any]) -> dict[str, Any]:
    """Replay a history on the reference; return its calls and what must come of them."""
    assert (history["chain_id"], history["ledger"]) == (CHAIN_ID, LEDGER)
    state = LedgerState(wallets={Address(account): Wei(int(wei)) for account, wei in history["wallets"].items()})
    wallets = [state.wallets[Address(account)] for account in history["wallets"]]
    steps: list[dict[str, Any]] = []
    looks: list[dict[str, Any]] = []
    for recorded in history["steps"]:
        before = state
        command, sender = command_from_json(recorded["command"]), Address(recorded["sender"])
        events: tuple[Event, ...] = ()
        refused = b""
        try:
            state, events = apply(state, command, sender, Timestamp(recorded["now"]), recover)
        except RuleViolation as violation:
            refused = keccak(text=f"{violation.reason.value}()")[:4]
        changed = sorted(account for account in state.free if state.free[account] != before.free.get(account, 0))
        steps.append(
            {
                "time": recorded["now"],
                "sender": sender,
                "data": _hex(call_data(command)),
                "refused": _hex(refused),
                "changed": changed,
                "free": [state.free[account] for account in changed],
            }
        )
        ended = any(isinstance(event, RoundSettled | RoundVoided) for event in events)
        if ended or len(steps) == len(history["steps"]):
            looks += _looks(state, len(steps))
    asked = {account: call("freeOf", ["address"], [account]) for account in history["wallets"]}
    looks += [
        {
            "afterSteps": len(steps),
            "data": _hex(data),
            "returned": _hex(encode(["uint256"], [state.free.get(account, 0)])),
        }
        for account, data in asked.items()
    ]
    return {
        "name": history["name"],
        "chain_id": CHAIN_ID,
        "ledger": LEDGER,
        "accounts": list(history["wallets"]),
        "wallets": wallets,
        "steps": steps,
        "views": looks,
    }


def _looks(state: LedgerState, steps: int) -> list[dict[str, Any]]:
    return [
        {"afterSteps": steps, "data": _hex(data), "returned": _hex(returned)}
        for model, held in state.models.items()
        for data, returned in views(model, held)
    ]


def _hex(data: bytes) -> str:
    return "0x" + data.hex()


def main() -> None:
    """Write all files."""
    for path, text in files().items():
        (HERE / path).parent.mkdir(exist_ok=True)
        (HERE / path).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
