"""Settings of a node: the network file (what all peers share) and the node's own (options, environment, defaults)."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from derelayl_protocol.errors import LocalFault
from derelayl_protocol.types import Address, LedgerId, ModelId
from derelayl_training.compute import Compute, Precision
from derelayl_training.recipe import Recipe, make_recipe, parse_pairs

MAX_NETWORK_FILE_BYTES = 64 * 1024
"""A network file is a handful of lines."""

PRIVATE_FOLDER = "private"
"""Folder of a peer's home for what training keeps and never sends."""

HexAddress = Annotated[str, StringConstraints(pattern=r"^0x[0-9a-f]{40}$")]
HexId = Annotated[str, StringConstraints(pattern=r"^0x[0-9a-f]{64}$")]
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
    model: HexId | None = None

    @field_validator("bootstrap")
    @classmethod
    def _addresses_name_a_peer(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for address in value:
            if not address.startswith("/") or "/p2p/" not in address:
                raise ValueError(f"{address!r} is not a multiaddress that ends in /p2p/PEER-ID")
        return value

    @classmethod
    def read(cls, path: Path) -> Self:
        """Parse a network file. Raises LocalFault with one sentence that names the file and the remedy."""
        try:
            if path.stat().st_size > MAX_NETWORK_FILE_BYTES:
                raise LocalFault(f"{path} is larger than {MAX_NETWORK_FILE_BYTES} bytes: not a network file")
            return cls.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
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
        temporary = path.with_suffix(".tmp")
        temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")
        os.replace(temporary, path)


def _toml(value: object) -> str:
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    if isinstance(value, tuple):
        return "[" + ", ".join(_toml(item) for item in value) + "]"
    return str(value)


class NodeSettings(BaseSettings):
    """A node's own settings: command line first, then DERELAYL_* in the environment, then these defaults."""

    model_config = SettingsConfigDict(env_prefix="DERELAYL_", extra="ignore", frozen=True)

    home: Path
    network: Path
    roles: tuple[Role, ...] = ("trainer",)
    data: str = ""
    model: HexId | None = None
    password_file: Path | None = None
    p2p_host: str = "127.0.0.1"
    p2p_port: int = Field(default=0, ge=0, le=65535)
    announce: tuple[str, ...] = Field(default=(), max_length=8)
    api_host: str = "127.0.0.1"
    api_port: int = Field(default=0, ge=0, le=65535)
    bid_wei: int = Field(default=10**18, gt=0, le=2**96 - 1)
    segment: str = Field(default="rotate", pattern=r"^(rotate|whole|[0-9]{1,2})$")
    steps: int = Field(default=80, ge=1, le=1_000_000)
    batch: int = Field(default=32, ge=1, le=65_536)
    learning_rate: float = Field(default=0.01, gt=0, le=10)
    seed: int = Field(default=0, ge=0, lt=2**32)
    recipe: str = ""
    method: str = ""
    privacy: Literal["none", "dp"] = "none"
    threads: int = 1
    device: str = "auto"
    precision: Precision = "auto"
    memory_mib: int | None = None
    processes: int = 1
    pause_on_battery: bool = False
    train_hours: str = ""
    submission: Literal["direct", "relayed"] = "direct"
    poll_seconds: float = Field(default=1.0, ge=0.05, le=60)

    @field_validator("roles")
    @classmethod
    def _some_role_once(cls, value: tuple[Role, ...]) -> tuple[Role, ...]:
        if not value or len(set(value)) != len(value):
            raise ValueError("name each role at most once, and at least one of trainer, validator, seeder, relayer")
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
        return ModelId(bytes.fromhex(self.model[2:])) if self.model else None


def keystore_password(file: Path | None) -> str:
    """The keystore's password: from the file, else from DERELAYL_PASSWORD. Raises LocalFault when there is none."""
    if file is not None:
        try:
            return file.read_text(encoding="utf-8").rstrip("\n")
        except OSError as error:
            raise LocalFault(f"cannot read the password file {file}: {error.strerror}") from None
    if password := os.environ.get("DERELAYL_PASSWORD"):
        return password
    raise LocalFault("no password for the keystore: set DERELAYL_PASSWORD or pass --password-file FILE")


def node_settings(values: Mapping[str, object]) -> NodeSettings:
    """Settings from what the command line gave (None means not given). Raises LocalFault naming the first bad one."""
    try:
        settings = NodeSettings(**{key: value for key, value in values.items() if value is not None})  # type: ignore[arg-type]
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"]).replace("_", "-")
        raise LocalFault(f"setting {name}: {first['msg']}") from None
    settings.leg_recipe()
    settings.compute()
    return settings


def address_of(text: str) -> Address:
    """Parse an account address as people write it. Raises LocalFault."""
    lowered = text.lower()
    if len(lowered) != 42 or not lowered.startswith("0x") or set(lowered[2:]) - set("0123456789abcdef"):
        raise LocalFault(f"{text!r} is not an account address (0x and 40 hex digits)")
    return Address(lowered)
