#!/usr/bin/env bash
# Expected: gossip among peers on one machine delivers 50 small signed messages sent in half a second.
# Happens:  a default GossipSub takes ten messages a second from a peer on a topic (spam_protection_enabled, on unless
#           turned off) and drops the rest; nobody is told, publish succeeds. With it off, or slower, all arrive.
# Versions: libp2p 0.8.1, trio 0.35.0; seen 2026-11-30.
# Matters to whoever gossips bids, announcements or gradients in bursts: set the limit from the traffic that is meant,
# and repeat what must arrive.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check "libp2p==0.8.1" "trio==0.35.0" "multiaddr==0.2.0"

"$work/venv/bin/python" - <<'PY'
import importlib.metadata
import logging
import sys

import trio
from libp2p import new_host
from libp2p.peer.peerinfo import PeerInfo
from libp2p.pubsub.gossipsub import GossipSub
from libp2p.pubsub.pubsub import Pubsub
from libp2p.tools.anyio_service import background_trio_service
from multiaddr import Multiaddr

ANYWHERE = [Multiaddr("/ip4/127.0.0.1/tcp/0")]
SETTLE = 3.0  # seconds, for the mesh to form and for the last messages to arrive
logging.disable()


async def gossip(messages: int, gap: float, **options: bool) -> int:
    """How many of so many messages, sent with a gap in seconds, reach the one other peer."""
    hosts = [new_host(), new_host()]
    gossips = []
    for host in hosts:
        router = GossipSub(["/meshsub/1.1.0"], degree=4, degree_low=2, degree_high=6, heartbeat_interval=1, **options)
        gossips.append(Pubsub(host, router))
    sender, receiver = gossips
    received = []

    async def drain(subscription) -> None:
        while True:
            received.append((await subscription.get()).data)

    async with (
        hosts[0].run(ANYWHERE),
        hosts[1].run(ANYWHERE),
        background_trio_service(sender),
        background_trio_service(sender.router),
        background_trio_service(receiver),
        background_trio_service(receiver.router),
        trio.open_nursery() as nursery,
    ):
        await sender.wait_until_ready()
        await receiver.wait_until_ready()
        await hosts[0].connect(PeerInfo(hosts[1].get_id(), hosts[1].get_addrs()))
        nursery.start_soon(drain, await receiver.subscribe("news"))
        await trio.sleep(SETTLE)
        for number in range(messages):
            await sender.publish("news", str(number).encode())
            await trio.sleep(gap)
        await trio.sleep(SETTLE)
        nursery.cancel_scope.cancel()
        for host in hosts:
            await host.close()
    print(f"{messages} messages, {gap} s apart, {options or 'defaults'}: {len(received)} received")
    return len(received)


async def main() -> None:
    burst = await gossip(50, 0.01)
    unlimited = await gossip(50, 0.01, spam_protection_enabled=False)
    slow = await gossip(20, 0.2)
    if burst > 25 or unlimited != 50 or slow != 20:
        sys.exit("changed: by default most of a burst should be lost, and nothing without the limit or below it")


print(f"libp2p {importlib.metadata.version('libp2p')}, trio {trio.__version__}")
trio.run(main)
PY
