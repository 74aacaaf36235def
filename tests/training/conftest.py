"""Torch as the worker sets it up, for the tests that train in this process; real digits, loaded once."""

from pathlib import Path

import pytest

from derelayl_training.data import Split, load
from derelayl_training.train import configure_torch, write_genesis

from .tiny import ARCHITECTURE, tiny_shard


@pytest.fixture(scope="session", autouse=True)
def _deterministic_torch() -> None:
    configure_torch(threads=1)


@pytest.fixture(scope="session")
def digits() -> Split:
    """MNIST-5k."""
    return load("mnist-5k")


@pytest.fixture
def parent(tmp_path: Path) -> Path:
    """A genesis of the tiny network."""
    return write_genesis(ARCHITECTURE, 1, tmp_path / "parent.safetensors").path


@pytest.fixture
def split(tmp_path: Path) -> Split:
    """The tiny data."""
    return load(f"shard:{tiny_shard(tmp_path)}")
