"""Put a prepared devnet on its chain: contracts, tokens for the peers, a genesis checkpoint and its model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import trio

from derelayl_protocol.ledger.commands import CreateModel, Deposit
from derelayl_protocol.ledger.events import ModelCreated
from derelayl_protocol.ledger.rules import Rules
from derelayl_protocol.spelling import to_hex
from derelayl_protocol.types import Address, ModelId, Root, Wei
from derelayl_training.jobs import WeightsFile

from ..evm.client import open_network_ledger
from ..evm.deploy import deploy
from ..evm.provider import open_chain
from ..handoff import keep_genesis
from ..keys import NodeKey
from ..network.identity import peer_id_of
from ..settings import Network
from ..store.chunks import FileStore
from ..training.process import WORKER, open_trainer
from .world import CHAIN_ID, GRANT, MODEL_BUDGET, TOKEN_SUPPLY, World


@dataclass(frozen=True, slots=True)
class Founded:
    """What was put on the chain."""

    network: Network
    model: ModelId
    genesis: Root


async def found(
    world: World,
    chain_url: str,
    rules: Rules,
    bootstrap_host: str = "127.0.0.1",
    worker: Sequence[str] = WORKER,
) -> Founded:
    """Deploy, grant, create. The bootstrap peer owns the genesis checkpoint and must not be running yet."""
    first = world.members[0]
    first_key = world.key_of(first.name)
    made: list[WeightsFile] = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_make_weights, world, made.append, worker)  # loads torch while blocks are made
        network = await _deploy_and_grant(world, chain_url, bootstrap_host)
    (weights,) = made
    keep = partial(keep_genesis, FileStore(world.home(first.name) / "store"), first_key, network.ledger_id)
    genesis = await trio.to_thread.run_sync(keep, world.architecture, weights)
    weights.path.unlink()
    ledger = await open_network_ledger(network, first_key, world.home(first.name))
    await ledger.send(Deposit(Wei(MODEL_BUDGET)), key="budget")
    events = await ledger.send(CreateModel(rules, genesis, Wei(MODEL_BUDGET)))
    ledger.close()
    model = next(event.model for event in events if isinstance(event, ModelCreated))
    network = network.model_copy(update={"model": to_hex(model)})
    network.write(world.network_file)
    return Founded(network, model, genesis)


def bootstrap_address(host: str, port: int, key: NodeKey) -> str:
    """The multiaddress of the first peer; its id follows from its key, so it need not run yet."""
    kind = "ip4" if host.replace(".", "").isdigit() else "dns4"
    return f"/{kind}/{host}/tcp/{port}/p2p/{peer_id_of(key.secret)}"


async def _deploy_and_grant(world: World, chain_url: str, bootstrap_host: str) -> Network:
    key, first = world.key_of("founder"), world.members[0]
    supply, outbox = Wei(TOKEN_SUPPLY), world.home("founder") / "deployment.sqlite"
    put = partial(deploy, open_chain(chain_url, CHAIN_ID), key, supply=supply, outbox=outbox)
    addresses = await trio.to_thread.run_sync(put)
    network = Network(
        name="devnet",
        chain_url=chain_url,
        chain_id=CHAIN_ID,
        token=addresses.token,
        ledger=addresses.ledger.address,
        start_block=addresses.start_block,
        bootstrap=(bootstrap_address(bootstrap_host, first.p2p_port, world.key_of(first.name)),),
    )
    await _grant(world, network, key)
    return network


async def _grant(world: World, network: Network, key: NodeKey) -> None:
    treasury = await open_network_ledger(network, key, world.home("founder"))
    async with trio.open_nursery() as nursery:  # side by side, so that they share a block
        for member in world.members:
            tokens = Wei(GRANT + (MODEL_BUDGET if member is world.members[0] else 0))
            nursery.start_soon(treasury.give, Address(member.account), tokens, Wei(0), f"grant {member.account}")
    treasury.close()


async def _make_weights(world: World, receive: Callable[[WeightsFile], None], worker: Sequence[str]) -> None:
    async with open_trainer(world.test_data, worker=worker) as trainer:
        path = world.home(world.members[0].name) / "genesis.safetensors"
        receive(await trainer.genesis(world.architecture, world.seed, path))
