"""Fixtures for everything that needs a served chain with a ledger on it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from .world import Template, World, make_template, served_world


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Template:
    return make_template(tmp_path_factory.mktemp("chain"))


@pytest.fixture
def world(tmp_path: Path, template: Template) -> Iterator[World]:
    with served_world(tmp_path, template) as world:
        yield world
