"""What was put into a history is found in it again; what it does not tell is said."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from derelayl_protocol.errors import LocalFault
from derelayl_protocol.types import Wei
from derelayl_simulations.calibration import learning
from derelayl_simulations.calibration.history import History, read_history
from derelayl_simulations.calibration.network import Calibration, calibrate
from derelayl_simulations.calibration.played import play_history
from derelayl_simulations.scenarios.load import load

from .builders import JUDGING, LEARNING, within, world
from .reference import CEILING, ERROR, LUCK, RATE, Ledger

SEEDS = range(6)
TRUTH = {f"world.learning.{key}": LEARNING[key] for key in ("rate", "ceiling", "averaging", "noise", "roughness")}
TRUTH |= {f"world.judging.{key}": JUDGING[key] for key in ("noise", "common")}


@pytest.fixture(scope="module")
def history() -> History:
    return play_history(world(events=[{"round": 1, "kind": "partition", "amount": 0.1, "rounds": 50}]), seed=0)


@pytest.fixture(scope="module")
def found(history: History) -> Calibration:
    return calibrate(history)


@pytest.mark.parametrize("rounds", [0, 5])
def test_a_network_without_enough_rounds_is_refused(history: History, rounds: int) -> None:
    with pytest.raises(LocalFault, match=f"{rounds} rounds with .* judged legs, at least 12 rounds with 40 legs"):
        calibrate(history.first(rounds))


def test_gains_that_never_fall_have_no_ceiling(history: History) -> None:
    rising = [replace(each, score=each.score * 0 + 0.1 * place) for place, each in enumerate(history.rounds)]
    with pytest.raises(LocalFault, match="no ceiling"):
        calibrate(replace(history, rounds=tuple(rising)))


@pytest.mark.slow
@pytest.mark.parametrize("drift", [0.0, 0.02])
def test_what_made_a_history_lies_in_the_intervals_fitted_to_it(drift: float) -> None:
    truth = TRUTH | {"world.learning.drift": drift}
    covered: Counter[str] = Counter()
    for seed in SEEDS:
        covered.update(within(calibrate(play_history(world(learning={**LEARNING, "drift": drift}), seed)), truth))
    assert min(covered[key] for key in truth) >= len(SEEDS) / 2, covered
    assert sum(covered.values()) >= 0.85 * len(truth) * len(SEEDS), covered


def test_partiality_between_judges_and_trainers_is_told_from_chance() -> None:
    groups = [
        {"name": "trainers", "share": 0.7, "quality": 1.0, "skill": 1.0, "skew": 0.1},
        {"name": "validators", "role": "validator", "share": 0.3, "quality": 1.0},
    ]
    partial = [calibrate(play_history(world(groups=groups, judging={**JUDGING, "partiality": 0.3}), seed)).estimates()
               for seed in range(4)]  # fmt: skip
    found = [each["world.judging.partiality"] for each in partial]
    assert min(each.low for each in found) > 0.1
    assert np.mean([each.value for each in found]) == pytest.approx(0.3, rel=0.2)  # few people are more or less alike
    assert np.mean([each["world.judging.noise"].value for each in partial]) == pytest.approx(0.03, rel=0.2)


def test_the_judges_know_what_each_of_them_errs() -> None:
    groups = [
        {"name": "trainers", "share": 0.7, "skew": 0.0},
        {"name": "good", "role": "validator", "count": 3, "quality": 2.0},
        {"name": "poor", "role": "validator", "count": 3, "quality": 0.5},
    ]
    judges = calibrate(play_history(world(groups=groups, judging={**JUDGING, "common": 0.0}), seed=1)).judges
    assert judges is not None
    errors = sorted(judges.by_seat.values())
    assert errors[:3] == pytest.approx([0.015] * 3, rel=0.35)
    assert errors[3:] == pytest.approx([0.06] * 3, rel=0.35)


def test_trainers_that_differ_are_told_from_luck() -> None:
    groups = [
        {"name": "trainers", "share": 0.7, "quality": {"mean": 1.0, "deviation": 0.15}, "skill": 1.0, "skew": 0.0},
        {"name": "validators", "role": "validator", "share": 0.3},
    ]
    differ = [calibrate(play_history(world(groups=groups), seed)).values()["world.group"][0] for seed in range(3)]
    alike = [calibrate(play_history(world(), seed)).values()["world.group"][0] for seed in range(3)]
    assert np.mean([each["quality"]["deviation"] for each in differ]) == pytest.approx(0.15, abs=0.06)
    assert np.mean([each["quality"]["deviation"] for each in alike]) < 0.03


def test_reveals_that_are_lost_and_legs_that_come_late_are_counted(found: Calibration) -> None:
    assert 0.1 in found.seen()["share of seats that revealed nothing"]
    values = found.values()
    assert values["event"][0]["amount"] == pytest.approx(0.1, abs=0.03)
    late = calibrate(play_history(world(costs={"window_hours": 1.2}), seed=2))  # a deviation of the time: 16 %
    assert late.seen()["share of leases that nothing came of"].value == pytest.approx(0.16, abs=0.05)
    assert late.values()["world.costs.window_hours"] == pytest.approx(1.2, abs=0.05)


def test_who_comes_and_who_goes_is_counted_and_turns_churn_on(found: Calibration) -> None:
    assert found.seen()["people a round that left"].value == 0
    assert found.values()["world.churn"] is False
    left = calibrate(play_history(world(events=[{"round": 20, "kind": "leave", "amount": 0.3}], churn=True), seed=0))
    assert left.seen()["people a round that left"].value > 0.05
    assert left.values()["world.churn"] is True


def test_bids_at_the_least_that_is_allowed_say_nothing_of_rewards(history: History, found: Calibration) -> None:
    assert found.values()["world.bid_share"] == pytest.approx(0.1, rel=0.5)
    least = [replace(each, bids=each.bids * 0 + 0.1) for each in history.rounds]
    flat = calibrate(replace(history, rounds=tuple(least)))
    assert "world.bid_share" not in flat.values()
    assert any(sentence.startswith("how bids follow rewards") for sentence in flat.untold())


def test_a_single_seat_says_nothing_of_the_judges(history: History) -> None:
    alone = [replace(each, seats=each.seats[:1], scores=each.scores[:1], revealed=each.revealed[:1])
             for each in history.rounds]  # fmt: skip
    found = calibrate(replace(history, rounds=tuple(alone)))
    assert found.judges is None
    assert not any(key.startswith("world.judging.noise") for key in found.values())
    assert any(sentence.startswith("the judges' errors") for sentence in found.untold())


def test_the_reference_ledgers_history_is_fitted_like_any_other() -> None:
    ledger = Ledger()
    ledger.play(24)
    found = calibrate(read_history(ledger.log, ledger.model))
    truth = {"world.learning.rate": RATE, "world.learning.ceiling": CEILING, "world.learning.averaging": 0.0,
             "world.learning.drift": 0.0, "world.judging.noise": ERROR, "world.judging.common": 0.0}  # fmt: skip
    assert within(found, truth) >= truth.keys() - {"world.learning.averaging"}, found.estimates()
    assert found.estimates()["world.learning.noise"].value == pytest.approx(LUCK, abs=0.02)
    assert found.seen()["share of seats that revealed nothing"].value == pytest.approx(0.2)
    assert found.seen()["share of leases that nothing came of"].value == pytest.approx(1 / 6)


def test_a_scenario_takes_the_fit_with_the_networks_rules(found: Calibration, history: History) -> None:
    fitted = found.scenario(load("honest"))
    assert fitted.world.learning.rate == pytest.approx(found.learning.rate[0], rel=1e-3)
    assert fitted.world.participants == found.conduct.trainers + found.conduct.validators
    assert fitted.ledger.committee_size == history.rules.committee_size == 5
    fine = calibrate(replace(history, rules=replace(history.rules, min_bid=Wei(7))))
    assert fine.scenario(load("honest")).ledger == load("honest").ledger
    assert any("--rules" in sentence for sentence in fine.untold())


def test_the_published_mechanism_cannot_take_it(found: Calibration) -> None:
    with pytest.raises(LocalFault, match="try honest"):
        found.scenario(load("published"))


def test_of_a_very_long_history_a_part_of_the_legs_is_fitted(
    found: Calibration, history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(learning, "MOST_LEGS", found.learning.legs // 2)
    fewer = calibrate(history)
    assert fewer.learning.legs == found.learning.legs
    assert fewer.learning.rate[0] == pytest.approx(found.learning.rate[0], rel=0.2)


def test_draws_differ_and_are_the_same_every_time(found: Calibration, history: History) -> None:
    rates = {found.values(draw)["world.learning.rate"] for draw in range(10)}
    assert len(rates) > 5
    assert calibrate(history).values(7) == found.values(7)
    with pytest.raises(LocalFault, match=r"draw is 201, allowed is 0 … 200"):
        found.values(201)
