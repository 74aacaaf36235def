import trio
from tests.node.conformance.network import MODEL, ROOT, TRAINER
from trio.testing import wait_all_tasks_blocked

from derelayl_node.network.gossip import NewsQueue
from derelayl_protocol.checkpoint.messages import Announcement


def announcement(number: int) -> Announcement:
    return Announcement(MODEL, number, ROOT, TRAINER)


async def test_a_full_queue_drops_its_oldest_and_counts_it() -> None:
    queue: NewsQueue[Announcement] = NewsQueue(limit=2)
    for number in range(5):
        queue.put("peer", announcement(number))
    assert queue.dropped == 3
    assert [(await queue.get())[1].round for _ in range(2)] == [3, 4]


async def test_two_that_wait_get_one_each() -> None:
    queue: NewsQueue[Announcement] = NewsQueue()
    got: list[int] = []

    async def take() -> None:
        got.append((await queue.get())[1].round)

    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(take)
            nursery.start_soon(take)
            await wait_all_tasks_blocked()
            queue.put("peer", announcement(1))
            await wait_all_tasks_blocked()
            assert got == [1]
            queue.put("peer", announcement(2))
    assert got == [1, 2]
