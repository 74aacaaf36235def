"""The follower against a chain that reorganises itself at the worst moments."""

import random

import pytest

from derelayl_node.evm.codec import Codec
from derelayl_node.evm.deploy import artifact
from derelayl_node.evm.event_log import next_batch
from derelayl_node.ports import BlockRef, LedgerUnavailable, LogBatch, LogEntry

from .fakechain import LEDGER, FakeChain

CODEC = Codec(artifact("RelayLedger")["abi"])


class Reader:
    """Keeps what the port's contract says a caller keeps."""

    def __init__(self, chain: FakeChain, start: int = 0, keep: int = 128) -> None:
        self.chain, self.start, self.keep = chain, start, keep
        self.blocks: list[BlockRef] = []
        self.entries: list[LogEntry] = []

    def step(self, limit: int = 256) -> LogBatch:
        known = self.blocks[-self.keep :]
        batch = next_batch(self.chain.rpc(), CODEC, LEDGER, known, start=self.start, limit=limit)
        self.blocks = [block for block in self.blocks if block.number <= batch.keep_through] + list(batch.blocks)
        self.entries = [entry for entry in self.entries if entry.block.number <= batch.keep_through]
        self.entries += batch.entries
        return batch

    def amounts(self) -> list[int]:
        return [entry.event.amount for entry in self.entries]  # type: ignore[union-attr]


def test_nothing_known_begins_at_the_start() -> None:
    chain = FakeChain()
    chain.extend("a", [1], [2], [3], [4])
    reader = Reader(chain, start=2)
    batch = reader.step()
    assert batch.keep_through == 1
    assert not batch.more
    assert reader.amounts() == [3, 4]


def test_a_reorg_drops_and_replaces_exactly_the_lost_blocks() -> None:
    chain = FakeChain()
    chain.extend("a", [1], [2, 20], [3])
    reader = Reader(chain)
    reader.step()
    chain.cut(1)
    chain.extend("b", [], [5], [6])
    batch = reader.step()
    assert batch.keep_through == 0
    assert reader.amounts() == [1, 5, 6]
    assert [block.hash for block in reader.blocks] == [block.hash for block in chain.blocks]


def test_a_chain_without_a_new_block_costs_one_call() -> None:
    chain = FakeChain()
    chain.extend("a", [1], [2])
    reader = Reader(chain)
    reader.step()
    chain.calls.clear()
    batch = reader.step()
    assert (batch.keep_through, batch.blocks, batch.more) == (1, (), False)
    assert chain.calls == ["eth_getBlockByNumber"]


def test_a_shorter_chain_after_a_rollback_drops_what_is_gone() -> None:
    chain = FakeChain()
    chain.extend("a", [1], [2], [3])
    reader = Reader(chain)
    reader.step()
    chain.cut(2)
    batch = reader.step()
    assert (batch.keep_through, batch.blocks, batch.entries, batch.more) == (1, (), (), False)
    assert reader.amounts() == [1, 2]


def test_a_reorg_deeper_than_what_is_known_begins_again() -> None:
    chain = FakeChain()
    chain.extend("a", *[[number] for number in range(10)])
    reader = Reader(chain, keep=3)
    reader.step()
    chain.cut(0)
    chain.extend("b", *[[100 + number] for number in range(10)])
    assert reader.step().keep_through == -1
    assert reader.amounts() == [100 + number for number in range(10)]


@pytest.mark.parametrize("method", ["eth_getBlockByNumber", "eth_getLogs"])
@pytest.mark.parametrize("after", range(6))
def test_a_reorg_in_the_middle_of_a_batch_never_mixes_forks(method: str, after: int) -> None:
    chain = FakeChain()
    chain.extend("a", [1], [2], [3], [4])
    reader = Reader(chain)
    reader.step(limit=1)
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
    try:
        reader.step()
    except LedgerUnavailable:
        pass  # the block that was asked for is gone: nothing was delivered
    else:
        hashes = {block.hash for block in reader.blocks}
        assert all(entry.block.hash in hashes for entry in reader.entries)
    chain.before = lambda called: None
    while reader.step().more:
        pass
    assert reader.amounts() == ([1, 7, 8, 9] if seen > after else [1, 2, 3, 4])


def test_random_reorgs_always_end_at_the_canonical_log() -> None:
    draw = random.Random(7)
    chain = FakeChain()
    chain.extend("0", [0])
    reader = Reader(chain, keep=8)
    for turn in range(150):
        chain.cut(max(1, len(chain.blocks) - draw.choice([0, 0, 0, 1, 2, 9])))
        chain.extend(str(turn), *[[draw.randrange(99)] * draw.choice([0, 0, 1, 2]) for _ in range(draw.randrange(4))])
        reader.step(limit=draw.choice([1, 2, 256]))
        if turn % 10 == 9:
            while reader.step(limit=5).more:
                pass
            assert reader.amounts() == [amount for block in chain.blocks for amount in block.amounts]
            assert [block.hash for block in reader.blocks] == [block.hash for block in chain.blocks]


def test_batches_are_bounded_and_say_that_there_is_more() -> None:
    chain = FakeChain()
    chain.extend("a", *[[number] for number in range(10)])
    reader = Reader(chain)
    assert [(len(batch.blocks), batch.more) for batch in (reader.step(4) for _ in range(4))] == [
        (4, True),
        (4, True),
        (2, False),
        (0, False),
    ]


def test_blocks_without_the_ledger_cost_no_query_for_their_logs() -> None:
    chain = FakeChain()
    chain.extend("a", *[[]] * 20)
    Reader(chain).step()
    assert chain.calls.count("eth_getLogs") == 1
