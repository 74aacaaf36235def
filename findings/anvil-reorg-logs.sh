#!/usr/bin/env bash
# Expected: a client that subscribed to logs by WebSocket is told of logs whose blocks leave the chain, as Ethereum's
#           JSON-RPC has it: once more, with "removed": true.
# Happens:  after anvil_reorg nothing comes. eth_getLogs no longer returns the logs, but the subscriber keeps them.
# Versions: anvil 1.7.1 (npm @foundry-rs/anvil-linux-amd64), websockets 15.0.1, Linux on x86-64; seen 2026-11-30.
# Matters to whoever tests an indexer's or a wallet's handling of reorganisations with anvil: compare block hashes;
# a test that waits for removed logs waits in vain, and one that passes without them proves nothing about a real node.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
npm install --silent --ignore-scripts --no-audit --no-fund --prefix "$work" "@foundry-rs/anvil-linux-amd64@1.7.1"
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check "websockets==15.0.1"

export HOME="$work" # anvil keeps states below it
"$work/venv/bin/python" - "$work/node_modules/@foundry-rs/anvil-linux-amd64/bin/anvil" <<'PY'
import asyncio
import contextlib
import json
import socket
import subprocess
import sys

import websockets

LOG_NOTHING = "0x635f5fa0005f526004601cf3"  # deploys PUSH0 PUSH0 LOG0 STOP: each call leaves an empty log
SETTLE = 2.0  # seconds for notifications to arrive


class Client:
    def __init__(self, socket: websockets.ClientConnection) -> None:
        self.socket, self.asked, self.notified = socket, 0, []

    async def call(self, method: str, *params: object) -> object:
        self.asked += 1
        await self.socket.send(json.dumps({"jsonrpc": "2.0", "id": self.asked, "method": method, "params": params}))
        while "id" not in (answer := json.loads(await self.socket.recv())):
            self.notified.append(answer["params"]["result"])
        return answer["result"]

    async def settle(self) -> list[bool]:
        """The `removed` of each notification up to SETTLE seconds from now."""
        await asyncio.sleep(SETTLE)
        await self.call("eth_blockNumber")
        return [log["removed"] for log in self.notified]


async def connected(port: int) -> websockets.ClientConnection:
    for _ in range(100):
        with contextlib.suppress(OSError):
            return await websockets.connect(f"ws://127.0.0.1:{port}")
        await asyncio.sleep(0.1)
    sys.exit("anvil did not start")


async def main(port: int) -> None:
    client = Client(await connected(port))
    print(await client.call("web3_clientVersion"))
    account = (await client.call("eth_accounts"))[0]
    deployed = await client.call("eth_sendTransaction", {"from": account, "data": LOG_NOTHING})
    await asyncio.sleep(SETTLE)
    contract = (await client.call("eth_getTransactionReceipt", deployed))["contractAddress"]
    await client.call("eth_subscribe", "logs", {"address": contract})
    query = {"address": contract, "fromBlock": "0x0", "toBlock": "latest"}
    for _ in range(2):
        await client.call("eth_sendTransaction", {"from": account, "to": contract})
    before = await client.settle()
    print(f"two calls: notified of {len(before)} logs, eth_getLogs has {len(await client.call('eth_getLogs', query))}")
    await client.call("anvil_reorg", 2, [])
    after = (await client.settle())[len(before) :]
    left = len(await client.call("eth_getLogs", query))
    print(f"after a reorganisation of two blocks: notified of {len(after)} logs more, eth_getLogs has {left}")
    if before != [False, False] or left != 0 or after:
        sys.exit("changed: both logs should be gone without a notification")


with socket.socket() as probe:
    probe.bind(("127.0.0.1", 0))
    port = probe.getsockname()[1]
node = subprocess.Popen([sys.argv[1], "--silent", "--port", str(port)])
try:
    asyncio.run(main(port))
finally:
    node.terminate()
    node.wait()
PY
