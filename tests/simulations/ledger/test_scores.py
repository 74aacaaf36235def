"""Other ways to take a committee's word: what each makes of the same ballots."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from derelayl_protocol.types import UNAVAILABLE
from derelayl_simulations.ledger.mechanism import rule
from derelayl_simulations.ledger.mechanism.port import Ballots, Evidence, Judged, Score
from derelayl_simulations.ledger.mechanism.scores import FINE_PPM

TOLERANCE = 300_000


def ballots(scores: Sequence[Sequence[int]], **more: Any) -> Ballots:
    """One relay whose seats, of one weight, say these scores, and who all state an error of 10,000 ppm."""
    said = np.array([scores])
    seats, legs = said.shape[1:]
    evidence = Evidence(np.full(said.shape, 10_000.0), np.arange(legs)[None], np.linspace(0, 1, legs, False)[None])
    whole = Ballots(
        scores=said,
        weight=np.full((1, seats), 100),
        revealed=np.ones((1, seats), np.bool_),
        submitted=np.ones((1, legs), np.bool_),
        tolerance=TOLERANCE,
        seats=np.arange(seats)[None],
        trainers=np.arange(legs)[None],
        accounts=seats + legs,
        evidence=evidence,
        memory={},
    )
    return replace(whole, **more)


def judged(name: str, given: Ballots) -> Judged:
    score = rule("score", name)
    assert isinstance(score, Score)
    return score.judge(given)


def scores(name: str, given: Ballots) -> list[int]:
    return judged(name, given).score[0].tolist()


NAMES = (
    "median",
    "trimmed",
    "precise",
    "proven",
    "level",
    "ball",
    "steep",
    "steep-level",
    "contest",
    "appeal",
    "audit",
)


@pytest.mark.parametrize("name", NAMES)
def test_where_all_say_the_same_that_is_the_score(name: str) -> None:
    assert scores(name, ballots([[5_000, -7, 90_000, UNAVAILABLE]] * 7)) == [5_000, -7, 90_000, UNAVAILABLE]


@pytest.mark.parametrize("name", NAMES)
def test_what_nobody_revealed_or_submitted_is_unknown_to_every_rule(name: str) -> None:
    said = ballots([[5_000, 6_000]] * 3)
    assert scores(name, replace(said, revealed=np.zeros((1, 3), np.bool_))) == [UNAVAILABLE] * 2
    assert scores(name, replace(said, submitted=np.array([[True, False]]))) == [5_000, UNAVAILABLE]


def test_a_trimmed_mean_leaves_out_its_share_at_either_end() -> None:
    said = ballots([[-900], [10], [20], [30], [900]])
    assert scores("trimmed:0.2", said) == [20]
    assert scores("trimmed:0.0", said) == [12]
    assert scores("trimmed:0.3", replace(said, weight=np.array([[1, 1, 1, 4, 3]]))) == [30]


def test_who_states_a_tenth_of_the_error_has_a_hundred_times_the_weight() -> None:
    said = ballots([[10], [20], [90]])
    assert scores("precise", said) == [20]
    assert said.evidence is not None
    error = np.array([[[10_000.0], [10_000.0], [1_000.0]]])
    assert scores("precise", replace(said, evidence=replace(said.evidence, error=error))) == [90]


def test_who_has_agreed_with_the_others_weighs_more_than_who_has_not() -> None:
    legs = [0, 100_000, 200_000, 300_000]
    said = ballots([legs, legs, legs, [300_000, 0, 300_000, 0]])
    for _ in range(5):
        assert scores("proven:1", said) == legs
    next_round = ballots([[0], [0], [0], [1]], weight=np.array([[100, 100, 100, 310]]), memory=said.memory)
    assert (scores("median", next_round), scores("proven:1", next_round)) == ([1], [0])


def test_what_a_seat_says_of_all_legs_alike_is_taken_off() -> None:
    legs = np.array([0, 20_000, 40_000])
    said = ballots([legs.tolist(), (legs + 9_000).tolist(), (legs - 5_000).tolist()])
    assert (
        judged("level", said).agreement[0].tolist()
        == judged("median", ballots([legs.tolist()] * 3)).agreement[0].tolist()
    )
    assert np.diff(scores("level", said)).tolist() == [20_000, 20_000]


def test_a_minority_that_bends_every_leg_by_less_than_errors_is_outside_the_ball() -> None:
    rng = np.random.default_rng(1)
    error, bend = rng.normal(0, 10_000, (9, 32)), np.where(np.arange(32) < 13, 15_000, -15_000)
    error[:4] += bend
    said = ballots(error.astype(np.int64).tolist())
    moved = {
        name: float(np.mean(np.sign(bend) * scores(name, said))) for name in ("median", "level", "ball", "contest")
    }
    assert moved["level"] > 4_000
    assert moved["median"] > 4_000
    assert abs(moved["ball"]) < 2_500
    assert moved["contest"] == moved["ball"]


def test_who_calls_most_legs_unavailable_is_no_nearer_to_anybody() -> None:
    few = [5_000, *[UNAVAILABLE] * 7]
    said = ballots([few, few, few, *([each] * 8 for each in (0, 1_000, 2_000, 3_000))])
    assert UNAVAILABLE not in scores("ball", said)


def test_agreement_counts_many_times_and_its_mean_stays() -> None:
    legs = np.arange(8) * 10_000
    bent = legs + np.where(np.arange(8) % 2, 9_000, -9_000)
    said = ballots([legs.tolist()] * 4 + [bent.tolist()])
    plain, steep = judged("median", said).agreement[0], judged("steep:3", said).agreement[0]
    assert plain[4] < plain[0]
    assert steep.sum() == pytest.approx(plain.sum(), abs=5)
    assert steep[0] - steep[4] == pytest.approx(3 * (plain[0] - plain[4]), abs=5)
    most = 8 * 7 * TOLERANCE
    assert np.abs(judged("steep:100", said).agreement).max() <= most


def test_five_seats_judge_what_they_agree_on_and_all_of_them_what_they_do_not() -> None:
    low, high = [10_000, 0], [10_000, 60_000]
    said = ballots([low, low, high, high, high, *[low] * 4])
    found = judged("appeal", said)
    assert found.score[0].tolist() == [10_000, 0]
    assert found.asked is not None
    assert found.asked[0].tolist() == [1.0] * 5 + [0.5] * 4
    assert found.fine is not None
    assert found.fine[0].tolist() == [0, 0, *[int(3.5 * FINE_PPM)] * 3, 0, 0, 0, 0]
    assert scores("appeal:9", said) == [10_000, 60_000]


def test_an_audit_asks_all_seats_about_the_legs_that_it_draws() -> None:
    low, high = [0, 0], [60_000, 60_000]
    said = ballots([low, low, high, high, high, *[low] * 4])
    assert scores("audit:0", said) == [60_000, 60_000]
    assert scores("audit:0.5", said) == [0, 60_000]
    found = judged("audit:1", said)
    assert found.score[0].tolist() == [0, 0]
    assert found.fine is not None
    assert (found.fine[0] > 0).tolist() == [False, False, True, True, True, False, False, False, False]
