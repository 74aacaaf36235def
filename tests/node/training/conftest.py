"""Torch as the worker sets it up, for the tests that train in this process; real digits, loaded once."""

import pytest

from derelayl_node.training.data import Split, load
from derelayl_node.training.train import configure_torch


@pytest.fixture(scope="session", autouse=True)
def _deterministic_torch() -> None:
    configure_torch(threads=1)


@pytest.fixture(scope="session")
def digits() -> Split:
    """MNIST-5k."""
    return load("mnist-5k")
