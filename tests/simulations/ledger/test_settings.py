"""The rules of a relay as a scenario writes them."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from derelayl_simulations.ledger import LedgerSettings


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        ({"legs_per_tip": 0}, "legs_per_tip"),
        ({"selected_share": 1.1}, "selected_share"),
        ({"gamma": -0.1}, "gamma"),
        ({"emission": float("nan")}, "emission"),
        ({"emmission": 1.0}, "emmission"),
        ({"quorum": 6}, "allowed is 1 … 5"),
        ({"trainer_share": 0.7}, "allowed is 1"),
        ({"budget": 1e9, "wei_per_coin": 10**12}, "budget is .* coins"),
        ({"min_bid": 1e-10}, "min_bid is 1e-10 coins, which is less than a wei"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(bad: dict[str, float], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        LedgerSettings(**bad)  # type: ignore[arg-type]


def test_coins_shares_and_nats_become_wei_basis_points_and_ppm() -> None:
    rules = LedgerSettings(min_bid=0.25, gamma=0.3333, margin=0.002, unbonding_rounds=3).rules()
    rules.check()
    assert (rules.min_bid, rules.gamma_bps, rules.margin_ppm) == (250_000_000, 3333, 2000)
    assert rules.unbonding_seconds == 3 * 4


@pytest.mark.parametrize(("trainer", "royalty"), [(0.50005, 0.49995), (0.50015, 0.49985), (0.33335, 0.33335), (1, 0)])
def test_shares_that_fall_between_basis_points_still_add_up(trainer: float, royalty: float) -> None:
    shares = {"trainer_share": trainer, "royalty_share": royalty, "validator_share": 1 - trainer - royalty}
    LedgerSettings(**shares).rules().check()
