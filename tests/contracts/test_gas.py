"""Gas: no call of a round of the largest size comes near the limit of a transaction (16,777,216, EIP-7825)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from derelayl_protocol import limits
from derelayl_protocol.ledger import commands
from derelayl_protocol.types import WHOLE_MODEL, Wei

from .evm import TX_GAS
from .game import Game
from .orders import bid_order, settlement_order, tip_order
from .relay import CREATOR, RULES, TRAINERS


def gas_of_a_round(game: Game, legs: int) -> dict[str, int]:
    """Play a round in which every leg gains and every seat reveals; the most gas that each kind of command took."""
    used: dict[str, int] = {}
    bid = [20] * legs  # equal bids are ranked by hash, which costs most
    for trainer, amount in zip(TRAINERS, bid, strict=False):
        game.send(trainer, commands.PlaceBid, WHOLE_MODEL, Wei(amount))
        used["bid"] = game.relay.gas
    game.pass_deadline()
    game.send(CREATOR, commands.MatchRound, bid_order(game.view), tip_order(game.view))
    used["match"] = game.relay.gas
    game.submit()
    used["submit"] = game.relay.gas
    rows = [[5000 + leg + seat for leg in range(len(game.view.legs))] for seat in range(len(game.view.seats))]
    game.commit(*rows)
    used["commit"] = game.relay.gas
    game.reveal(*rows)
    used["reveal"] = game.relay.gas
    game.send(CREATOR, commands.SettleRound, *settlement_order(game.view))
    used["settle"] = game.relay.gas
    return used


def test_a_usual_round_is_cheap() -> None:
    game = Game(replace(RULES, legs_per_tip=8, committee_size=5), validators=6)
    used = gas_of_a_round(game, legs=8)
    assert used["settle"] < 1_500_000
    assert used["match"] < 900_000
    assert max(used["bid"], used["submit"], used["commit"], used["reveal"]) < 200_000


@pytest.mark.slow
def test_the_largest_round_fits_a_transaction() -> None:
    rules = replace(RULES, legs_per_tip=16, committee_size=limits.MAX_COMMITTEE, selection_bps=limits.BPS)
    game = Game(rules, validators=60, trainers=33)
    gas_of_a_round(game, legs=limits.MAX_BIDS)  # its children become the tips of the next
    assert len(game.view.tips) == 16
    used = gas_of_a_round(game, legs=limits.MAX_BIDS)
    assert len(game.view.tips) == limits.MAX_BIDS
    assert max(used.values()) < TX_GAS / 2
