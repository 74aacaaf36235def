"""`derelayl stake`: what a validator has at stake, and how it gets in and out."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import trio
import typer

from derelayl_protocol.errors import LocalFault, Reason, RuleViolation
from derelayl_protocol.ledger.commands import Release, Stake, Unstake
from derelayl_protocol.ledger.events import Staked, StakeReleased, Unstaked
from derelayl_protocol.limits import MAX_AMOUNT_WEI
from derelayl_protocol.types import ModelId, Wei

from ..demo.report import WEI_PER_TOKEN
from ..evm.client import EvmLedger
from ..failures import Failure
from ..keys import load_key_file
from ..peer import open_network_ledger
from ..roles.duties import seat_of
from ..roles.purse import send_paid
from ..settings import DEFAULT_HOME, Network, keystore_password
from .console import show, show_json
from .keys import HomeOption, JsonOption, PasswordFileOption
from .node import NetworkOption
from .reading import model_of

app = typer.Typer(no_args_is_help=True)

ModelOption = Annotated[str | None, typer.Option("--model", help="Model id; default: the network file's.")]


class StakeRefused(Failure):
    """The ledger refuses; the message says why and what to do."""


@app.command("show")
def show_stake(
    network: NetworkOption,
    home: HomeOption = DEFAULT_HOME,
    password_file: PasswordFileOption = None,
    model: ModelOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what HOME's account has at stake and what is unbonding."""
    document = _with_ledger(network, home, password_file, model, _standing)
    if as_json:
        show_json(document)
        return
    for name, value in document.items():
        show(f"{name:<18} {value}")


@app.command("add")
def add(
    tokens: Annotated[str | None, typer.Argument(help="Tokens to add; default: what is missing to the least.")] = None,
    *,
    network: NetworkOption,
    home: HomeOption = DEFAULT_HOME,
    password_file: PasswordFileOption = None,
    model: ModelOption = None,
    as_json: JsonOption = False,
) -> None:
    """Add to the stake; what the free balance lacks comes out of the wallet."""
    amount = None if tokens is None else wei_of(tokens)
    _tell(_with_ledger(network, home, password_file, model, partial(_add, amount=amount)), as_json)


@app.command("unstake")
def unstake(
    network: NetworkOption,
    home: HomeOption = DEFAULT_HOME,
    password_file: PasswordFileOption = None,
    model: ModelOption = None,
    as_json: JsonOption = False,
) -> None:
    """Stop being a validator; the whole stake can be released when it has unbonded."""
    _tell(_with_ledger(network, home, password_file, model, _unstake), as_json)


@app.command("release")
def release(
    network: NetworkOption,
    home: HomeOption = DEFAULT_HOME,
    password_file: PasswordFileOption = None,
    model: ModelOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take what has unbonded into the free balance."""
    _tell(_with_ledger(network, home, password_file, model, _release), as_json)


def wei_of(tokens: str) -> Wei:
    """Wei in an amount of tokens as people write it. Raises LocalFault."""
    try:
        amount = Decimal(tokens) * WEI_PER_TOKEN
    except InvalidOperation:
        raise LocalFault(f"{tokens!r} is not an amount of tokens") from None
    if not amount.is_finite() or amount != amount.to_integral_value() or not 0 < amount <= MAX_AMOUNT_WEI:
        raise LocalFault(f"{tokens!r} is not an amount of tokens that the ledger takes")
    return Wei(int(amount))


Work = Callable[[EvmLedger, ModelId], Awaitable[dict[str, Any]]]


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
            raise StakeRefused(_remedy(refusal)) from refusal
        finally:
            ledger.close()

    return trio.run(run)


async def _standing(ledger: EvmLedger, model: ModelId) -> dict[str, Any]:
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
    if amount is None:
        state = await ledger.model(model)
        amount = Wei(max(state.rules.validator_stake - state.stakes.get(ledger.account, 0), 0))
    if amount == 0:
        return {"done": "nothing is missing", "amount_wei": "0"}
    events = await send_paid(ledger, Stake(model, amount), amount)
    staked = next(event for event in events if isinstance(event, Staked))
    return {"done": "staked", "amount_wei": str(staked.amount)}


async def _unstake(ledger: EvmLedger, model: ModelId) -> dict[str, Any]:
    left = next(event for event in await ledger.send(Unstake(model)) if isinstance(event, Unstaked))
    return {"done": "unbonding", "amount_wei": str(left.amount), "release_time": left.release_time}


async def _release(ledger: EvmLedger, model: ModelId) -> dict[str, Any]:
    released = next(event for event in await ledger.send(Release(model)) if isinstance(event, StakeReleased))
    return {"done": "released", "amount_wei": str(released.amount)}


def _remedy(refusal: RuleViolation) -> str:
    remedies = {
        Reason.STAKE_IN_USE: "the account has a seat in the running round: try again when the round is over",
        Reason.NO_STAKE: "the account is no validator of this model: it has nothing to unstake",
        Reason.STAKE_TOO_SMALL: "the stake would stay below the model's least: add more (derelayl stake show)",
        Reason.TOO_EARLY: "the stake has not unbonded yet: see its release time with derelayl stake show",
        Reason.NOTHING_UNBONDING: "nothing is unbonding: unstake first",
        Reason.INSUFFICIENT_BALANCE: "neither the free balance nor the wallet holds that much",
    }
    return remedies.get(refusal.reason, str(refusal))


def _tell(document: dict[str, Any], as_json: bool) -> None:
    if as_json:
        show_json(document)
        return
    release_time = document.get("release_time")
    when = "" if release_time is None else f"; release it from {datetime.fromtimestamp(release_time, UTC):%F %T} UTC on"
    show(f"{document['done']}: {int(document['amount_wei']) / WEI_PER_TOKEN:g} tokens{when}")
