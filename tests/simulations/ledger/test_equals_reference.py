"""The vectorised ledger equals the reference and the contract: same rounds, same balances, to the wei.

Each history plays several relays side by side on the vectorised form, and command by command on the others. More of
them, from another seed on:

    DERELAYL_LEDGER_HISTORIES=100 DERELAYL_LEDGER_SEED=1000 pytest tests/simulations/ledger/test_equals_reference.py
"""

from __future__ import annotations

import os
from collections import Counter
from functools import lru_cache
from typing import Any

import numpy as np
import pytest
from tests.contracts.relay import Relay

from derelayl_protocol.errors import Reason
from derelayl_protocol.ledger import events
from derelayl_simulations.ledger import Ending

from .histories import History, random_rules
from .replay import Replay, address

FREE, BUDGET, ROUNDS = 20_000, 10**6, 12
FIRST = int(os.environ.get("DERELAYL_LEDGER_SEED", "1"))
HISTORIES = int(os.environ.get("DERELAYL_LEDGER_HISTORIES", "8"))

SEEN: Counter[Any] = Counter()
"""What all histories have shown."""

OUTCOMES = (
    *Ending,
    "twin children",
    "disqualified leg judged",
    "unavailable median",
    "stalled tip",
    "copy passed over",
    events.BidDisplaced,
    events.BidReturned,
    events.TipOffered,
    events.DepositReturned,
    events.RoyaltyCollected,
    events.AccessBought,
    events.TrainerEquivocated,
    events.ValidatorEquivocated,
    events.ValidatorPaid,
    events.ValidatorCharged,
    events.ValidatorSlashed,
    events.Unstaked,
    events.StakeReleased,
    events.Withdrawn,
    events.Funded,
    Reason.BID_TOO_SMALL,
    Reason.INSUFFICIENT_BALANCE,
    Reason.TOO_MANY_BIDS,
    Reason.STAKE_TOO_SMALL,
    Reason.STAKE_IN_USE,
    Reason.NO_STAKE,
    Reason.NOTHING_UNBONDING,
    Reason.TOO_EARLY,
    Reason.NOTHING_TO_SLASH,
    Reason.ALREADY_BOUGHT,
    Reason.NOT_FOR_SALE,
)


@lru_cache
def funded(accounts: int) -> Relay:
    """A contract that takes the tokens of so many accounts; never used itself, only forked."""
    relay = Relay()
    for number in range(accounts):
        relay.fund_wallet(address(0, number, accounts))
    return relay


def play(seed: int, relays: int, accounts: int, rounds: int, contract: Relay | None = None) -> Counter[Any]:
    rng = np.random.default_rng(seed)
    history = History(Replay(random_rules(rng), relays, accounts, BUDGET, FREE, contract), rng)
    for _ in range(rounds):
        history.play_round()
    return history.seen


@pytest.mark.parametrize("seed", range(FIRST, FIRST + 4 * HISTORIES))
def test_random_rounds_equal_the_reference(seed: int) -> None:
    SEEN.update(play(seed, relays=4, accounts=9, rounds=ROUNDS))


@pytest.mark.parametrize("seed", range(FIRST, FIRST + HISTORIES))
def test_random_rounds_equal_the_contract(seed: int) -> None:
    SEEN.update(play(10_000 + seed, relays=2, accounts=8, rounds=8, contract=funded(16).fork()))


@pytest.mark.parametrize("seed", range(FIRST, FIRST + 2))
def test_crowded_rounds_equal_the_reference(seed: int) -> None:
    seen = play(20_000 + seed, relays=2, accounts=90, rounds=4)
    assert seen[events.BidDisplaced] > 0
    SEEN.update(seen)


def test_the_histories_show_every_outcome() -> None:
    assert SEEN, "run it after the histories"
    assert not [outcome for outcome in OUTCOMES if not SEEN[outcome]]
