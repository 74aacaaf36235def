"""Wallets, free balances, stakes; models, budgets, royalties."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest

from derelayl_protocol.errors import LocalFault, Reason
from derelayl_protocol.ledger.apply import apply
from derelayl_protocol.ledger.commands import (
    BuyAccess,
    CollectRoyalty,
    Command,
    CreateModel,
    Deposit,
    Fund,
    Release,
    ReportReveals,
    Stake,
    SubmitLeg,
    Unstake,
    Withdraw,
)
from derelayl_protocol.ledger.events import (
    Deposited,
    Funded,
    ModelCreated,
    PhaseChanged,
    RoyaltyCollected,
    Staked,
    StakeReleased,
    Unstaked,
    Withdrawn,
)
from derelayl_protocol.ledger.phases import Phase
from derelayl_protocol.ledger.rules import model_id
from derelayl_protocol.ledger.state import CheckpointRecord, LedgerState, ModelState, TipEntry, Unbonding
from derelayl_protocol.ledger.totals import PLACES, conserved, total_wei
from derelayl_protocol.limits import MAX_AMOUNT_WEI
from derelayl_protocol.types import NO_ROOT, Address, ModelId, Ppm, Root, Timestamp, Wei

from .relay import (
    GENESIS,
    JUDGES,
    OWNER,
    RULES,
    SALT,
    START,
    STRANGER,
    SUPPLY,
    TRAINERS,
    WALLET,
    Relay,
    address,
    in_phase,
    of,
    root,
    with_rules,
)

HALF = WALLET // 2
NOWHERE = ModelId(root("no model"))
TOO_LARGE = Wei(MAX_AMOUNT_WEI + 1)


# --- form -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sender", ["", "0x1", "0x" + "AB" * 20, "0x" + "00" * 21, "0x" + "zz" * 20])
def test_a_malformed_sender_is_our_own_fault(sender: str) -> None:
    with pytest.raises(LocalFault, match="lower-case"):
        apply(LedgerState(), Deposit(Wei(1)), Address(sender), START)


def test_a_byte_string_of_another_length_is_our_own_fault() -> None:
    relay = in_phase(Phase.TRAIN)
    with pytest.raises(LocalFault, match="child has 31 bytes"):
        relay.do(TRAINERS[0], SubmitLeg(relay.model, 1, 0, Root(bytes(31))))


def test_a_malformed_entry_of_a_list_is_our_own_fault() -> None:
    relay = in_phase(Phase.REVEAL)
    judge = relay.seated()[0]
    reveal, reveals = relay.signed_reveal(judge, (1, 2)), relay.two_reveals(judge)
    for command, fault in (
        (relay.reveal_by_sig(reveal, replace(reveal, salt=bytes(31))), "salt has 31 bytes, the ledger takes 32"),
        (relay.reveal_by_sig(replace(reveal, signature=bytes(65))), "signature has 65 bytes, the ledger takes 64"),
        (relay.reveal_by_sig(replace(reveal, validator=Address("0xA"))), "validator '0xA' is not"),
        (replace(reveals, salts=(SALT, b"")), "salts has 0 bytes, the ledger takes 32"),
        (replace(reveals, signatures=(bytes(64), bytes(32))), "signatures has 32 bytes, the ledger takes 64"),
    ):
        with pytest.raises(LocalFault, match=fault):
            relay.do(STRANGER, command)


@pytest.mark.parametrize(
    "command",
    [
        Fund(NOWHERE, Wei(1)),
        Stake(NOWHERE, Wei(1)),
        Unstake(NOWHERE),
        Release(NOWHERE),
        CollectRoyalty(NOWHERE, GENESIS, 1),
        BuyAccess(NOWHERE, GENESIS),
        ReportReveals(NOWHERE, 1, OWNER, ((), ()), ((), ()), (SALT, SALT), (bytes(64), bytes(64))),
    ],
    ids=lambda command: type(command).__name__,
)
def test_a_model_that_does_not_exist_is_refused(command: Command) -> None:
    Relay().refuse(Reason.UNKNOWN_MODEL, STRANGER, command)


@pytest.mark.parametrize("amount", [0, MAX_AMOUNT_WEI + 1, -1])
def test_amounts_are_neither_zero_nor_too_large(amount: int) -> None:
    relay = Relay()
    reason = Reason.AMOUNT_TOO_LARGE if amount else Reason.ZERO_AMOUNT
    for command in (
        Deposit(Wei(amount)),
        Withdraw(Wei(amount)),
        Fund(relay.model, Wei(amount)),
        Stake(relay.model, Wei(amount)),
    ):
        relay.refuse(reason, STRANGER, command)


def test_nobody_spends_more_than_it_has() -> None:
    relay = Relay()
    for command in (
        Deposit(Wei(HALF + 1)),
        Withdraw(Wei(HALF + 1)),
        Fund(relay.model, Wei(HALF + 1)),
        Stake(relay.model, Wei(HALF + 1)),
        CreateModel(RULES, root("other"), Wei(HALF + 1)),
    ):
        relay.refuse(Reason.INSUFFICIENT_BALANCE, STRANGER, command)
    relay.refuse(Reason.INSUFFICIENT_BALANCE, address(1234), Deposit(Wei(1)))


# --- wallet and free balance ------------------------------------------------------------------------------------------


def test_a_deposit_moves_tokens_from_the_wallet() -> None:
    relay = Relay()
    assert relay.do(STRANGER, Deposit(Wei(HALF))) == (Deposited(STRANGER, Wei(HALF)),)
    assert relay.free(STRANGER) == WALLET
    assert STRANGER not in relay.state.wallets


def test_a_withdrawal_moves_them_back() -> None:
    relay = Relay()
    assert relay.do(STRANGER, Withdraw(Wei(HALF))) == (Withdrawn(STRANGER, Wei(HALF)),)
    assert relay.state.wallets[STRANGER] == WALLET
    assert STRANGER not in relay.state.free


def test_an_account_without_a_wallet_may_withdraw_to_one() -> None:
    state = LedgerState(free={STRANGER: Wei(5)})
    after, _ = apply(state, Withdraw(Wei(2)), STRANGER, START)
    assert (after.wallets, after.free) == ({STRANGER: 2}, {STRANGER: 3})


# --- models -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        (CreateModel(with_rules(quorum=0), NO_ROOT, TOO_LARGE), Reason.BAD_RULES),
        (CreateModel(RULES, NO_ROOT, TOO_LARGE), Reason.ZERO_ROOT),
        (CreateModel(RULES, GENESIS, TOO_LARGE), Reason.MODEL_EXISTS),
        (CreateModel(RULES, root("other"), TOO_LARGE), Reason.AMOUNT_TOO_LARGE),
        (CreateModel(RULES, root("other"), Wei(-1)), Reason.AMOUNT_TOO_LARGE),
    ],
)
def test_a_model_is_refused_by_the_first_rule_it_breaks(command: CreateModel, reason: Reason) -> None:
    Relay().refuse(reason, OWNER, command)


def test_a_new_model_has_its_genesis_as_tip_and_its_id_as_seed() -> None:
    relay = Relay()
    genesis = root("other")
    model = model_id(STRANGER, genesis, RULES)
    assert relay.do(STRANGER, CreateModel(RULES, genesis, Wei(9))) == (
        ModelCreated(model, STRANGER, genesis, RULES),
        Funded(model, STRANGER, Wei(9)),
        PhaseChanged(model, 1, Phase.BID, Timestamp(0)),
    )
    held = relay.state.models[model]
    assert (held.budget, held.carry, held.next_seed, held.current.seed) == (9, 0, model, model)
    assert held.current.tips == (TipEntry(genesis, STRANGER, Ppm(0), offered=False),)
    assert held.checkpoints == {genesis: CheckpointRecord(STRANGER, NO_ROOT, Ppm(0), 0, Wei(0))}


def test_a_model_may_begin_without_a_budget() -> None:
    relay = Relay()
    assert of(Funded, relay.do(STRANGER, CreateModel(RULES, GENESIS, Wei(0)))) == []


def test_anyone_may_fund_a_model() -> None:
    relay = Relay(budget=1)
    assert relay.do(STRANGER, Fund(relay.model, Wei(5))) == (Funded(relay.model, STRANGER, Wei(5)),)
    assert relay.held.budget == 6


# --- stakes -----------------------------------------------------------------------------------------------------------


def test_a_first_stake_must_reach_the_minimum() -> None:
    relay = Relay()
    relay.refuse(Reason.STAKE_TOO_SMALL, STRANGER, Stake(relay.model, Wei(RULES.validator_stake - 1)))


def test_who_has_no_stake_cannot_take_it_back() -> None:
    relay = Relay()
    relay.refuse(Reason.NO_STAKE, STRANGER, Unstake(relay.model))


def test_a_seat_holds_its_stake_until_the_round_ends() -> None:
    relay = in_phase(Phase.SETTLE)
    judge = relay.seated()[0]
    relay.refuse(Reason.STAKE_IN_USE, judge, Unstake(relay.model))
    relay.settle()
    assert of(Unstaked, relay.do(judge, Unstake(relay.model)))


def test_stakes_add_up_and_list_the_validator_once() -> None:
    relay = Relay()
    assert relay.do(JUDGES[0], Stake(relay.model, Wei(1))) == (Staked(relay.model, JUDGES[0], Wei(1)),)
    assert relay.held.stakes[JUDGES[0]] == RULES.validator_stake + 1
    assert relay.held.validators == JUDGES


@pytest.mark.parametrize(
    ("leaver", "left"),
    [(0, (3, 1, 2)), (1, (0, 3, 2)), (3, (0, 1, 2))],
)
def test_the_last_validator_moves_into_the_place_of_one_who_leaves(leaver: int, left: tuple[int, ...]) -> None:
    relay = Relay()
    relay.do(JUDGES[leaver], Unstake(relay.model))
    assert relay.held.validators == tuple(JUDGES[number] for number in left)
    assert set(relay.held.stakes) == set(relay.held.validators)
    assert relay.free(JUDGES[leaver]) == HALF - RULES.validator_stake - leaver


def test_a_validator_slashed_to_nothing_stays_listed_and_may_leave() -> None:
    relay = Relay(with_rules(slash_bps=10_000))
    relay.lease(100)
    relay.train()
    silent = relay.seated()[0]
    relay.advance()
    assert (relay.held.stakes[silent], silent in relay.held.validators) == (0, True)
    again = copy.copy(relay)
    again.do(silent, Stake(relay.model, RULES.validator_stake))
    assert again.held.validators == relay.held.validators
    release_time = relay.now + RULES.unbonding_seconds
    assert relay.do(silent, Unstake(relay.model)) == (Unstaked(relay.model, silent, Wei(0), Timestamp(release_time)),)
    assert silent not in relay.held.validators
    relay.now = release_time
    relay.refuse(Reason.NOTHING_UNBONDING, silent, Release(relay.model))


# --- unbonding --------------------------------------------------------------------------------------------------------


def left(relay: Relay) -> ModelState:
    """The model after the first judge has taken its stake off."""
    relay.do(JUDGES[0], Unstake(relay.model))
    return relay.held


def test_who_has_nothing_unbonding_releases_nothing() -> None:
    relay = Relay()
    relay.refuse(Reason.NOTHING_UNBONDING, STRANGER, Release(relay.model))
    relay.refuse(Reason.NOTHING_UNBONDING, JUDGES[0], Release(relay.model))


def test_a_stake_cannot_be_released_early() -> None:
    relay = Relay()
    release_time = left(relay).unbonding[JUDGES[0]].release_time
    assert release_time == START + RULES.unbonding_seconds
    relay.now = release_time - 1
    relay.refuse(Reason.TOO_EARLY, JUDGES[0], Release(relay.model))


def test_a_stake_is_released_once_it_has_unbonded() -> None:
    relay = Relay()
    relay.now = left(relay).unbonding[JUDGES[0]].release_time
    amount = RULES.validator_stake
    assert relay.do(JUDGES[0], Release(relay.model)) == (StakeReleased(relay.model, JUDGES[0], amount),)
    assert relay.free(JUDGES[0]) == HALF
    assert relay.held.unbonding == {}
    relay.refuse(Reason.NOTHING_UNBONDING, JUDGES[0], Release(relay.model))


def test_all_that_is_unbonding_waits_for_the_last_to_leave() -> None:
    relay = Relay()
    left(relay)
    relay.now += 400
    relay.do(JUDGES[0], Stake(relay.model, Wei(5_000)))
    release_time = relay.now + RULES.unbonding_seconds
    assert relay.do(JUDGES[0], Unstake(relay.model)) == (
        Unstaked(relay.model, JUDGES[0], Wei(5_000), Timestamp(release_time)),
    )
    assert relay.held.unbonding == {JUDGES[0]: Unbonding(Wei(6_000), Timestamp(release_time))}


def test_a_model_may_let_stakes_go_at_once() -> None:
    relay = Relay(with_rules(unbonding_seconds=0))
    left(relay)
    assert of(StakeReleased, relay.do(JUDGES[0], Release(relay.model)))


# --- royalties --------------------------------------------------------------------------------------------------------


def lineage(rounds: int) -> tuple[Relay, list[Root]]:
    """A relay with one selected leg a round; returns its checkpoints, genesis first."""
    relay = Relay()
    roots = [GENESIS]
    for number in range(rounds):
        relay.bid(TRAINERS[number % len(TRAINERS)])
        relay.match()
        relay.train()
        relay.judge(*[(2_000,)] * len(relay.round.seats))
        relay.settle()
        roots.append(relay.round.tips[0].root)
    return relay, roots


def test_steps_have_bounds() -> None:
    relay = Relay()
    for steps in (0, 33, -1):
        relay.refuse(Reason.BAD_STEPS, STRANGER, CollectRoyalty(relay.model, NO_ROOT, steps))


def test_only_checkpoints_have_royalties() -> None:
    relay = Relay()
    relay.refuse(Reason.UNKNOWN_CHECKPOINT, STRANGER, CollectRoyalty(relay.model, NO_ROOT, 1))


def test_a_royalty_is_split_once_at_each_step_and_genesis_keeps_all() -> None:
    relay, (genesis, first, second) = lineage(2)
    pending = {name: record.pending for name, record in relay.held.checkpoints.items()}
    assert pending[second] == 0
    assert pending[first] > 0
    owner, trainer = relay.free(OWNER), relay.free(TRAINERS[0])
    events = relay.do(STRANGER, CollectRoyalty(relay.model, second, 32))
    passed = pending[first] // 2
    assert events == (
        RoyaltyCollected(relay.model, first, TRAINERS[0], Wei(pending[first] - passed), Wei(passed), genesis),
        RoyaltyCollected(relay.model, genesis, OWNER, Wei(pending[genesis] + passed), Wei(0), NO_ROOT),
    )
    assert relay.free(TRAINERS[0]) - trainer == pending[first] - passed
    assert relay.free(OWNER) - owner == pending[genesis] + passed
    assert relay.do(STRANGER, CollectRoyalty(relay.model, second, 32)) == ()


def test_a_walk_ends_after_its_steps() -> None:
    relay, (_, first, second) = lineage(2)
    events = of(RoyaltyCollected, relay.do(STRANGER, CollectRoyalty(relay.model, second, 2)))
    assert [event.root for event in events] == [first]


def test_a_model_may_pass_on_nothing() -> None:
    relay = Relay(with_rules(gamma_bps=0))
    relay.whole_round((100,), (2_000,))
    relay.whole_round((100,), (2_000,))
    tip = relay.round.tips[0].root
    parent = relay.held.checkpoints[tip].parent
    events = of(RoyaltyCollected, relay.do(STRANGER, CollectRoyalty(relay.model, parent, 1)))
    assert [(event.root, event.passed) for event in events] == [(parent, 0)]


# --- totals -----------------------------------------------------------------------------------------------------------


def test_an_empty_ledger_holds_nothing() -> None:
    assert total_wei(LedgerState()) == dict.fromkeys(PLACES, 0)
    assert conserved(LedgerState(), Wei(0))


def test_every_place_is_counted() -> None:
    relay = in_phase(Phase.TRAIN)
    assert total_wei(relay.state)["bids"] == 200
    assert total_wei(relay.state)["offers"] == 2 * RULES.offer_deposit
    assert sum(total_wei(relay.state).values()) == SUPPLY
    unstaked = next(judge for judge in JUDGES if judge not in relay.seated())
    stake = relay.held.stakes[unstaked]
    relay.do(unstaked, Unstake(relay.model))
    assert total_wei(relay.state)["unbonding"] == stake


def test_missing_and_overdrawn_money_is_noticed() -> None:
    assert not conserved(LedgerState(free={OWNER: Wei(1)}), Wei(2))
    assert not conserved(LedgerState(free={OWNER: Wei(-1), STRANGER: Wei(1)}), Wei(0))
