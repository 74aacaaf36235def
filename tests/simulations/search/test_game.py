"""Empirical games: their profiles, what a mixture earns, and profiles that are simulated."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from tests.simulations.world.builders import scenario

from derelayl_protocol.errors import LocalFault
from derelayl_simulations.scenarios.load import load
from derelayl_simulations.search.game import BOTH, Game, Role, game, simulate

SMALL = {"rounds": 10}


def test_a_game_has_every_profile_once_and_the_honest_one_first() -> None:
    of = Game((Role("trainer", 3, ("honest", "lazy", "copier")), Role("validator", 2, ("honest", "silent"))))
    assert len(of.profiles) == math.comb(5, 2) * 3 == len(of.number)
    assert of.profiles[0].tolist() == [3, 0, 0, 2, 0]
    assert (of.profiles[:, :3].sum(axis=1) == 3).all()
    assert (of.profiles[:, 3:].sum(axis=1) == 2).all()


def test_what_a_strategy_earns_is_its_mean_over_what_the_others_draw() -> None:
    of = Game((Role("trainer", 3, ("a", "b")), Role("validator", 2, ("c", "d", "e"))))
    rng = np.random.default_rng(1)
    payoffs = rng.normal(size=of.profiles.shape)
    mixture = np.concatenate([rng.dirichlet([1, 1]), rng.dirichlet([1, 1, 1])])
    for column in range(5):
        sizes = [(2, 2), (2, 3)] if column < 2 else [(3, 2), (1, 3)]  # the others of each role, and their strategies
        choices = [range(start, start + each) for (count, each), start in zip(sizes, (0, 2), strict=True)
                   for _ in range(count)]  # fmt: skip
        total = 0.0
        for others in itertools.product(*choices):
            counts = np.bincount([*others, column], minlength=5)
            total += math.prod(mixture[list(others)].tolist()) * payoffs[of.number[tuple(counts.tolist())], column]
        assert of.expected(payoffs, mixture)[column] == pytest.approx(total)


def test_strategies_belong_to_the_roles_that_know_them() -> None:
    assert game(["sybil", "nudging-ring"], 4).roles == (Role(BOTH, 4, ("honest", "sybil", "nudging-ring")),)
    apart = game(["sybil", "guesser", "ring"], 3, apart=True)
    assert apart.roles == (
        Role("trainer", 3, ("honest", "sybil", "ring")),
        Role("validator", 3, ("honest", "guesser", "ring")),
    )
    assert [role.name for role in game(["sybil"], 3, apart=True).roles] == ["trainer"]


@pytest.mark.parametrize(
    ("names", "players", "sentence"),
    [
        (["luck"], 3, "luck is no strategy; `derelayl sim strategies` lists them"),
        (["honest"], 3, "3 players and 1 strategies, honest among them, are no game"),
        (["sybil"], 1, "1 players and 2 strategies"),
        (["sybil", "copier", "lazy", "hopper", "averager"], 12, "have 6188 profiles, allowed is 2000"),
    ],
)
def test_what_is_no_game_is_refused(names: list[str], players: int, sentence: str) -> None:
    with pytest.raises(LocalFault, match=sentence):
        game(names, players)


def test_more_players_than_people_and_rules_without_strategies_are_refused() -> None:
    with pytest.raises(LocalFault, match="honest validators a relay are fewer than 12 players"):
        simulate(game(["silent"], 12), scenario(people=24, search=SMALL), [0])
    with pytest.raises(LocalFault, match="published rules, which know no strategies"):
        simulate(game(["lazy"], 2), load("published"), [0])


def test_useless_work_earns_less_in_every_simulated_profile() -> None:
    of = game(["lazy"], 3)
    payoffs = simulate(of, scenario(people=30, relays=2, search=SMALL), [1, 2])
    assert payoffs.shape == (2, 4, 2)
    assert (np.isnan(payoffs) == (of.profiles == 0)).all()
    mixed = of.profiles.min(axis=1) > 0
    assert (payoffs[:, mixed, 1] < payoffs[:, mixed, 0]).all()


def test_a_game_is_the_same_with_the_same_seed() -> None:
    of = game(["lazy", "silent", "ring"], 2, apart=True)
    given = scenario(people=24, search={"rounds": 4})
    first, second = simulate(of, given, [3]), simulate(of, given, [3])
    assert np.array_equal(first, second, equal_nan=True)
    assert first.shape == (1, *of.profiles.shape) == (1, 36, 6)
