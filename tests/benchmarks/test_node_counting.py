"""What goodput and the soak count, on histories written by hand."""

from __future__ import annotations

import pytest
from benchmarks.node.goodput import count
from benchmarks.node.soak import Sample, _processor, slope

from derelayl_protocol.ledger.events import Event, LegSettled, RoundSettled, RoundVoided
from derelayl_protocol.ledger.phases import VoidReason
from derelayl_protocol.types import NO_ROOT, UNAVAILABLE, ModelId, Ppm, Root, Wei

MODEL = ModelId(bytes(32))
CHILD = Root(b"\1" * 32)
NOTHING = Wei(0)
STEPS = 10


def leg(number: int, score: Ppm, child: Root = CHILD, selected: bool = False) -> Event:
    return LegSettled(MODEL, 1, number, child, score, selected, NOTHING, NOTHING, NOTHING, NOTHING)


def test_steps_that_were_trained_again_or_for_nothing_lower_the_goodput() -> None:
    events = (
        leg(0, Ppm(5), selected=True),
        leg(1, Ppm(3)),
        leg(2, UNAVAILABLE),
        leg(3, UNAVAILABLE, NO_ROOT),
        RoundSettled(MODEL, 1, 1, NOTHING, NOTHING, NOTHING),
    )
    trained = {(1, 0): STEPS, (1, 1): STEPS + 5, (1, 2): STEPS, (1, 3): 5, (2, 0): 7}  # round 2 is not over
    played = count(events, trained, STEPS)
    assert played.goodput == pytest.approx(20 / 40)
    assert played.legs == {"selected": 1, "ranked, not selected": 1, "unavailable": 1, "expired": 1}
    assert (played.rounds, played.lost) == (1, 0)


def test_a_voided_round_is_lost_with_all_its_steps() -> None:
    played = count([RoundVoided(MODEL, 1, VoidReason(1))], {(1, 0): STEPS}, STEPS)
    assert (played.goodput, played.rounds, played.lost) == (0.0, 1, 1)


def test_the_slope_is_the_growth_an_hour() -> None:
    samples = [
        Sample(minute, "p", rss=100 + int(2 * minute), descriptors=9, processor_seconds=0.0) for minute in range(60)
    ]
    assert slope(samples, "rss") == pytest.approx(120)
    assert slope(samples, "descriptors") == pytest.approx(0)


def test_processor_time_goes_on_after_a_restart() -> None:
    assert _processor([1.0, 3.0, 0.5, 1.5]) == pytest.approx(2.0 + 0.5 + 1.0)
