"""A pulled checkpoint as it lies on disk: weights, beside them which network they are of and how its exits are set.

Needs no torch, no ledger and no network: whoever has the files can use the model. In a folder they are
`weights.safetensors`, `model.json` and `calibration.json`; beside weights of another name, `NAME.model.json` and
`NAME.calibration.json`.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Annotated, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from derelayl_protocol.checkpoint.manifest import Header
from derelayl_protocol.errors import LocalFault
from derelayl_protocol.limits import MAX_SEGMENTS, MAX_TEXT, MIB
from derelayl_protocol.types import Root

from ..files import replacing, write_text
from ..jobs import Architecture

WEIGHTS_NAME = "weights.safetensors"
"""What the weights are called in a folder that holds nothing else than one model."""

WEIGHTS_SUFFIX = ".safetensors"

MAX_DOCUMENT_BYTES = 1 * MIB
"""A description or a calibration; both are a few kilobytes."""

MAX_SETTINGS = 256
"""Parameters of a network, and entries of a training record."""

MAX_POINTS = 64
"""Budgets that a calibration was made for."""

MAX_TEMPERATURE = 20.0
"""Of a calibrated exit; a head that needs more, or less than a twentieth, has learnt nothing."""

Text = Annotated[str, StringConstraints(max_length=MAX_TEXT)]
Digest = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Setting = Annotated[int, Field(ge=-(2**53), le=2**53)] | bool | Text
Settings = Annotated[dict[Text, Setting], Field(max_length=MAX_SETTINGS)]
Share = Annotated[float, Field(ge=0, le=1)]
Operations = Annotated[int, Field(ge=0, le=2**53)]


class Document(BaseModel):
    """Base of both files: nothing coerced, nothing unknown, no NaN."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class Description(Document):
    """`model.json`: the network that the weights are of, and the checkpoint that they came from."""

    format: Literal["derelayl/model/1"] = "derelayl/model/1"
    architecture: Text
    parameters: Settings
    root: Digest | None = None
    model: Digest | None = None
    round: Annotated[int, Field(ge=0, lt=2**53)] | None = None
    trainer: Text | None = None
    training: Settings = Field(default_factory=dict)

    @classmethod
    def of(cls, root: Root, header: Header) -> Self:
        """What a checked manifest says of its weights."""
        return cls(
            architecture=header.architecture,
            parameters=dict(header.parameters),
            root=root.hex(),
            model=header.model.hex(),
            round=header.round,
            trainer=header.trainer,
            training=dict(header.training),
        )

    def network(self) -> Architecture:
        """The entry of the registry to build."""
        return Architecture(self.architecture, self.parameters)


class OperatingPoint(Document):
    """Exits set for one budget: the threshold of each exit but the last, None for an exit that is left closed.

    `budget` is a share of the whole network's multiply-adds; `cost` is what the calibration samples cost on average, a
    share too, and `accuracy` theirs.
    """

    budget: Annotated[float, Field(gt=0, le=1)]
    thresholds: Annotated[tuple[Share | None, ...], Field(max_length=MAX_SEGMENTS)]
    cost: Share
    accuracy: Share


class Calibration(Document):
    """`calibration.json`: how the exits of certain weights are set, found on `samples` labelled samples.

    Of each exit: its temperature, the multiply-adds of the blocks between the exit before and it, and those of its
    head. `data` is the digest of the samples, so that nobody takes their accuracy for a test.
    """

    format: Literal["derelayl/calibration/1"] = "derelayl/calibration/1"
    weights: Digest
    data: Digest
    samples: Annotated[int, Field(ge=1, lt=2**53)]
    temperatures: Annotated[
        tuple[Annotated[float, Field(ge=1 / MAX_TEMPERATURE, le=MAX_TEMPERATURE)], ...],
        Field(min_length=1, max_length=MAX_SEGMENTS),
    ]
    trunk: Annotated[tuple[Operations, ...], Field(max_length=MAX_SEGMENTS)]
    heads: Annotated[tuple[Operations, ...], Field(max_length=MAX_SEGMENTS)]
    points: Annotated[tuple[OperatingPoint, ...], Field(min_length=1, max_length=MAX_POINTS)]

    @model_validator(mode="after")
    def _speaks_of_the_same_exits(self) -> Self:
        exits = len(self.temperatures)
        if {len(self.trunk), len(self.heads), *(len(point.thresholds) + 1 for point in self.points)} != {exits}:
            raise ValueError(f"the number of temperatures, {exits}, differs from that of costs or thresholds")
        return self


Read = TypeVar("Read", bound=Document)


def weights_file(path: Path) -> Path:
    """The weights that a user names: the file, or the one in a folder. Raises LocalFault: not there."""
    found = path / WEIGHTS_NAME if path.is_dir() else path
    if not found.is_file():
        raise LocalFault(f"{found} does not exist; get a checkpoint with `derelayl model pull`")
    return found


def pull_target(path: Path) -> Path:
    """Where pulled weights go: the .safetensors file that a user names, else a file in a folder of that name."""
    return path if path.suffix == WEIGHTS_SUFFIX and not path.is_dir() else path / WEIGHTS_NAME


def keep_pulled(assembled: Path, weights: Path, root: Root, header: Header) -> None:
    """Move assembled weights to where the user wants them, and describe them there. Raises LocalFault: the disk."""
    try:
        weights.parent.mkdir(parents=True, exist_ok=True)
        with replacing(weights) as part:
            shutil.move(assembled, part)  # a copy where the cache is on another disk
    except OSError as error:
        raise LocalFault(f"{weights} cannot be written: {error.strerror}") from error
    write_document(description_file(weights), Description.of(root, header))


def description_file(weights: Path) -> Path:
    return _beside(weights, "model.json")


def calibration_file(weights: Path) -> Path:
    return _beside(weights, "calibration.json")


def read_description(weights: Path) -> Description:
    """Read what network some weights are of. Raises LocalFault: not there, or not such a file."""
    return _read(description_file(weights), Description, "pull the checkpoint again")


def read_calibration(weights: Path) -> Calibration | None:
    """Read how the exits are set, None where they never were. Raises LocalFault: not such a file.

    Whether it is of these weights, `AnytimeModel` checks.
    """
    path = calibration_file(weights)
    return _read(path, Calibration, "calibrate again") if path.exists() else None


def write_document(path: Path, document: Document) -> None:
    """Write a description or a calibration atomically. Raises LocalFault: the disk refused."""
    try:
        write_text(path, json.dumps(document.model_dump(mode="json"), indent=1) + "\n")
    except OSError as error:
        raise LocalFault(f"{path} cannot be written: {error.strerror}") from error


def _beside(weights: Path, what: str) -> Path:
    return weights.with_name(what if weights.name == WEIGHTS_NAME else f"{weights.stem}.{what}")


def _read(path: Path, kind: type[Read], remedy: str) -> Read:
    try:
        if path.stat().st_size > MAX_DOCUMENT_BYTES:
            raise LocalFault(f"{path} is larger than {MAX_DOCUMENT_BYTES} bytes; {remedy}")
        return kind.model_validate_json(path.read_bytes())
    except OSError as error:
        raise LocalFault(f"{path} cannot be read: {error.strerror}; {remedy}") from None
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"])) or "file"
        raise LocalFault(f"{path}: {field}: {first['msg']}; {remedy}") from None
