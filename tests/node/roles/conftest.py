"""A relay of fakes for every test of a role."""

from __future__ import annotations

from pathlib import Path

import pytest

from .relay import Relay


@pytest.fixture
async def relay(tmp_path: Path) -> Relay:
    """A relay whose first round has not begun."""
    world = Relay(tmp_path)
    await world.begin()
    return world
