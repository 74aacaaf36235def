from __future__ import annotations

import numpy as np
import pytest

from derelayl_simulations.ledger import Book, LedgerSettings, buy_access
from derelayl_simulations.world.demand import buyers, next_price, sell
from derelayl_simulations.world.settings import DemandSettings

MARKET = DemandSettings(consumers=100, half_quality=1.0, half_price=2.0)


def come(quality: float, fee: float, factor: float = 1.0, luck: float = 0.0) -> int:
    one = np.ones(1)
    return int(buyers(MARKET, quality * one, fee * one, factor, luck * one)[0])


def test_nobody_buys_a_model_that_is_worse_than_genesis() -> None:
    assert come(-1.0, 0.0, luck=0.999) == 0


def test_half_of_all_come_at_half_quality_and_half_of_those_at_half_price() -> None:
    assert (come(1.0, 0.0), come(1.0, 2.0), come(1.0, 2.0, factor=0.1)) == (50, 25, 2)


def test_a_part_of_a_consumer_comes_that_often() -> None:
    counts = [come(1.0, 2.0, factor=0.1, luck=luck) for luck in np.linspace(0, 0.999, 1000)]
    assert np.isclose(np.mean(counts), 2.5, atol=0.01)


def test_selling_to_consumers_is_the_same_as_so_many_accounts_that_buy() -> None:
    rules = LedgerSettings(access_fee=0.123456789, access_pot_share=0.3333).rules()
    crowd, ours = (Book.open(rules, relays=2, accounts=7, budget=5) for _ in range(2))
    brought = np.zeros((2, 7), np.int64)
    brought[0, 2:6] = brought[1, 3] = rules.access_fee
    crowd.deposit(brought)
    column = np.where(brought > 0, 0, -1)
    assert (buy_access(crowd, column) == (brought > 0)).all()
    paid = sell(ours, ours.tips[:, 0], np.array([4, 1]))
    assert paid.tolist() == [4 * rules.access_fee, rules.access_fee]
    assert (ours.carry == crowd.carry).all()
    assert (ours.checkpoints.pending == crowd.checkpoints.pending).all()
    assert (ours.total() == crowd.total()).all()
    assert ours.deposited == crowd.deposited


def test_selling_to_nobody_changes_nothing() -> None:
    book = Book.open(LedgerSettings(access_fee=1.0).rules(), relays=1, accounts=2, budget=5)
    assert sell(book, book.tips[:, 0], np.zeros(1, np.int64)).tolist() == [0]
    assert book.total().tolist() == [5]


@pytest.mark.parametrize(("paid", "sign"), [(0.0, -1), (10.0, 0), (100.0, 1)])
def test_a_coin_gets_dearer_when_fees_would_take_more_coins_than_there_are(paid: float, sign: int) -> None:
    market = DemandSettings(valuation="demand", horizon=10, adjustment=0.1)
    price = float(next_price(market, np.ones(1), np.array([paid]), np.array([100.0]))[0])
    assert np.sign(price - 1) == sign
    assert abs(price - 1) <= 0.1


def test_a_fixed_price_and_a_price_without_coins_stay() -> None:
    zero = np.zeros(1)
    assert next_price(DemandSettings(), np.ones(1), np.array([5.0]), zero).tolist() == [1.0]
    assert next_price(DemandSettings(valuation="demand"), np.ones(1), zero, zero).tolist() == [1.0]
