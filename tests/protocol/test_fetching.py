"""The plan of a fetch: hostile and absent peers first, then who is asked for what."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import pytest
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from derelayl_protocol import limits
from derelayl_protocol.checkpoint.chunk import HashedChunk
from derelayl_protocol.checkpoint.fetching import MAX_IN_FLIGHT, FetchPlan
from derelayl_protocol.checkpoint.manifest import Chunk, Header, Manifest, TensorSpec
from derelayl_protocol.errors import Ignored, LocalFault, PeerFault
from derelayl_protocol.types import Address, Digest, ModelId

SIGNATURE = bytes(65)


def content(number: int) -> bytes:
    """The bytes of a chunk: as many as its number and one."""
    return bytes([number % 251]) * (number + 1)


def digest(number: int) -> Digest:
    return Digest(blake3(content(number)).digest())


def manifest_of(numbers: Iterable[int]) -> Manifest:
    """A manifest whose tensors are one chunk each."""
    chunks = tuple(Chunk(number + 1, digest(number)) for number in numbers)
    tensors = tuple(TensorSpec(f"t{index:04}", "U8", (chunk.length,), 0) for index, chunk in enumerate(chunks))
    header = Header(ModelId(bytes(32)), (), 0, 255, Address("0x" + "00" * 20), "mlp", {}, {}, tensors)
    return Manifest(header, chunks, SIGNATURE)


def plan_for(count: int, *peers: str, have: Iterable[int] = (), **bounds: Any) -> FetchPlan:
    plan = FetchPlan(manifest_of(range(count)), {digest(number) for number in have}, **bounds)
    for peer in peers:
        plan.add_peer(peer)
    return plan


CONTENTS = {digest(number): HashedChunk(content(number)) for number in range(200)}


def deliver(plan: FetchPlan, peer: str, digests: Iterable[Digest]) -> None:
    for asked in digests:
        plan.received(peer, CONTENTS[asked])


# --- Faults -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("send", "why"),
    [
        (lambda plan: plan.received("bad", HashedChunk(b"x")), "which it was not asked for"),
        (lambda plan: plan.received("bad", HashedChunk(content(3))), "which it was not asked for"),
        (lambda plan: plan.missing("bad", [digest(0), digest(3)]), "which it was not asked for"),
    ],
    ids=["wrong bytes", "unasked chunk", "unasked answer"],
)
def test_a_peer_that_sends_something_wrong_is_dropped_and_others_are_asked(
    send: Callable[[FetchPlan], object], why: str
) -> None:
    plan = plan_for(4, "bad", "good")
    assert plan.next_request("bad") == (digest(0), digest(1))
    with pytest.raises(PeerFault, match=why):
        send(plan)
    assert plan.next_request("bad") == ()
    assert not plan.add_peer("bad")
    assert set(plan.next_request("good")) == {digest(number) for number in range(4)}
    assert plan.bytes_fetched == 0


@pytest.mark.parametrize(
    "late",
    [lambda plan: plan.received("gone", HashedChunk(content(0))), lambda plan: plan.missing("gone", [digest(0)])],
)
def test_what_comes_after_a_peer_was_lost_is_ignored(late: Callable[[FetchPlan], object]) -> None:
    plan = plan_for(1, "gone")
    plan.next_request("gone")
    plan.lost("gone")
    with pytest.raises(Ignored, match="peer gone is no source"):
        late(plan)


def test_a_chunk_of_another_length_than_the_manifest_says_is_a_fault() -> None:
    manifest = manifest_of([0])
    plan = FetchPlan(replace(manifest, chunks=(Chunk(2, digest(0)),)), set())
    plan.add_peer("bad")
    plan.next_request("bad")
    with pytest.raises(PeerFault, match="of 1 bytes, expected are 2"):
        plan.received("bad", HashedChunk(content(0)))


def test_a_chunk_sent_twice_is_a_fault() -> None:
    plan = plan_for(2, "one")
    deliver(plan, "one", plan.next_request("one")[:1])
    with pytest.raises(PeerFault, match="not asked for"):
        plan.received("one", HashedChunk(content(0)))


@pytest.mark.parametrize("bounds", [{"in_flight": 0}, {"in_flight_per_peer": 0}])
def test_a_plan_that_may_ask_for_nothing_is_our_own_fault(bounds: dict[str, Any]) -> None:
    with pytest.raises(LocalFault, match="at least 1"):
        plan_for(1, **bounds)


def test_a_stranger_to_the_plan_is_asked_for_nothing_and_losing_it_changes_nothing() -> None:
    plan = plan_for(1, "one")
    plan.lost("stranger")
    assert plan.next_request("stranger") == ()
    assert plan.next_request("one") == (digest(0),)


def test_without_peers_a_plan_is_stuck_until_one_comes() -> None:
    plan = plan_for(1)
    assert plan.stuck
    plan.add_peer("one")
    assert not plan.stuck


def test_a_plan_is_stuck_when_every_peer_lacks_what_is_missing() -> None:
    plan = plan_for(1, "one", "two")
    for peer in ("one", "two"):
        assert not plan.stuck
        (asked,) = plan.next_request(peer)
        assert not plan.stuck
        plan.missing(peer, [asked])
    assert plan.stuck
    assert plan.next_request("one") == ()
    assert plan.add_peer("one")
    assert not plan.stuck
    assert plan.next_request("one") == (digest(0),)


def test_a_lost_peer_that_comes_back_is_asked_again() -> None:
    plan = plan_for(1, "one")
    plan.next_request("one")
    plan.lost("one")
    assert plan.stuck
    plan.add_peer("one")
    deliver(plan, "one", plan.next_request("one"))
    assert plan.done


# --- Who is asked for what --------------------------------------------------------------------------------------------


def test_nothing_is_fetched_that_is_here_already() -> None:
    plan = plan_for(3, "one", have=range(3))
    assert plan.done
    assert not plan.stuck
    assert plan.bytes_missing == 0
    assert plan.next_request("one") == ()


def test_a_killed_fetch_goes_on_with_what_is_missing() -> None:
    plan = plan_for(4, "one", have=(0, 2))
    assert plan.bytes_missing == 2 + 4
    assert plan.next_request("one") == (digest(1), digest(3))


def test_equal_chunks_are_asked_for_once() -> None:
    plan = FetchPlan(manifest_of([5, 5, 1, 5]), set())
    plan.add_peer("one")
    assert plan.next_request("one") == (digest(5), digest(1))
    assert plan.bytes_missing == 6 + 2


def test_no_chunk_is_asked_of_two_peers_at_once() -> None:
    plan = plan_for(10, "one", "two")
    first, second = plan.next_request("one"), plan.next_request("two")
    assert first == tuple(map(digest, range(5)))
    assert second == tuple(map(digest, range(5, 10)))


def test_a_peer_is_asked_for_at_most_one_request_at_a_time() -> None:
    plan = plan_for(100, "one")
    assert len(plan.next_request("one")) == limits.MAX_DIGESTS_PER_REQUEST
    assert plan.next_request("one") == ()
    plan.received("one", HashedChunk(content(0)))
    assert plan.next_request("one") == (digest(16),)


def test_a_request_has_no_more_digests_than_the_protocol_allows() -> None:
    plan = plan_for(100, "one", in_flight_per_peer=50)
    assert [len(plan.next_request("one")) for _ in range(5)] == [16, 16, 16, 2, 0]


def test_all_peers_together_are_asked_for_a_bounded_number() -> None:
    peers = [f"peer {number}" for number in range(10)]
    plan = plan_for(200, *peers)
    asked = [plan.next_request(peer) for peer in peers]
    assert {len(digests) for digests in asked} == {MAX_IN_FLIGHT // 10}
    plan = plan_for(200, *peers, in_flight=3)
    assert sum(len(plan.next_request(peer)) for peer in peers) == 3


def test_a_peer_is_not_asked_again_for_what_it_lacks() -> None:
    plan = plan_for(3, "one", "two")
    plan.missing("one", plan.next_request("one"))
    assert plan.next_request("one") == (digest(2),)
    assert plan.next_request("two") == (digest(0), digest(1))


def test_what_a_slow_peer_was_asked_for_is_asked_of_one_more_and_the_first_answer_counts() -> None:
    plan = plan_for(4, "slow", "idle")
    asked = plan.next_request("slow")
    deliver(plan, "idle", plan.next_request("idle"))
    assert plan.share("slow")
    assert plan.next_request("slow") == ()
    assert plan.next_request("idle") == asked
    assert not plan.share("slow")  # two have been asked
    assert not plan.share("gone")
    deliver(plan, "idle", asked[:1])
    plan.lost("idle")
    assert not plan.done
    deliver(plan, "slow", asked)
    assert plan.done
    assert plan.bytes_from == {"idle": 1 + 3 + 4, "slow": 2}


def test_a_slow_peer_may_lack_what_another_has_sent_in_the_meantime() -> None:
    plan = plan_for(4, "slow", "idle")
    asked = plan.next_request("slow")
    deliver(plan, "idle", plan.next_request("idle"))
    plan.share("slow")
    deliver(plan, "idle", plan.next_request("idle"))
    assert plan.done
    plan.missing("slow", asked)
    assert plan.done


def test_what_both_lack_waits_for_somebody_else() -> None:
    plan = plan_for(2, "slow", "idle")
    asked = plan.next_request("slow")
    deliver(plan, "idle", plan.next_request("idle"))
    plan.share("slow")
    plan.missing("slow", asked)
    assert not plan.stuck
    plan.missing("idle", plan.next_request("idle"))
    assert plan.stuck


def test_bytes_are_counted_by_peer() -> None:
    plan = plan_for(4, "one", "two")
    deliver(plan, "one", plan.next_request("one"))
    deliver(plan, "two", plan.next_request("two"))
    plan.lost("one")
    assert plan.bytes_from == {"one": 1 + 2, "two": 3}
    assert (plan.bytes_fetched, plan.bytes_missing) == (6, 4)


@given(st.data())
def test_whatever_peers_do_a_fetch_ends_done_or_stuck(data: st.DataObject) -> None:
    count = data.draw(st.integers(0, 30))
    peers = ("a", "b", "c")
    have = data.draw(st.sets(st.integers(0, 29)))
    plan = plan_for(count, *peers, have=have, in_flight=data.draw(st.integers(1, 20)))
    holdings = {peer: data.draw(st.sets(st.integers(0, 29))) for peer in peers}
    behaviours = st.sampled_from(["honest"] * 8 + ["hangs up", "lies"])
    stored, present = {digest(number) for number in have}, set(peers)
    for _ in range(10 * (count + 1)):
        requests = [(peer, plan.next_request(peer)) for peer in peers]
        asked = [name for _, digests in requests for name in digests]
        assert len(asked) == len(set(asked))
        assert stored.isdisjoint(asked)
        if not asked:
            break
        for peer, digests in requests:
            if not digests:
                continue
            behaviour = data.draw(behaviours)
            if behaviour == "hangs up":
                plan.lost(peer)
                present.remove(peer)
            elif behaviour == "lies":
                with pytest.raises(PeerFault):
                    plan.received(peer, HashedChunk(b""))
                present.remove(peer)
            else:
                held = {digest(number) for number in holdings[peer]}
                plan.missing(peer, [name for name in digests if name not in held])
                deliver(plan, peer, [name for name in digests if name in held])
                stored |= held & set(digests)
    missing = {digest(number) for number in range(count)} - stored
    assert plan.done == (not missing)
    assert plan.stuck == bool(missing)
    reachable = {digest(number) for peer in present for number in holdings[peer]}
    assert missing.isdisjoint(reachable)
    assert plan.bytes_missing == sum(len(CONTENTS[name].data) for name in missing)
