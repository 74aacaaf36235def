"""Settings of the property tests, and what tests of several parts share.

The properties get the same examples on every run, more of them with HYPOTHESIS_PROFILE=ci.
"""

import itertools
import os
from collections.abc import Iterator

import pytest
from hypothesis import settings

from .postgresql import CannotHave, Server, running

settings.register_profile("quick", derandomize=True, deadline=None, max_examples=50)
settings.register_profile("ci", parent=settings.get_profile("quick"), max_examples=500)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))

_caches = itertools.count()


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Server]:
    """A PostgreSQL server of Debian's packages; where they are not to be had, the test is skipped with the reason."""
    try:
        with running() as server:
            yield server
    except CannotHave as reason:
        pytest.skip(str(reason))


@pytest.fixture(scope="session")
def cache_root(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A folder for the caches of all tests."""
    return str(tmp_path_factory.mktemp("caches"))


@pytest.fixture(autouse=True)
def cache(cache_root: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let commands keep what they read in a folder that no other test has."""
    monkeypatch.setenv("XDG_CACHE_HOME", os.path.join(cache_root, str(next(_caches))))
