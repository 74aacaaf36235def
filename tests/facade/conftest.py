"""One relay that has played, shared by the tests that only read it."""

from __future__ import annotations

import pytest

import derelayl
from derelayl_training.train import configure_torch

from .playing import play, tiny_relay

ROUNDS = 3


@pytest.fixture(scope="session")
def played() -> derelayl.Relay:
    configure_torch(threads=1)
    relay = tiny_relay()
    play(relay, ROUNDS)
    return relay
