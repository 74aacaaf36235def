"""Overflow at every limit: rules, amounts, scores, bids and seats all at their bounds, on reference and contract."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import eth_abi.abi
import pytest
from tests.contracts.evm import START, account
from tests.contracts.relay import CREATOR, Relay, root

from derelayl_node.evm.deploy import creation_code
from derelayl_protocol.ledger import commands
from derelayl_protocol.ledger.apply import apply
from derelayl_protocol.ledger.events import Event, RoundSettled
from derelayl_protocol.ledger.matching import bid_order, tip_order
from derelayl_protocol.ledger.phases import Phase
from derelayl_protocol.ledger.presets import MINIMAL
from derelayl_protocol.ledger.rules import BOUNDS, Rules, model_id
from derelayl_protocol.ledger.scoring import commitment
from derelayl_protocol.ledger.settlement import leg_order, seat_order
from derelayl_protocol.ledger.state import LedgerState, ModelState, RoundView
from derelayl_protocol.ledger.totals import conserved
from derelayl_protocol.limits import (
    BPS,
    MAX_AMOUNT_WEI,
    MAX_BIDS,
    MAX_COLLECT_STEPS,
    MAX_COMMITTEE,
    MAX_SCORE_PPM,
)
from derelayl_protocol.types import UNAVAILABLE, WHOLE_MODEL, Address, Ppm, Timestamp, Wei

from .world import name

MOST = Wei(MAX_AMOUNT_WEI)
TRAINERS = tuple(account(100 + number) for number in range(MAX_BIDS))
VALIDATORS = tuple(account(200 + number) for number in range(MAX_COMMITTEE))
ACCOUNTS = (CREATOR, *TRAINERS, *VALIDATORS)
DEPOSITS = 3
"""Deposits of the largest amount that each account makes at first: it stakes them, or bids them."""

LEGS_PER_TIP = MAX_BIDS
"""All places: one tip is offered, and all legs continue it."""

OFFERS = MAX_BIDS // LEGS_PER_TIP
"""Offered tips that take all the bids of a round."""

SUPPLY = Wei(2**104 * len(ACCOUNTS))

MOSTS: dict[str, Any] = {name: most for name, (_, most) in BOUNDS.items()}
SHARES = {name: getattr(MINIMAL, name) for name in ("trainer_bps", "royalty_bps", "validator_bps")}
EXTREME = Rules(**MOSTS | SHARES | {"quorum": 1, "margin_ppm": 1, "access_pot_bps": BPS // 2})

Judgement = Callable[[int, int], int]
"""The score that seat number i gives leg number j."""


class Pair:
    """Reference and contract side by side, with one model and rules at their bounds."""

    def __init__(self) -> None:
        self.relay = Relay()
        self.relay.token = self.relay.evm.deploy(
            creation_code("RelayToken", eth_abi.abi.encode(["address", "uint256"], [account(0), SUPPLY]))
        )
        self.relay.ledger = self.relay.deploy_ledger(self.relay.token)
        self.relay.address = Address("0x" + self.relay.ledger.hex())
        wallet = Wei(SUPPLY // len(ACCOUNTS))
        self.state = LedgerState(wallets=dict.fromkeys(ACCOUNTS, wallet))
        self.now = START
        self.gas: dict[str, int] = {}
        for owner in ACCOUNTS:
            self.relay.fund_wallet(owner, wallet)
            for _ in range(DEPOSITS):
                self.do(owner, commands.Deposit(MOST))
        self.do(CREATOR, commands.CreateModel(EXTREME, root(0), MOST))
        self.model = model_id(CREATOR, root(0), EXTREME)
        self.do(CREATOR, commands.Fund(self.model, MOST))
        for validator in VALIDATORS:
            for _ in range(3):
                self.do(validator, commands.Stake(self.model, MOST))

    @property
    def held(self) -> ModelState:
        return self.state.models[self.model]

    @property
    def round(self) -> RoundView:
        return self.held.current

    def do(self, sender: Address, command: commands.Command) -> tuple[Event, ...]:
        """Send to both; both must say the same."""
        self.state, events = apply(self.state, command, sender, Timestamp(self.now))
        self.relay.evm.now = self.now
        assert self.relay.send(sender, command) == events
        kind = type(command).__name__
        self.gas[kind] = max(self.gas.get(kind, 0), self.relay.gas)
        return events

    def play(self, judgement: Judgement, silent: int = 0) -> RoundSettled:
        """Play a round with every place taken; the last `silent` seats never reveal."""
        for tip in self.round.tips[:OFFERS]:
            while self.state.free.get(tip.owner, 0) < MOST * (LEGS_PER_TIP + 1):
                self.do(tip.owner, commands.Deposit(MOST))
            self.do(tip.owner, commands.OfferTip(self.model, self.round.number, tip.root))
        for trainer in TRAINERS:
            self.do(trainer, commands.PlaceBid(self.model, self.round.number, WHOLE_MODEL, MOST))
        self.now = self.round.deadline
        view = self.round
        orders = bid_order(view.seed, view.bids), tip_order(view.seed, view.tips)
        self.do(CREATOR, commands.MatchRound(self.model, view.number, *orders))
        for number, leg in enumerate(self.round.legs):
            child = root(1000 * view.number + number)
            self.do(leg.trainer, commands.SubmitLeg(self.model, view.number, number, child))
        self.judge(judgement, silent)
        view = self.round
        order = leg_order(view.legs, view.seats)
        settling = commands.SettleRound(self.model, view.number, order, seat_order(order, view.seats))
        events = self.do(CREATOR, settling)
        return next(event for event in events if isinstance(event, RoundSettled))

    def judge(self, judgement: Judgement, silent: int) -> None:
        view = self.round
        rows = [tuple(Ppm(judgement(seat, leg)) for leg in range(len(view.legs))) for seat in range(len(view.seats))]
        for seat, row in zip(view.seats, rows, strict=True):
            own = tuple(range(len(row)))
            sealed = commitment(self.model, view.number, seat.validator, name(seat.validator), row, own)
            self.do(seat.validator, commands.CommitScores(self.model, view.number, sealed))
        for seat, row in list(zip(view.seats, rows, strict=True))[: len(rows) - silent]:
            opening = commands.RevealScores(self.model, view.number, row, tuple(range(len(row))), name(seat.validator))
            self.do(seat.validator, opening)
        if self.round.phase is Phase.REVEAL:
            self.now = self.round.deadline
            self.do(CREATOR, commands.Advance(self.model, view.number))

    def check_money(self) -> None:
        """The reference has kept every wei, and the contract owns and owes what the reference says."""
        assert conserved(self.state, SUPPLY)
        inside = SUPPLY - sum(self.state.wallets.values())
        assert self.relay.wallet(self.relay.ledger) == inside
        for owner in ACCOUNTS:
            assert self.relay.free(owner) == self.state.free.get(owner, 0)
        found = self.relay.model(self.model, list(self.held.checkpoints))
        assert (found.budget, found.carry) == (self.held.budget, self.held.carry)
        assert found.checkpoints == dict(self.held.checkpoints)
        assert found.stakes == dict(self.held.stakes)


@pytest.fixture(scope="module")
def pair() -> Pair:
    """A relay that has gone to every limit and back; the tests look at what it did."""
    pair = Pair()
    best = pair.play(lambda seat, leg: MAX_SCORE_PPM)
    assert best.selected == LEGS_PER_TIP
    mixed = pair.play(lambda seat, leg: MAX_SCORE_PPM if leg % 2 == seat % 2 else -MAX_SCORE_PPM)
    assert mixed.selected == MAX_BIDS // 2
    worst = pair.play(lambda seat, leg: -MAX_SCORE_PPM if seat % 2 else UNAVAILABLE, silent=7)
    assert worst.selected == 0
    assert worst.pot > 2 * MAX_BIDS * MOST
    return pair


def test_the_rules_of_this_test_are_at_their_bounds() -> None:
    EXTREME.check()
    inside = {field for field, bounds in BOUNDS.items() if getattr(EXTREME, field) not in bounds}
    assert inside == {"trainer_bps", "royalty_bps", "validator_bps", "access_pot_bps"}


def test_nothing_overflows_and_every_wei_is_accounted_for(pair: Pair) -> None:
    pair.check_money()


def test_the_largest_calls_fit_into_one_transaction(pair: Pair) -> None:
    """EIP-7825 allows 16,777,216 gas; a round that could not be settled would hold its money for ever."""
    assert max(pair.gas, key=pair.gas.__getitem__) == "SettleRound"
    assert pair.gas["SettleRound"] < 10_000_000


def test_access_at_the_highest_fee_and_royalties_from_the_longest_walk_add_up(pair: Pair) -> None:
    for child, record in list(pair.held.checkpoints.items())[-3:]:
        buyer = next(one for one in ACCOUNTS if one != record.owner and pair.state.free.get(one, 0) >= MOST)
        pair.do(buyer, commands.BuyAccess(pair.model, child))
        pair.do(buyer, commands.CollectRoyalty(pair.model, child, MAX_COLLECT_STEPS))
    pair.check_money()


def test_what_is_beyond_a_bound_is_no_rule() -> None:
    for field, (low, high) in BOUNDS.items():
        assert low >= 0
        assert high < 2**96, field
