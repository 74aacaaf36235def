"""What a scenario says of the world is refused with one sentence where it cannot be."""

from __future__ import annotations

from typing import Any

import pytest
from tests.simulations.world.builders import HONEST, scenario

from derelayl_protocol.errors import LocalFault
from derelayl_simulations.world.opening import check_events


def with_group(**values: Any) -> list[dict[str, object]]:
    return [*HONEST, {"name": "more", "share": 0.1, **values}]


@pytest.mark.parametrize(
    ("world", "named"),
    [
        ({"costs": {"energy_price": -1}}, ["world.costs.energy_price", "-1", "0"]),
        ({"learning": {"rate": 1.5}}, ["world.learning.rate", "1.5", "1"]),
        ({"learning": {"drift": 1.0}}, ["world.learning.drift", "1.0", "less than 1"]),
        ({"judging": {"noise": -0.1}}, ["world.judging.noise", "-0.1"]),
        ({"demand": {"valuation": "guess"}}, ["world.demand.valuation", "guess", "fixed"]),
        ({"bid_shares": 1}, ["world.bid_shares", "bid_share"]),
        ({"people": 31, "relays": 2, "participants": 31}, ["31", "2 relays"]),
        ({"groups": with_group(strategy="guesser")}, ["more", "guesser", "lazy"]),
        ({"groups": with_group(role="validator", strategy="lazy")}, ["more", "lazy", "guesser"]),
        ({"groups": with_group(of="nobody")}, ["more", "nobody"]),
        ({"groups": with_group(of="validators")}, ["more", "validators"]),
        ({"groups": with_group(name="trainers")}, ["one name"]),
        ({"groups": with_group(count=31)}, ["31", "30"]),
        ({"groups": [{"name": "few", "count": 3}]}, ["27", "share"]),
        ({"groups": with_group(cost=-2)}, ["cost", "-2", "0"]),
        ({"groups": with_group(cost={"mean": 1, "deviation": 9})}, ["cost.deviation", "9", "3"]),
        ({"events": [{"round": 1, "kind": "crash", "amount": 1.5}]}, ["1.5", "crash"]),
        ({"events": [{"round": 0, "kind": "cost", "amount": 1.5}]}, ["event.0.round", "0"]),
        ({"events": [{"round": 1, "kind": "flood", "amount": 1}]}, ["event.0.kind", "flood", "crash"]),
        ({"search": {"share": 0}}, ["search.share", "0"]),
        ({"search": {"trainer": ["guesser"]}}, ["search.trainer", "guesser"]),
    ],
)
def test_what_cannot_be_is_refused_by_name_and_value(world: dict[str, object], named: list[str]) -> None:
    with pytest.raises(LocalFault) as fault:
        scenario(**world)  # type: ignore[arg-type]
    assert all(word in str(fault.value) for word in named), str(fault.value)
    assert "\n" not in str(fault.value)


def test_an_event_for_a_group_that_is_not_there_is_refused() -> None:
    given = scenario(events=[{"round": 1, "kind": "enter", "amount": 1, "group": "whales"}])
    with pytest.raises(LocalFault, match=r"event\.0\.group is 'whales', allowed is trainers, validators"):
        check_events(given)


def test_a_bare_number_is_a_mean_without_deviation() -> None:
    group = scenario(groups=with_group(cost=2)).world.group[2]
    assert (group.cost.mean, group.cost.deviation) == (2, 0)
