#!/usr/bin/env bash
# Expected: a stream whose reader is busy for some seconds waits, as TCP would, and goes on when the reader does.
# Happens:  the writer's stream is reset after 5 s without a window update (a constant inside yamux): the write raises
#           StreamReset. A pause of 2 s is survived.
# Versions: libp2p 0.8.1, trio 0.35.0; seen 2026-11-30.
# Matters to whoever sends bulk data to a peer that hashes, writes to disk or trains between reads: read all of a
# message into memory first, work afterwards, and let transfers resume.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check "libp2p==0.8.1" "trio==0.35.0" "multiaddr==0.2.0"

"$work/venv/bin/python" - <<'PY'
import importlib.metadata
import logging
import sys
import time

import trio
from libp2p import new_host
from libp2p.network.stream.exceptions import StreamReset
from libp2p.peer.peerinfo import PeerInfo
from multiaddr import Multiaddr

ANYWHERE = [Multiaddr("/ip4/127.0.0.1/tcp/0")]
MESSAGE = bytes(16 << 20)
logging.disable()


async def send(pause: float) -> str:
    """How a message goes to a reader that first pauses for so many seconds."""
    reader, writer = new_host(), new_host()
    finished = trio.Event()

    async def read_late(stream) -> None:
        await trio.sleep(pause)
        received = 0
        while not finished.is_set() and received < len(MESSAGE):
            received += len(await stream.read(1 << 20))

    async with reader.run(ANYWHERE), writer.run(ANYWHERE):
        reader.set_stream_handler("/late/1", read_late)
        await writer.connect(PeerInfo(reader.get_id(), reader.get_addrs()))
        stream = await writer.new_stream(reader.get_id(), ["/late/1"])
        start = time.perf_counter()
        try:
            await stream.write(MESSAGE)
            outcome = "sent"
        except StreamReset as error:
            outcome = f"StreamReset ({error.__cause__})"
        took = time.perf_counter() - start
        finished.set()
        await writer.close()
        await reader.close()
    print(f"reader pauses {pause} s: {outcome} after {took:.1f} s")
    return outcome


async def main() -> None:
    if await send(2) != "sent" or not (await send(8)).startswith("StreamReset"):
        sys.exit("changed: a reader 2 s late should get the message, one 8 s late should cost the writer its stream")


print(f"libp2p {importlib.metadata.version('libp2p')}, trio {trio.__version__}")
trio.run(main)
PY
