"""The ports of a node: what roles and hand-offs may ask of the outside, at most five methods each.

Each port has one in-memory fake in `fakes` and one conformance suite in `tests/node/conformance`, which the fake and
the real adapter both pass. Async methods run under trio and can be cancelled at any checkpoint.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from derelayl_protocol.checkpoint.chunk import HashedChunk
from derelayl_protocol.checkpoint.manifest import Chunk
from derelayl_protocol.checkpoint.messages import Announcement
from derelayl_protocol.ledger.commands import Command
from derelayl_protocol.ledger.entries import SignedEntry
from derelayl_protocol.ledger.events import Event
from derelayl_protocol.ledger.rules import Rules
from derelayl_protocol.ledger.state import CheckpointRecord, RoundView, Unbonding
from derelayl_protocol.types import Address, Digest, ModelId, Ppm, Root, Timestamp, Wei
from derelayl_training.jobs import Architecture, Judged, JudgingJob, LegJob, LegResult, SampleCounts, WeightsFile

from .failures import Failure

# --- Ledger ---------------------------------------------------------------------------------------------------------


class LedgerUnavailable(Failure):
    """The chain did not answer, or answered nonsense; try again later. Nothing was decided."""


class AnotherChain(LedgerUnavailable):
    """What answers is not the chain that was read so far, or has lost the ledger: what is known stays as it is."""


@dataclass(frozen=True, slots=True)
class BlockRef:
    number: int
    hash: bytes
    time: Timestamp


@dataclass(frozen=True, slots=True)
class LogEntry:
    """One event with its place on the chain: (block hash, transaction, index) is its identity."""

    event: Event
    block: BlockRef
    transaction: bytes
    index: int


KNOWN_BLOCKS = 256
"""Newest blocks that a reader of the log keeps to compare with the chain."""


@dataclass(frozen=True, slots=True)
class LogBatch:
    """The next piece of the event log. First drop every entry of a block above `keep_through`, then add `entries`.

    `blocks`, in ascending order, are the new blocks with events and the last one that was read; of a log that begins,
    its first block too. What lies between them has no events. `more` says that the head is not reached; `lagging` that
    the node which answered is behind what is known already, so that nothing can be said now.
    """

    keep_through: int
    blocks: tuple[BlockRef, ...]
    entries: tuple[LogEntry, ...]
    more: bool
    lagging: bool = False

    def known_after(self, known: Sequence[BlockRef]) -> tuple[BlockRef, ...]:
        """What a reader that asked with `known` asks with next: the first block, and the newest KNOWN_BLOCKS."""
        blocks = (*(block for block in known if block.number <= self.keep_through), *self.blocks)
        return (*blocks[:1], *blocks[1:][-KNOWN_BLOCKS:])


MAX_REORG_BLOCKS = 256
"""Blocks that a chain may replace. One that replaces more is taken for another chain: usual ones hold far fewer back,
and to throw a whole index away for a chain that was only started anew would be the greater harm."""


@dataclass(frozen=True, slots=True)
class AccountView:
    """Where an account's tokens are; stakes, bonded and unbonding, by model, those of 0 left out."""

    wallet: Wei
    free: Wei
    stakes: Mapping[ModelId, Wei]
    unbonding: Mapping[ModelId, Unbonding]


class Registry(Protocol):
    """Single facts that the ledger has on record, of any account and checkpoint. Each costs one call."""

    async def rules(self, model: ModelId) -> Rules:
        """The model's rules. Raises RuleViolation(UNKNOWN_MODEL), LedgerUnavailable."""

    async def checkpoint(self, model: ModelId, root: Root) -> CheckpointRecord | None:
        """An accepted checkpoint, None if the ledger has none of this root. Raises RuleViolation(UNKNOWN_MODEL)."""

    async def stake(self, model: ModelId, account: Address) -> Wei | None:
        """What the account has bonded, 0 if it lost or took out all of it; None if nothing shows that it ever staked.

        The ledger forgets who has taken a stake out once it is released. Raises RuleViolation(UNKNOWN_MODEL).
        """

    async def free(self, account: Address) -> Wei:
        """The account's withdrawable balance in the ledger. Raises LedgerUnavailable."""

    async def access(self, model: ModelId, root: Root, account: Address) -> bool:
        """Whether the account may fetch a checkpoint's weights. Raises RuleViolation(UNKNOWN_MODEL)."""


class Ledger(Protocol):
    """The ledger as one account sees it."""

    @property
    def account(self) -> Address:
        """The account that `send` signs for."""

    async def send(self, command: Command, key: str | None = None, *, cover: Wei | None = None) -> tuple[Event, ...]:
        """Have the command executed once and return its events, also when called again after a crash.

        `key` names the intent: the same key is never executed twice, whatever the command. Without one the content is
        the key, of commands in REPEATABLE until their events are returned. Where the free balance does not suffice,
        what is missing to `cover` wei is deposited first, once for each key.
        Raises RuleViolation when the ledger refuses it (state unchanged), LedgerUnavailable when the chain is silent.
        """

    async def settle(self) -> int:
        """Wait until nothing that this account has sent is on its way; returns how many intents were.

        Raises LedgerUnavailable when that takes too long.
        """

    async def round(self, model: ModelId) -> RoundView:
        """The running round. Raises RuleViolation(UNKNOWN_MODEL)."""

    async def logs(self, known: Sequence[BlockRef]) -> LogBatch:
        """What follows the newest block of `known` that is still on the canonical chain.

        `known` is ascending: the first block that `logs` ever gave, by which the chain is recognised, and the newest
        ones given since, KNOWN_BLOCKS of them at least where there are as many. Raises AnotherChain.
        """


# --- PeerNetwork ----------------------------------------------------------------------------------------------------

PeerId = str
"""A libp2p peer id in base58."""


class PeerUnreachable(Failure):
    """The peer did not answer in time or hung up; nobody's fault is proven."""


class NotForYou(Failure):
    """The peer has the chunks, and gives them only to accounts with access to a checkpoint that they belong to."""


class PeerNetwork(Protocol):
    """Other peers: small announcements to all, bytes from one."""

    @property
    def peer_id(self) -> PeerId:
        """This node's own id."""

    def peers(self) -> tuple[PeerId, ...]:
        """Peers connected now."""

    async def announce(self, news: Announcement | SignedEntry) -> None:
        """Tell all peers; best effort."""

    async def request_manifest(self, peer: PeerId, root: Root) -> bytes | None:
        """A manifest's wire bytes, unverified; None if the peer has none. Raises PeerUnreachable, PeerFault."""

    async def request_chunks(self, peer: PeerId, digests: Sequence[Digest]) -> Mapping[Digest, HashedChunk]:
        """Chunks by digest, hashed and found right on arrival; what the peer lacks is absent.

        Raises NotForYou, PeerUnreachable, PeerFault.
        """


# --- CheckpointStore ------------------------------------------------------------------------------------------------


class StoreDamaged(Failure):
    """A file of the store is unreadable, truncated or not what its name says; the message names it and the remedy."""


class StoreFull(Failure):
    """The disk refused a write; nothing half-written is left."""


class CheckpointStore(Protocol):
    """Content-addressed bytes on this machine. Synchronous: call it in a thread from trio."""

    def put_chunk(self, chunk: HashedChunk) -> Digest:
        """Write atomically under its digest, which is returned; idempotent. Raises StoreFull."""

    def chunk(self, digest: Digest) -> bytes | None:
        """The chunk, its digest checked against a damaged disk; None if absent. Raises StoreDamaged."""

    def missing(self, chunks: Iterable[Chunk]) -> tuple[Chunk, ...]:
        """Those of which no file of the right length is here; nothing is read, so a damaged one may pass."""

    def put_manifest(self, root: Root, wire: bytes) -> None:
        """Write atomically; idempotent."""

    def manifest(self, root: Root) -> bytes | None:
        """The manifest's wire bytes, None if absent. Raises StoreDamaged."""


class Inventory(CheckpointStore, Protocol):
    """A store for those who go through all of it."""

    def roots(self) -> tuple[Root, ...]:
        """Roots whose manifest is here; chunks of it may be missing."""


# --- Trainer --------------------------------------------------------------------------------------------------------


class TrainingFailed(Failure):
    """The worker refused the job or died in it; the message says why. The peer goes on."""


class Trainer(Protocol):
    """Everything that needs torch, in a process of its own."""

    async def genesis(self, architecture: Architecture, seed: int, out: Path) -> WeightsFile:
        """Initialise a network. Raises TrainingFailed."""

    async def train(self, job: LegJob) -> LegResult:
        """Run one leg. Raises TrainingFailed."""

    async def check(self, job: LegJob | Architecture) -> SampleCounts:
        """Find out without training whether a leg could run: network, data, recipe, memory.

        Of an architecture alone: whether the data, as they are now, are of its kind, shape and classes. Returns how
        many there are. Raises TrainingFailed with what the data are, what the network takes, and the remedy.
        """

    async def judge(self, job: JudgingJob, *, seconds: float) -> Judged:
        """Measure the children and the bar on this peer's held-out data; None where a child does not load or its loss
        is not finite.

        All on the same samples, as many as `seconds` allow, drawn from the job's seed. Raises TrainingFailed when
        MIN_JUDGED_SAMPLES of each file take longer, the data have fewer, or a leased tip does not load here.
        """

    async def accuracy(self, architecture: Architecture, weights: Path, data: str) -> float:
        """Share of the samples of `data` classified correctly, in [0, 1]."""


# --- Clock ----------------------------------------------------------------------------------------------------------


class Clock(Protocol):
    """Wall time in Unix seconds; the fake's moves only when told to."""

    def now(self) -> float:
        """Seconds since 1970."""

    async def sleep(self, seconds: float) -> None:
        """Wait."""


__all__ = [
    "KNOWN_BLOCKS",
    "MAX_REORG_BLOCKS",
    "AccountView",
    "AnotherChain",
    "BlockRef",
    "CheckpointRecord",
    "CheckpointStore",
    "Clock",
    "Inventory",
    "Ledger",
    "LedgerUnavailable",
    "LogBatch",
    "LogEntry",
    "NotForYou",
    "PeerId",
    "PeerNetwork",
    "PeerUnreachable",
    "Ppm",
    "Registry",
    "StoreDamaged",
    "StoreFull",
    "Trainer",
    "TrainingFailed",
]
