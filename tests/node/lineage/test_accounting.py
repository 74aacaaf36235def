"""The statement in the index: contradictions are refused, and its lines are those that the protocol tells."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from derelayl_node.lineage import queries
from derelayl_node.lineage.index import LineageIndex
from derelayl_node.lineage.records import StatementLine
from derelayl_node.ports import LedgerUnavailable
from derelayl_node.testing.history import History, Relay, named, person, sample
from derelayl_protocol.ledger import commands as do
from derelayl_protocol.ledger import events as ev
from derelayl_protocol.statement.books import Books
from derelayl_protocol.statement.teller import Line, Teller
from derelayl_protocol.statement.transfers import Kind
from derelayl_protocol.types import NO_ROOT, Address, ModelId, Root, Wei

from ...protocol.relay import JUDGES as relay_judges
from ...protocol.relay import OWNER as relay_owner
from ...protocol.statements import AuditedRelay
from .players import EVERYBODY, STRANGER, Players
from .test_index import catch_up

few_examples = settings(max_examples=max(1, settings().max_examples // 8))  # each plays a whole relay
ALL = 100_000


def lines_of(index: LineageIndex, account: Address | None = None) -> list[StatementLine]:
    with index.reading() as connection:
        return queries.statement(connection, (0, 0), ALL, account=account)


# --- logs that contradict themselves ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wrong",
    [
        lambda model: ev.AccessBought(model, Root(named("nowhere")), person("x"), Wei(5), Wei(1)),
        lambda model: ev.RoyaltyCollected(model, Root(named("nowhere")), person("x"), Wei(5), Wei(0), NO_ROOT),
        lambda model: ev.ScoresCommitted(ModelId(named("no model")), 1, person("v1"), named("seal")),
    ],
)
def test_money_at_a_checkpoint_or_model_that_nobody_made_changes_nothing(
    wrong: Callable[[ModelId], ev.Event], index: LineageIndex
) -> None:
    history, relay = sample(1)
    index.apply(history.batch())
    before = index.head(), lines_of(index)
    history.block(ev.Deposited(person("v1"), Wei(5)))
    history.block(wrong(relay.model))
    with pytest.raises(LedgerUnavailable, match="contradicts itself"):
        index.apply(history.batch(index.known_blocks()[-1].number))
    assert (index.head(), lines_of(index)) == before


def test_a_block_that_ends_in_the_middle_of_a_settlement_loses_no_line(index: LineageIndex) -> None:
    relay = Relay(History())
    relay.create()
    returned = ev.BidReturned(relay.model, 1, person("t1"), Wei(7))
    relay.history.block(ev.BidPlaced(relay.model, 1, person("t1"), 0, Wei(7)), returned)
    index.apply(relay.history.batch())
    assert [(line.kind, line.amount, line.balance) for line in lines_of(index, person("t1"))] == [
        ("bid", -7, -7),
        ("bid returned", 7, 0),
    ]


# --- what the index tells ---------------------------------------------------------------------------------------------


def told(chain_events: list[ev.Event]) -> list[Line]:
    """The lines that the protocol tells of a log, numbered as the index numbers its events."""
    books = Books()
    teller = Teller(books)
    lines: list[Line] = []
    for seq, event in enumerate(chain_events, start=1):
        books.note(event)
        lines += teller.tell(event, seq)
    return [*lines, *teller.finish()]


def assert_same(found: list[StatementLine], lines: list[Line]) -> None:
    assert [
        (line.seq, line.account, line.kind, line.amount, line.balance, line.model, line.round, line.sentence)
        for line in found
    ] == [
        (one.event, one.account, one.kind, one.amount, one.balance, one.model, one.round, one.sentence) for one in lines
    ]


@few_examples
@given(seed=st.integers(0, 2**32))
def test_the_index_tells_what_the_protocol_tells_however_the_log_is_cut(seed: int) -> None:
    with TemporaryDirectory() as folder:
        game = Players(random.Random(seed), blocks_per_batch=random.Random(seed).choice([1, 5, 256]))
        index = LineageIndex(Path(folder) / "index.db")
        for _ in range(6):
            for _ in range(25):
                game.play()
            catch_up(index, game)
        events = list(index.log())
        found = lines_of(index)
        assert_same(found, told(events))
        books = Books(events)
        with index.reading() as connection:
            for account in EVERYBODY:
                own = [line for line in found if line.account == account]
                assert sum(line.amount for line in own) == game.state.free.get(account, 0)
                assert not own or own[-1].balance == game.state.free.get(account, 0)
                for seat in queries.seats_of(connection, account, 99):
                    held = game.state.models[seat.model]
                    leaving = held.unbonding.get(account)
                    assert seat.stake == held.stakes.get(account, 0)
                    expected = (0, 0) if leaving is None else (leaving.amount, leaving.release_time)
                    assert (seat.unbonding, seat.release_time) == expected
        assert books.total() == sum(books.held().values())
        index.close()


def test_equivocations_take_bid_stake_and_what_is_unbonding(index: LineageIndex) -> None:
    relay = AuditedRelay()
    relay.lease(200, 100)
    seated, leaver = relay.seated()[0], next(judge for judge in relay_judges if judge not in relay.seated())
    relay.do(leaver, do.Unstake(relay.model))
    relay.do(relay_owner, relay.two_manifests(0))
    relay.do(relay_owner, relay.two_reveals(seated, 1))
    relay.do(relay_owner, relay.two_reveals(leaver, 77))
    history = History()
    for event in relay.audit.events:
        history.block(event)
    index.apply(history.batch())
    assert_same(lines_of(index), told(relay.audit.events))
    with index.reading() as connection:
        for judge in (seated, leaver):
            (standing,) = queries.seats_of(connection, judge, 9)
            assert (standing.stake, standing.unbonding, standing.release_time) == (0, 0, 0)
        lost = [queries.account(connection, who) for who in (seated, leaver, relay.round.legs[0].trainer)]
        reporter = queries.account(connection, relay_owner)
        model = queries.model(connection, relay.model)
    assert model is not None
    assert reporter is not None
    assert reporter.reporter_reward + model.carry == sum(one.equivocation_lost for one in lost if one is not None)
    assert model.carry == relay.held.carry > 0


def test_a_round_has_the_lines_of_everybody_and_of_the_round_itself(index: LineageIndex) -> None:
    history, relay = sample(2)
    index.apply(history.batch())
    with index.reading() as connection:
        lines = queries.statement(connection, (0, 0), ALL, model=relay.model, round=1)
        page = queries.statement(connection, (lines[2].seq, lines[2].ordinal), 2, model=relay.model, round=1)
    assert {line.account for line in lines} >= {None, person("t1"), person("t2"), person("v1")}
    assert {line.round for line in lines} == {1}
    assert page == lines[3:5]
    assert STRANGER not in {line.account for line in lines}
    (whole,) = [line for line in lines if line.account is None]
    assert (whole.kind, whole.reference.event) == (Kind.ROUND, "RoundSettled")


def test_what_moved_leaves_out_the_lines_without_money(index: LineageIndex) -> None:
    history, _ = sample(2)
    index.apply(history.batch())
    with index.reading() as connection:
        moved = queries.statement(connection, (0, 0), ALL, account=person("v3"), moved=True)
    lines = lines_of(index, person("v3"))
    assert moved == [line for line in lines if line.amount]
    assert {"seat", "slashed"} <= {line.kind for line in lines if not line.amount}
