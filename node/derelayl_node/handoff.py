"""The hand-off of a baton: take a checkpoint over from peers, hand a new one on.

Everything taken over was checked down to the last byte against its root; whether the root is one
that counts is the ledger's word, which the roles ask for.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import trio

from derelayl_protocol.checkpoint.manifest import (
    Header,
    Manifest,
    check_child,
    encode_manifest,
    leg_digest,
    parse_manifest,
    root_of,
)
from derelayl_protocol.checkpoint.messages import Announcement
from derelayl_protocol.errors import PeerFault
from derelayl_protocol.ledger.state import LegEntry
from derelayl_protocol.spelling import to_hex
from derelayl_protocol.statement.words import short
from derelayl_protocol.types import NO_ROOT, WHOLE_MODEL, LedgerId, ModelId, Root
from derelayl_training.jobs import Architecture, Record, WeightsFile

from .evm.typed_data import compact_signature
from .journal import SignedChild
from .keys import NodeKey, recover_address, sign_digest
from .network.fetch import FetchFailed, fetch_checkpoint, fetch_manifest
from .ports import CheckpointStore, Inventory, PeerId, PeerNetwork, StoreDamaged
from .store.packing import assemble_weights, is_assembled, split_weights
from .store.scrub import Scrub

log = logging.getLogger(__name__)

NO_MODEL = ModelId(bytes(32))
"""The model of a genesis checkpoint: its id is made from the genesis root, so the root cannot name it."""

MAX_CACHED_WEIGHTS = 8
"""Assembled safetensors files kept for the training worker beside those in use; the chunks stay in the store."""

WEIGHTS_REPAIR_SECONDS = 30.0
"""How long fetching the damaged chunks of a weights file may take: a leg or a verdict waits for it."""

MAX_REMEMBERED_FETCHES = 4096
"""Checkpoints of which the fetched bytes are remembered."""


@dataclass(frozen=True, slots=True)
class Taken:
    """A checkpoint that lies in the store with every byte checked.

    `bytes_fetched` came over the network for it since this node started; chunks it shares with others were here.
    """

    manifest: Manifest
    bytes_fetched: int


def make_checkpoint(
    store: CheckpointStore, key: NodeKey, ledger: LedgerId, header: Callable[..., Header], weights: WeightsFile
) -> SignedChild:
    """Cut weights into chunks, keep those, complete the header with their table, and sign. Blocking: use a thread."""
    tensors, chunks = split_weights(weights, store)
    return sign_checkpoint(key, ledger, Manifest(header(tensors=tensors), chunks))


def sign_checkpoint(key: NodeKey, ledger: LedgerId, unsigned: Manifest) -> SignedChild:
    """Sign a manifest whose chunks lie in the store."""
    root = root_of(unsigned)
    signature = sign_digest(key, signed_digest(ledger, unsigned.header, root))
    return SignedChild(root, encode_manifest(replace(unsigned, signature=signature)))


def keep_genesis(
    store: CheckpointStore, key: NodeKey, ledger: LedgerId, architecture: Architecture, weights: WeightsFile
) -> Root:
    """Keep a first checkpoint; with its root a model can be created on the ledger. Blocking: use a thread."""
    header = partial(
        Header,
        model=NO_MODEL,
        parents=(),
        round=0,
        segment=WHOLE_MODEL,
        trainer=key.address,
        architecture=architecture.name,
        parameters=architecture.parameters,
        training={},
    )
    genesis = make_checkpoint(store, key, ledger, header, weights)
    store.put_manifest(genesis.root, genesis.manifest)
    return genesis.root


def signed_digest(ledger: LedgerId, header: Header, root: Root) -> bytes:
    """What the trainer of a checkpoint signs."""
    parent = header.parents[0] if header.parents else NO_ROOT
    return leg_digest(ledger, header.model, header.round, parent, root)


def check_signature(ledger: LedgerId, root: Root, manifest: Manifest) -> None:
    """Whether the trainer that the header names signed it. Raises PeerFault: whoever sent the manifest changed it."""
    signer = recover_address(signed_digest(ledger, manifest.header, root), manifest.signature)
    if signer != manifest.header.trainer:
        raise PeerFault(f"the manifest is signed by {signer}, but its trainer is {manifest.header.trainer}")


class Handoff:
    """Hand-offs of one node."""

    def __init__(
        self,
        network: PeerNetwork,
        store: Inventory,
        key: NodeKey,
        ledger: LedgerId,
        cache: Path,
    ) -> None:
        self._network = network
        self._store = store
        self._key = key
        self._ledger = ledger
        self._cache = cache
        self._scrub = Scrub(store)
        self._taking: dict[Root, trio.Lock] = {}
        self._fetched: dict[Root, int] = {}
        self._held: Counter[Root] = Counter()
        self.bytes_fetched = 0  # over the network since the start
        cache.mkdir(parents=True, exist_ok=True)

    async def take(self, root: Root, deadline_seconds: float, hints: Sequence[PeerId] = ()) -> Taken:
        """Have the checkpoint in the store. Raises FetchFailed when no peer has it in time."""
        return await self._take(root, deadline_seconds, hints, lambda manifest: None)

    async def take_child(
        self, model: ModelId, round_number: int, leg: LegEntry, parent: Manifest, deadline_seconds: float
    ) -> Taken:
        """Have a leg's child in the store; the manifest is checked against the lease before any weight is fetched.

        Raises PeerFault when the trainer's manifest breaks a rule, FetchFailed when nobody has the child.
        """

        def check_lease(child: Manifest) -> None:
            check_child(
                child,
                parent,
                model=model,
                round=round_number,
                segment=leg.segment,
                trainer=leg.trainer,
                parent_root=leg.parent,
            )

        return await self._take(leg.child, deadline_seconds, (), check_lease)

    async def repair(self, deadline_seconds: float) -> None:
        """Read a piece of the store back and fetch what is damaged or missing of a checkpoint again, of one at most.

        Whoever calls it every few seconds has all of the store checked in time; what no peer has is tried ever more
        rarely. Raises StoreFull, StoreDamaged.
        """
        root = await trio.to_thread.run_sync(self._scrub.go_on, trio.current_time())
        if root is None:
            return
        try:
            await self.take(root, deadline_seconds)
            log.info("checkpoint %s is whole again", short(root))
        except FetchFailed as error:
            if error.answered:
                self._scrub.failed(root, trio.current_time())
            log.warning("checkpoint %s is damaged here and was not repaired: %s", short(root), error)

    async def manifest(self, root: Root, deadline_seconds: float) -> Manifest:
        """What a checkpoint is, without its weights. Raises FetchFailed."""
        return await fetch_manifest(
            self._network,
            self._store,
            root,
            deadline_seconds=deadline_seconds,
            authenticate=partial(check_signature, self._ledger, root),
        )

    async def weights(self, root: Root) -> Path:
        """The checkpoint as one safetensors file for the training worker. The checkpoint must have been taken.

        What was damaged on disk since then, file or chunks, is made or fetched again. Raises FetchFailed, StoreFull,
        StoreDamaged.
        """
        path = self._cache / f"{root.hex()}.safetensors"
        try:
            await self._assemble(root, path)
        except StoreDamaged as damage:
            log.warning("%s; fetching what is missing", damage)
            await self._fetch(root, WEIGHTS_REPAIR_SECONDS, (), lambda manifest: None)
            await self._assemble(root, path)
        path.touch()
        self._forget_old_weights()
        return path

    @asynccontextmanager
    async def holding_weights(self, roots: Sequence[Root]) -> AsyncIterator[list[Path]]:
        """The weights files of checkpoints that were taken, all there until the block ends. Raises what `weights` does.

        A round's judging reads more files at once than are kept otherwise, and one that went missing meanwhile would be
        taken for a trainer's fault.
        """
        self._held.update(roots)
        try:
            yield [await self.weights(root) for root in roots]
        finally:
            self._held.subtract(roots)
            self._forget_old_weights()

    async def held(self, root: Root) -> Manifest | None:
        """The manifest of a checkpoint of which every chunk is here already; nothing is fetched."""
        return await trio.to_thread.run_sync(self._whole, root)

    async def hand_over(
        self, model: ModelId, round_number: int, leg: LegEntry, parent: Manifest, weights: WeightsFile, record: Record
    ) -> SignedChild:
        """Cut the child into chunks and sign its manifest. Nobody gets either before `publish`.

        Two children signed under one lease cost the bid: note this one on disk before anybody learns of it.
        """
        header = self._header(model, round_number, leg, parent, record)
        return await trio.to_thread.run_sync(make_checkpoint, self._store, self._key, self._ledger, header, weights)

    async def publish(self, model: ModelId, round_number: int, child: SignedChild) -> None:
        """Serve this account's child from now on, and tell the peers. Raises StoreFull."""
        await trio.to_thread.run_sync(self._store.put_manifest, child.root, child.manifest)
        if await trio.to_thread.run_sync(self._whole, child.root) is None:
            log.warning(
                "the child %s is not whole here: only who has its chunks already can judge it", short(child.root)
            )
        await self._network.announce(Announcement(model, round_number, child.root, self._key.address))

    async def signature_of(self, root: Root, peer: PeerId) -> bytes | None:
        """The compact signature on a checkpoint's manifest, as it lies here or as the peer shows it; None if neither.

        Only the root is checked, not who has signed. Raises PeerUnreachable, PeerFault.
        """
        wire = await trio.to_thread.run_sync(self._store.manifest, root)
        if wire is None:
            wire = await self._network.request_manifest(peer, root)
        if wire is None:
            return None
        manifest = await trio.to_thread.run_sync(parse_manifest, wire)
        if root_of(manifest) != root:
            raise PeerFault(f"the manifest does not have the root {to_hex(root)}")
        return compact_signature(manifest.signature)

    def _header(
        self,
        model: ModelId,
        round_number: int,
        leg: LegEntry,
        parent: Manifest,
        record: Record,
    ) -> Callable[..., Header]:
        """The header of a leg's child, which still lacks its tensors."""
        return partial(
            Header,
            model=model,
            parents=(leg.parent,),
            round=round_number,
            segment=leg.segment,
            trainer=self._key.address,
            architecture=parent.header.architecture,
            parameters=parent.header.parameters,
            training=record,
        )

    async def _take(
        self, root: Root, deadline_seconds: float, hints: Sequence[PeerId], verify: Callable[[Manifest], None]
    ) -> Taken:
        lock = self._taking.setdefault(root, trio.Lock())
        try:
            async with lock:  # two roles that want the same checkpoint fetch it once
                manifest = await trio.to_thread.run_sync(self._whole, root)
                if manifest is None:
                    manifest = await self._fetch(root, deadline_seconds, hints, verify)
                else:
                    verify(manifest)
                return Taken(manifest, self._fetched.get(root, 0))
        finally:
            if not lock.locked():  # nor was it handed to the next who waits
                self._taking.pop(root, None)

    async def _fetch(
        self, root: Root, deadline_seconds: float, hints: Sequence[PeerId], verify: Callable[[Manifest], None]
    ) -> Manifest:
        result = await fetch_checkpoint(
            self._network,
            self._store,
            root,
            hints=hints,
            deadline_seconds=deadline_seconds,
            verify=verify,
            authenticate=partial(check_signature, self._ledger, root),
        )
        self.bytes_fetched += result.bytes_fetched
        self._remember(root, result.bytes_fetched)
        return result.manifest

    def _whole(self, root: Root) -> Manifest | None:
        """The manifest of a checkpoint of which every chunk has a file here, unread. Blocking: use a thread."""
        try:
            wire = self._store.manifest(root)
        except StoreDamaged as damage:
            log.warning("%s", damage)
            return None
        if wire is None:
            return None
        manifest = parse_manifest(wire)
        if missing := self._store.missing(manifest.chunks):
            log.info("checkpoint %s lacks %d of %d chunks", short(root), len(missing), len(manifest.chunks))
            return None
        return manifest

    async def _assemble(self, root: Root, path: Path) -> None:
        """Have the weights file, each of its bytes checked. Raises StoreDamaged, StoreFull."""
        wire = await trio.to_thread.run_sync(self._store.manifest, root)
        if wire is None:
            raise StoreDamaged(f"checkpoint {to_hex(root)} is no longer in the store")
        manifest = await trio.to_thread.run_sync(parse_manifest, wire)
        if not await trio.to_thread.run_sync(is_assembled, manifest, path):
            await trio.to_thread.run_sync(assemble_weights, manifest, self._store, path)

    def _remember(self, root: Root, bytes_fetched: int) -> None:
        """Add what a fetch or a repair brought; the one longest remembered goes first."""
        if root not in self._fetched and len(self._fetched) >= MAX_REMEMBERED_FETCHES:
            self._fetched.pop(next(iter(self._fetched)))
        self._fetched[root] = self._fetched.get(root, 0) + bytes_fetched

    def _forget_old_weights(self) -> None:
        held = {root.hex() for root, holders in self._held.items() if holders > 0}
        free = [path for path in self._cache.glob("*.safetensors") if path.stem not in held]
        files = sorted(free, key=lambda path: path.stat().st_mtime_ns)
        for path in files[:-MAX_CACHED_WEIGHTS]:
            path.unlink(missing_ok=True)


__all__ = ["FetchFailed", "Handoff", "Taken"]
