#!/usr/bin/env bash
# Expected: KadDHT.find_providers(key, count) returns up to count different peers that provide the key, those of today.
# Happens:  (a) it returns a provider once for each node that named it, and the repetitions use up `count`. (b) Whoever
#           asked once is answered from its own memory and never again from the network: a provider that came later
#           stays unseen, while one who had not asked before is told of both.
# Versions: libp2p 0.8.1, trio 0.35.0; seen 2026-11-30.
# Matters to whoever looks for several sources of one file or checkpoint by DHT: ask for more, drop repetitions, and
# forget the key's entry in dht.provider_store.providers before asking again.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check "libp2p==0.8.1" "trio==0.35.0" "multiaddr==0.2.0"

"$work/venv/bin/python" - <<'PY'
import importlib.metadata
import logging
import sys
from contextlib import AsyncExitStack

import trio
from libp2p import new_host
from libp2p.kad_dht.kad_dht import DHTMode, KadDHT
from libp2p.peer.peerinfo import PeerInfo
from libp2p.tools.anyio_service import background_trio_service
from multiaddr import Multiaddr

SERVERS, COUNT = 5, 20
logging.disable()


async def main() -> None:
    hosts = [new_host() for _ in range(SERVERS + 1)]
    async with AsyncExitStack() as stack:
        for host in hosts:
            await stack.enter_async_context(host.run([Multiaddr("/ip4/127.0.0.1/tcp/0")]))
        peers = [PeerInfo(host.get_id(), host.get_addrs()) for host in hosts]
        for index, host in enumerate(hosts):
            for peer in peers[:index]:
                await host.connect(peer)
        dhts = [KadDHT(host, DHTMode.SERVER if host is not hosts[-1] else DHTMode.CLIENT) for host in hosts]
        for dht in dhts:
            await stack.enter_async_context(background_trio_service(dht))
            for peer in peers[:SERVERS]:
                if peer.peer_id != dht.host.get_id():
                    await dht.routing_table.add_peer(peer)
        *servers, seeker = dhts
        names = {peer.peer_id: f"server {number}" for number, peer in enumerate(peers)}

        async def find(key: str) -> list[str]:
            found = [names[peer.peer_id] for peer in await seeker.find_providers(key, COUNT)]
            print(f"{key}: asked for {COUNT}, found {found}")
            return found

        await servers[0].provide("/asked-twice")
        first = await find("/asked-twice")
        await servers[1].provide("/asked-twice")
        again = await find("/asked-twice")
        await servers[0].provide("/asked-once")
        await servers[1].provide("/asked-once")
        both = await find("/asked-once")
        for host in hosts:
            await host.close()
    if not (len(first) > 1 == len(set(first)) and set(again) == set(first) and len(set(both)) == 2):
        sys.exit("changed: a provider should be found several times, and a later one only by who has not asked before")


print(f"libp2p {importlib.metadata.version('libp2p')}, trio {trio.__version__}")
trio.run(main)
PY
