"""Lay out a whole small network in a folder: keys, data shards, the chain's first accounts; then put it on the chain.

The same two steps serve `derelayl demo` and docker-compose: `prepare` needs nothing running, `found` needs the chain.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import socket
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

from derelayl_protocol.errors import LocalFault
from derelayl_protocol.types import TOKEN
from derelayl_training.data import load
from derelayl_training.dealing import parse_partition
from derelayl_training.files import write_json, write_private
from derelayl_training.jobs import Architecture
from derelayl_training.kinds import InputKind, kind_of
from derelayl_training.partition import write_shards, write_union
from derelayl_training.split import Inputs, Labels

from ..keys import NodeKey, create_key_file, load_key_file

TOKEN_SUPPLY = 1_000_000 * TOKEN
GRANT = 1_000 * TOKEN
"""Tokens that each peer of a new devnet gets."""

GAS_GRANT = 100 * TOKEN
"""Native wei for gas that each account of a new devnet's chain starts with."""

MODEL_BUDGET = 10_000 * TOKEN
CHAIN_ID = 20_260_502
"""Not anyone's; signatures bind to it."""

DEVNET_SCRYPT_COST = 2**12
"""A devnet's keys guard play money and its password lies beside them; real keys take the keystore's default."""

MLP_WIDTH, GPT_DIMENSION = 8, 4
"""Widths of a devnet's networks for tables and text, in multiples of `stem`."""

WORLD_FILE = "world.json"

RoleName = Literal["seeder", "trainer", "validator"]


@dataclass(frozen=True, slots=True)
class Member:
    """One peer of the devnet. `data` is relative to the folder."""

    name: str
    role: RoleName
    account: str
    data: str | None
    p2p_port: int
    api_port: int


@dataclass(frozen=True, slots=True)
class World:
    """A devnet's layout, as it stands in world.json. The first member is the bootstrap peer and creates the model."""

    folder: Path
    founder: str
    members: tuple[Member, ...]
    architecture: Architecture
    seed: int

    @property
    def password_file(self) -> Path:
        return self.folder / "password"

    @property
    def network_file(self) -> Path:
        return self.folder / "network.toml"

    @property
    def test_data(self) -> str:
        return f"shard:{self.folder / 'data' / 'test.safetensors'}"

    @property
    def union_data(self) -> str:
        return f"shard:{self.folder / 'data' / 'union.safetensors'}"

    def home(self, name: str) -> Path:
        """Where a member, the founder or the chain keeps its files."""
        return self.folder / name

    def data_of(self, member: Member) -> str:
        """The member's data, as `node run --data` takes it."""
        return f"shard:{self.folder / member.data}" if member.data else ""

    def key_of(self, name: str) -> NodeKey:
        """The key of a member or of the founder."""
        return load_key_file(self.home(name) / "key.json", self.password_file.read_text().strip())

    def named(self, account: str) -> str:
        """The member's name, or the account's first digits for a stranger."""
        return next((member.name for member in self.members if member.account == account), account[:10])

    def write(self) -> None:
        """Write world.json."""
        document = asdict(self)
        del document["folder"]
        write_json(self.folder / WORLD_FILE, document)


def read_world(folder: Path) -> World:
    """Read world.json. Raises LocalFault."""
    path = folder / WORLD_FILE
    try:
        document = json.loads(path.read_text())
        return World(
            folder=folder,
            founder=document["founder"],
            members=tuple(Member(**member) for member in document["members"]),
            architecture=Architecture(**document["architecture"]),
            seed=document["seed"],
        )
    except FileNotFoundError:
        raise LocalFault(f"{folder} holds no devnet: make one with `derelayl devnet prepare`") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise LocalFault(f"{path} is damaged ({error}): remove the folder and prepare it again") from None


@dataclass(frozen=True, slots=True)
class Plan:
    """What to prepare: who, on which data. `data` is any data spec."""

    trainers: int = 3
    validators: int = 3
    data: str = "mnist-5k"
    partition: str = "dirichlet:0.5"  # how the samples are dealt out: iid, dirichlet:ALPHA, by-label or by-site
    held_fraction: float = 0.25  # of each peer's data, for judging
    test_size: int = 1000  # samples that no peer holds, at most a fifth of all
    stem: int = 16  # width of the network
    seed: int = 1
    p2p_ports: tuple[int, ...] | None = None  # one for each member; None takes free ones
    api_ports: tuple[int, ...] | None = None


def prepare(folder: Path, plan: Plan) -> World:
    """Write keys, shards, the chain's first accounts and world.json. Raises LocalFault, also for a folder in use.

    The folder appears when it is complete; what an interrupted call left behind is removed by the next.
    """
    if plan.trainers < 1 or plan.validators < 1:
        raise LocalFault("a relay needs at least one trainer and one validator")
    if folder.exists() and any(folder.iterdir()):
        raise LocalFault(f"{folder} is not empty: choose another folder")
    unfinished = folder.with_name(f".{folder.name}.unfinished")
    if unfinished.exists():
        shutil.rmtree(unfinished)
    unfinished.mkdir(parents=True)
    world = _lay_out(unfinished, plan)
    os.replace(unfinished, folder)
    return replace(world, folder=folder)


def _lay_out(folder: Path, plan: Plan) -> World:
    partition = parse_partition(plan.partition)
    inputs, labels, sites = load(plan.data).pooled()
    workers = plan.trainers + plan.validators
    shards = write_shards(
        inputs,
        labels,
        folder / "data",
        parts=workers,
        partition=partition,
        held_fraction=plan.held_fraction,
        test_size=min(plan.test_size, max(1, len(labels) // 5)),
        seed=plan.seed,
        sites=sites,
    )
    write_union(shards.peers, folder / "data" / "union.safetensors")
    write_private(folder / "password", secrets.token_urlsafe(24) + "\n")
    names: list[tuple[str, RoleName]] = [("bootstrap", "seeder")]
    names += [(f"trainer-{number}", "trainer") for number in range(1, plan.trainers + 1)]
    names += [(f"validator-{number}", "validator") for number in range(1, plan.validators + 1)]
    p2p_ports = plan.p2p_ports or free_ports(len(names))
    api_ports = plan.api_ports or free_ports(len(names))
    password = (folder / "password").read_text().strip()
    data: list[str | None] = [None, *(str(path.relative_to(folder)) for path in shards.peers)]
    members = tuple(
        Member(name, role, _new_key(folder / name, password), shard, p2p, api)
        for (name, role), shard, p2p, api in zip(names, data, p2p_ports, api_ports, strict=True)
    )
    world = World(
        folder=folder,
        founder=_new_key(folder / "founder", password),
        members=members,
        architecture=network_for(inputs, labels, plan.stem),
        seed=plan.seed,
    )
    balances = {account: str(GAS_GRANT) for account in (world.founder, *(member.account for member in members))}
    (folder / "chain").mkdir()
    write_json(folder / "chain" / "genesis.json", {"chain_id": CHAIN_ID, "balances": balances})
    world.write()
    return world


def network_for(inputs: Inputs, labels: Labels, stem: int) -> Architecture:
    """Name a small network of two segments for samples of their kind. Raises LocalFault: there is none."""
    shape, classes = inputs.shape[1:], max(2, int(labels.max()) + 1)
    kind = kind_of(inputs, labels)
    match kind:
        case InputKind.IMAGE:
            image = {"channels": shape[0], "height": shape[1], "width": shape[2]}
            return Architecture("small-cnn", {**image, "classes": classes, "stem": stem})
        case InputKind.TABLE:
            row = {"features": shape[0], "classes": classes}
            return Architecture("mlp", {**row, "width": MLP_WIDTH * stem, "depth": 2, "segments": 2})
        case InputKind.TEXT:
            window = {"length": shape[0], "dimension": GPT_DIMENSION * stem}
            return Architecture("gpt", {**window, "depth": 2, "heads": 4, "segments": 2})
        case InputKind.LABELLED_TEXT:
            raise LocalFault(
                f"a devnet has no small architecture for {kind}, only for images, table rows and text windows"
            )


def free_ports(count: int) -> tuple[int, ...]:
    """Ports of the loopback address that nothing listens on now."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return tuple(one.getsockname()[1] for one in sockets)
    finally:
        for one in sockets:
            one.close()


def _new_key(home: Path, password: str) -> str:
    home.mkdir(parents=True, exist_ok=True)
    return create_key_file(home / "key.json", password, iterations=DEVNET_SCRYPT_COST).address
