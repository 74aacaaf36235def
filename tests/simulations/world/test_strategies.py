"""What each strategy does otherwise, on bids, legs and scores small enough to read."""

from __future__ import annotations

import numpy as np
import pytest

from derelayl_protocol.types import UNAVAILABLE
from derelayl_simulations.world.settings import SearchSettings
from derelayl_simulations.world.strategies import (
    JUDGES,
    NAMES,
    TRAINERS,
    code_of,
    judge_of,
    listed,
    name_of,
    role_of,
    trainer_of,
)
from derelayl_simulations.world.strategies.port import Bench, Deeds, Legs, Market

PARENT = np.array([1.0, 1.0, 2.0, 2.0])
BEST = 2.0
AVERAGE = 2.2
KEPT = np.array([0.0, 1.6, 3.0, 0.0])  # nats that each trainer has kept for itself
TRAINED = np.array([1.5, 1.4, 2.1, 1.9])
GAIN = 0.25  # nats that `learn` adds


def legs(persons: list[int] | None = None) -> Legs:
    """Four legs of one relay: two on a tip of level 1, two on the best tip, of level 2."""
    four = np.arange(4)
    return Legs(
        relay=np.zeros(4, np.int64),
        number=four,
        trainer=four,
        person=np.array(persons or [0, 1, 2, 3]),
        tip=np.array([1, 1, 0, 0]),
        level=PARENT,
        best=np.full(4, BEST),
        average=np.full(4, AVERAGE),
        start=PARENT,
        base=PARENT,
        kept=KEPT,
        luck=np.array([1.0, -1.0, 0.0, 2.0]),
        strategy=np.zeros(4, np.int64),
    )


def trained(name: str, mine: list[int], persons: list[int] | None = None) -> Deeds:
    """Let the strategy act on some of the legs, all of which were trained honestly, late and at the usual cost."""
    deeds = Deeds.honest(TRAINED.copy(), submitted=np.zeros(4, bool), effort=np.ones(4))
    trainer_of(code_of("trainer", name)).train(legs(persons), np.array(mine), deeds, learn)
    return deeds


def learn(mine: np.ndarray, parents: np.ndarray, luck: np.ndarray | None = None) -> np.ndarray:
    return parents + GAIN if luck is None else parents + GAIN + 0.01 * luck


def bids(name: str, placed: list[float], usual: list[float], mine: list[int], purse: float = 100.0) -> list[float]:
    """Return what these accounts of one relay bid; two legs a tip, 1 wei at least."""
    row = np.array([placed])
    market = Market(usual=np.array([usual]), purse=np.full_like(row, purse), placed=row, floor=1.0, places=2)
    return trainer_of(code_of("trainer", name)).bid(market, (np.zeros(len(mine), np.int64), np.array(mine))).tolist()


def said(name: str) -> np.ndarray:
    """Return what one seat says of four legs, the first two of them a ring's, the last not submitted."""
    bench = Bench(
        measured=np.array([[100_000, -20_000, 50_000, UNAVAILABLE]]),
        ring=np.array([[True, True, False, False]]),
        luck=np.array([[1.0, -1.0, 0.5, 0.0]]),
        usual=np.array([[0.1]]),
    )
    return judge_of(code_of("validator", name)).score(bench, np.array([0]))[0]


def test_every_strategy_has_a_code_of_its_own_and_a_line_that_says_what_it_does() -> None:
    assert [(role_of(code), name_of(code)) for code in range(len(NAMES))] == list(NAMES)
    assert [code_of(*each) for each in NAMES] == list(range(len(NAMES)))
    assert all(summary for _, _, summary in listed())


def test_a_search_tries_what_one_can_do_alone_by_default() -> None:
    assert SearchSettings().trainer == (
        "lazy", "copier", "averager", "hopper", "poisoner", "sybil", "half-sybil", "bold-sybil", "withholder",
        "hostage", "hoarder", "secret-runner", "free-rider", "sniper", "wash",
    )  # fmt: skip
    assert SearchSettings().control == ("bold", "multi", "merger")
    assert SearchSettings().validator == ("guesser", "constant", "exaggerator", "silent")


@pytest.mark.parametrize("name", TRAINERS)
def test_a_strategy_changes_nobody_elses_legs(name: str) -> None:
    deeds = trained(name, [1])
    assert (deeds.level[[0, 2, 3]] == TRAINED[[0, 2, 3]]).all()
    assert (deeds.effort[[0, 2, 3]] == 1).all()
    assert not deeds.submitted[[0, 2, 3]].any()


@pytest.mark.parametrize("name", ["honest", "nudging-ring", "withholder", "sniper", "wash", "hostage", "bold", "multi"])
def test_these_train_like_anybody(name: str) -> None:
    deeds = trained(name, [0, 1, 2, 3])
    assert (deeds.level == TRAINED).all()
    assert (deeds.effort == 1).all()


@pytest.mark.parametrize("name", ["lazy", "copier", "averager", "poisoner", "ring"])
def test_who_does_not_train_is_in_time_and_pays_next_to_nothing(name: str) -> None:
    deeds = trained(name, [0, 1, 2, 3])
    assert deeds.submitted.all()
    assert (deeds.effort < 0.05).all()


def test_a_lazy_leg_is_never_better_than_its_parent() -> None:
    deeds = trained("lazy", [0, 1, 2, 3])
    assert (deeds.level <= PARENT).all()
    assert deeds.still.all()


def test_a_poisoned_leg_is_worse_and_a_rings_leg_is_its_parent() -> None:
    assert (trained("poisoner", [0, 1, 2, 3]).level == PARENT - 0.5).all()
    assert (trained("ring", [0, 1, 2, 3]).level == PARENT).all()


def test_a_copier_hands_over_the_best_tip_whatever_it_leased() -> None:
    deeds = trained("copier", [0, 1, 2, 3])
    assert (deeds.level == BEST).all()
    assert deeds.still.tolist() == [False, False, True, True]


def test_a_hopper_trains_on_from_the_best_tip_at_full_cost() -> None:
    deeds = trained("hopper", [0, 2])
    assert deeds.level[[0, 2]].tolist() == [BEST + GAIN] * 2
    assert (deeds.effort == 1).all()


def test_a_sybil_trains_once_and_hands_that_over_under_all_its_names() -> None:
    deeds = trained("sybil", [0, 2, 3], persons=[5, 1, 5, 5])
    assert deeds.level.tolist() == [1.5, 1.4, 1.5, 1.5]
    assert deeds.effort.tolist() == [1.0, 1.0, 0.02, 0.02]


def test_copies_name_the_first_of_them_as_their_twin_whoever_hands_them_over() -> None:
    for name in ("copier", "averager"):
        assert trained(name, [1, 2, 3]).twin.tolist() == [0, 1, 1, 1]
    for name in ("sybil", "bold-sybil", "half-sybil"):
        assert trained(name, [0, 1, 2, 3], persons=[5, 1, 5, 1]).twin.tolist() == [0, 1, 0, 1]
    assert trained("multi", [0, 1, 2], persons=[5, 5, 5]).twin.tolist() == [0, 1, 2, 3]


def test_a_half_sybil_pays_half_a_training_for_each_copy_and_gets_another_child_for_it() -> None:
    deeds = trained("half-sybil", [0, 2, 3], persons=[5, 1, 5, 5])
    assert deeds.effort.tolist() == [1.0, 1.0, 0.5, 0.5]
    assert deeds.half.tolist() == [False, False, True, True]
    of_parent_of_the_first = 1.0 + GAIN
    luck = np.sqrt(0.5) * np.array([1.0, 3.0])  # its twin's and its own
    assert deeds.level.tolist() == pytest.approx([1.5, 1.4, *(of_parent_of_the_first + 0.01 * luck)])


def test_an_averager_hands_over_what_anybody_can_make_and_a_merger_trains_on_from_it() -> None:
    assert trained("averager", [0, 2]).level[[0, 2]].tolist() == [AVERAGE] * 2
    merged = trained("merger", [0, 2])
    assert merged.level[[0, 2]].tolist() == [AVERAGE + GAIN] * 2
    assert (merged.effort == 1).all()


def test_a_secret_runner_goes_on_from_its_own_model_where_that_is_better() -> None:
    deeds = trained("secret-runner", [0, 1, 2])
    assert deeds.level[:3].tolist() == [1.0 + GAIN, 1.6 + GAIN, 3.0 + GAIN]
    assert (deeds.kept == deeds.level).all()


def test_a_hoarder_hands_over_half_of_its_lead_and_keeps_the_whole() -> None:
    deeds = trained("hoarder", [0, 1, 2])
    assert deeds.kept[:3].tolist() == [1.0 + GAIN, 1.6 + GAIN, 3.0 + GAIN]
    assert deeds.level[:3].tolist() == pytest.approx([1.0 + GAIN / 2, 1.0 + (0.6 + GAIN) / 2, 2.0 + (1.0 + GAIN) / 2])


def test_the_bold_bid_four_times_as_much_as_far_as_their_purse_goes() -> None:
    for name in ("bold", "bold-sybil"):
        assert bids(name, [0, 0], [5, 0], [0, 1]) == [20, 0]
        assert bids(name, [0, 0], [5, 0], [0, 1], purse=12.0) == [12, 0]


def test_a_hostages_owner_offers_and_does_not_serve() -> None:
    hostage = trainer_of(code_of("trainer", "hostage"))
    assert hostage.offers
    assert not hostage.serves


def test_a_sniper_beats_the_last_bid_that_gets_the_best_tip_by_a_hair() -> None:
    assert bids("sniper", [0, 5, 7, 9], [2, 2, 2, 2], [0]) == pytest.approx([7.07])


def test_a_sniper_does_not_bid_what_it_has_not_or_when_it_wants_nothing() -> None:
    assert bids("sniper", [0, 5, 7, 9], [2, 2, 2, 2], [0], purse=6.0) == [0]
    assert bids("sniper", [0, 5, 7, 9], [0, 2, 2, 2], [0]) == [0]


def test_a_whale_outbids_everybody_as_far_as_its_purse_goes() -> None:
    assert bids("whale", [0, 5, 7, 9], [2, 2, 2, 2], [0]) == [18]
    assert bids("whale", [0, 5, 7, 9], [2, 2, 2, 2], [0], purse=12.0) == [12]


def test_a_free_rider_never_bids() -> None:
    assert bids("free-rider", [0, 0], [5, 5], [0, 1]) == [0, 0]


@pytest.mark.parametrize("name", JUDGES)
def test_no_judge_says_anything_of_a_leg_that_was_not_submitted(name: str) -> None:
    assert said(name)[3] == UNAVAILABLE


def test_what_each_judge_says() -> None:
    assert said("honest")[:3].tolist() == [100_000, -20_000, 50_000]
    assert said("constant")[:3].tolist() == [100_000] * 3
    assert said("guesser")[:3].tolist() == [200_000, 0, 150_000]
    assert said("exaggerator")[:3].tolist() == [120_000, -24_000, 60_000]
    assert said("ring")[:3].tolist() == [1_000_000, 1_000_000, UNAVAILABLE]
    assert said("nudging-ring")[:3].tolist() == [160_000, 40_000, -10_000]
    assert said("whispering-ring")[:3].tolist() == [115_000, -5_000, 35_000]


def test_only_those_who_measure_pay_for_it_and_only_the_silent_keep_back_their_scores() -> None:
    assert [name for name in JUDGES if judge_of(code_of("validator", name)).effort] == [
        "honest",
        "exaggerator",
        "nudging-ring",
        "whispering-ring",
    ]
    assert [name for name in JUDGES if not judge_of(code_of("validator", name)).reveals] == ["silent"]
