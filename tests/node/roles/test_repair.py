"""A seeder mends what it holds; presence of a manifest is not presence of its chunks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import trio
import trio.testing

from derelayl_node.handoff import FetchFailed, Handoff
from derelayl_node.ports import StoreFull
from derelayl_node.roles.seeder import SeederRole
from derelayl_node.store.chunks import FileStore
from derelayl_node.store.scrub import Scrub
from derelayl_node.testing.store import MemoryStore
from derelayl_protocol.checkpoint.chunk import HashedChunk
from derelayl_protocol.checkpoint.manifest import Manifest
from derelayl_protocol.types import Root

from .relay import LEDGER, Relay


async def seeded(relay: Relay) -> tuple[MemoryStore, Manifest]:
    """The store of a seeder that has the tip, and the tip's manifest."""
    vera = relay.players["vera"]
    await vera.seeder.step(relay.view)
    taken = await vera.handoff.take(relay.genesis, 5)
    return vera.store, taken.manifest


def whole(store: MemoryStore, manifest: Manifest) -> bool:
    return all(store.chunk(chunk.digest) is not None for chunk in manifest.chunks)


async def test_chunks_of_a_tip_that_vanished_are_fetched_again(relay: Relay) -> None:
    store, manifest = await seeded(relay)
    for chunk in manifest.chunks:
        store.lose(chunk.digest)
    await relay.players["vera"].seeder.step(relay.view)
    assert whole(store, manifest)


async def test_files_that_somebody_deletes_or_alters_under_a_running_seeder_come_back(
    relay: Relay, tmp_path: Path
) -> None:
    store = FileStore(tmp_path / "store")
    network = relay.hub.join("filed", store)
    handoff = Handoff(network, store, relay.keys["vera"], LEDGER, tmp_path / "weights")
    seeder = SeederRole(replace(relay.players["vera"].kit, handoff=handoff))
    await seeder.step(relay.view)
    files = sorted((tmp_path / "store" / "chunks").glob("*/*"))
    good = [file.read_bytes() for file in files]
    for number, file in enumerate(files):
        if number % 3 == 0:
            file.unlink()
        else:
            file.write_bytes(bytes(file.stat().st_size - number % 3 + 1))
    now = trio.current_time()
    await seeder.step(relay.view)
    handoff._scrub.go_on(now + 1000)  # the first pass was before the damage
    await seeder.step(relay.view)
    assert [file.read_bytes() for file in files] == good


async def test_a_chunk_that_a_request_finds_damaged_is_not_served_and_is_fetched_again(relay: Relay) -> None:
    store, manifest = await seeded(relay)
    vera, vito = relay.players["vera"], relay.players["vito"]
    store.damage(manifest.chunks[0].digest)
    assert await vito.network.request_chunks("vera", [manifest.chunks[0].digest]) == {}
    await vera.seeder.step(relay.view)
    assert whole(store, manifest)


async def test_a_chunk_that_nobody_asks_for_is_found_damaged_and_fetched_again(relay: Relay) -> None:
    vera = relay.players["vera"]
    taken = await vera.handoff.take(relay.genesis, 5)
    for chunk in taken.manifest.chunks:
        vera.store.damage(chunk.digest)
    await vera.seeder.step(relay.view)
    assert whole(vera.store, taken.manifest)


async def test_a_damaged_manifest_of_a_tip_is_fetched_again_at_once(relay: Relay) -> None:
    store, _ = await seeded(relay)
    store.damage(relay.genesis)
    await relay.players["vera"].seeder.step(relay.view)
    assert store.manifest(relay.genesis) is not None


async def test_an_older_checkpoint_is_mended_too(relay: Relay) -> None:
    vera, ann = relay.players["vera"], relay.players["ann"]
    taken = await ann.handoff.take(relay.genesis, 5)
    await relay.play_round()
    assert relay.genesis not in [tip.root for tip in relay.view.tips]
    vera.store.lose(taken.manifest.chunks[0].digest)
    await vera.seeder.step(relay.view)
    assert whole(vera.store, taken.manifest)


async def test_a_full_store_in_the_middle_of_a_repair_leaves_the_rest_to_the_next(relay: Relay) -> None:
    vera = relay.players["vera"]
    _, manifest = await seeded(relay)
    for chunk in manifest.chunks:
        vera.store.lose(chunk.digest)
    vera.store._max_bytes = manifest.chunks[0].length
    with pytest.raises(StoreFull):
        await vera.seeder.step(relay.view)
    assert not whole(vera.store, manifest)
    vera.store._max_bytes = None
    await vera.seeder.step(relay.view)
    assert whole(vera.store, manifest)


async def test_what_nobody_has_costs_the_seeder_no_more_than_its_deadline(
    relay: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("derelayl_node.roles.seeder.SCRUB_REPAIR_SECONDS", 0.01)
    monkeypatch.setattr("derelayl_node.roles.seeder.SEED_DEADLINE_SECONDS", 0.01)
    store, manifest = await seeded(relay)
    lost = manifest.chunks[0].digest
    for player in relay.players.values():
        player.store.lose(lost)
    await relay.players["vera"].seeder.step(relay.view)
    with pytest.raises(FetchFailed, match="is not complete"):
        await relay.players["vera"].handoff.take(relay.genesis, 0.01)
    relay.players["founder"].store.put_chunk(HashedChunk(b"x"))
    assert store.chunk(lost) is None


async def test_a_child_whose_chunks_were_lost_is_announced_with_a_warning(
    relay: Relay, caplog: pytest.LogCaptureFixture
) -> None:
    await relay.bid_and_match()
    ann = relay.players["ann"]
    await ann.trainer_role.step(relay.view)
    leg = next(leg for leg in relay.view.legs if leg.trainer == ann.key.address)
    child = ann.journal.child(relay.model, relay.view.number, leg.parent)
    assert child is not None
    for digest in list(ann.store._chunks):
        ann.store.lose(digest)
    await ann.handoff.publish(relay.model, relay.view.number, child)
    assert "is not whole here" in caplog.text
    assert ann.store.manifest(child.root) == child.manifest


@pytest.mark.parametrize("content", [b"", b"\x00" * 8, None], ids=["empty", "garbage", "one byte changed"])
async def test_a_damaged_weights_file_is_made_again(relay: Relay, content: bytes | None) -> None:
    vera = relay.players["vera"]
    await vera.handoff.take(relay.genesis, 5)
    path = await vera.handoff.weights(relay.genesis)
    good = path.read_bytes()
    path.write_bytes(good[:-1] + bytes([good[-1] ^ 1]) if content is None else content)
    assert (await vera.handoff.weights(relay.genesis)).read_bytes() == good


class NobodyHasIt(Handoff):
    """Fails each fetch after a while, and tells how many ran at once."""

    running = 0
    most = 0
    fetches = 0
    answered = True

    async def _fetch(self, *_: object) -> Manifest:
        self.running += 1
        self.fetches += 1
        self.most = max(self.most, self.running)
        await trio.testing.wait_all_tasks_blocked()
        self.running -= 1
        raise FetchFailed("nobody has it", answered=self.answered)


async def test_a_checkpoint_is_never_fetched_twice_at_once_however_many_want_it(relay: Relay, tmp_path: Path) -> None:
    store = MemoryStore()
    handoff = NobodyHasIt(relay.hub.join("checks", store), store, relay.keys["vera"], LEDGER, tmp_path / "weights")

    async def want() -> None:
        with pytest.raises(FetchFailed):
            await handoff.take(relay.genesis, 5)

    async def want_and_again() -> None:
        await want()
        await want()  # while the lock is in the hands of the second

    async with trio.open_nursery() as nursery:
        nursery.start_soon(want_and_again)
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(want)
    assert (handoff.fetches, handoff.most) == (3, 1)
    assert not handoff._taking


class OneLost(Scrub):
    """Finds the same checkpoint again and again, and hears that it could not be repaired."""

    def __init__(self, root: Root) -> None:
        super().__init__(MemoryStore())
        self.root = root
        self.failures: list[Root] = []

    def go_on(self, now: float) -> Root:
        return self.root

    def failed(self, root: Root, now: float) -> None:
        self.failures.append(root)


async def test_a_checkpoint_that_no_peer_has_is_put_off_but_not_for_want_of_an_answer(
    relay: Relay, tmp_path: Path
) -> None:
    store = MemoryStore()
    handoff = NobodyHasIt(relay.hub.join("checks", store), store, relay.keys["vera"], LEDGER, tmp_path / "weights")
    handoff._scrub = scrub = OneLost(relay.genesis)
    await handoff.repair(5)
    assert scrub.failures == [relay.genesis]
    handoff.answered = False
    await handoff.repair(5)
    assert scrub.failures == [relay.genesis]
