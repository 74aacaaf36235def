"""`derelayl stake`: what a validator has at stake, and how it gets in and out."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Annotated, Any, TypeVar

import trio
import typer

from derelayl_protocol.errors import RuleViolation
from derelayl_protocol.ledger.commands import Command, Release, Stake, Unstake
from derelayl_protocol.ledger.events import Event, Staked, StakeReleased, Unstaked
from derelayl_protocol.spelling import exact_tokens, parse_tokens
from derelayl_protocol.types import ModelId, Wei

from ..evm.client import EvmLedger, open_network_ledger
from ..failures import Failure
from ..keys import load_key_file
from ..refusals import sentence_of
from ..roles.duties import seat_of
from ..settings import DEFAULT_HOME, Network, keystore_password
from .console import in_tokens, say, show, show_json
from .keys import HomeOption, JsonOption, PasswordFileOption
from .node import NetworkOption
from .reading import ModelOption, model_of

app = typer.Typer(no_args_is_help=True)


class StakeRefused(Failure):
    """The ledger refuses; the message says why and what to do."""


Work = Callable[[EvmLedger, ModelId], Awaitable[dict[str, Any]]]
E = TypeVar("E", bound=Event)

EARLIER = " before, by a command that was cut off (type it again to do it once more)"
"""What follows on what was done where this command sent nothing."""


@app.command("add")
def add(
    tokens: Annotated[
        str | None, typer.Argument(help="Tokens to add; default: what is missing to the required stake.")
    ] = None,
    *,
    network: NetworkOption,
    home: HomeOption = DEFAULT_HOME,
    password_file: PasswordFileOption = None,
    model: ModelOption = None,
    as_json: JsonOption = False,
) -> None:
    """Add to the stake; what the free balance lacks is deposited from the wallet."""
    amount = None if tokens is None else parse_tokens(tokens)
    document = _with_ledger(network, home, password_file, model, partial(_add, amount=amount))
    _answer(document, as_json, _say_done)


def _command(name: str, work: Work, say: Callable[[dict[str, Any]], None]) -> None:
    """Add a command that has no argument; its help is what `work` says of itself."""

    @app.command(name, help=work.__doc__)
    def command(
        network: NetworkOption,
        home: HomeOption = DEFAULT_HOME,
        password_file: PasswordFileOption = None,
        model: ModelOption = None,
        as_json: JsonOption = False,
    ) -> None:
        document = _with_ledger(network, home, password_file, model, work)
        _answer(document, as_json, say)


def _with_ledger(
    network: Path, home: Path, password_file: Path | None, model: str | None, work: Work
) -> dict[str, Any]:
    shared = Network.read(network)
    model_id = model_of(model, shared)
    key = load_key_file(home / "key.json", keystore_password(password_file))

    async def run() -> dict[str, Any]:
        ledger = await open_network_ledger(shared, key, home)
        try:
            return await work(ledger, model_id)
        except RuleViolation as refusal:
            raise StakeRefused(sentence_of(refusal)) from refusal
        finally:
            ledger.close()

    return trio.run(run)


async def _standing(ledger: EvmLedger, model: ModelId) -> dict[str, Any]:
    """Show what HOME's account has at stake and what is unbonding."""
    state = await ledger.model(model)
    unbonding = state.unbonding.get(ledger.account)
    return {
        "account": ledger.account,
        "stake_wei": str(state.stakes.get(ledger.account, 0)),
        "least_stake_wei": str(state.rules.validator_stake),
        "validator": ledger.account in state.validators,
        "seated": seat_of(state.current, ledger.account) is not None,
        "unbonding_wei": str(unbonding.amount if unbonding else 0),
        "release_time": unbonding.release_time if unbonding else None,
        "can_release": unbonding is not None and unbonding.release_time <= time.time(),
    }


async def _add(ledger: EvmLedger, model: ModelId, amount: Wei | None) -> dict[str, Any]:
    if left := await ledger.settle():  # it may be this very stake, sent by a command that was cut off
        say(f"{left} transactions that were on their way are on the chain now")
    if amount is None:
        state = await ledger.model(model)
        required = state.rules.validator_stake
        amount = Wei(max(required - state.stakes.get(ledger.account, 0), 0))
        for counted in (required, amount):  # a stake that was cut off is in the state, and must not pass for this one
            await ledger.forget(Stake(model, counted))
    if amount == 0:
        return {"done": "nothing is missing", "amount_wei": "0"}
    staked, done = await _send(ledger, Stake(model, amount), Staked, "staked", cover=amount)
    return {"done": done, "amount_wei": str(staked.amount)}


async def _unstake(ledger: EvmLedger, model: ModelId) -> dict[str, Any]:
    """Stop being a validator; the whole stake can be released once it has unbonded."""
    left, done = await _send(ledger, Unstake(model), Unstaked, "unbonding")
    return {"done": done, "amount_wei": str(left.amount), "release_time": left.release_time}


async def _release(ledger: EvmLedger, model: ModelId) -> dict[str, Any]:
    """Move what has unbonded into the free balance."""
    released, done = await _send(ledger, Release(model), StakeReleased, "released")
    return {"done": done, "amount_wei": str(released.amount)}


async def _send(
    ledger: EvmLedger, command: Command, kind: type[E], done: str, cover: Wei | None = None
) -> tuple[E, str]:
    """The event of a command and what was done, which says so where a command before this one has done it."""
    earlier = EARLIER if await ledger.is_held(command) else ""
    events = await ledger.send(command, cover=cover)
    return next(event for event in events if isinstance(event, kind)), done + earlier


def _answer(document: dict[str, Any], as_json: bool, say: Callable[[dict[str, Any]], None]) -> None:
    if as_json:
        show_json(document)
    else:
        say(document)


def _say_done(document: dict[str, Any]) -> None:
    release_time = document.get("release_time")
    when = "" if release_time is None else f"; release it from {datetime.fromtimestamp(release_time, UTC):%F %T} UTC on"
    show(f"{document['done']}: {exact_tokens(int(document['amount_wei']))} tokens{when}")


def _say_all(document: dict[str, Any]) -> None:
    for name, value in in_tokens(document).items():
        show(f"{name:<18} {value}")


_command("show", _standing, _say_all)
_command("unstake", _unstake, _say_done)
_command("release", _release, _say_done)
