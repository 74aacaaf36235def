"""`derelayl model`: create a relay, list what there is, buy access to a checkpoint, take it home and use it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Annotated

import trio
import typer
from rich.table import Table

from derelayl_protocol.errors import LocalFault, Reason, RuleViolation
from derelayl_protocol.ledger.commands import BuyAccess, CreateModel
from derelayl_protocol.ledger.events import ModelCreated
from derelayl_protocol.ledger.presets import DEVNET, PRESETS
from derelayl_protocol.ledger.rules import Rules
from derelayl_protocol.ledger.rules_file import find_rules, format_rules
from derelayl_protocol.ledger.state import ModelState
from derelayl_protocol.spelling import exact_tokens, to_hex
from derelayl_protocol.statement.words import short
from derelayl_protocol.types import TOKEN, ModelId, Root, Wei
from derelayl_training.exits.pulled import description_file, keep_pulled, pull_target
from derelayl_training.jobs import Architecture, WeightsFile
from derelayl_training.registry import ARCHITECTURES

from ..devnet.world import CHAIN_ID
from ..evm.client import EvmLedger, open_network_ledger
from ..handoff import Handoff, keep_genesis
from ..keys import NodeKey, load_key_file
from ..lineage import queries
from ..network.host import open_network
from ..settings import DEFAULT_HOME, Network, keystore_password
from ..store.chunks import FileStore
from ..training.process import open_trainer
from .console import in_tokens, out, show, show_json
from .keys import HomeOption, JsonOption, PasswordFileOption
from .node import NetworkOption
from .predict import predict
from .reading import ModelOption, model_of, reading, reading_ledger, root_of

app = typer.Typer(no_args_is_help=True)
app.command("predict")(predict)

PULL_SECONDS = 600.0
"""The longest a whole checkpoint may take."""


@app.command("create")
def create(
    network: NetworkOption,
    home: HomeOption = DEFAULT_HOME,
    password_file: PasswordFileOption = None,
    architecture: Annotated[str, typer.Option("--architecture", help=f"{', '.join(ARCHITECTURES)}.")] = "small-cnn",
    parameter: Annotated[
        list[str] | None,
        typer.Option("--parameter", help="A parameter of the architecture, NAME=VALUE; may be repeated."),
    ] = None,
    rules: Annotated[
        str | None,
        typer.Option(
            "--rules",
            metavar="PRESET|FILE",
            help=f"{', '.join(PRESETS)}, or a TOML file of rules; default on a devnet (chain {CHAIN_ID}): devnet.",
        ),
    ] = None,
    budget: Annotated[int, typer.Option("--budget", min=0, help="Tokens behind the emission.")] = 0,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of the first weights.")] = 0,
    as_json: JsonOption = False,
) -> None:
    """Initialise an architecture, keep it in HOME's store and register the model. `node run` in HOME serves it."""
    shared = Network.read(network)
    key = load_key_file(home / "key.json", keystore_password(password_file))
    chosen = _rules(rules, shared)
    wanted = Architecture(architecture, dict(_parameter(text) for text in parameter or MNIST_PARAMETERS))
    created = trio.run(partial(_create, shared, home, key, wanted, chosen, Wei(budget * TOKEN), seed))
    document = {"model": to_hex(created.model), "genesis": to_hex(created.genesis)}
    if as_json:
        show_json(document)
    else:
        show(f"model    {document['model']}\ngenesis  {document['genesis']}\nserve it: derelayl node run --role seeder")


MNIST_PARAMETERS = ("channels=1", "height=28", "width=28", "classes=10", "stem=16")


@app.command("rules")
def show_rules(
    rules: Annotated[str, typer.Argument(metavar="PRESET|FILE", help=f"{', '.join(PRESETS)}, or a TOML file.")],
) -> None:
    """Check a file of rules and print every rule, as `model create` would register them; needs no network."""
    typer.echo(format_rules(find_rules(rules, _text_of)), nl=False)


@app.command("list")
def list_models(network: NetworkOption, as_json: JsonOption = False) -> None:
    """List the relays on the network's ledger."""
    shared = Network.read(network)

    async def read() -> list[dict[str, object]]:
        async with reading(shared) as (_, index):
            with index.reading() as connection:
                return [
                    {
                        "model": to_hex(model.model),
                        "creator": model.creator,
                        "round": model.round,
                        "phase": model.phase.name.lower(),
                        "submitted_legs": model.submitted,
                        "selected_legs": model.selected,
                        "budget_wei": str(model.budget),
                    }
                    for model in queries.all_models(connection, 0, 200)
                ]

    models = trio.run(read)
    if as_json:
        show_json(models)
        return
    table = Table("model", "creator", "round", "phase", "legs", "selected")
    for model in models:
        cells = (model["model"], model["creator"], model["round"], model["phase"], model["submitted_legs"])
        table.add_row(*(str(cell) for cell in cells), str(model["selected_legs"]))
    out.print(table)


@app.command("show")
def show_model(
    network: NetworkOption,
    model: ModelOption = None,
    as_json: JsonOption = False,
    only_rules: Annotated[
        bool, typer.Option("--rules", help="Print its rules only, as a file that `model create --rules` takes.")
    ] = False,
) -> None:
    """Show a relay: its rules, its running round, its tips."""
    shared = Network.read(network)
    model_id = model_of(model, shared)

    async def read_state() -> ModelState:
        async with reading_ledger(shared) as ledger:
            return await ledger.model(model_id)

    state = trio.run(read_state)
    if only_rules:
        typer.echo(format_rules(state.rules), nl=False)
        return
    document = {
        "model": to_hex(model_id),
        "creator": state.creator,
        "genesis": to_hex(state.genesis),
        "budget_wei": str(state.budget),
        "round": state.current.number,
        "phase": state.current.phase.name.lower(),
        "tips": [{"root": to_hex(tip.root), "score_ppm": tip.score} for tip in state.current.tips],
        "validators": {account: str(stake) for account, stake in state.stakes.items()},
        "rules": asdict(state.rules),
    }
    if as_json:
        show_json(document)
        return
    stakes = {account: f"{exact_tokens(stake)} tokens" for account, stake in state.stakes.items()}
    for name, value in in_tokens({**document, "validators": stakes}).items():
        show(f"{name:<11} {value}")


@app.command("buy")
def buy(
    root: Annotated[str, typer.Argument(help="Root of the checkpoint, or `best` for the best tip.")],
    network: NetworkOption,
    home: HomeOption = DEFAULT_HOME,
    password_file: PasswordFileOption = None,
    model: ModelOption = None,
    as_json: JsonOption = False,
) -> None:
    """Pay the model's fee for HOME's account to fetch one checkpoint; buying twice pays once."""
    shared = Network.read(network)
    key = load_key_file(home / "key.json", keystore_password(password_file))
    document = trio.run(partial(_buy, shared, home, key, model_of(model, shared), root))
    if as_json:
        show_json(document)
    elif document["fee_wei"] == "0":
        show(f"{document['root']} is already open to {key.address}")
    else:
        paid = exact_tokens(int(document["fee_wei"]))
        show(f"{key.address} may fetch {document['root']}, paid {paid} tokens; next: derelayl model pull")


@app.command("pull")
def pull(
    root: Annotated[str, typer.Argument(help="Root of the checkpoint, or `best` for the best tip.")],
    network: NetworkOption,
    target: Annotated[
        Path, typer.Option("--out", help="The folder to write weights.safetensors into, or the .safetensors file.")
    ],
    model: ModelOption = None,
    cache: Annotated[Path, typer.Option("--cache", help="Chunks already fetched; a second try resumes.")] = Path(
        ".derelayl/pull"
    ),
    home: HomeOption = DEFAULT_HOME,
    password_file: PasswordFileOption = None,
) -> None:
    """Fetch an accepted checkpoint from peers, every byte checked: the weights, and what architecture they are of.

    Peers give a paid checkpoint only to an account that has bought it, by the key in HOME. An open one needs no key. To
    use what was pulled, no network is needed: `derelayl model predict`.
    """

    def buyer() -> NodeKey:
        return load_key_file(home / "key.json", keystore_password(password_file))

    weights = pull_target(target)
    trio.run(partial(_pull, Network.read(network), root, model, weights, cache, buyer))
    show(f"{weights} ({weights.stat().st_size} bytes); its architecture: {description_file(weights)}")


async def _create(
    shared: Network, home: Path, key: NodeKey, architecture: Architecture, rules: Rules, budget: Wei, seed: int
) -> ModelCreated:
    store = FileStore(home / "store")
    async with open_trainer("") as trainer:
        weights = await trainer.genesis(architecture, seed, home / "genesis.safetensors")
    try:
        _check_segments(rules, weights)
        genesis = await trio.to_thread.run_sync(keep_genesis, store, key, shared.ledger_id, architecture, weights)
    finally:
        await trio.Path(weights.path).unlink()
    ledger = await open_network_ledger(shared, key, home)
    try:
        events = await ledger.send(CreateModel(rules, genesis, budget), cover=budget)
    finally:
        ledger.close()
    return next(event for event in events if isinstance(event, ModelCreated))


async def _buy(shared: Network, home: Path, key: NodeKey, model_id: ModelId, wanted: str) -> dict[str, str]:
    ledger = await open_network_ledger(shared, key, home)
    try:
        state = await ledger.model(model_id)
        root = _accepted(state, model_id, wanted)
        paid = 0 if await ledger.access(model_id, root, key.address) else await _pay(ledger, model_id, root, state)
    finally:
        ledger.close()
    return {"model": to_hex(model_id), "root": to_hex(root), "fee_wei": str(paid)}


async def _pay(ledger: EvmLedger, model_id: ModelId, root: Root, state: ModelState) -> int:
    fee = state.rules.access_fee
    try:
        await ledger.send(BuyAccess(model_id, root), cover=fee)
    except RuleViolation as refusal:
        if refusal.reason is Reason.INSUFFICIENT_BALANCE:
            raise LocalFault(f"the fee is {exact_tokens(fee)} tokens, more than {ledger.account} holds") from None
        raise
    return fee


async def _pull(
    shared: Network, wanted: str, model: str | None, target: Path, cache: Path, buyer: Callable[[], NodeKey]
) -> None:
    model_id = model_of(model, shared)
    async with reading_ledger(shared) as ledger:
        state = await ledger.model(model_id)
    root = _accepted(state, model_id, wanted)
    key = await trio.to_thread.run_sync(buyer) if state.rules.access_fee else NodeKey.generate()
    store = FileStore(cache / "store")
    async with open_network(key.secret, store=store, models=[model_id], bootstrap=shared.bootstrap) as peers:
        handoff = Handoff(peers, store, key, shared.ledger_id, cache / "weights")
        taken = await handoff.take(root, PULL_SECONDS)
        assembled = await handoff.weights(root)
        await trio.to_thread.run_sync(keep_pulled, assembled, target, root, taken.manifest.header)


def _accepted(state: ModelState, model_id: ModelId, wanted: str) -> Root:
    """The accepted checkpoint that the command line names. Raises LocalFault."""
    root = max(state.current.tips, key=lambda tip: tip.score).root if wanted == "best" else root_of(wanted)
    if root not in state.checkpoints:
        raise LocalFault(f"{to_hex(root)} is not an accepted checkpoint of model {short(model_id)}")
    return root


def _rules(given: str | None, shared: Network) -> Rules:
    """The rules that `--rules` names, checked; a devnet's where it is left out on one. Raises LocalFault."""
    if given is not None:
        return find_rules(given, _text_of)
    if shared.chain_id != CHAIN_ID:
        raise LocalFault(
            f"the rules of a model never change, and chain {shared.chain_id} is no devnet's: choose with --rules "
            "standard, or --rules FILE"
        )
    return DEVNET


def _text_of(path: str) -> str:
    return Path(path).read_text(encoding="utf-8-sig")


def _check_segments(rules: Rules, weights: WeightsFile) -> None:
    """Raise LocalFault unless a bid can name each of the network's segments, and no other."""
    there = 1 + max(weights.segment_of.values())
    if rules.segments != there:
        raise LocalFault(
            f"the network has {there} segments, the rules say {rules.segments}: write segments = {there} in a file "
            'for --rules, below preset = "standard"'
        )


def _parameter(text: str) -> tuple[str, int | str | bool]:
    """A setting of a network: an integer, `true`, `false` or a word; the network says which it takes."""
    name, _, value = text.partition("=")
    if not name or not value:
        raise LocalFault(f"{text!r} is not NAME=VALUE, such as segments=4 or heads=linear")
    if value in ("true", "false"):
        return name, value == "true"
    return name, int(value) if value.isdecimal() and value.isascii() else value
