"""What a peer grants its training: device, precision, memory, processes, and times when it has to wait."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

Precision = Literal["auto", "float32", "bfloat16"]

HOURS_IN_A_DAY = 24


class Compute(BaseModel):
    """The training worker's settings. `hours` such as 22-6 are local hours at which training is allowed.

    `private` is a folder for what must stay at this peer: rehearsal samples, spent privacy.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    threads: Annotated[int, Field(ge=1, le=1024)] = 1
    device: str = "auto"
    precision: Precision = "auto"
    memory_mib: Annotated[int | None, Field(ge=1, le=2**24)] = None
    processes: Annotated[int, Field(ge=1, le=64)] = 1
    pause_on_battery: bool = False
    hours: str = ""
    private: Path | None = None

    @field_validator("device")
    @classmethod
    def _device_has_a_known_name(cls, value: str) -> str:
        if not re.fullmatch(r"auto|cpu|mps|cuda(:[0-9]{1,2})?", value):
            raise ValueError(f"{value!r} is unknown, allowed are auto, cpu, cuda, cuda:N and mps")
        return value

    @field_validator("hours")
    @classmethod
    def _hours_are_two(cls, value: str) -> str:
        if value:
            parse_hours(value)
        return value


def parse_hours(text: str) -> tuple[int, int]:
    """Read `22-6` as the local hours between which training is allowed. Raises ValueError."""
    found = re.fullmatch(r"([0-9]{1,2})-([0-9]{1,2})", text, re.ASCII)
    start, stop = map(int, found.groups()) if found else (0, 0)
    if start == stop or max(start, stop) > HOURS_IN_A_DAY:
        raise ValueError(f"{text!r} is not two different hours of a day such as 22-6")
    return start, stop
