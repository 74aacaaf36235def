"""Settings of a node: the network file (what all peers share) and the node's own (options, environment, defaults)."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from derelayl_protocol.errors import LocalFault
from derelayl_protocol.spelling import from_hex
from derelayl_protocol.types import TOKEN, Address, LedgerId, ModelId
from derelayl_training.compute import Compute, Precision
from derelayl_training.dials import METHODS
from derelayl_training.files import write_text
from derelayl_training.recipe import DEFAULT, Recipe, make_recipe, parse_pairs
from derelayl_training.registry import LOADERS

from .fields import Hex32, HexAddress

MAX_NETWORK_FILE_BYTES = 64 * 1024
"""A network file is a handful of lines."""

DEFAULT_HOME = Path(".derelayl/node")

NODE_FILE = "node.toml"
"""In a node's home: settings of its own, by the names of their fields."""

PREFIX = "DERELAYL_"
"""Of the environment's variables."""

PASSWORD = f"{PREFIX}PASSWORD"

DEFAULT_MAX_FEE_GWEI = 500.0
"""Far above what chains usually ask, and below a node's slip of the decimal point, or its lie. A command takes some
hundred thousand gas: at most a tenth of a coin. Chains whose coin is worth little may need more."""

PRIVATE_FOLDER = "private"
"""Folder of a peer's home for what training keeps and never sends."""

Role = Literal["trainer", "validator", "seeder", "relayer"]


class Network(BaseModel):
    """What every peer of a network must agree on. Kept in a TOML file that the network's founder hands out."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(min_length=1, max_length=64)
    chain_url: str = Field(pattern=r"^https?://")
    chain_id: int = Field(ge=1, lt=2**53)
    token: HexAddress
    ledger: HexAddress
    start_block: int = Field(default=0, ge=0, lt=2**53)
    bootstrap: tuple[str, ...] = Field(default=(), max_length=64)
    model: Hex32 | None = None

    @field_validator("bootstrap")
    @classmethod
    def _addresses_name_a_peer(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for address in value:
            if not address.startswith("/") or "/p2p/" not in address:
                raise ValueError(f"{address!r} is not a multiaddress ending in /p2p/PEER-ID")
        return value

    @classmethod
    def read(cls, path: Path) -> Self:
        """Parse a network file. Raises LocalFault with one sentence that names the file and the remedy."""
        try:
            if path.stat().st_size > MAX_NETWORK_FILE_BYTES:
                raise LocalFault(
                    f"{path} is larger than {MAX_NETWORK_FILE_BYTES} bytes: not a network file; "
                    "get it from the network's founder"
                )
            return cls.model_validate(tomllib.loads(path.read_text(encoding="utf-8-sig")))
        except OSError as error:
            raise LocalFault(f"cannot read the network file {path}: {error.strerror}; pass --network FILE") from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise LocalFault(f"{path} is not a network file: {error}; get it from the network's founder") from None
        except ValidationError as error:
            first = error.errors()[0]
            field = ".".join(str(part) for part in first["loc"]) or "file"
            raise LocalFault(f"{path}: {field}: {first['msg']}; get the file from the network's founder") from None

    @property
    def ledger_id(self) -> LedgerId:
        """The network's ledger."""
        return LedgerId(self.chain_id, Address(self.ledger))

    def write(self, path: Path) -> None:
        """Write the file atomically."""
        lines = [f"{key} = {_toml(value)}" for key, value in self.model_dump(exclude_none=True).items()]
        write_text(path, "\n".join(lines) + "\n")


def _toml(value: object) -> str:
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    if isinstance(value, tuple):
        return "[" + ", ".join(_toml(item) for item in value) + "]"
    return str(value)


@dataclass(frozen=True, slots=True)
class Flag:
    """The option of a setting, where it is not the field's name with dashes."""

    name: str


def _parted(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return tuple(part for each in value for part in (_parted(each) if isinstance(each, str) else (each,)))
    return tuple(part.strip() for part in value.split(",")) if isinstance(value, str) else value


Several = (NoDecode, BeforeValidator(_parted))
"""Of a setting with several values: commas separate them on the command line and in the environment."""


class ChainAccess(BaseSettings):
    """How a node reaches its network's chain, and what it pays there; a part of its settings that commands share."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="ignore", frozen=True)

    home: Path = Field(default=DEFAULT_HOME, description="Folder of the node.")
    chain_urls: Annotated[tuple[str, ...], *Several, Flag("chain-url")] = Field(
        default=(),
        max_length=8,
        description="JSON-RPC of the chain instead of the network file's; the next of several is asked when one fails.",
    )
    max_fee_gwei: float = Field(
        default=DEFAULT_MAX_FEE_GWEI,
        gt=0,
        le=1e9,
        description="Highest price for one gas, in gwei; nothing dearer is signed.",
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Read HOME/node.toml last. Raises LocalFault naming it, when it is no TOML or wants to be another home's."""
        home = {"home": DEFAULT_HOME, **env_settings(), **init_settings()}["home"]
        path = Path(home) / NODE_FILE
        try:
            text = path.read_text(encoding="utf-8-sig") if path.is_file() else ""
            file = InitSettingsSource(settings_cls, tomllib.loads(text))
        except (OSError, ValueError) as error:  # a TOMLDecodeError and a UnicodeDecodeError are ValueErrors
            raise LocalFault(f"{path} cannot be read as TOML: {error}") from None
        if "home" in file():
            raise LocalFault(f"{path}: home is the folder that the file lies in; take the line out")
        return init_settings, env_settings, file

    @field_validator("chain_urls")
    @classmethod
    def _are_addresses_of_chains(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not all(url.startswith(("http://", "https://")) for url in value):
            raise ValueError("give http:// or https:// URLs, separated by commas")
        return value


class NodeSettings(ChainAccess):
    """A node's own settings: the command line, then DERELAYL_… in the environment, then HOME/node.toml, then defaults.

    Options, variables, help and docs/SETTINGS.md are made from these fields, by `cli.options`.
    """

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="forbid", frozen=True)

    network: Path = Field(description="The network file, from the network's founder.")
    roles: Annotated[tuple[Role, ...], *Several, Flag("role")] = Field(
        default=("trainer",), description=f"{', '.join(get_args(Role))}; separate several by commas."
    )
    data: str = Field(default="", description=f"{', '.join(LOADERS)}; `derelayl data list` tells how.")
    model: Hex32 | None = Field(default=None, description="Model id; default: the network file's.")
    password_file: Path | None = Field(
        default=None, description=f"File with the keystore's password (or set {PASSWORD})."
    )
    p2p_host: str = Field(default="127.0.0.1", description="Address to listen on for peers.")
    p2p_port: int = Field(default=0, ge=0, le=65535, description="Port for peers; 0 takes a free one.")
    announce: Annotated[tuple[str, ...], *Several] = Field(
        default=(),
        max_length=8,
        description="Multiaddress for others to dial, if this node is behind a port mapping; may be repeated.",
    )
    api_host: str = Field(default="127.0.0.1", description="Address of the REST API.")
    api_port: int = Field(default=0, ge=0, le=65535, description="Its port; 0 takes a free one.")
    index: str = Field(
        default="", description="The lineage index: a SQLite file (default: in HOME), or postgresql://… ."
    )
    bid_wei: Annotated[int, Flag("bid")] = Field(
        default=TOKEN, gt=0, le=2**96 - 1, description="The most that is bid for a lease, in wei."
    )
    bidding: Literal["learned", "fixed"] = Field(
        default="learned",
        description="learned: by what the account's legs brought, with pauses while they lose; fixed: always --bid.",
    )
    leg_cost_wei: Annotated[int, Flag("leg-cost")] = Field(
        default=0,
        ge=0,
        le=2**96 - 1,
        description="What a leg costs beside its bid (energy, hardware), in wei; learned bidding counts it.",
    )
    segment: str = Field(
        default="whole", pattern=r"^(rotate|whole|[0-9]{1,2})$", description="whole, rotate, or a segment's number."
    )
    steps: int = Field(default=80, ge=1, le=1_000_000, description="Optimiser steps of one leg.")
    batch: int = Field(default=32, ge=1, le=65_536, description="Samples in one step.")
    learning_rate: float = Field(default=0.01, gt=0, le=10, description="Step size of the optimiser.")
    seed: int = Field(default=0, ge=0, lt=2**32, description="Seed of the legs' batches.")
    recipe: str = Field(default="", description="Dials of a leg, KEY=VALUE,…, e.g. prox=0.01,distil=0.5.")
    method: str = Field(default="", description=f"{', '.join(METHODS)}; default: the recipe's, or {DEFAULT.method}.")
    privacy: Literal["none", "dp"] = Field(default="none", description="none, or dp: differentially private legs.")
    threads: int = Field(default=1, description="Threads of training and judging.")
    device: str = Field(default="auto", description="auto, cpu, cuda, cuda:N, mps.")
    precision: Precision = Field(default="auto", description=f"{', '.join(get_args(Precision))}.")
    memory_mib: Annotated[int | None, Flag("memory")] = Field(
        default=None, description="MiB for the activations of a step; larger batches go through in pieces."
    )
    processes: int = Field(default=1, description="Processes that share a leg's batches, one GPU each (torchrun).")
    pause_on_battery: bool = Field(default=False, description="Train only while the machine is on mains power.")
    train_hours: str = Field(default="", description="Local hours at which to train, e.g. 22-6.")
    submission: Literal["direct", "relayed"] = Field(
        default="direct", description="direct, or relayed: signed entries that a relayer sends."
    )
    poll_seconds: float = Field(
        default=1.0, ge=0.05, le=60, description="Seconds between two looks at the chain while something happens."
    )

    @field_validator("roles")
    @classmethod
    def _some_role_once(cls, value: tuple[Role, ...]) -> tuple[Role, ...]:
        if not value or len(set(value)) != len(value):
            raise ValueError(f"name each role at most once, and at least one of {', '.join(get_args(Role))}")
        return value

    @property
    def works_with_data(self) -> bool:
        return "trainer" in self.roles or "validator" in self.roles

    def leg_recipe(self) -> Recipe:
        """The recipe of this peer's legs. Raises LocalFault naming the dial that is wrong."""
        given = parse_pairs(self.recipe)
        own = {"method": self.method, "privacy": "" if self.privacy == "none" else self.privacy}
        return make_recipe({**given, **{name: value for name, value in own.items() if value}})

    def compute(self) -> Compute:
        """What training may use. Raises LocalFault naming the setting that is wrong."""
        try:
            return Compute(
                threads=self.threads,
                device=self.device,
                precision=self.precision,
                memory_mib=self.memory_mib,
                processes=self.processes,
                pause_on_battery=self.pause_on_battery,
                hours=self.train_hours,
                private=self.home / PRIVATE_FOLDER,
            )
        except ValidationError as error:
            first = error.errors()[0]
            name = str(first["loc"][0]).replace("_", "-")
            raise LocalFault(f"setting {name}: {first['msg'].removeprefix('Value error, ')}") from None

    @property
    def model_id(self) -> ModelId | None:
        return ModelId(from_hex(self.model)) if self.model else None


def option_of(setting: str) -> str:
    """The option of a field of NodeSettings."""
    named = (each.name for each in NodeSettings.model_fields[setting].metadata if isinstance(each, Flag))
    return "--" + next(named, setting.replace("_", "-"))


def variable_of(setting: str) -> str:
    """The environment's variable for a field of NodeSettings."""
    return PREFIX + setting.upper()


def keystore_password(file: Path | None) -> str:
    """The keystore's password: from the file, else from DERELAYL_PASSWORD. Raises LocalFault when there is none."""
    if file is not None:
        try:
            return file.read_text(encoding="utf-8").rstrip("\n")
        except OSError as error:
            raise LocalFault(f"cannot read the password file {file}: {error.strerror}") from None
    if password := os.environ.get(PASSWORD):
        return password
    raise LocalFault(f"no password for the keystore: set {PASSWORD} or pass --password-file FILE")


def chain_access(home: Path) -> ChainAccess:
    """How to reach the chain, from the environment and HOME/node.toml. Raises LocalFault naming what is wrong."""
    try:
        return ChainAccess(home=home)
    except ValidationError as error:
        raise _fault(error) from None


def node_settings(values: Mapping[str, object]) -> NodeSettings:
    """Settings from what the command line gave (None means not given). Raises LocalFault naming the first bad one."""
    try:
        settings = NodeSettings(**{key: value for key, value in values.items() if value is not None})  # type: ignore[arg-type]
    except ValidationError as error:
        raise _fault(error) from None
    settings.leg_recipe()
    settings.compute()
    return settings


def _fault(error: ValidationError) -> LocalFault:
    """The first fault of some settings, by its option."""
    first = error.errors()[0]
    field = str(first["loc"][0])
    if first["type"] == "missing":
        option, variable = option_of(field), variable_of(field)
        return LocalFault(f"setting {field} is missing: pass {option}, or set {variable}")
    if first["type"] == "extra_forbidden":
        near = get_close_matches(field, NodeSettings.model_fields, n=1)
        meant = f", did you mean {near[0]}?" if near else "; docs/SETTINGS.md lists them"
        return LocalFault(f"{NODE_FILE} in the node's home: {field} is no setting of a node{meant}")
    given = "not right" if field == "chain_urls" else repr(first["input"])  # a URL may hold a key
    return LocalFault(f"{option_of(field)} is {given}: {_wrong(field, first)}")


def _wrong(field: str, error: Mapping[str, Any]) -> str:
    """What is wrong with a setting's value, in words that need no knowledge of pydantic."""
    match error["type"]:
        case "literal_error":
            return f"allowed are {error['ctx']['expected']}"
        case "int_parsing" | "int_from_float":
            return "give a whole number"
        case "float_parsing":
            return "give a number"
        case "string_pattern_mismatch":
            return f"give {NodeSettings.model_fields[field].description}".rstrip(".")
        case _:
            return str(error["msg"]).removeprefix("Value error, ").replace("Input should be", "it should be")
