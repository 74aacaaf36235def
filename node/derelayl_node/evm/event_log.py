"""Follows the ledger's event log over reorganisations of the chain, without any state of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from eth_bloom.bloom import BloomFilter

from derelayl_protocol.spelling import from_hex, to_hex
from derelayl_protocol.types import Address

from ..ports import BlockRef, LogBatch, LogEntry
from .codec import Codec
from .provider import Block, RawLog, Rpc

MAX_BLOCKS_PER_BATCH = 256
"""Blocks in one answer: a second of work on the embedded chain, an hour of a usual chain."""


def next_batch(
    rpc: Rpc,
    codec: Codec,
    ledger: Address,
    known: Sequence[BlockRef],
    *,
    start: int,
    limit: int = MAX_BLOCKS_PER_BATCH,
) -> LogBatch:
    """What follows the newest block of `known` on the canonical chain; `start` is the ledger's first block.

    The newest known block that is still canonical (by its hash) is kept; if none is, the log begins again at `start`.
    Each new block must name the one before as its parent: where it does not, the chain has moved under us, and the next
    call sorts it out. Raises LedgerUnavailable.
    """
    newest = rpc.head().ref
    if known and known[-1].hash == newest.hash:
        return LogBatch(keep_through=newest.number, blocks=(), entries=(), more=False)  # one call while nothing happens
    kept, head = _newest_canonical(rpc, known), newest.number
    first = start if kept is None else kept.number + 1
    last = min(head, first + limit - 1)
    logs = _logs_by_block(rpc, ledger, first, last)
    blocks: list[BlockRef] = []
    entries: list[LogEntry] = []
    for number in range(first, last + 1):
        block = rpc.block(number)
        before = blocks[-1] if blocks else kept
        if block is None or (before is not None and block.parent != before.hash):
            break
        blocks.append(block.ref)
        entries += [_entry(codec, block.ref, log) for log in _logs_of(rpc, ledger, block, logs)]
    reached = blocks[-1].number if blocks else first - 1
    return LogBatch(keep_through=first - 1, blocks=tuple(blocks), entries=tuple(entries), more=reached < head)


def _newest_canonical(rpc: Rpc, known: Sequence[BlockRef]) -> BlockRef | None:
    for ref in reversed(known):
        block = rpc.block(ref.number)
        if block is not None and block.ref.hash == ref.hash:
            return ref
    return None


def _logs_by_block(rpc: Rpc, ledger: Address, first: int, last: int) -> Mapping[bytes, Sequence[RawLog]]:
    """The ledger's logs of a range, by block hash: for each hash that appears, all that block has."""
    if first > last:
        return {}
    found: dict[bytes, list[RawLog]] = {}
    for log in rpc.logs({"address": ledger, "fromBlock": hex(first), "toBlock": hex(last)}):
        found.setdefault(log.block_hash, []).append(log)
    return found


def _logs_of(rpc: Rpc, ledger: Address, block: Block, logs: Mapping[bytes, Sequence[RawLog]]) -> Sequence[RawLog]:
    """All logs of one block. Asked for by its hash where the range's answer may have come from another fork."""
    found: Sequence[RawLog] = logs.get(block.ref.hash, ())
    if not found and from_hex(ledger) in BloomFilter(int.from_bytes(block.bloom, "big")):
        found = rpc.logs({"address": ledger, "blockHash": to_hex(block.ref.hash)})
    return sorted(found, key=lambda log: log.index)


def _entry(codec: Codec, block: BlockRef, log: RawLog) -> LogEntry:
    return LogEntry(event=codec.event(log.topics, log.data), block=block, transaction=log.transaction, index=log.index)
