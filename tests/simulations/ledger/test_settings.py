"""The rules of a relay as a scenario writes them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from pydantic import ValidationError

from derelayl_protocol.errors import LocalFault
from derelayl_protocol.ledger.presets import DEVNET, MINIMAL, STANDARD
from derelayl_protocol.ledger.rules import BOUNDS
from derelayl_protocol.types import Wei
from derelayl_simulations.ledger import LedgerSettings, not_played, settings_of
from derelayl_simulations.ledger.settings import AMOUNTS, COUNTS, NATS, NOT_PLAYED, SHARES


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        ({"legs_per_tip": 0}, "legs_per_tip"),
        ({"selected_share": 1.1}, "selected_share"),
        ({"gamma": -0.1}, "gamma"),
        ({"emission": float("nan")}, "emission"),
        ({"emmission": 1.0}, "emmission"),
        ({"quorum": 12}, "allowed is 1 … 11"),
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
    shares: dict[str, Any] = {
        "trainer_share": trainer,
        "royalty_share": royalty,
        "validator_share": 1 - trainer - royalty,
    }
    LedgerSettings(**shares).rules().check()


def test_every_rule_is_a_setting_or_said_not_to_be_played() -> None:
    played = {*COUNTS, *SHARES.values(), *NATS.values(), *AMOUNTS, "unbonding_seconds"}
    assert played | set(NOT_PLAYED) == set(BOUNDS)
    assert not played & set(NOT_PLAYED)
    assert all(name in not_played(STANDARD) for name in NOT_PLAYED)


def test_the_defaults_are_the_preset_s() -> None:
    ours = LedgerSettings()
    assert ours == LedgerSettings(**settings_of(STANDARD))
    assert (ours.min_bid, ours.selected_share, ours.committee_size) == (0.1, 0.67, 11)


def test_unbonding_is_told_in_rounds_that_use_up_their_time() -> None:
    assert settings_of(STANDARD)["unbonding_rounds"] == 4
    assert settings_of(DEVNET)["unbonding_rounds"] == 1
    assert "unbonding_seconds is 1 in rounds of 78 s" in not_played(DEVNET)


def test_an_amount_that_coins_do_not_hold_exactly_is_refused() -> None:
    with pytest.raises(LocalFault, match="min_bid is 10 wei, which simulated coins of 1000000000 wei do not hold"):
        LedgerSettings().check_exact(MINIMAL)
    fine = replace(STANDARD, emission=Wei(10**18 + 10**6))
    with pytest.raises(LocalFault, match="emission is 1000000000001000000 wei"):
        LedgerSettings().check_exact(fine)
    LedgerSettings(wei_per_coin=10**12).check_exact(fine)
