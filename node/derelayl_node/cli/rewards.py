"""`derelayl rewards`: where every wei came from, why nothing came, and whether events and contract agree."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Annotated

import trio
import typer
from rich.table import Table

from derelayl_protocol.errors import LocalFault
from derelayl_protocol.spelling import parse_address
from derelayl_protocol.statement.books import Books
from derelayl_protocol.statement.reconciliation import Reconciliation, reconcile
from derelayl_protocol.statement.transfers import LogContradiction
from derelayl_protocol.statement.words import tokens
from derelayl_protocol.types import Address, ModelId, Wei

from ..api.client import Document, NodeClient
from ..api.statement import StatementLineView
from ..evm.balances import held_at
from ..evm.one_block import at_fresh_head
from ..keys import load_key_file
from ..lineage import queries
from ..lineage.index import LineageIndex
from ..lineage.records import StatementLine
from ..ports import LedgerUnavailable
from ..settings import DEFAULT_HOME, Network, keystore_password
from .console import out, show, show_json
from .keys import HomeOption, JsonOption, PasswordFileOption
from .node import NetworkOption
from .reading import ModelOption, catch_up, model_of, reading

app = typer.Typer(no_args_is_help=True)

LINES_AT_ONCE = 200
MAX_LINES = 100_000
"""Lines of one explanation: more than anybody reads."""


@app.callback()
def rewards() -> None:
    """Where every wei came from, and why nothing came."""


@app.command("explain")
def explain(
    network: Annotated[Path | None, typer.Option("--network", help="The network file: read the chain itself.")] = None,
    api_url: Annotated[str | None, typer.Option("--api", help="Or ask a node's REST API.")] = None,
    account: Annotated[
        str | None, typer.Option("--account", help="Whose statement; default: the account of the key in HOME.")
    ] = None,
    number: Annotated[int | None, typer.Option("--round", min=1, help="Only this round.")] = None,
    model: ModelOption = None,
    home: HomeOption = DEFAULT_HOME,
    password_file: PasswordFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Explain where every wei of an account came from or went, or what everybody did in a round."""
    if network is None and api_url is None:
        raise LocalFault("pass --network FILE to read the chain, or --api URL to ask a node")
    shared = None if network is None else Network.read(network)
    whose = parse_address(account) if account is not None else None
    if whose is None and number is None:
        whose = load_key_file(home / "key.json", keystore_password(password_file)).address
    if api_url is not None:
        asked = shared.model if model is None and shared is not None and number is not None else model
        lines, free = trio.run(_ask_api, NodeClient(api_url), whose, asked, number)
    elif shared is not None:
        model_id = model_of(model, shared) if number is not None or model is not None else None
        lines, free = trio.run(_read_chain, shared, whose, model_id, number)
    if as_json:
        show_json({"account": whose, "round": number, "free_wei": None if free is None else str(free), "lines": lines})
        return
    for text in story(lines) if whose is None else statement(whose, lines, free):
        show(text)


@app.command("reconcile")
def reconcile_balances(network: NetworkOption, as_json: JsonOption = False) -> None:
    """Recompute all balances from events alone and compare each with the contract; status 0 only if all agree."""
    block, outcome = trio.run(partial(_reconcile, Network.read(network)))
    if as_json:
        show_json(_as_document(block, outcome))
    else:
        _print(block, outcome)
    if outcome.differences:
        raise typer.Exit(1)


# --- In words ---------------------------------------------------------------------------------------------------------


def statement(account: Address, lines: list[Document], free: Wei | None) -> list[str]:
    """An account's lines with the running balance, and the sum at the end; `free` None: only a part of them."""
    text = [f"statement of {account}"]
    for line in lines:
        text += [_amounts(line, tokens(Wei(int(line["balance_after_wei"])))), _event(line)]
    moved = Wei(sum(int(line["amount_wei"]) for line in lines))
    if free is None:
        return [*text, f"these {len(lines)} lines add up to {tokens(moved)} ({moved} wei)"]
    return [*text, f"free balance {tokens(free)} ({free} wei): what these {len(lines)} lines add up to"]


def story(lines: list[Document]) -> list[str]:
    """Everybody's lines of a round: first the round itself, then account by account."""
    accounts = dict.fromkeys(line["account"] for line in lines if line["account"] is not None)
    text: list[str] = []
    for account in (None, *accounts):
        own = [line for line in lines if line["account"] == account]
        moved = Wei(sum(int(line["amount_wei"]) for line in own))
        text += [] if account is None else [f"{account}: {_signed(moved)}"]
        for line in own:
            text += [line["sentence"] if account is None else _amounts(line), _event(line)]
    return text or ["nothing has happened in this round yet"]


def _amounts(line: Document, balance: str = "") -> str:
    amount = int(line["amount_wei"])
    moved = _signed(Wei(amount)) if amount else ""
    return f"{moved:>16}  {balance:>16}  {line['sentence']}" if balance else f"{moved:>16}  {line['sentence']}"


def _signed(amount: Wei) -> str:
    return ("+" if amount > 0 else "") + tokens(amount)


def _event(line: Document) -> str:
    event = line["event"]
    place = f"block {event['block_number']}, transaction {event['transaction_hash']}, log {event['log_index']}"
    return f"{'':>18}{event['event']}: {place}"


def _print(block: int, outcome: Reconciliation) -> None:
    if outcome.differences:
        table = Table("what", "whose", "from events", "on the contract", "difference")
        for one in outcome.differences:
            table.add_row(one.what, one.whose, f"{one.booked:,}", f"{one.held:,}", f"{one.held - one.booked:+,}")
        out.print(table)
    verdict = "differ" if outcome.differences else "are equal"
    show(
        f"{outcome.compared} balances at block {block}: {len(outcome.differences) or 'all'} {verdict}; "
        f"the events account for {tokens(outcome.total)} ({outcome.total} wei)"
    )
    if outcome.surplus:
        show(f"{outcome.surplus} wei were sent to the contract without a deposit: they belong to nobody")


def _as_document(block: int, outcome: Reconciliation) -> Document:
    differences = [
        {name: str(value) if isinstance(value, int) else value for name, value in asdict(one).items()}
        for one in outcome.differences
    ]
    totals = {"total_wei": str(outcome.total), "surplus_wei": str(outcome.surplus)}
    return {"block": block, "compared": outcome.compared, **totals, "differences": differences}


# --- From the chain ---------------------------------------------------------------------------------------------------


async def _read_chain(
    shared: Network, account: Address | None, model: ModelId | None, number: int | None
) -> tuple[list[Document], Wei | None]:
    """Lines from an index built of the chain's events, and the balance that the contract itself has."""

    async def read() -> tuple[list[StatementLine], Wei | None]:
        await catch_up(ledger, index)
        block = index.head().block
        found = await trio.to_thread.run_sync(_all_lines, index, account, model, number)
        if account is None or model is not None or number is not None or block is None:
            return found, None
        return found, Wei(await ledger.view_at(block, "freeOf", account))

    async with reading(shared) as (ledger, index):
        found, free = await at_fresh_head(read)
    lines = [StatementLineView.of(line).model_dump(mode="json") for line in found]
    moved = sum(line.amount for line in found)
    if free is not None and moved != free and len(found) < MAX_LINES:
        raise LedgerUnavailable(
            f"the events of {account} add up to {moved} wei, but the contract says {free}: run `derelayl "
            "rewards reconcile`"
        )
    return lines, free


def _all_lines(
    index: LineageIndex, account: Address | None, model: ModelId | None, number: int | None
) -> list[StatementLine]:
    found: list[StatementLine] = []
    page: list[StatementLine] | None = None
    while page is None or (len(page) == LINES_AT_ONCE and len(found) < MAX_LINES):
        after = (found[-1].seq, found[-1].ordinal) if found else (0, 0)
        with index.reading() as connection:
            page = queries.statement(connection, after, LINES_AT_ONCE, account=account, model=model, round=number)
        found += page
    return found


async def _reconcile(shared: Network) -> tuple[int, Reconciliation]:
    async def read() -> tuple[int, Reconciliation]:
        await catch_up(ledger, index)
        known = index.known_blocks()
        if not known:
            raise LedgerUnavailable("the chain has no block at or above the network file's start_block")
        try:
            books = await trio.to_thread.run_sync(Books, index.log())
        except LogContradiction as error:
            raise LedgerUnavailable(f"the event log contradicts itself: {error}") from error
        outcome = reconcile(books, await held_at(ledger, books, known[-1].number))
        if (await ledger.logs(known)).keep_through < known[-1].number:
            raise LedgerUnavailable("the chain was reorganised meanwhile: run the command again")
        return known[-1].number, outcome

    async with reading(shared) as (ledger, index):
        return await at_fresh_head(read)


# --- From a node ------------------------------------------------------------------------------------------------------


async def _ask_api(
    node: NodeClient, account: Address | None, model: str | None, number: int | None
) -> tuple[list[Document], Wei | None]:
    if model is None and number is not None:
        model = await _only_model(node)
    if account is None:
        return await node.items(f"/v1/models/{model}/rounds/{number}/statement?limit={LINES_AT_ONCE}"), None
    filters = {"limit": LINES_AT_ONCE, "model": model, "round": number}
    query = "&".join(f"{name}={value}" for name, value in filters.items() if value is not None)
    lines = await node.items(f"/v1/accounts/{account}/statement?{query}")
    whole = model is None and number is None
    return lines, Wei(sum(int(line["amount_wei"]) for line in lines)) if whole else None


async def _only_model(node: NodeClient) -> str:
    found = await node.items("/v1/models")
    if len(found) != 1:
        raise LocalFault(f"{node.url} knows {len(found)} models: pass --model 0x…")
    return str(found[0]["model"])
