"""A model's rounds are read from what a ledger recorded."""

from __future__ import annotations

import numpy as np
import pytest

from derelayl_protocol.errors import LocalFault
from derelayl_protocol.ledger import commands as do
from derelayl_protocol.types import TOKEN, ModelId, Wei
from derelayl_simulations.calibration.history import read_history
from derelayl_simulations.calibration.judges import spread
from derelayl_simulations.calibration.played import play_history

from .builders import world
from .reference import JUDGES, OWNER, RULES, TRAINERS, Ledger


def test_an_unknown_model_is_refused_with_the_remedy() -> None:
    with pytest.raises(LocalFault, match="no such model: check --model"):
        read_history(Ledger().log, ModelId(bytes(32)))


def test_a_round_that_runs_is_left_out() -> None:
    ledger = Ledger()
    ledger.play(1)
    ledger.begin()
    assert [each.number for each in read_history(ledger.log, ledger.model).rounds] == [1]


def test_a_round_is_read_with_all_that_was_recorded_of_it() -> None:
    ledger = Ledger()
    ledger.play(2)
    history = read_history(ledger.log, ledger.model)
    assert (history.rules, history.budget) == (RULES, 500.0)
    first, second = history.rounds
    assert set(first.bidders) == set(TRAINERS)
    assert sorted(first.bids) == pytest.approx([float(RULES.min_bid) / TOKEN + each / 10 for each in range(1, 7)])
    assert set(first.parents) == {ledger.genesis}
    assert first.submitted.tolist() == [True] * 5 + [False]
    assert first.judged.tolist() == first.submitted.tolist()
    assert len(set(second.parents)) == 1
    assert second.parents[0] in np.array(first.children, object)[first.selected]
    assert first.selected.any()
    assert (first.reward > 0).tolist() == first.selected.tolist()
    assert first.scores.shape == (5, 6)
    assert first.revealed.tolist() == [False] + [True] * 4
    assert np.isnan(first.scores[0]).all()
    assert np.isnan(first.scores[:, -1]).all()
    said = first.scores[1:, :-1]
    assert (said.min(axis=0) <= first.score[:-1]).all()
    assert (first.score[:-1] <= said.max(axis=0)).all()
    assert spread(first) == pytest.approx(0.02, abs=0.015)


def test_a_void_round_is_kept_as_one() -> None:
    ledger = Ledger()
    ledger.begin()
    ledger.finish(silent=4)
    (only,) = read_history(ledger.log, ledger.model).rounds
    assert not only.settled
    assert not only.judged.any()
    assert len(only.trainers) == 6


def test_who_takes_tokens_or_a_stake_out_is_noted_with_the_round() -> None:
    ledger = Ledger()
    ledger.play(1)
    ledger.send(JUDGES[0], do.Unstake(ledger.model))
    ledger.send(OWNER, do.Withdraw(Wei(5)))
    ledger.play(1)
    first, second = read_history(ledger.log, ledger.model).rounds
    assert (first.withdrew, set(second.withdrew)) == ((), {JUDGES[0], OWNER})


def test_a_simulated_relay_looks_like_a_real_one() -> None:
    scenario = world(rounds=40)
    history = play_history(scenario, seed=3)
    assert history.rules.min_bid == round(scenario.ledger.min_bid * TOKEN)
    known: set[object] = {"genesis"}
    for each in history.rounds:
        assert set(each.parents) <= known, "a leg continues a tip of the round before"
        assert set(each.trainers) <= set(each.bidders)
        assert (each.bids >= scenario.ledger.min_bid).all()
        assert not (each.selected & ~each.judged).any()
        if each.selected.any():
            known = {child for child, chosen in zip(each.children, each.selected, strict=True) if chosen}
    assert sum(each.selected.any() for each in history.rounds) > 5
