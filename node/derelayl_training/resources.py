"""What a leg may use of this machine: device, precision, memory, processes, and when it has to wait."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import psutil
import torch

from derelayl_protocol.errors import LocalFault
from derelayl_protocol.limits import MIB

from .compute import Compute, Precision, parse_hours

AMX_FLAG = "amx_bf16"
"""Processors with it multiply bfloat16 matrices two to four times faster than float32; others do not."""

PAUSE_POLL_SECONDS = 5.0
"""How often a paused leg looks whether it may go on."""

CPU_DEVICE = torch.device("cpu")


def runs_on_battery() -> bool:
    """Whether this machine has a battery and is not plugged in."""
    battery = psutil.sensors_battery()
    return battery is not None and not battery.power_plugged


@dataclass(frozen=True, slots=True)
class Pause:
    """When a leg has to wait between two steps. `hours` (start, stop) are local hours at which training is allowed."""

    on_battery: bool = False
    hours: tuple[int, int] | None = None
    battery: Callable[[], bool] = runs_on_battery
    clock: Callable[[], datetime] = datetime.now
    sleep: Callable[[float], None] = time.sleep

    def must_wait(self) -> str | None:
        """Why training has to wait now, None if it may go on."""
        if self.on_battery and self.battery():
            return "this machine runs on battery"
        if self.hours is not None and not _within(self.clock().hour, self.hours):
            return f"training is allowed from {self.hours[0]} to {self.hours[1]} o'clock"
        return None


@dataclass(frozen=True, slots=True)
class Resources:
    """Where and how a leg computes. `rank` of `world` processes that share each batch (torchrun); alone is 0 of 1.

    `memory_bytes` bounds what a step keeps for the backward pass: a larger batch is cut into pieces whose gradients
    add up. `private` is a folder of this peer alone, for what must never travel (rehearsal samples, spent privacy).
    """

    device: torch.device = CPU_DEVICE
    bfloat16: bool = False
    memory_bytes: int | None = None
    rank: int = 0
    world: int = 1
    pause: Pause = Pause()
    private: Path | None = None

    def autocast(self) -> AbstractContextManager[object]:
        """The context of a forward pass: mixed precision where it is asked for."""
        return torch.autocast(self.device.type, torch.bfloat16) if self.bfloat16 else nullcontext()


CPU = Resources()


def open_resources(compute: Compute) -> Resources:
    """Find on this machine what the settings ask for. Raises LocalFault."""
    device = choose_device(compute.device)
    return Resources(
        device=device,
        bfloat16=choose_bfloat16(compute.precision, device),
        memory_bytes=None if compute.memory_mib is None else compute.memory_mib * MIB,
        pause=Pause(compute.pause_on_battery, parse_hours(compute.hours) if compute.hours else None),
        private=compute.private,
    )


def choose_device(wanted: str) -> torch.device:
    """The device of a `Compute`; `auto` is the first of CUDA, Apple's MPS and the CPU. Raises LocalFault: not here."""
    present = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if wanted == "auto":
        return torch.device(next(kind for kind, here in present.items() if here))
    kind, _, index = wanted.partition(":")
    if not present[kind] or (kind == "cuda" and index and int(index) >= torch.cuda.device_count()):
        raise LocalFault(f"device {wanted!r} is not on this machine; auto would take {choose_device('auto')}")
    return torch.device(wanted)


def choose_bfloat16(precision: Precision, device: torch.device) -> bool:
    """Whether forward passes run in bfloat16: where asked for, or by `auto` where the hardware multiplies it faster."""
    if precision != "auto":
        return precision == "bfloat16"
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return device.type == "cpu" and AMX_FLAG in _processor_flags()


def wait_while_paused(pause: Pause, say: Callable[[str], None]) -> None:
    """Return when training may go on; a lease's deadline ends the worker before that if need be."""
    said = False
    while (reason := pause.must_wait()) is not None:
        if not said:
            say(f"paused: {reason}")
            said = True
        pause.sleep(PAUSE_POLL_SECONDS)


def _within(hour: int, hours: tuple[int, int]) -> bool:
    start, stop = hours
    return start <= hour < stop if start < stop else hour >= start or hour < stop


def _processor_flags() -> frozenset[str]:
    """What the processor says it can; empty where the system does not tell (macOS, Windows)."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace")
    except OSError:
        return frozenset()
    lines = (line for line in text.splitlines() if line.startswith("flags"))
    return frozenset(next(lines, "").partition(":")[2].split())
