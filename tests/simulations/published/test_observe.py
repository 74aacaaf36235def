"""What is recorded of a round."""

from __future__ import annotations

import numpy as np
import pytest

from derelayl_simulations.published import Network, PublishedParameters, draw_chance, play_round
from derelayl_simulations.published.observe import LAGS, SHARES, Record, holdings, version_shares

from .playing import play


def straightforward_gini(amounts: list[float]) -> float:
    """Half the mean absolute difference of all pairs, relative to the mean."""
    mean = sum(amounts) / len(amounts)
    return sum(abs(a - b) for a in amounts for b in amounts) / (2 * len(amounts) ** 2 * mean)


def test_nobody_has_anything_is_equality() -> None:
    assert holdings(np.zeros((1, 4))).tolist() == [[0.0, 0.0, 0.0, 0.0, 0.0]]


@pytest.mark.parametrize("amounts", [[1.0], [1.0, 1.0, 1.0], [0.0, 0.0, 5.0], [3.5, 0.25, 9.0, 1.0, 1.0]])
def test_gini_is_half_the_relative_mean_difference(amounts: list[float]) -> None:
    total, gini, mean, least, most = holdings(np.array([amounts]))[0]
    assert gini == pytest.approx(straightforward_gini(amounts))
    assert (total, mean, least, most) == (sum(amounts), sum(amounts) / len(amounts), min(amounts), max(amounts))


def test_versions_are_counted_back_from_the_newest_that_anybody_holds() -> None:
    held = np.array([[30, 30, 29, 20, 19, 0, -1, 30], [0, -1, -1, -1, -1, -1, -1, -1]])
    shares = dict(zip(SHARES, version_shares(held).T.tolist(), strict=True))
    assert shares["share_latest"] == [37.5, 12.5]
    assert shares["share_behind_1"] == [12.5, 0.0]
    assert shares["share_behind_10"] == [12.5, 0.0]
    assert shares["share_older"] == [25.0, 0.0]
    assert shares["share_none"] == [12.5, 87.5]
    assert len(shares) == LAGS + 2


@pytest.mark.parametrize("rounds", [1, 63, 64, 65, 200])
def test_a_table_says_of_each_round_what_the_network_was_then(rounds: int) -> None:
    parameters, rng = PublishedParameters(), np.random.default_rng(4)
    network, record = Network(256), Record(rounds, 256)
    supply, latest, best = [], [], []
    for _ in range(rounds):
        record.add(network, play_round(network, draw_chance(rng, 256), parameters))
        supply.append(network.coins.sum())
        latest.append(100.0 * np.mean(network.held == network.held.max()))
        best.append(network.scores.max())
    table = record.table()
    assert {len(column) for column in table.values()} == {rounds}
    np.testing.assert_allclose(table["supply"], supply, rtol=1e-12)
    np.testing.assert_allclose(table["share_latest"], latest)
    assert table["quality"].tolist() == best


def test_a_dead_network_has_no_tips_no_depth_and_no_quality() -> None:
    table = play(PublishedParameters(participants=24, success_probability=0.0), 3, 0)
    assert table["live_tips"].tolist() == [0.0, 0.0, 0.0]
    assert np.isnan(table["common_ancestor_depth"]).all()
    assert np.isnan(table["quality"]).all()


def test_the_same_seed_gives_the_same_bits() -> None:
    first, second = (play(PublishedParameters(), 150, 3) for _ in range(2))
    assert {name: column.tobytes() for name, column in first.items()} == {
        name: column.tobytes() for name, column in second.items()
    }


def test_a_table_adds_up_round_by_round() -> None:
    parameters = PublishedParameters()
    table = play(parameters, 120, 1)
    assert sum(table[name] for name in SHARES) == pytest.approx(np.full(120, 100.0))
    np.testing.assert_allclose(np.diff(table["supply"]), (table["minted"] - table["burned"])[1:], rtol=1e-9)
    np.testing.assert_allclose(table["coins_mean"] * parameters.participants, table["supply"], rtol=1e-12)
    fees = 0.001 * (table["matched"] + 2 * table["models"] + 100 + 101 * table["models"])
    # A selected model of version v mints a coin for each of its v ancestors and one for its direct owner.
    np.testing.assert_allclose(table["minted"], fees + table["selected"] * (np.arange(1, 121) + 1), rtol=1e-9)
    np.testing.assert_array_equal(table["owners"][1:], table["live_tips"][:-1])
