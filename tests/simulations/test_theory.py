"""The formulas, against brute force and against the rules themselves."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy import stats  # type: ignore[import-untyped]

from derelayl_protocol.errors import LocalFault
from derelayl_simulations.ledger import LedgerSettings
from derelayl_simulations.published import PublishedParameters
from derelayl_simulations.study.run import run
from derelayl_simulations.theory import branching, cheating, issuance
from derelayl_simulations.theory.trial import bought_judges, honest_judges, try_useless_leg, with_committee

from .fakes import small

DEFAULT = PublishedParameters()


def changed(**values: float) -> PublishedParameters:
    return PublishedParameters.model_validate(DEFAULT.model_dump() | values)


def test_a_chain_with_too_many_states_is_refused() -> None:
    with pytest.raises(LocalFault, match="allowed is 2000"):
        branching.transition(changed(participants=10_000))


@pytest.mark.parametrize("values", [{}, {"trainers_per_owner": 3}, {"selected_share": 0.35}, {"active_share": 0.05}])
def test_every_state_of_the_chain_goes_somewhere(values: dict[str, float]) -> None:
    matrix = branching.transition(changed(**values))
    np.testing.assert_allclose(matrix.sum(axis=1), 1.0)
    assert matrix[0, 0] == 1.0


def test_a_lone_owner_of_four_places_dies_out_in_the_first_round_as_counted_by_hand() -> None:
    dies = sum(
        math.prod(0.9 if made else 0.1 for made in outcome)
        for outcome in itertools.product((True, False), repeat=4)
        if math.floor(0.5 * sum(outcome)) == 0
    )
    assert 1 - branching.alive(DEFAULT, 1)[0] == pytest.approx(dies)


@pytest.mark.parametrize(
    "values", [{}, {"selected_share": 0.75}, {"trainers_per_owner": 6, "success_probability": 0.6}]
)
def test_the_fixed_point_is_where_the_exact_chain_comes_to_rest(values: dict[str, float]) -> None:
    parameters = changed(**values)
    assert branching.expected_owners(parameters, 200)[-1] == pytest.approx(branching.steady_owners(parameters), abs=0.1)


def test_without_branching_there_is_no_fixed_point_and_little_life() -> None:
    subcritical = changed(selected_share=0.25)
    assert branching.growth(subcritical) == pytest.approx(0.9)
    assert branching.steady_owners(subcritical) == 0.0
    assert branching.alive(subcritical, 100)[-1] < 1e-3
    trapped = changed(trainers_per_owner=3)  # k·p·s = 1.35, but floor(3 · 0.5) = 1
    assert branching.growth(trapped) > 1
    assert not branching.can_branch(trapped)
    assert branching.can_branch(DEFAULT)


@pytest.mark.slow
def test_the_runs_die_out_as_often_as_the_chain_says() -> None:
    scenario = small(rounds=40, published={"k": 3})
    dead = sum(run(scenario, seed).extinct_round is not None for seed in range(200))
    expected = 1 - branching.alive(scenario.published, 40)[-1]
    assert stats.binomtest(dead, 200, expected).pvalue > 0.001


def test_the_supply_of_the_runs_lies_between_the_formulas() -> None:
    scenario = small(rounds=400)
    table = run(scenario, 0).table["supply"]
    least, most = issuance.published_supply(scenario.published, 400)
    assert least[-1] < table[-1] * 1.02
    assert table[-1] < most[-1] * 1.02
    assert most[-1] / least[-1] < 1.05


def test_the_emission_never_exceeds_its_bound_and_the_bound_is_the_sum() -> None:
    rules = LedgerSettings.model_validate({"emission": 100.0, "halving_rounds": 3, "budget": 1e6}).rules()
    by_hand = sum(rules.emission >> (number // 3) for number in range(300))
    assert issuance.emission_limit(rules, 10**18) == by_hand
    assert issuance.emitted(rules, 10**18, 300)[-1] == pytest.approx(by_hand)
    assert issuance.emitted(rules, 5 * 10**9, 300).max() == 5 * 10**9
    assert issuance.emission_limit(rules, 7) == 7


@pytest.mark.parametrize(
    ("halving", "budget", "supply"),
    [(10**6, 1e6, 0.0), (10, 1e6, 500.0), (10**6, 4e3, 0.0), (7, 1e6, 9e3), (9, 0.0, 1.0)],
)
def test_after_the_end_of_inflation_no_round_mints_so_much(halving: int, budget: float, supply: float) -> None:
    settings = LedgerSettings(emission=100.0, halving_rounds=halving, budget=budget, wei_per_coin=1_000)
    coins, mints = settings.wei(supply), []
    left = settings.wei(budget)
    end = issuance.inflation_end(settings.rules(), left, coins, 0.01)
    for number in range(300):
        mint = min(settings.wei(100.0) >> (number // halving), left)
        mints.append(mint / coins if coins else math.inf * mint)
        coins, left = coins + mint, left - mint
    assert max((number for number, share in enumerate(mints, start=1) if share >= 0.01), default=0) == end


def test_a_ring_moves_a_median_further_the_larger_it_is_and_without_bound_from_a_majority_on() -> None:
    moved = [cheating.nudge(ring, 12, 11) for ring in range(7)]
    assert moved[0] == 0
    assert all(less < more for less, more in itertools.pairwise(moved))
    assert cheating.nudge(11, 11, 11) == math.inf
    errors = np.random.default_rng(1).standard_normal((100_000, 11))
    errors[:, :4] = 9.0  # however high
    assert np.median(errors, axis=1).mean() == pytest.approx(cheating.nudge(4, 11, 11), abs=0.01)


def test_cheating_stops_paying_exactly_where_the_profit_is_nought() -> None:
    enough = cheating.enough_judging(60.0, 6.0)
    assert cheating.useless_leg_profit(np.array([enough]), 60.0, 6.0)[0] == pytest.approx(0.0)


def test_three_cautious_judges_let_the_share_of_useless_legs_pass_that_the_protocol_says() -> None:
    assert cheating.passes(0.0, 0.02, 1e-9, 3) == pytest.approx(0.23, abs=0.005)
    assert cheating.passes(0.0, 0.02, 1e-9, 3, caution=1.0) == pytest.approx(0.07, abs=0.005)
    assert cheating.passes(0.0, 0.02, 1e-9, 3, caution=0.0) == pytest.approx(0.5)
    assert [cheating.passes(gain, 0.0, 0.001, 3) for gain in (0.0, 0.001)] == [0.0, 1.0]


@pytest.mark.parametrize("seats", [1, 3, 4, 9])
def test_the_ledger_lets_a_useless_leg_pass_as_often_as_the_formula_says(seats: int) -> None:
    settings, rng = with_committee(LedgerSettings(), seats), np.random.default_rng(seats)
    trial = try_useless_leg(settings, 2000, 30, 6.0, honest_judges(0.02, 0.5), rng)
    expected = cheating.passes(0.0, 0.02, settings.margin, seats)
    assert stats.binomtest(int(trial.passed.sum()), 2000, expected).pvalue > 0.001
    # The bond is lost, or the trainers' share of the emission is won.
    assert set(np.unique(trial.profit)) == {-6.0, settings.emission * settings.trainer_share}


@pytest.mark.parametrize(("bought", "seats"), [(6, 3), (15, 5), (20, 9), (12, 4)])
def test_the_ledger_seats_a_bought_majority_as_often_as_the_formula_says(bought: int, seats: int) -> None:
    settings, rng = with_committee(LedgerSettings(), seats), np.random.default_rng(bought)
    trial = try_useless_leg(settings, 2000, 30, 0.1, bought_judges(bought), rng)
    assert stats.binomtest(int(trial.passed.sum()), 2000, cheating.captured(bought, 30, seats)).pvalue > 0.001


def test_the_greatest_safe_stake_is_the_last_at_which_buying_does_not_pay() -> None:
    share = cheating.safe_bought_share(60.0, 60.0, 40, 5)
    bought = round(share * 40)
    assert cheating.captured(bought, 40, 5) <= 0.5 < cheating.captured(bought + 1, 40, 5)
    assert cheating.safe_bought_share(0.0, 1.0, 40, 5) == 1.0
