"""What a private leg needs beside its gradients: secret randomness, and an account of the privacy that it spends.

The mechanism is DP-SGD (Abadi et al., CCS 2016): each step draws every sample with the same small probability, clips
each drawn sample's gradient, and adds Gaussian noise to their sum. Neighbouring data sets differ by one sample more or
less. docs/PRIVACY.md tells what that covers and what not.
"""

from __future__ import annotations

import json
import math
import os
import secrets
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_CEILING, Context
from functools import cache
from pathlib import Path
from types import ModuleType

import numpy as np
from numpy.typing import NDArray

from derelayl_protocol.errors import LocalFault

from .batches import Batch
from .files import write_json

Normals = Callable[[int], NDArray[np.float64]]
"""A source of independent standard normal numbers: how many -> (count,)."""

SUMMED_NORMALS = 4
"""Normals behind each number of noise: one alone shows its low bits (Holohan and Braghin, arXiv 2107.10138, 5.1)."""

SEED_BITS = 256
"""Secret bits behind the draws of a leg."""

ORDERS = (*(1 + x / 10 for x in range(1, 100)), *range(12, 64), 72, 96, 128, 192, 256, 512)
"""Orders of Rényi divergence that the accountant tries: Opacus' own, and larger ones for strong noise."""

EPSILON_DIGITS = 3
"""Digits of an epsilon in a record, rounded up."""

SPENT_NAME = "privacy-spent.json"
"""The account's file in the folder of the peer that never travels."""


@dataclass(frozen=True, slots=True)
class Spending:
    """`steps` of DP-SGD: standard deviation of the noise over the clipping norm, and each sample's chance of a draw."""

    noise: float
    rate: float
    steps: int


class PoissonBatches:
    """`steps` batches, each holding every sample with probability `rate`, independently; a batch may be empty.

    `seed` is secret by default: whoever can tell which batches hold a sample gets no amplification by sampling.
    """

    def __init__(self, samples: int, steps: int, rate: float, seed: int | None = None) -> None:
        self._samples, self._steps, self._rate = samples, steps, rate
        self._seed = secrets.randbits(SEED_BITS) if seed is None else seed

    def __len__(self) -> int:
        return self._steps

    def __getitem__(self, step: int) -> Batch:
        if not 0 <= step < self._steps:
            raise IndexError(step)
        return np.flatnonzero(np.random.default_rng([self._seed, step]).random(self._samples) < self._rate)


def secret_normals(count: int) -> NDArray[np.float64]:
    """Draw standard normals from the operating system's cryptographic generator (Box and Muller), (count,).

    Not from a torch.Generator: on the processor it takes 32 bits of its seed, which can be tried out.
    """
    pairs = -(-count // 2)
    words = np.frombuffer(os.urandom(2 * pairs * 8), np.uint64).reshape(2, pairs)
    uniform = ((words >> np.uint64(11)) + 0.5) * 2.0**-53  # the upper 53 bits, never 0
    radius, angle = np.sqrt(-2 * np.log(uniform[0])), 2 * np.pi * uniform[1]
    return np.concatenate([radius * np.cos(angle), radius * np.sin(angle)])[:count]


def noise_like(shape: Sequence[int], deviation: float, normals: Normals) -> NDArray[np.float64]:
    """Gaussian noise of that shape and standard deviation."""
    total = np.zeros(math.prod(shape))
    for _ in range(SUMMED_NORMALS):
        total += normals(len(total))
    return total.reshape(shape) * (deviation / math.sqrt(SUMMED_NORMALS))


def require_opacus() -> ModuleType:
    """Import Opacus. Raises LocalFault: not installed."""
    try:
        import opacus  # type: ignore[import-untyped]
    except ImportError as error:
        raise LocalFault(
            f"privacy=dp needs Opacus ({error}); install it with: pip install 'derelayl[privacy]'"
        ) from error
    module: ModuleType = opacus
    return module


def epsilon_of(spent: Sequence[Spending], delta: float) -> float:
    """The epsilon at `delta` of all that was spent: Rényi divergences add up over steps (Mironov, CSF 2017)."""
    analysis = require_opacus().accountants.analysis.rdp
    total = sum((each.steps * _divergence(each.noise, each.rate) for each in spent), np.zeros(len(ORDERS)))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Optimal order is the")  # costs tightness only: the bound holds at any order
        return float(analysis.get_privacy_spent(orders=ORDERS, rdp=total, delta=delta)[0])


@cache
def _divergence(noise: float, rate: float) -> NDArray[np.float64]:
    """The Rényi divergence of one step at each of ORDERS (Mironov et al., arXiv 1908.10530)."""
    compute = require_opacus().accountants.analysis.rdp.compute_rdp
    return np.asarray(compute(q=rate, noise_multiplier=noise, steps=1, orders=ORDERS), np.float64)


def epsilon_text(epsilon: float) -> str:
    """Write an epsilon with EPSILON_DIGITS digits, never below the truth."""
    return f"{Context(prec=EPSILON_DIGITS, rounding=ROUND_CEILING).create_decimal_from_float(epsilon):f}"


class SpentPrivacy:
    """The account of one peer, over all its legs: a file that never leaves it.

    Every leg counts against every sample, whichever data it trained on and whether or not its child was ever published.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / SPENT_NAME

    def read(self) -> tuple[Spending, ...]:
        """What was spent so far. Raises LocalFault: the file is damaged; nothing is assumed then."""
        if not self._path.exists():
            return ()
        try:
            document = json.loads(self._path.read_text(encoding="utf-8"))
            return tuple(_spending(each) for each in document["spent"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise LocalFault(
                f"{self._path}, which tells how much privacy was spent, cannot be read ({error}); restore it from a "
                f"copy, or remove it if this peer's data are new"
            ) from error

    def add(self, new: Spending) -> None:
        """Note what a leg has spent, before its child exists. Raises LocalFault."""
        steps = {(each.noise, each.rate): each.steps for each in self.read()}
        steps[new.noise, new.rate] = steps.get((new.noise, new.rate), 0) + new.steps
        document = [{"noise": noise, "rate": rate, "steps": count} for (noise, rate), count in steps.items()]
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            write_json(self._path, {"spent": document})
        except OSError as error:
            raise LocalFault(f"{self._path} cannot be written: {error}; a private leg must be accounted for") from error


def _spending(entry: Mapping[str, object]) -> Spending:
    """Check one entry of the file. Raises ValueError, KeyError or TypeError."""
    noise, rate, steps = (entry[key] for key in ("noise", "rate", "steps"))
    if not (isinstance(noise, float) and isinstance(rate, float) and type(steps) is int):
        raise ValueError(f"{entry} has values of wrong types")
    if not (0 < noise < math.inf and 0 < rate <= 1 and steps > 0):
        raise ValueError(f"{entry} has values out of range")
    return Spending(noise, rate, steps)
