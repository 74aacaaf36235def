"""What a peer grants its training: device, precision, memory, processes, and times when it has to wait."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Precision = Literal["auto", "float32", "bfloat16"]


class Compute(BaseModel):
    """The training worker's settings. `hours` such as 22-6 are local hours at which training is allowed.

    `private` is a folder for what must stay at this peer: rehearsal samples, spent privacy.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    threads: Annotated[int, Field(ge=1, le=1024)] = 1
    device: Annotated[str, Field(pattern=r"^(auto|cpu|mps|cuda(:[0-9]{1,2})?)$")] = "auto"
    precision: Precision = "auto"
    memory_mib: Annotated[int | None, Field(ge=1, le=2**24)] = None
    processes: Annotated[int, Field(ge=1, le=64)] = 1
    pause_on_battery: bool = False
    hours: Annotated[str, Field(pattern=r"^([0-9]{1,2}-[0-9]{1,2})?$")] = ""
    private: Path | None = None
