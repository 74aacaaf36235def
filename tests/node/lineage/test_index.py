"""The index: refusing contradictions, applying, undoing, rebuilding, and agreeing with the ledger to the wei."""

from __future__ import annotations

import random
import sqlite3
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select, text

from derelayl_node.lineage import index as index_module
from derelayl_node.lineage import queries, tables
from derelayl_node.lineage.database import IndexUnusable, writing
from derelayl_node.lineage.index import LineageIndex
from derelayl_node.ports import KNOWN_BLOCKS, BlockRef, LedgerUnavailable, LogBatch, LogEntry
from derelayl_node.testing.history import RULES, Attempt, History, Relay, named, person, sample
from derelayl_protocol.ledger import events as ev
from derelayl_protocol.ledger.selection import LegEnding
from derelayl_protocol.types import NO_ROOT, Ppm, Timestamp, Wei

from .conftest import Fresh
from .players import EVERYBODY, Players

few_examples = settings(  # each plays a whole relay; a fixture that makes indexes may serve all of them
    max_examples=max(1, settings().max_examples // 8), suppress_health_check=[HealthCheck.function_scoped_fixture]
)
TRUTH = (tables.events, *tables.PROJECTIONS)


def contents(index: LineageIndex) -> dict[str, list[Any]]:
    """All rows that the events determine, by table."""
    with index.reading() as connection:
        return {
            table.name: sorted((tuple(row) for row in connection.execute(select(table))), key=repr) for table in TRUTH
        }


def catch_up(index: LineageIndex, players: Players) -> None:
    more = True
    while more:
        batch = players.chain.logs(index.known_blocks())
        if batch.lagging:
            players.chain.mine()  # until the chain is as long again as what was read
        else:
            index.apply(batch)
        more = batch.more or batch.lagging


# --- files that are no index ----------------------------------------------------------------------------------------


def test_a_file_of_noise_is_refused_with_the_remedy(tmp_path: Path) -> None:
    path = tmp_path / "noise.db"
    path.write_bytes(b"not a database, " * 1_000)
    with pytest.raises(IndexUnusable, match=r"damaged or not a lineage index .*; delete it"):
        LineageIndex(path)


def test_a_truncated_index_is_refused_with_the_remedy(tmp_path: Path) -> None:
    path = tmp_path / "lineage.db"
    index = LineageIndex(path)
    index.apply(sample()[0].batch())
    index.close()
    path.write_bytes(path.read_bytes()[:20_000])
    with pytest.raises(IndexUnusable, match="delete it: it is read again from the chain"):
        LineageIndex(path)


def test_the_database_of_another_program_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE recipes (name TEXT)")
    other.close()
    with pytest.raises(IndexUnusable, match="another program"):
        LineageIndex(path)
    with sqlite3.connect(path) as other:
        assert other.execute("SELECT count(*) FROM recipes").fetchone() == (0,)
    other.close()


@pytest.mark.parametrize("url", ["sqlite://", ":memory:", "nonsense://x/y", "://"])
def test_a_url_that_cannot_work_is_refused_in_one_sentence(url: str) -> None:
    with pytest.raises(IndexUnusable):
        LineageIndex(url)


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(IndexUnusable, match="does not exist; create it"):
        LineageIndex(tmp_path / "nowhere" / "lineage.db")


def test_a_locked_index_says_who_must_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("derelayl_node.lineage.database.BUSY_SECONDS", 0.01)
    index = LineageIndex(tmp_path / "lineage.db")
    other = sqlite3.connect(tmp_path / "lineage.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(IndexUnusable, match="end the other process"):
        index.apply(sample()[0].batch())
    other.execute("ROLLBACK")
    other.close()
    index.close()


def test_an_index_of_another_schema_version_is_dropped_and_starts_anew(tmp_path: Path) -> None:
    path = tmp_path / "lineage.db"
    old = LineageIndex(path)
    old.apply(sample()[0].batch())
    with writing(old._engine) as connection:
        connection.execute(text("UPDATE lineage_meta SET value = '0' WHERE name = 'schema version'"))
    old.close()
    new = LineageIndex(path)
    assert new.known_blocks() == ()
    assert new.head().events == 0
    new.close()


# --- logs that contradict themselves ----------------------------------------------------------------------------------


def test_a_settlement_of_a_leg_nobody_leased_changes_nothing(index: LineageIndex) -> None:
    history, relay = sample(1)
    index.apply(history.batch())
    before = contents(index)
    zero = Wei(0)
    history.block(ev.Deposited(person("v1"), Wei(5)))
    history.block(ev.LegSettled(relay.model, relay.round, 7, NO_ROOT, Ppm(0), False, zero, zero, zero, zero))
    with pytest.raises(LedgerUnavailable, match="contradicts itself"):
        index.apply(history.batch(index.known_blocks()[-1].number))
    assert contents(index) == before


def test_events_added_to_a_block_already_read_are_refused(index: LineageIndex) -> None:
    history, _ = sample(1)
    index.apply(history.batch())
    late = LogEntry(ev.Deposited(person("x"), Wei(1)), history.blocks[2], named("late"), 99)
    with pytest.raises(LedgerUnavailable, match="out of order"):
        index.apply(LogBatch(history.blocks[-1].number, (), (late,), False))


def test_a_block_replaced_without_undoing_it_is_refused(index: LineageIndex) -> None:
    history, _ = sample(1)
    index.apply(history.batch())
    other = replace(history.blocks[-1], hash=named("another"))
    with pytest.raises(LedgerUnavailable, match="replaces a block"):
        index.apply(LogBatch(other.number, (other,), (), False))


# --- applying and undoing ---------------------------------------------------------------------------------------------


def test_the_same_batch_twice_changes_nothing(index: LineageIndex) -> None:
    history, _ = sample()
    index.apply(history.batch())
    once = contents(index)
    index.apply(history.batch())
    index.apply(replace(history.batch(), keep_through=history.blocks[-1].number))
    assert contents(index) == once


def test_known_blocks_are_the_first_and_a_bounded_ring_of_the_newest(index: LineageIndex) -> None:
    history = History()
    for _ in range(KNOWN_BLOCKS + 40):
        history.block()
    index.apply(history.batch())
    assert index.known_blocks() == (history.blocks[0], *history.blocks[-KNOWN_BLOCKS:])


def test_a_reorganisation_takes_back_what_only_the_lost_branch_said(index: LineageIndex) -> None:
    history = History()
    relay = Relay(history)
    relay.create()
    fork = history.blocks[-1].number
    lost = Attempt("t1", relay.genesis, "lost", 9_000, True)
    relay.play(lost)
    index.apply(history.batch())
    history.rewind(fork, "other branch")
    relay.round = 1
    relay.play(Attempt("t2", relay.genesis, "found", 8_000, True))
    index.apply(history.batch(fork))
    with index.reading() as connection:
        assert queries.checkpoint(connection, relay.model, relay.root("lost")) is None
        assert [tip.checkpoint.root for tip in queries.all_tips(connection, relay.model)] == [relay.root("found")]
        assert queries.account(connection, person("t1")) is None


def test_a_chain_that_starts_anew_empties_the_index(index: LineageIndex) -> None:
    index.apply(sample()[0].batch())
    block = BlockRef(0, named("new chain"), Timestamp(1))
    index.apply(LogBatch(-1, (block,), (), False))
    assert index.known_blocks() == (block,)
    assert not any(contents(index).values())


@few_examples
@given(
    seed=st.integers(0, 2**32),
    steps=st.lists(st.integers(0, 60), min_size=1, max_size=4),
    ring=st.sampled_from([2, 9, 256]),
)
def test_after_any_reorganisations_the_index_equals_one_read_afresh(
    fresh_index: Fresh, seed: int, steps: list[int], ring: int
) -> None:
    players = Players(random.Random(seed), blocks_per_batch=random.Random(seed).choice([3, 17, 256]))
    with pytest.MonkeyPatch.context() as patch, fresh_index() as followed, fresh_index() as fresh:
        patch.setattr(index_module, "KNOWN_BLOCKS", ring)
        patch.setattr(index_module, "REPLAY_EVENTS", 7)
        for depth in steps:
            for _ in range(30):
                players.play()
            catch_up(followed, players)
            players.chain.reorg(min(depth, players.chain.head.number))
            players.play()
        catch_up(followed, players)
        catch_up(fresh, players)
        assert contents(followed) == contents(fresh)
        followed.rebuild()
        assert contents(followed) == contents(fresh)
        assert (followed.known_blocks()[0], followed.head()) == (fresh.known_blocks()[0], fresh.head())


@few_examples
@given(seed=st.integers(0, 2**32))
def test_the_projections_agree_with_the_ledger_to_the_wei(fresh_index: Fresh, seed: int) -> None:
    players = Players(random.Random(seed))
    for _ in range(150):
        players.play()
    with fresh_index() as index:
        catch_up(index, players)
        with index.reading() as connection:
            for account in EVERYBODY:
                totals = queries.account(connection, account)
                moved = queries.statement(connection, (0, 0), 10_000, account=account, moved=True)
                free = players.state.free.get(account, Wei(0))
                assert (0 if totals is None else totals.free) == free == sum(one.amount for one in moved)
                waiting = sum(one.pending for one in queries.royalties_of(connection, account, 0, 10_000))
                assert waiting == (0 if totals is None else totals.royalty_pending)
            for model, held in players.state.models.items():
                found = queries.model(connection, model)
                assert found is not None
                view = (found.budget, found.carry, found.settled_rounds, found.round, found.phase, found.deadline)
                now = held.current
                assert view == (held.budget, held.carry, held.settled_rounds, now.number, now.phase, now.deadline)
                accepted = [
                    one
                    for one in queries.all_checkpoints(connection, model, None, 10_000)
                    if one.status in ("genesis", "selected")
                ]
                assert {one.root: (one.owner, one.parent, one.score, one.round, one.pending) for one in accepted} == {
                    root: (r.owner, r.parent, r.score, r.round, r.pending) for root, r in held.checkpoints.items()
                }
                tips = [(tip.checkpoint.root, tip.checkpoint.score) for tip in queries.all_tips(connection, model)]
                assert tips == [(tip.root, tip.score) for tip in now.tips]
                for account in EVERYBODY:
                    owed = {r for r, record in held.checkpoints.items() if record.owner == account and record.pending}
                    assert set(index.waiting_royalties(model, account)) == owed
                    stakes = [s.stake for s in queries.seats_of(connection, account, 99) if s.model == model]
                    assert sum(stakes) == held.stakes.get(account, 0)


# --- lineage ----------------------------------------------------------------------------------------------------------


def test_a_root_named_by_two_legs_belongs_to_the_one_that_was_selected(index: LineageIndex) -> None:
    relay = Relay(History())
    relay.create()
    first = Attempt("t1", relay.genesis, "same", 1, False)
    second = Attempt("t2", relay.genesis, "same", 5_000, True)
    relay.play(first, second)
    index.apply(relay.history.batch())
    with index.reading() as connection:
        found = queries.checkpoint(connection, relay.model, relay.root("same"))
        legs = queries.all_rounds(connection, relay.model, 0, 9)[0].legs
    assert found is not None
    assert (found.status, found.owner, found.leg, found.gain) == ("selected", person("t2"), 1, 5_000)
    assert [leg.status for leg in legs] == ["insufficient", "selected"]


def test_a_refused_root_may_be_submitted_again_and_keeps_its_place_in_the_list(index: LineageIndex) -> None:
    relay = Relay(History())
    relay.create()
    relay.play(Attempt("t1", relay.genesis, "again", 1), Attempt("t2", relay.genesis, "other", 9_000, True))
    relay.play(Attempt("t3", relay.root("other"), "again", 8_000, True))
    index.apply(relay.history.batch())
    with index.reading() as connection:
        found = queries.all_checkpoints(connection, relay.model, None, 9)
    assert [one.root for one in found] == [relay.genesis, relay.root("again"), relay.root("other")]
    assert (found[1].parent, found[1].depth, found[1].score) == (relay.root("other"), 2, 17_000)


def test_each_leg_has_the_word_of_its_ending_once_its_round_is_over(index: LineageIndex) -> None:
    relay = Relay(History(), rules=replace(RULES, selection_bps=3_000))
    relay.create()
    relay.bid(
        legs := [
            Attempt("t1", relay.genesis, "first", 9_000, True),
            Attempt("t2", relay.genesis, "second", 8_000),
            Attempt("t3", relay.genesis, "third", 1),
            Attempt("t4", relay.genesis, "fourth"),
            Attempt("t5", relay.genesis, None),
        ]
    )
    relay.submit(legs)
    index.apply(relay.history.batch())
    with index.reading() as connection:
        before = [leg.status for leg in queries.all_rounds(connection, relay.model, 0, 9)[0].legs]
    relay.settle(legs)
    relay.void(Attempt("t1", relay.root("first"), "fifth"), Attempt("t2", relay.root("first"), None))
    index.apply(relay.history.batch(index.known_blocks()[-1].number))
    with index.reading() as connection:
        rounds = queries.all_rounds(connection, relay.model, 0, 9)
        refused = queries.checkpoint(connection, relay.model, relay.root("fifth"))
    assert before == ["submitted"] * 4 + ["leased"]
    assert [leg.status for leg in rounds[0].legs] == ["selected", "outranked", "insufficient", "unavailable", "expired"]
    assert [leg.status for leg in rounds[1].legs] == ["voided", "expired"]
    assert refused is not None
    assert refused.status is LegEnding.VOIDED


def test_ancestors_and_descendants_follow_the_parents(index: LineageIndex) -> None:
    history, relay = sample(6)
    index.apply(history.batch())
    with index.reading() as connection:
        up = queries.ancestors(connection, relay.model, relay.root("good 4"), 99)
        some = queries.ancestors(connection, relay.model, relay.root("good 4"), 2)
        down = queries.descendants(connection, relay.model, relay.root("good 4"), 0, 99)
        none = queries.ancestors(connection, relay.model, relay.genesis, 99)
    names = ("good 3", "good 2", "good 1")
    assert [one.root for one in up] == [*map(relay.root, names), relay.genesis]
    assert some == up[:2]
    assert [one.root for one in down] == [relay.root(f"{kind} {n}") for n in (5, 6) for kind in ("good", "bad")]
    assert none == []


def test_two_indexes_of_the_same_chain_agree_on_the_lineage_digest(index: LineageIndex, fresh_index: Fresh) -> None:
    history, relay = sample()
    index.apply(history.batch())
    with fresh_index() as other:
        other.apply(history.batch())
        assert other.lineage_digest(relay.model) == index.lineage_digest(relay.model)
        history.rewind(history.blocks[-1].number - 1, "other")
        other.apply(history.batch())
        assert other.lineage_digest(relay.model) != index.lineage_digest(relay.model)
    assert len(index.edges(relay.model)) == 13
    assert sum(edge.selected for edge in index.edges(relay.model)) == 6


def test_a_stored_event_is_found_by_its_place(index: LineageIndex) -> None:
    history, _ = sample(1)
    index.apply(history.batch())
    for entry in history.entries:
        assert index.event(entry.block.hash, entry.transaction, entry.index) == entry.event
    assert index.event(named("nowhere"), named("nothing"), 0) is None


def test_a_reader_keeps_its_snapshot_while_blocks_are_added(index: LineageIndex) -> None:
    history, relay = sample(1)
    index.apply(history.batch())
    with index.reading() as connection:
        before = queries.head(connection)
        relay.play(Attempt("t1", relay.root("good 1"), "later", 5_000, True))
        index.apply(history.batch(before.block or 0))
        assert queries.head(connection) == before
        assert queries.checkpoint(connection, relay.model, relay.root("later")) is None
    assert index.head().block == history.blocks[-1].number
