"""What a plan does to a peer at a moment: asked, never told, so that no fault is forgotten when it ends."""

from __future__ import annotations

from dataclasses import replace
from typing import TypeVar

import trio

from derelayl_node.testing.clock import START_SECONDS
from tests.chaos.faults import BusyMachine, ChainDown, ClockJump, Fault, Kill, Partition, Pause
from tests.chaos.plan import Plan

AnyFault = TypeVar("AnyFault", bound=Fault)


class Weather:
    """The faults of a plan in seconds of the virtual clock; time 0 is the plan's beginning."""

    def __init__(self, plan: Plan, round_seconds: float) -> None:
        self.faults = tuple(
            replace(fault, start=fault.start * round_seconds, length=fault.length * round_seconds)
            for fault in plan.faults
        )

    def now(self, name: str, kind: type[AnyFault]) -> AnyFault | None:
        """The fault of a kind that a peer meets now."""
        time = trio.current_time()
        for fault in self.faults:
            if isinstance(fault, kind) and fault.start <= time < fault.end and (name in fault.whom or not fault.whom):
                return fault
        return None

    def is_down(self, name: str) -> bool:
        return self.now(name, Kill) is not None

    def chain_down(self, name: str) -> bool:
        return self.now(name, ChainDown) is not None

    def slowness(self, name: str) -> float:
        """How many times as long work takes."""
        busy = self.now(name, BusyMachine)
        return busy.factor if busy else 1.0

    def apart(self, one: str, other: str) -> bool:
        """Whether a partition lies between two peers."""
        time = trio.current_time()
        return any(
            (one in fault.whom) != (other in fault.whom)
            for fault in self.faults
            if isinstance(fault, Partition) and fault.start <= time < fault.end
        )

    async def running(self, name: str) -> None:
        """Wait while the peer is paused: what it calls does not come back before."""
        while (pause := self.now(name, Pause)) is not None:  # noqa: ASYNC110 -- the weather is asked, it tells nobody
            await trio.sleep(pause.end - trio.current_time())


class WeatherClock:
    """`Clock` of one peer: the virtual clock, and what is wrong with it."""

    def __init__(self, weather: Weather, name: str) -> None:
        self._weather = weather
        self._name = name

    def now(self) -> float:
        jump = self._weather.now(self._name, ClockJump)
        return START_SECONDS + trio.current_time() + (jump.seconds if jump else 0.0)

    async def sleep(self, seconds: float) -> None:
        await trio.sleep(max(seconds, 0.0))
        await self._weather.running(self._name)


def chain_time() -> float:
    """The chain's clock, which nobody disturbs, in Unix seconds."""
    return START_SECONDS + trio.current_time()
