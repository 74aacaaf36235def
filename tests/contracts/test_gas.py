"""Gas: the promised costs of the frequent calls; no call of the largest round comes near a transaction's limit."""

from __future__ import annotations

from dataclasses import replace

import pytest

from derelayl_protocol import limits
from derelayl_protocol.ledger import commands
from derelayl_protocol.types import WHOLE_MODEL, Ppm, Wei

from .evm import TX_GAS, account
from .game import Game
from .orders import bid_order, commitment, tip_order
from .relay import CREATOR, RULES, TRAINERS

RELAYER = account(5)


def gas_of_a_round(game: Game, legs: int) -> dict[str, list[int]]:
    """Play a round in which every leg gains and every seat reveals; the gas of each command, by kind."""
    used: dict[str, list[int]] = {}

    def note(kind: str) -> None:
        used.setdefault(kind, []).append(game.relay.gas)

    for trainer in TRAINERS[:legs]:  # equal bids are ranked by hash, which costs most
        game.send(trainer, commands.PlaceBid, WHOLE_MODEL, Wei(20))
        note("bid")
    game.pass_deadline()
    game.send(CREATOR, commands.MatchRound, bid_order(game.view), tip_order(game.view))
    note("match")
    for leg in range(len(game.view.legs)):
        game.send(game.view.legs[leg].trainer, commands.SubmitLeg, leg, game.child(leg))
        note("submit")
    view = game.view
    rows = [[5000 + 37 * ((7 * leg + seat) % 13) for leg in range(len(view.legs))] for seat in range(len(view.seats))]
    for step, kind in ((game.commit, "commit"), (game.reveal, "reveal")):
        for seat, row in enumerate(rows):
            step(*[None] * seat, row)
            note(kind)
    game.settle()
    note("settle")
    return used


def test_a_usual_round_is_cheap() -> None:
    game = Game(replace(RULES, legs_per_tip=8, committee_size=5), validators=6)
    first, _, later = (
        gas_of_a_round(game, legs=8) for _ in range(3)
    )  # children lie where those of every other round did
    assert sum(map(sum, later.values())) <= 8 * 250_000, "what a leg costs all in, 28 transactions for eight"
    assert max(later["submit"]) <= 60_000
    assert max(later["settle"]) <= 500_000
    assert max(first["submit"]) <= 70_000
    assert max(*first["bid"], *first["commit"], *first["reveal"]) <= 95_000
    assert max(first["match"]) <= 350_000
    assert max(first["settle"]) <= 550_000
    assert all(max(later[kind]) < max(first[kind]) for kind in first), "later rounds write over what the first has left"


@pytest.mark.parametrize("round_number", [1, 2])
def test_a_commit_by_signature_in_a_batch_of_four_costs_at_most_62_000(round_number: int) -> None:
    game = Game(replace(RULES, committee_size=5), validators=6)
    if round_number == 2:
        game.play(*[(5000, 4000, 3000)] * 5)
    game.to_commit()
    entries = []
    for number, seat in enumerate(game.view.seats[:4]):
        seal = commitment(game.model, game.number, seat.validator, game.salt(number), [Ppm(1)] * 3)
        entries.append(game.sign.commit(game.model, game.number, seat.validator, seal))
    game.send(RELAYER, commands.CommitBySig, tuple(entries))
    assert game.relay.gas <= 4 * 62_000


def test_a_child_by_signature_in_a_list_of_eight_costs_at_most_28_000() -> None:
    game = Game(replace(RULES, legs_per_tip=8, committee_size=5), validators=6)
    for _ in range(2):
        gas_of_a_round(game, legs=8)
    game.bid(*[20] * 8)
    game.match()
    entries = [
        game.sign.child(game.model, game.number, number, leg.trainer, leg.parent, game.child(number))
        for number, leg in enumerate(game.view.legs)
    ]
    game.send(RELAYER, commands.SubmitBySig, tuple(entries))
    assert game.relay.gas <= 8 * 28_000


@pytest.mark.parametrize(("steps", "paid_before"), [(1, True), (2, True), (8, True), (8, False)])
def test_a_step_of_a_royalty_costs_at_most_40_000(steps: int, paid_before: bool) -> None:
    """An owner that has no free balance is dearer, as a place in storage has to be made for it."""
    game = Game(replace(RULES, gamma_bps=5000), trainers=33)
    for trainer in TRAINERS[:steps]:
        game.send(trainer, commands.PlaceBid, WHOLE_MODEL, Wei(1000))
        game.match()
        game.submit()
        game.judge(*[(5000,)] * 3)
        game.settle()
    if not paid_before:
        for owner in (CREATOR, *TRAINERS[:steps]):
            game.relay.send(owner, commands.Withdraw(game.relay.free(owner)))
    tip = game.view.tips[0].root
    recorded = game.relay.send(RELAYER, commands.CollectRoyalty(game.model, tip, steps + 1))
    assert len(recorded) == steps, "nothing waits at the tip, the first step of the walk"
    assert game.relay.gas <= 40_000 * (steps + 1)


@pytest.mark.slow
def test_the_largest_round_fits_a_transaction() -> None:
    rules = replace(RULES, legs_per_tip=limits.MAX_BIDS, committee_size=limits.MAX_COMMITTEE, selection_bps=limits.BPS)
    game = Game(rules, validators=60, trainers=33)
    gas_of_a_round(game, legs=limits.MAX_BIDS)  # its children become the tips of the next
    assert len(game.view.tips) == limits.MAX_BIDS
    used = gas_of_a_round(game, legs=limits.MAX_BIDS)
    assert len(game.view.tips) == limits.MAX_BIDS
    assert max(max(kind) for kind in used.values()) < TX_GAS / 2
