"""Equilibria of games whose answers are known, and of a simulated one."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from tests.simulations.world.builders import scenario

from derelayl_protocol.errors import LocalFault
from derelayl_simulations.search.equilibria import alpha_rank, analyse, has_open_spiel, solve
from derelayl_simulations.search.game import Game, Role, game, simulate
from derelayl_simulations.study.statistics import Floats

from ..test_cli import sim

PRISONERS = np.array([[3.0, 0.0], [5.0, 1.0]])  # cooperate, defect
ROCK_PAPER_SCISSORS = np.array([[0.0, -1.0, 1.0], [1.0, 0.0, -1.0], [-1.0, 1.0, 0.0]])
HAWK_DOVE = np.array([[-1.0, 2.0], [0.0, 1.0]])  # worth 2, a fight costs 4: half are hawks
STAG_HUNT = np.array([[4.0, 0.0], [3.0, 3.0]])  # hunts: all, none, or three of four
NEEDS_OPEN_SPIEL = "OpenSpiel is not installed: the extra `games`"


def of_players(players: int, strategies: int, earned: Callable[[int, Sequence[int]], float]) -> tuple[Game, Floats]:
    """Return a game of one role and its table; `earned` takes a strategy and how many others play each."""
    of = Game((Role("trainer", players, tuple("abcdef"[:strategies])),))
    table = np.full(of.profiles.shape, np.nan)
    for row, counts in enumerate(of.profiles.tolist()):
        for own in np.flatnonzero(counts).tolist():
            table[row, own] = earned(own, [count - (each == own) for each, count in enumerate(counts)])
    return of, table


def of_matrix(matrix: Floats, players: int = 2) -> tuple[Game, Floats]:
    """Return the game in which everybody meets everybody else at a matrix."""
    return of_players(players, len(matrix), lambda own, others: float(matrix[own] @ others))


def found(of: Game, table: Floats) -> list[list[float]]:
    return sorted(np.round(mixture, 6).tolist() for mixture in solve(of, table))


@pytest.mark.parametrize("players", [2, 3, 5])
@pytest.mark.parametrize(
    ("matrix", "equilibria"),
    [
        (PRISONERS, [[0, 1]]),
        (ROCK_PAPER_SCISSORS, [[1 / 3, 1 / 3, 1 / 3]]),
        (HAWK_DOVE, [[0.5, 0.5]]),
        (STAG_HUNT, [[0, 1], [0.75, 0.25], [1, 0]]),
    ],
    ids=["prisoner's dilemma", "rock, paper, scissors", "hawk and dove", "stag hunt"],
)
def test_the_equilibria_of_well_known_games(matrix: Floats, equilibria: list[list[float]], players: int) -> None:
    got = found(*of_matrix(matrix, players))
    assert len(got) == len(equilibria)
    assert np.allclose(got, equilibria, atol=1e-5)


@pytest.mark.parametrize("players", [2, 4, 6])
def test_the_volunteers_of_a_dilemma_are_as_rare_as_the_closed_form_says(players: int) -> None:
    cost, worth = 0.3, 1.0
    of, table = of_players(players, 2, lambda own, others: worth - cost if own == 0 else worth * float(others[0] > 0))
    (mixture,) = solve(of, table)
    assert mixture[1] == pytest.approx((cost / worth) ** (1 / (players - 1)))


def test_two_roles_that_want_opposite_things_mix_evenly() -> None:
    of = Game((Role("trainer", 1, ("heads", "tails")), Role("validator", 1, ("heads", "tails"))))
    same = of.profiles[:, 0] == of.profiles[:, 2]
    table = np.where(of.profiles > 0, np.where(same, 1.0, -1.0)[:, None] * np.array([1, 1, -1, -1]), np.nan)
    assert np.allclose(found(of, table), [[0.5, 0.5, 0.5, 0.5]])


@pytest.mark.parametrize("seed", range(12))
def test_every_random_game_has_an_equilibrium_that_nobody_gains_by_leaving(seed: int) -> None:
    of = Game((Role("trainer", 3, ("a", "b", "c")), Role("validator", 2, ("d", "e"))))
    table = np.random.default_rng(seed).normal(size=of.profiles.shape)
    several = solve(of, table)
    assert several  # Nash: there is a symmetric one
    for mixture in several:
        assert of.regret(table, mixture) < 1e-6
        assert mixture.min() >= 0
        assert [mixture[place].sum() for place in of.places] == pytest.approx([1.0, 1.0])


def test_without_noise_what_is_found_is_found_again_and_with_noise_it_says_so() -> None:
    of, table = of_matrix(STAG_HUNT)
    sure = analyse(of, np.array([table] * 4), resamples=10)
    assert [each.found_again for each in sure.equilibria] == [1.0, 1.0, 1.0]
    assert sure.honest == 1.0
    assert sure.others == {}
    gain = sure.leaving["trainer", "b"]
    assert (gain.estimate, gain.low, gain.high) == (-1.0, -1.0, -1.0)
    noise = np.random.default_rng(0).normal(scale=3.0, size=(4, *table.shape))
    unsure = analyse(of, table + noise - noise.mean(axis=0), resamples=40)
    mixed = next(each for each in unsure.equilibria if each.mixture.min() > 0.1)
    assert mixed.mixture == pytest.approx([0.75, 0.25])
    assert 0 < mixed.found_again < 1
    assert mixed.low[0] < 0.75 < mixed.high[0]
    assert 0 < unsure.honest < 1


def test_alpha_rank_of_well_known_games() -> None:
    pytest.importorskip("open_spiel", reason=NEEDS_OPEN_SPIEL)
    shares, honest = alpha_rank(*of_matrix(PRISONERS, 3))
    assert shares == pytest.approx([0, 1], abs=0.03)
    assert honest < 0.01
    shares, _ = alpha_rank(*of_matrix(ROCK_PAPER_SCISSORS))
    assert shares == pytest.approx([1 / 3] * 3)
    of, table = of_matrix(PRISONERS)
    ranked = analyse(of, np.array([table] * 2), resamples=3).ranked
    assert ranked is not None
    assert ranked.low == pytest.approx(ranked.shares)
    with pytest.raises(LocalFault, match="has 2048 profiles, allowed is 1024: take fewer players"):
        alpha_rank(*of_matrix(PRISONERS, 11))


def test_without_openspiel_a_sentence_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "open_spiel.python.egt.alpharank", None)
    of, table = of_matrix(PRISONERS)
    assert not has_open_spiel()
    with pytest.raises(LocalFault, match=r"not installed: pip install 'derelayl\[games\]'"):
        alpha_rank(of, table)
    assert analyse(of, np.array([table]), resamples=2).ranked is None


def test_where_useless_work_is_all_that_one_can_try_everybody_is_honest() -> None:
    of = game(["lazy", "silent"], 3, apart=True)
    result = analyse(of, simulate(of, scenario(people=30, relays=2, search={"rounds": 12}), [1, 2, 3]), resamples=5)
    assert [each.mixture.tolist() for each in result.equilibria] == [[1.0, 0.0, 1.0, 0.0]]
    assert result.honest == 1.0
    assert all(gain.estimate < 0 for gain in result.leaving.values())


def test_the_command_prints_equilibria_and_the_table_they_come_from() -> None:
    command = ("equilibria", "roomy", "--strategies", "lazy", "--players", "2", "--seeds", "2")
    status, out, _ = sim(*command, "--set", "search.rounds=4", "--json")
    assert status == 0
    document = json.loads(out)
    assert document["roles"] == [{"name": "both", "players": 2, "strategies": ["honest", "lazy"]}]
    assert [row["players"] for row in document["table"]] == [{"honest": 2}, {"honest": 1, "lazy": 1}, {"lazy": 2}]
    assert document["leaving_honesty"]["lazy"]["estimate"] < 0
    assert document["equilibria"][0]["mixture"]["honest"] == 1.0
    status, out, _ = sim(*command, "--set", "search.rounds=4")
    assert status == 0
    assert "symmetric equilibria" in out
    status, out, err = sim("equilibria", "roomy", "--strategies", "luck")
    assert (status, out) == (1, "")
    assert err == "error: luck is no strategy; `derelayl sim strategies` lists them\n"
