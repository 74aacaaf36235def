"""Coalitions of every size: who deviates in them, and which is the smallest that pays."""

from __future__ import annotations

import pytest
from tests.simulations.world.builders import scenario

from derelayl_protocol.errors import LocalFault
from derelayl_simulations.scenarios.load import load
from derelayl_simulations.search.coalition import Coalition, coalitions, partner_of, smallest
from derelayl_simulations.search.equilibrium import deviations_of
from derelayl_simulations.study.statistics import Interval


@pytest.mark.parametrize(
    ("trainer", "validator", "shares", "sentence"),
    [
        ("honest", "honest", [0.1], "both honest"),
        ("lasy", "honest", [0.1], "lasy is no strategy of a trainer"),
        ("honest", "lazy", [0.1], "lazy is no strategy of a validator"),
        ("ring", "ring", [0.1, 0.0], "a share is 0, allowed is above 0 and up to 1"),
        ("ring", "ring", [1.1], r"a share is 1\.1"),
    ],
)
def test_what_is_no_coalition_is_refused(trainer: str, validator: str, shares: list[float], sentence: str) -> None:
    with pytest.raises(LocalFault, match=sentence):
        coalitions(scenario(), [0], trainer, validator, shares)


def test_published_rules_know_no_coalitions() -> None:
    with pytest.raises(LocalFault, match="published rules"):
        coalitions(load("published"), [0], "ring", "ring", [0.1])


@pytest.mark.parametrize("names", [("ring", "ring"), ("sybil", "honest"), ("honest", "guesser"), ("lazy", "silent")])
def test_a_coalition_is_the_small_group_of_a_search_whatever_else_is_tried(names: tuple[str, str]) -> None:
    given = scenario(people=30, relays=2, search={"rounds": 25, "share": 0.2})
    several = coalitions(given, [0, 1], *names, [0.5, 0.2])
    assert coalitions(given, [0, 1], *names, [0.2]) == several[1:]
    people = several[1].trainers, several[1].validators
    searched = deviations_of(given.with_values({"search.control": []}), [0])[0]
    for name, role in zip(names, (0, 1), strict=True):
        if name not in ("honest", "ring"):
            assert people[role] == searched[name].people
        assert (people[role] > 0) == (name != "honest")


def test_a_brazen_ring_pays_from_a_majority_on() -> None:
    found = coalitions(scenario(people=40, relays=4, search={"rounds": 25}), [1, 2], "ring", "ring", [0.1, 0.4, 0.8])
    assert [each.validators for each in found] == [1, 5, 10]
    least = smallest(found, 0.05)
    assert least is not None
    assert least.share == 0.8


def test_the_smallest_that_pays_does_so_for_certain() -> None:
    found = [
        Coalition(share, 1, 1, Interval(gain, gain - 0.2, gain + 0.2, 5)) for share, gain in ((0.1, 0.2), (0.2, 0.3))
    ]
    least = smallest(found, 0.05)
    assert least is not None
    assert least.share == 0.2
    assert smallest(found, 0.5) is None


def test_a_rings_judges_are_of_its_own() -> None:
    assert (partner_of("ring"), partner_of("nudging-ring")) == ("ring", "nudging-ring")
    assert (partner_of("sybil"), partner_of("honest")) == ("honest", "honest")
