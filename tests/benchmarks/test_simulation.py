"""The simulator's benchmark: its rivals' rules are ours, and it complains about what is no authors' script."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from benchmarks.simulation import ledger, published
from benchmarks.simulation.plain_relay import Account
from benchmarks.simulation.relay_luck import ACCOUNTS, draw_luck
from benchmarks.simulation.rival_job import balances, digest, new_relay, opening
from benchmarks.simulation.rivals import RivalFailed

from derelayl_protocol.ledger.rules import Rules
from derelayl_simulations.ledger import LedgerSettings

RULES = (
    LedgerSettings().rules(),
    LedgerSettings(
        selected_share=0.4, legs_per_tip=2, committee_size=4, quorum=3, agreement=0.02, offer_deposit=0.0
    ).rules(),
    LedgerSettings(
        gamma=0.0,
        committee_size=5,
        quorum=5,
        slash_share=0.5,
        halving_rounds=3,
        validator_share=0.6,
        trainer_share=0.25,
    ).rules(),
    LedgerSettings(legs_per_tip=1, committee_size=5, quorum=5).rules(),  # void rounds leave tips stalled
)


def play_plainly(rules: Rules, relays: int, rounds: int, seed: int) -> str:
    """The benchmark's world on the rivals' relay, without a framework; returns the digest of its balances."""
    plain, rng = {name: int(value) for name, value in asdict(rules).items()}, np.random.default_rng(seed)
    world = [new_relay(plain, [Account(*opening(number)) for number in range(ACCOUNTS)]) for _ in range(relays)]
    for _ in range(rounds):
        luck = draw_luck(rng, relays, rules.committee_size, rules.min_bid)
        for number, relay in enumerate(world):
            for plan in zip(luck.bidder[number], luck.amount[number], luck.bid_rank[number], strict=True):
                relay.bid(int(plan[0]), int(plan[1]), float(plan[2]))
            relay.match(luck.tip_rank[number].tolist(), luck.draw[number].tolist(), luck.late[number].tolist())
            for seat in range(len(relay.seats)):
                if not luck.silent[number, seat]:
                    relay.reveal(seat, luck.scores[number, seat].tolist())
            relay.settle()
            relay.collect()
    return digest(map(balances, world))


def test_a_file_that_is_not_the_authors_script_is_refused(tmp_path: Path) -> None:
    other = tmp_path / "other.py"
    other.write_text("import matplotlib\nprint('hello')\n", encoding="utf-8")
    with pytest.raises(RivalFailed, match="not the authors' script"):
        published.beside(other, 10, 1)
    with pytest.raises(RivalFailed, match="cannot be read"):
        published.beside(tmp_path / "none.py", 10, 1)


@pytest.mark.parametrize("rules", RULES)
@pytest.mark.parametrize("seed", [0, 1])
def test_the_rivals_relay_ends_with_our_balances(rules: Rules, seed: int) -> None:
    assert play_plainly(rules, 3, 20, seed) == ledger.play(rules, 3, 20, seed)[1]
