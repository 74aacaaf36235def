"""What a demo is asked to do."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """Options of `derelayl demo`."""

    out: Path
    trainers: int = 3
    validators: int = 3
    rounds: int = 5
    data: str = "mnist-5k"
    partition: str = "dirichlet:0.5"  # of the data over the peers
    steps: int = 100  # optimiser steps of one leg
    batch: int = 32
    learning_rate: float = 0.01
    seed: int = 1
    keep: bool = False
    kill_round: int = 2  # the round in which a trainer is killed in the middle of its leg
