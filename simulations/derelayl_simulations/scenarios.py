"""The scenarios that can be run by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from .golden import GOLDEN, Golden
from .parameters import PublishedParameters


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """Everything a run needs but its seeds."""

    name: str
    summary: str  # one line for `derelayl sim list`
    parameters: PublishedParameters
    rounds: int  # unless the caller asks for another number
    golden: Mapping[int, Mapping[str, Golden]] = field(default_factory=dict)  # round → column → published number


def published() -> Scenario:
    """Return the published parameters, as long as the published version figure."""
    return Scenario(
        name="published",
        summary="the published parameters over 100 rounds: the version figure",
        parameters=PublishedParameters(),
        rounds=100,
        golden=GOLDEN,
    )


def published_long() -> Scenario:
    """Return the published parameters, as long as the published coin figure."""
    return Scenario(
        name="published-long",
        summary="the published parameters over 5000 rounds: the coin figure",
        parameters=PublishedParameters(),
        rounds=5000,
        golden=GOLDEN,
    )


def published_scarce() -> Scenario:
    """Return the published mechanism with three places per owner: k·p·s = 1.35, yet it dies out.

    A lone owner gets at most three models, of which floor(3 · 0.5) = 1 is selected, so there is never a second owner.
    """
    return Scenario(
        name="published-scarce",
        summary="three trainers per owner instead of four: k·p·s = 1.35, and yet the network dies out",
        parameters=PublishedParameters(trainers_per_owner=3),
        rounds=300,
    )


SCENARIOS: Mapping[str, Callable[[], Scenario]] = {
    "published": published,
    "published-long": published_long,
    "published-scarce": published_scarce,
}
