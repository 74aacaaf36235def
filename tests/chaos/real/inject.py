"""Bring faults about in real processes: signals, limits of the kernel, the proxy before the chain, the chain's file."""

from __future__ import annotations

import os
import resource
import shutil
import signal
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping

import psutil
import trio
from tests.chaos.faults import (
    BusyMachine,
    ChainDown,
    Fault,
    FullDisk,
    Kill,
    OutOfGas,
    Pause,
    Reorganise,
    RpcLies,
    RpcLimits,
)

from derelayl_node.devnet.processes import Child

from .observer import Observer
from .proxy import ChainProxy
from .stage import Stage

BUSY_SECONDS = 0.2
"""A turn of a busy machine: the worker runs for a part of it."""

FILE_BYTES = 1024
"""Beyond this place nothing can be written to any file while a disk is full."""

BLOCK_PATIENCE = 20.0
"""Seconds for the blocks of a reorganisation to be made."""


class Hands:
    """What does harm to a stage."""

    def __init__(self, stage: Stage, observer: Observer, proxy: ChainProxy) -> None:
        self._stage, self._observer, self._proxy = stage, observer, proxy
        self._chain_lock = trio.Lock()
        self.restarted: set[str] = set()
        self.lost_blocks = 0  # by reorganisations
        self._full: Counter[int] = Counter()  # faults that fill a process's disk now
        self.down: set[str] = set()  # killed, and to be started by the fault that did it

    async def do(self, fault: Fault, unit: float) -> None:
        """Begin the fault when its time has come, and end it; times in `unit` seconds."""
        await trio.sleep(fault.start * unit)
        seconds = fault.length * unit
        if isinstance(fault, ChainDown | OutOfGas | RpcLies | RpcLimits):
            self._proxy.begin(fault)
            await trio.sleep(seconds)
            self._proxy.end(fault)
            return
        if isinstance(fault, Reorganise):
            await self._reorganise(fault.depth)
            return
        for name in fault.whom:
            peer = self._stage.peers[name]
            try:
                await HARM[type(fault)](self, peer, seconds)
            except (ProcessLookupError, psutil.NoSuchProcess):
                continue  # another fault was there first

    async def _kill(self, peer: Child, seconds: float) -> None:
        _pid(peer)
        self.down.add(peer.name)
        self.restarted.add(peer.name)
        await trio.to_thread.run_sync(peer.kill)
        await trio.sleep(seconds)
        peer.start()
        self.down.discard(peer.name)

    async def _pause(self, peer: Child, seconds: float) -> None:
        os.kill(_pid(peer), signal.SIGSTOP)
        try:
            await trio.sleep(seconds)
        finally:
            os.kill(_pid(peer), signal.SIGCONT)

    async def _busy(self, peer: Child, seconds: float) -> None:
        with trio.move_on_after(seconds):
            while True:
                for worker in psutil.Process(_pid(peer)).children():
                    worker.suspend()
                    try:
                        await trio.sleep(BUSY_SECONDS * (1 - 1 / BusyMachine(start=0, length=0).factor))
                    finally:
                        worker.resume()
                await trio.sleep(BUSY_SECONDS / BusyMachine(start=0, length=0).factor)

    async def _full_disk(self, peer: Child, seconds: float) -> None:
        pid = _pid(peer)
        _, most = resource.prlimit(pid, resource.RLIMIT_FSIZE)
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (FILE_BYTES, most))
        self._full[pid] += 1
        await trio.sleep(seconds)
        self._full[pid] -= 1
        if _pid(peer) == pid and not self._full[pid]:  # two may fill one disk
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (most, most))

    async def _reorganise(self, depth: int) -> None:
        """Go on from a copy of the chain's file that is `depth` blocks old: other blocks follow, without their past.

        Transactions of the lost blocks are gone, as where nobody's pool has kept them.
        """
        chain, observer = self._stage.chain, self._observer
        file = chain.home / "chain.sqlite"
        async with self._chain_lock:
            os.kill(_pid(chain), signal.SIGSTOP)
            try:
                copies = [shutil.copy(each, f"{each}.old") for each in chain.home.glob("chain.sqlite*")]
            finally:
                os.kill(_pid(chain), signal.SIGCONT)
            start = (await observer.ledger.head()).number
            with trio.move_on_after(BLOCK_PATIENCE):
                while (await observer.ledger.head()).number < start + depth:  # noqa: ASYNC110 - a chain has no events
                    await trio.sleep(0.2)
            top = (await observer.ledger.head()).number
            await trio.to_thread.run_sync(chain.kill)
            for each in chain.home.glob(f"{file.name}*"):
                if str(each) not in copies:
                    each.unlink()
            for copy in copies:
                os.replace(copy, str(copy).removesuffix(".old"))
            chain.start()
            await chain.ready()
            self.lost_blocks += top - start


HARM: Mapping[type[Fault], Callable[[Hands, Child, float], Awaitable[None]]] = {
    Kill: Hands._kill,
    Pause: Hands._pause,
    BusyMachine: Hands._busy,
    FullDisk: Hands._full_disk,
}

KINDS: tuple[type[Fault], ...] = (*HARM, ChainDown, Reorganise, RpcLies, RpcLimits, OutOfGas)
"""What real processes can be made to meet; clocks, slow disks, loss and partitions are the virtual world's."""


def _pid(child: Child) -> int:
    if child.process is None or child.process.pid is None:
        raise ProcessLookupError(f"{child.name} does not run")
    return child.process.pid
