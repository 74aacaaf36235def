"""One round at a time: the fast mechanism against a naive one, and what must hold whatever happens."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
from pydantic import ValidationError

from derelayl_simulations.published.family import Lineage
from derelayl_simulations.published.mechanism import Chance, Network, draw_chance, play_round
from derelayl_simulations.published.parameters import PublishedParameters

SMALL = PublishedParameters(participants=24)


@pytest.mark.parametrize(
    "bad",
    [
        {"participants": 1},
        {"participants": 10.5},
        {"trainers_per_owner": 0},
        {"success_probability": 1.1},
        {"selected_share": -0.1},
        {"gain_deviation": float("nan")},
        {"owner_deposit": float("inf")},
        {"test_cases": -1},
        {"active_shares": 0.5},
    ],
)
def test_a_parameter_out_of_bounds_is_refused_by_name(bad: dict[str, float]) -> None:
    with pytest.raises(ValidationError, match=next(iter(bad))):
        PublishedParameters(**bad)  # type: ignore[arg-type]


@pytest.mark.parametrize("share", [0.0, 0.01, 1.0])
def test_a_share_that_leaves_nobody_active_or_nobody_mining_is_refused(share: float) -> None:
    with pytest.raises(ValidationError, match="active_share"):
        PublishedParameters(participants=24, active_share=share)


def test_a_share_of_people_rounds_down_as_its_floating_point_product_does() -> None:
    assert PublishedParameters(participants=7).active == 3
    assert PublishedParameters(participants=100, active_share=0.29).active == 28  # 0.29 · 100 is 28.999… there


def test_a_network_that_selects_nobody_stays_dead_and_only_pays_for_empty_testing_blocks() -> None:
    hopeless = PublishedParameters(participants=24, success_probability=0.0)
    network, rng = Network(24), np.random.default_rng(0)
    outcomes = [play_round(network, draw_chance(rng, 24), hopeless) for _ in range(3)]
    assert [outcome.owners for outcome in outcomes] == [1, 0, 0]
    assert [outcome.selected for outcome in outcomes] == [0, 0, 0]
    assert outcomes[1].matched == outcomes[1].models == 0
    assert outcomes[1].minted == pytest.approx(0.1)
    assert outcomes[1].common_ancestor_depth is None


def test_a_trainer_without_an_owner_sits_out_and_loses_nothing() -> None:
    network = Network(24)
    network.coins += 5.0
    outcome = play_round(network, draw_chance(np.random.default_rng(1), 24), SMALL)
    assert outcome.trainers == 11
    assert outcome.matched == 4
    # Four pairs at most put up a coin or their owner's deposit; the rest can only have gained.
    assert np.count_nonzero(network.coins < 5.0) <= 4


def test_the_highest_bid_gets_the_best_model() -> None:
    network = Network(24)
    network.owners, network.scores = np.array([3, 5]), np.array([9.0, 1.0])
    network.lineage.extend(np.array([0, 0]), network.owners)
    network.round = 4
    network.trained[:] = 4
    network.trained[[10, 11]] = 0  # five versions behind: they bid more than anybody else
    network.coins += 100.0
    others = [participant for participant in range(24) if participant not in (3, 5, 10, 11)]
    last_in_line = np.array([*others[:8], 10, 11, *others[8:], 3, 5])  # ten of them train
    chance = replace(draw_chance(np.random.default_rng(2), 24), order=last_in_line)
    certain = PublishedParameters(participants=24, gain_deviation=0.0, success_probability=1.0)
    play_round(network, chance, certain)
    assert network.owners.tolist() == [10, 11, *others[:2]]
    assert network.scores.tolist() == [10.0] * 4


def test_bids_that_differ_only_in_rounding_tie_and_fall_in_the_order_of_chance() -> None:
    network = Network(24)
    network.round = 4
    network.coins[7], network.coins[8] = 0.3, 0.1 + 0.2  # the same amount, added up in another order
    assert network.coins[8] > network.coins[7]
    line = np.array([7, 8, *(participant for participant in range(24) if participant not in (7, 8))])
    chance = replace(draw_chance(np.random.default_rng(2), 24), order=line)
    certain = PublishedParameters(participants=24, gain_deviation=0.0, success_probability=1.0, trainers_per_owner=2)
    play_round(network, chance, certain)
    assert network.owners.tolist() == [7]


@pytest.mark.parametrize(
    ("parameters", "seed"),
    [
        (PublishedParameters(), 11),
        (PublishedParameters(), 12),
        (PublishedParameters(), 21),
        (SMALL, 7),
        (PublishedParameters(participants=40, trainers_per_owner=3, selected_share=0.7, gain_deviation=3.0), 7),
        (PublishedParameters(participants=9, active_share=0.7, success_probability=1.0, owner_deposit=2.0), 7),
        (PublishedParameters(participants=64, trainers_per_owner=8, selected_share=0.25, gain_deviation=0.01), 7),
    ],
)
def test_the_fast_mechanism_equals_a_naive_one_on_the_same_luck(parameters: PublishedParameters, seed: int) -> None:
    fast, naive = Network(parameters.participants), Naive(parameters)
    rng = np.random.default_rng(seed)
    for _ in range(60):
        chance = draw_chance(rng, parameters.participants)
        outcome = play_round(fast, chance, parameters)
        models, ancestor_depth = naive.play(chance)
        assert outcome.models == models
        assert outcome.common_ancestor_depth == ancestor_depth
        assert fast.owners.tolist() == [tip.trainer for tip in naive.tips]
        assert fast.held.tolist() == naive.held
        np.testing.assert_allclose(fast.coins, naive.coins, rtol=1e-12, atol=1e-9)
    assert len(fast.owners) > 0, "the luck of this seed ends the run early, which compares little"


def test_coins_minted_less_coins_burned_are_the_coins_held_and_nobody_owes() -> None:
    parameters = PublishedParameters(participants=30, trainers_per_owner=3, selected_share=0.7, owner_deposit=0.7)
    network, rng, balance = Network(30), np.random.default_rng(3), 0.0
    for _ in range(200):
        outcome = play_round(network, draw_chance(rng, 30), parameters)
        balance += outcome.minted - outcome.burned
        assert network.coins.min() >= 0.0
    assert network.round == 200
    assert network.coins.sum() == pytest.approx(balance, rel=1e-12)
    assert len(network.owners) > 0


def test_owners_multiply_by_kps_while_they_are_scarce() -> None:
    parameters = PublishedParameters(participants=100_000)
    network, rng = Network(100_000), np.random.default_rng(5)
    owners = [play_round(network, draw_chance(rng, 100_000), parameters).selected for _ in range(14)]
    # From a few hundred owners on, the rounding down of floor(s · models) is lost in the sampling error of p.
    assert owners[-3] > 300
    expected = parameters.trainers_per_owner * parameters.success_probability * parameters.selected_share
    assert owners[-1] / owners[-3] == pytest.approx(expected**2, rel=0.03)


@pytest.mark.parametrize("seed", range(5))
def test_ancestors_are_counted_as_a_walk_to_genesis_counts_them(seed: int) -> None:
    rng = np.random.default_rng(seed)
    lineage, history, size = Lineage(8, 0), [(np.zeros(1, np.int64), np.array([0]))], 1
    for _ in range(80):
        size_before, size = size, int(rng.integers(1, 8))
        parents, trainers = rng.integers(0, size_before, size), rng.permutation(8)[:size]
        expected = np.zeros(8)
        for place in parents:
            for older_parents, older_trainers in reversed(history):
                expected[older_trainers[place]] += 1
                place = older_parents[place]
        assert lineage.extend(parents, trainers).models.tolist() == expected.tolist()
        history.append((parents, trainers))


@dataclass(eq=False)
class Model:
    """A model of the naive mechanism."""

    version: int
    trainer: int
    owner: int | None  # None: genesis, which owns itself
    parent: Model | None
    score: float

    def path(self) -> list[Model]:
        """Return the model and all its ancestors, genesis last."""
        return [self, *self.parent.path()] if self.parent else [self]


class Naive:
    """The published mechanism, step by step as it is written down, with an escrow and a walk over all ancestors."""

    def __init__(self, parameters: PublishedParameters) -> None:
        self.parameters = parameters
        self.coins = [0.0] * parameters.participants
        self.held = [-1] * parameters.participants
        self.held[0] = 0
        self.trained = [0] * parameters.participants
        self.tips = [Model(0, 0, None, None, 0.0)]
        self.version = 0

    def play(self, chance: Chance) -> tuple[int, int | None]:
        rule, self.version = self.parameters, self.version + 1
        owners = [tip.trainer for tip in self.tips]
        free = [int(p) for p in chance.order if p not in owners]
        trainers = free[: rule.active - len(owners)]
        miners = [free[rule.active - len(owners) :][int(u * (rule.participants - rule.active))] for u in chance.miners]

        bids = {t: min(self.coins[t], self.version - self.trained[t]) for t in trainers}
        deposits = {o: min(self.coins[o], rule.owner_deposit) / rule.trainers_per_owner for o in owners}
        queue, pairs = sorted(trainers, key=lambda t: -round(bids[t], 9)), []
        for tip in self.tips:
            for _ in range(rule.trainers_per_owner):
                if queue:
                    pairs.append((queue.pop(0), tip))
        for trainer, tip in pairs:
            self.coins[trainer] -= bids[trainer]
            self.coins[tip.trainer] -= deposits[tip.trainer]

        made = []
        for trainer, tip in pairs:
            if chance.success[trainer] < rule.success_probability:
                score = tip.score + rule.gain_mean + rule.gain_deviation * float(chance.gain[trainer])
                made.append(Model(self.version, trainer, tip.trainer, tip, score))
                self.trained[trainer] = self.held[trainer] = self.version
        if made:
            self.held[miners[1]] = self.version
        made.sort(key=lambda model: -model.score)
        self.tips = made[: int(rule.selected_share * len(made))]
        for model in self.tips:
            assert model.owner is not None
            self.coins[model.trainer] += bids[model.trainer]
            self.coins[model.owner] += deposits[model.owner]
            self.coins[model.owner] += 1
            for ancestor in model.path()[1:]:
                self.coins[ancestor.trainer if ancestor.owner is None else ancestor.owner] += 1

        models, cases = len(made), rule.test_cases
        self.coins[miners[0]] += rule.deposit_fee * len(pairs)
        self.coins[miners[1]] += rule.hash_fee * models
        self.coins[miners[2]] += rule.test_fee * cases + rule.hash_fee * models
        self.coins[miners[3]] += rule.ranking_fee * models + rule.ranking_fee * models * cases
        return models, self._depth()

    def _depth(self) -> int | None:
        if not self.tips:
            return None
        paths = [{id(model) for model in tip.path()} for tip in self.tips]
        common = set.intersection(*paths)
        return next(depth for depth, model in enumerate(self.tips[0].path()) if id(model) in common)
