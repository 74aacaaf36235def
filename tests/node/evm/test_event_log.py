"""The follower against a chain that reorganises itself, falls behind and limits answers at the worst moments."""

import hashlib
import random
from typing import Any

import pytest

from derelayl_node.evm.codec import Codec
from derelayl_node.evm.deploy import artifact
from derelayl_node.evm.endpoint import EndpointFailed
from derelayl_node.evm.event_log import MAX_BLOCKS_PER_BATCH, RECHECK_BLOCKS, UNSETTLED_BLOCKS, EventLog
from derelayl_node.evm.span import Span
from derelayl_node.ports import (
    KNOWN_BLOCKS,
    MAX_REORG_BLOCKS,
    AnotherChain,
    BlockRef,
    LedgerUnavailable,
    LogBatch,
    LogEntry,
)

from .fakechain import LEDGER, FakeBlock, FakeChain

CODEC = Codec(artifact("RelayLedger")["abi"])


class Reader:
    """Keeps what the port's contract says a caller keeps."""

    def __init__(self, chain: FakeChain, start: int = 0, keep: int = KNOWN_BLOCKS, span: Span | None = None) -> None:
        self.chain, self.keep = chain, keep
        self.log = EventLog(chain.rpc(), CODEC, LEDGER, start, span=span)
        self.blocks: list[BlockRef] = []
        self.entries: list[LogEntry] = []

    def step(self) -> LogBatch:
        known = [*self.blocks[:1], *self.blocks[1:][-self.keep :]]
        batch = self.log.next_batch(known)
        assert [block.number for block in batch.blocks] == sorted({block.number for block in batch.blocks})
        assert all(entry.block in batch.blocks for entry in batch.entries)
        self.blocks = [block for block in self.blocks if block.number <= batch.keep_through] + list(batch.blocks)
        self.entries = [entry for entry in self.entries if entry.block.number <= batch.keep_through]
        self.entries += batch.entries
        return batch

    def catch_up(self) -> "Reader":
        """Read to the head, asking again where the chain was behind or moving."""
        for _ in range(1_000):
            batch = self.step()
            if not batch.more and not batch.lagging:
                return self
        raise AssertionError("the log has no end")

    def amounts(self) -> list[int]:
        return [entry.event.amount for entry in self.entries]  # type: ignore[union-attr]


def chain_of(*amounts: list[int]) -> FakeChain:
    chain = FakeChain()
    chain.extend("a", *amounts)
    return chain


def all_amounts(chain: FakeChain) -> list[int]:
    return [amount for block in chain.blocks for amount in block.amounts]


def test_nothing_known_begins_at_the_start() -> None:
    reader = Reader(chain_of([1], [2], [3], [4]), start=2)
    batch = reader.step()
    assert (batch.keep_through, batch.more) == (1, False)
    assert reader.amounts() == [3, 4]


def test_a_chain_without_a_new_block_costs_one_call() -> None:
    chain = chain_of([1], [2])
    reader = Reader(chain).catch_up()
    chain.calls.clear()
    batch = reader.step()
    assert (batch.keep_through, batch.blocks, batch.more) == (1, (), False)
    assert chain.calls == ["eth_getBlockByNumber"]


# --- what reading costs -----------------------------------------------------------------------------------------------


def test_empty_blocks_cost_calls_by_ranges() -> None:
    chain = chain_of(*[[]] * 3_000, [7], *[[]] * 3_000)
    reader = Reader(chain).catch_up()
    assert reader.amounts() == [7]
    assert len(chain.calls) <= 20
    assert len(reader.blocks) <= 8


class LongChain(FakeChain):
    """A chain of empty blocks that nobody has to hold in memory."""

    class Blocks(list[FakeBlock]):
        def __len__(self) -> int:
            return 1_300_000

        def __getitem__(self, number: Any) -> Any:
            name, before = (hashlib.sha256(b"%d" % each).digest() for each in (number % len(self), number - 1))
            return FakeBlock(number % len(self), name, before, ())

    def __init__(self, most_blocks: int | None) -> None:
        super().__init__(blocks=self.Blocks(), most_blocks=most_blocks)

    def _logs(self, query: dict[str, Any]) -> dict[str, Any]:
        wide = int(query["toBlock"], 16) - int(query["fromBlock"], 16) >= (self.most_blocks or 1_300_000)
        return {"error": {"code": -32005, "message": "too wide"}} if wide else {"result": []}


@pytest.mark.parametrize(("most", "calls"), [(None, 45), (10_000, 450)])
def test_a_chain_of_a_million_blocks_is_read_in_few_calls(most: int | None, calls: int) -> None:
    chain = LongChain(most)
    Reader(chain).catch_up()
    assert len(chain.calls) <= calls


def test_a_new_empty_block_on_a_chain_with_bloom_filters_costs_one_call() -> None:
    chain = chain_of([1])
    reader = Reader(chain).catch_up()
    chain.calls.clear()
    for _ in range(10):
        chain.extend("a", [])
        reader.step()
    assert chain.calls == ["eth_getBlockByNumber"] * 10
    chain.extend("a", [5])
    reader.step()
    assert reader.amounts() == [1, 5]


def test_a_chain_without_bloom_filters_loses_no_event() -> None:
    chain = chain_of([1])
    chain.blooms = False
    reader = Reader(chain).catch_up()
    for number in range(9):
        chain.extend("a", [number] if number % 3 == 0 else [])
        reader.step()
    assert reader.amounts() == all_amounts(chain)


@pytest.mark.parametrize("most", [1, 3, 100, 1_500])
def test_any_limit_on_ranges_is_found_and_remembered(most: int) -> None:
    chain = chain_of(*[[number] if number % 50 == 0 else [] for number in range(700)])
    chain.most_blocks = most
    reader = Reader(chain).catch_up()
    assert reader.amounts() == all_amounts(chain)
    halvings = 12
    assert chain.calls.count("eth_getLogs") <= halvings + 3 + 2 * 700 // most


def test_a_node_that_refuses_even_one_block_is_quoted() -> None:
    chain = chain_of([1], [2])
    chain.most_blocks = 0
    with pytest.raises(LedgerUnavailable, match="at most 0 blocks at once"):
        Reader(chain).step()


def test_a_range_that_takes_too_long_is_asked_for_in_halves() -> None:
    chain = chain_of(*[[]] * 500)
    span = Span(first=400)
    reader = Reader(chain, span=span)

    def before(method: str) -> None:
        if method == "eth_getLogs" and span.blocks > 100:
            raise EndpointFailed("timed out")

    chain.before = before
    for _ in range(2):
        with pytest.raises(LedgerUnavailable):
            reader.step()
    chain.before = lambda method: None
    reader.catch_up()
    assert span.blocks >= 100


def test_many_blocks_with_events_come_in_several_batches() -> None:
    chain = chain_of(*[[number] for number in range(MAX_BLOCKS_PER_BATCH + 50)])
    reader = Reader(chain)
    batch = reader.step()
    assert batch.more
    assert len(batch.blocks) <= MAX_BLOCKS_PER_BATCH + 1
    assert reader.catch_up().amounts() == all_amounts(chain)


# --- reorganisations --------------------------------------------------------------------------------------------------


def test_a_reorg_drops_and_replaces_exactly_the_lost_blocks() -> None:
    chain = chain_of([1], [2, 20], [3])
    reader = Reader(chain).catch_up()
    chain.cut(1)
    chain.extend("b", [], [5], [6])
    assert reader.step().keep_through == 0
    assert reader.amounts() == [1, 5, 6]


def test_a_reorg_near_the_head_costs_no_reading_of_the_whole_chain() -> None:
    chain = chain_of([1], *[[]] * 5_000)
    reader = Reader(chain).catch_up()
    chain.cut(4_990)
    chain.extend("b", *[[]] * 10, [8])
    assert reader.step().keep_through >= 4_990 - UNSETTLED_BLOCKS - 10
    assert reader.amounts() == [1, 8]


def test_a_reorg_deeper_than_what_is_kept_begins_at_the_first_block() -> None:
    chain = chain_of(*[[number] for number in range(10)])
    reader = Reader(chain, keep=3).catch_up()
    chain.cut(1)
    chain.extend("b", *[[100 + number] for number in range(12)])
    assert reader.step().keep_through == 0
    assert reader.amounts() == [0, *(100 + number for number in range(12))]


@pytest.mark.parametrize("method", ["eth_getBlockByNumber", "eth_getLogs"])
@pytest.mark.parametrize("after", range(6))
def test_a_reorg_in_the_middle_of_a_batch_never_mixes_forks(method: str, after: int) -> None:
    chain = chain_of([1], [2], [3], [4])
    reader = Reader(chain, span=Span(first=1))
    reader.step()
    seen = 0

    def before(called: str) -> None:
        nonlocal seen
        if called != method:
            return
        seen += 1
        if seen == after + 1:
            chain.cut(1)
            chain.extend("b", [7], [], [8], [9])

    chain.before = before
    reader.step()
    hashes = {block.hash for block in reader.blocks}
    assert all(entry.block.hash in hashes for entry in reader.entries)
    chain.before = lambda called: None
    reader.catch_up()
    assert reader.amounts() == ([1, 7, 8, 9] if seen > after else [1, 2, 3, 4])


@pytest.mark.parametrize("seed", range(8))
def test_random_reorgs_always_end_at_the_canonical_log(seed: int) -> None:
    """Between two calls, and between any two requests of one; with limits, replicas behind, and without blooms."""
    draw = random.Random(seed)
    chain = chain_of([0])
    chain.blooms = draw.random() < 0.8
    chain.most_blocks = draw.choice([None, 1, 2, 7])
    reader = Reader(chain, keep=draw.choice([2, 8, 200]), span=Span(first=draw.choice([1, 3, 2_000])))
    reader.step()

    def move() -> None:
        height = len(chain.blocks)
        chain.cut(max(1, height - draw.choice([0, 0, 0, 1, 2, 9])))
        missing = max(0, height + 1 - len(chain.blocks))
        for _ in range(missing + draw.randrange(3)):
            chain.extend(f"{draw.random()}", [draw.randrange(99)] * draw.choice([0, 0, 0, 1, 2]))

    def before(method: str) -> None:
        if draw.random() < 0.1:
            move()
        chain.sees = max(0, len(chain.blocks) - draw.randrange(4)) if draw.random() < 0.1 else None

    for turn in range(120):
        move()
        chain.before = before if draw.random() < 0.5 else lambda method: None
        reader.step()
        if turn % 10 == 9:
            settle(chain, reader)
            assert reader.amounts() == all_amounts(chain)


def settle(chain: FakeChain, reader: Reader) -> None:
    """Let the chain grow quietly until whoever was behind has been asked again."""
    chain.before, chain.sees = lambda method: None, None
    for _ in range(RECHECK_BLOCKS + 2):
        chain.extend("quiet", [])
        reader.catch_up()


# --- who is behind, or another chain ----------------------------------------------------------------------------------


def test_a_node_that_is_behind_takes_nothing_back() -> None:
    chain = chain_of([1], [2], [3])
    reader = Reader(chain).catch_up()
    newest = chain.blocks.pop()
    batch = reader.step()
    assert (batch.keep_through, batch.blocks, batch.entries, batch.more) == (2, (), (), False)
    assert batch.lagging
    chain.blocks.append(newest)
    chain.extend("a", [4])
    assert not reader.step().lagging
    assert reader.amounts() == [1, 2, 3, 4]


@pytest.mark.parametrize("behind", [1, 3, 10, UNSETTLED_BLOCKS])
def test_events_that_a_node_behind_left_out_are_read_after_all(behind: int) -> None:
    chain = chain_of([1], *[[]] * 300, *[[number] if number % 3 == 0 else [] for number in range(behind)])
    reader = Reader(chain)
    chain.sees = len(chain.blocks) - behind
    for _ in range(5):
        reader.step()
    chain.sees = None
    settle(chain, reader)
    assert reader.amounts() == all_amounts(chain)


def test_a_chain_that_began_anew_is_another_chain_and_takes_nothing_back() -> None:
    chain = chain_of([1], [2], [3])
    reader = Reader(chain).catch_up()
    before, chain.blocks = chain.blocks, []
    for length in (1, 2, 3, 4):
        chain.extend("anew", [9] * length)
        with pytest.raises(AnotherChain, match="started anew or is another one"):
            reader.step()
    chain.blocks = before
    chain.extend("a", [4])
    assert not reader.step().lagging
    assert reader.amounts() == [1, 2, 3, 4]


def test_a_chain_that_began_anew_from_the_same_first_block_is_another_chain() -> None:
    chain = chain_of([], [], [3])
    reader = Reader(chain).catch_up()
    chain.cut(1)
    chain.code = "0x"
    with pytest.raises(AnotherChain, match="no ledger at"):
        reader.step()


def test_a_chain_that_replaces_more_blocks_than_any_does_is_another_chain() -> None:
    chain = chain_of([1], *[[]] * (MAX_REORG_BLOCKS + 1), [2])
    reader = Reader(chain).catch_up()
    reader.blocks.insert(1, BlockRef(1, chain.blocks[1].hash, reader.blocks[0].time))
    chain.cut(1)
    chain.extend("b", *[[5]] * (MAX_REORG_BLOCKS + 9))
    with pytest.raises(AnotherChain):
        reader.step()
    assert reader.amounts() == [1, 2]


@pytest.mark.parametrize("start", [0, 5])
def test_a_chain_without_the_ledger_has_no_log(start: int) -> None:
    chain = chain_of([], [])
    if start == 0:
        chain.code = "0x"
    with pytest.raises(AnotherChain, match="no ledger at"):
        Reader(chain, start=start).step()
