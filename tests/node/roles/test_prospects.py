"""What honest judging may earn: the made up rounds are paid as the ledger pays, and the page says the same numbers."""

import random
import re
import statistics
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from derelayl_node.roles.prospects import (
    COMMON_SHARE,
    LEGS_DIFFER_PPM,
    error_ppm,
    least_samples,
    outlook,
    prospect,
    shares,
)
from derelayl_protocol.ledger.presets import DEVNET, STANDARD
from derelayl_protocol.ledger.scoring import agreement, most_agreement
from derelayl_protocol.ledger.state import LegEntry, SeatEntry
from derelayl_protocol.types import WHOLE_MODEL, Address, Ppm, Root, Wei
from derelayl_training.jobs import drawn

TOLERANCE = STANDARD.agreement_ppm
NOBODY = Address("0x" + "11" * 20)


def leg() -> LegEntry:
    return LegEntry(NOBODY, Root(b"p" * 32), NOBODY, WHOLE_MODEL, Wei(1), Wei(0), child=Root(b"c" * 32))


def reference(scores: list[list[int]], tolerance: Ppm = TOLERANCE) -> float:
    """What part of its share the first of some seats gets, by the reference ledger."""
    legs = [leg() for _ in scores[0]]
    seats = [SeatEntry(NOBODY, Wei(1), scores=tuple(map(Ppm, row))) for row in scores]
    return agreement(0, legs, seats, tolerance) / most_agreement(legs, tolerance)


def test_a_few_samples_are_told_to_lose_with_the_number_that_does_not() -> None:
    few = outlook(20, STANDARD)
    assert not few.earns
    assert "judging does not pay: hold out at least" in few.text
    least = least_samples(TOLERANCE, STANDARD.committee_size)
    assert least is not None
    assert outlook(least, STANDARD).earns
    assert not outlook(least - 1, STANDARD).earns


def test_rules_under_which_no_number_of_samples_is_enough_say_so() -> None:
    strict = replace(STANDARD, agreement_ppm=Ppm(1))
    assert least_samples(strict.agreement_ppm, strict.committee_size) is None
    assert "no number of samples is enough" in outlook(1_000, strict).text


def test_a_committee_of_one_is_paid_nothing() -> None:
    assert not outlook(1_000, replace(STANDARD, committee_size=1, quorum=1)).earns


def test_more_samples_never_earn_less() -> None:
    found = [prospect(error_ppm(held), TOLERANCE, 11).share for held in (16, 32, 64, 128, 256, 1024)]
    assert found == sorted(found)


def test_the_standard_error_is_that_of_the_samples_drawn() -> None:
    assert error_ppm(400) * 2 == pytest.approx(error_ppm(100), abs=2)
    assert drawn(100) == 75


@pytest.mark.parametrize("seats", [2, 3, 11])
def test_a_made_up_round_is_paid_as_the_reference_pays_it(seats: int) -> None:
    rng = np.random.default_rng(seats)
    for _ in range(50):
        scores = rng.integers(-400_000, 400_000, (seats, 5))
        others = np.sort(scores[1:], axis=0)[(seats - 2) // 2]
        got = shares(scores[:1].astype(np.float64), others[None, :].astype(np.float64), TOLERANCE)[0]
        assert got == pytest.approx(reference(scores.tolist()), abs=1e-12)


@pytest.mark.parametrize("error", [50_000, 200_000, 400_000])
def test_it_agrees_with_rounds_drawn_anew_and_paid_by_the_reference(error: int) -> None:
    luck, rounds, got = random.Random(error), 600, []
    for _ in range(rounds):
        truth = [luck.gauss(0, LEGS_DIFFER_PPM) for _ in range(8)]
        rows = []
        for _ in range(5):
            common = luck.gauss(0, error * COMMON_SHARE**0.5)
            rows.append([round(each + common + luck.gauss(0, error * (1 - COMMON_SHARE) ** 0.5)) for each in truth])
        got.append(reference(rows))
    found = prospect(error, TOLERANCE, 5)
    doubt = statistics.stdev(got) / rounds**0.5
    assert found.share == pytest.approx(statistics.mean(got), abs=4 * doubt)
    assert found.charged == pytest.approx(sum(each < 0 for each in got) / rounds, abs=0.08)
    assert found.charges == pytest.approx(-sum(min(each, 0) for each in got) / rounds, abs=4 * doubt)


def test_the_page_has_the_least_numbers() -> None:
    page = (Path(__file__).parents[3] / "docs" / "NODE.md").read_text()
    rows = re.findall(r"^\| (STANDARD|DEVNET) \| (\d+) \| (\d+) \| (\d+) \|", page, re.MULTILINE)
    assert len(rows) == 2
    for name, *found in rows:
        rules = {"STANDARD": STANDARD, "DEVNET": DEVNET}[name]
        assert [int(each) for each in found] == [
            least_samples(rules.agreement_ppm, rules.committee_size, legs) for legs in (3, 8, 32)
        ]
