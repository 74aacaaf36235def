"""Put a prepared devnet on its chain: contracts, tokens for the peers, a genesis checkpoint and its model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import trio

from derelayl_protocol.ledger.commands import CreateModel, Deposit
from derelayl_protocol.ledger.events import ModelCreated
from derelayl_protocol.ledger.rules import Rules
from derelayl_protocol.spelling import to_hex
from derelayl_protocol.types import Address, ModelId, Root, Wei

from ..evm.deploy import NetworkAddresses, deploy
from ..evm.provider import open_chain
from ..handoff import keep_genesis
from ..keys import NodeKey
from ..network.identity import peer_id_of
from ..peer import open_network_ledger
from ..settings import Network
from ..store.chunks import FileStore
from ..training.process import open_trainer
from .world import CHAIN_ID, GRANT, MODEL_BUDGET, TOKEN_SUPPLY, World


@dataclass(frozen=True, slots=True)
class Founded:
    """What was put on the chain."""

    network: Network
    model: ModelId
    genesis: Root


async def found(world: World, chain_url: str, rules: Rules, bootstrap_host: str = "127.0.0.1") -> Founded:
    """Deploy, grant, create. The bootstrap peer owns the genesis checkpoint and must not be running yet."""
    founder_key, first = world.key_of("founder"), world.members[0]
    first_key = world.key_of(first.name)
    addresses = await trio.to_thread.run_sync(_deploy, chain_url, founder_key, world.home("founder"))
    network = Network(
        name="devnet",
        chain_url=chain_url,
        chain_id=CHAIN_ID,
        token=addresses.token,
        ledger=addresses.ledger.address,
        start_block=addresses.start_block,
        bootstrap=(bootstrap_address(bootstrap_host, first.p2p_port, first_key),),
    )
    await _grant(world, network, founder_key)
    genesis = await _make_genesis(world, network, first_key)
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


def _deploy(chain_url: str, key: NodeKey, home: Path) -> NetworkAddresses:
    return deploy(open_chain(chain_url, CHAIN_ID), key, supply=Wei(TOKEN_SUPPLY), outbox=home / "deployment.sqlite")


async def _grant(world: World, network: Network, key: NodeKey) -> None:
    treasury = await open_network_ledger(network, key, world.home("founder"))
    async with trio.open_nursery() as nursery:  # side by side, so that they share a block
        for member in world.members:
            tokens = Wei(GRANT + (MODEL_BUDGET if member is world.members[0] else 0))
            nursery.start_soon(treasury.give, Address(member.account), tokens, Wei(0), f"grant {member.account}")
    treasury.close()


async def _make_genesis(world: World, network: Network, key: NodeKey) -> Root:
    home = world.home(world.members[0].name)
    store = FileStore(home / "store")
    async with open_trainer(world.test_data) as trainer:
        weights = await trainer.genesis(world.architecture, world.seed, home / "genesis.safetensors")
    root = await trio.to_thread.run_sync(keep_genesis, store, key, network.ledger_id, world.architecture, weights)
    weights.path.unlink()
    return root
