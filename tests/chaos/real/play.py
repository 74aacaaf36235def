"""One plan on a stage of real processes, and what the oracle says of it."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import trio
from tests.chaos import adversaries as bad
from tests.chaos.faults import Refusal, RpcLimits
from tests.chaos.oracle import Facts, violations
from tests.chaos.plan import PEERS, SEEDER, Plan, draw

from derelayl_node.ports import LedgerUnavailable

from .facts import collect, descriptors, left_behind, store_of
from .inject import KINDS, Hands
from .observer import Observer, observing
from .proxy import open_proxy
from .stage import Pace, Script, Stage, play_script
from .villains import TURNS

VILLAINS: tuple[type[bad.Adversary], ...] = (
    bad.CorruptDonor,
    bad.WithholdingDonor,
    bad.CopiedChild,
    bad.GossipFlood,
    bad.Replay,
    bad.SilentConnections,
    bad.Eclipse,  # the last, so that every plan of before that is not one of these is drawn as it was
)
"""Those that processes play; the others are the virtual world's."""

ROUNDS = 4
"""Of a plan: faults in the first two, none afterwards."""

ROUND_SECONDS = 6.0
"""What the plan's times are counted in; a round without a fault takes about ten."""

PACE = Pace(leg_seconds=1.0)
PATIENCE_SECONDS = 120.0
"""For a round to begin and be settled after the last fault: four that use up all their time, or a slow start."""

AGREE_SECONDS = 40.0
"""For the peers to agree after that: the roles' longest pause between two tries, and some polls."""

STANDSTILL = RpcLimits(start=0.0, length=0.0, refusal=Refusal.SENDS)
"""Nobody's transactions are taken, so that the chain makes no block while what the peers hold is compared with it."""

RESTART_SECONDS = 1.0
DESCRIPTORS_ALLOWED = 24
"""What a peer may have open more than after its start: connections to peers that came back, and SQLite's files."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a plan."""

    plan: Plan
    facts: Facts | None
    violations: tuple[str, ...]
    lost_blocks: int = 0


def plan_of(number: int) -> Plan:
    """The plan that real processes play under this number."""
    return draw(number, rounds=ROUNDS, kinds=KINDS, bad=VILLAINS)


async def play(plan: Plan, script: Script, folder: Path) -> Outcome:
    """Play in a copy of the founded network in `folder`, which must not exist. No process outlives the call."""
    copied = await trio.to_thread.run_sync(script.copy, folder)
    names = dict(zip(PEERS, (member.name for member in copied.world.members), strict=True))
    relayed: dict[str, dict[str, str]] = {}
    if plan.relayed:
        copiers = {each for kind in plan.adversaries if isinstance(kind, bad.CopiedChild) for each in kind.whom}
        # who copies has signed nothing to be sent
        relayed = {names[each]: {"submission": "relayed"} for each in PEERS if each not in copiers}
        relayed[names[SEEDER]]["roles"] = "seeder,relayer"
    villains = {
        names[each]: type(kind).__name__
        for kind in plan.adversaries
        for each in kind.whom
        if type(kind).__name__ in TURNS
    }
    async with (
        open_proxy() as proxy,
        play_script(copied, PACE, 1, through=proxy.url, more=relayed, turned=villains, wait=False) as stage,
        observing(stage) as observer,
    ):
        before: dict[str, int] = {}
        hands = Hands(stage, observer, proxy)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_watch_over, stage, hands, before)
            for kind in plan.adversaries:
                if isinstance(kind, bad.SilentConnections):
                    nursery.start_soon(_connect_silently, stage, kind.number)
            async with trio.open_nursery() as harm:
                for fault in plan.faults:
                    meant = replace(fault, whom=tuple(names[each] for each in fault.whom))
                    harm.start_soon(hands.do, meant, ROUND_SECONDS)
            going = await _goes_on(stage, observer)
            proxy.begin(STANDSTILL)
            facts = await _agreement(stage, observer, plan, names)
            nursery.cancel_scope.cancel()
        after = descriptors(stage)
    if facts is None or not going:
        stuck = f"no round began and was settled within {PATIENCE_SECONDS:.0f} s after the last fault"
        return Outcome(plan, facts, (*(() if facts is None else violations(facts)), stuck), hands.lost_blocks)
    unbroken = {name: (before[name], after.get(name, 0)) for name in before if name not in hands.restarted}
    whole = _at_rest(facts, folder, unbroken)
    return Outcome(plan, whole, violations(whole), hands.lost_blocks)


def _at_rest(facts: Facts, folder: Path, open_files: Mapping[str, tuple[int, int]]) -> Facts:
    """Add what shows when all have ended."""
    left = left_behind(folder)
    peers = []
    for peer in facts.peers:
        roots, damaged = store_of(folder / peer.name)
        peers.append(
            replace(
                peer,
                roots=roots,
                damaged=damaged,
                orphans=tuple(left.get(peer.name, ())),
                descriptors=open_files.get(peer.name, (0, 0)),
            )
        )
    return replace(facts, peers=tuple(peers), rounds_expected=1, descriptors_allowed=DESCRIPTORS_ALLOWED)


async def _goes_on(stage: Stage, observer: Observer) -> bool:
    """Wait until all are back, and a round has begun and been settled after the faults."""
    with trio.move_on_after(PATIENCE_SECONDS):
        while not all(peer.ready_file.exists() for peer in stage.peers.values()):  # noqa: ASYNC110 - files: no events
            await trio.sleep(RESTART_SECONDS)
        await _look(observer)
        enough = observer.rounds_settled + 2  # the round that runs now has met the faults
        while observer.rounds_settled < enough:
            await trio.sleep(PACE.poll_seconds)
            await _look(observer)
        return True
    return False


async def _agreement(stage: Stage, observer: Observer, plan: Plan, names: Mapping[str, str]) -> Facts | None:
    """Wait until nothing is wrong, and return the newest facts. The chain stands still meanwhile."""
    facts: Facts | None = None
    with trio.move_on_after(AGREE_SECONDS):
        while facts is None or violations(facts):
            await trio.sleep(PACE.poll_seconds)
            running = [each.process is not None and each.process.exitcode is None for each in stage.everybody()]
            ended = [each.name for each, runs in zip(stage.everybody(), running, strict=True) if not runs]
            collected = await collect(stage, observer, plan, names, PACE)
            facts = replace(collected, leaks=tuple(f"{name} has ended" for name in ended))
    return facts


async def _look(observer: Observer) -> None:
    try:
        await observer.look()
    except LedgerUnavailable:
        return  # the chain restarts: the next look will do


async def _watch_over(stage: Stage, hands: Hands, at_start: dict[str, int]) -> None:
    """Start a peer again that has ended by itself, as whoever runs it would: it found no chain, or no disk.

    Notes how many descriptors each has when it is ready.
    """
    while True:
        await trio.sleep(RESTART_SECONDS)
        at_start |= {name: count for name, count in descriptors(stage).items() if name not in at_start}
        for name, peer in stage.peers.items():
            if name not in hands.down and peer.process is not None and peer.process.exitcode is not None:
                hands.restarted.add(name)
                peer.start()


async def _connect_silently(stage: Stage, number: int) -> None:
    """Open connections to the peers in turn, and say nothing."""
    while not all(peer.ready_file.exists() for peer in stage.peers.values()):  # noqa: ASYNC110 - files have no events
        await trio.sleep(RESTART_SECONDS)
    ports = [member.p2p_port for member in stage.world.members]
    held: list[socket.socket] = []
    try:
        for count in range(number):
            one = socket.socket()
            one.setblocking(False)
            held.append(one)
            one.connect_ex(("127.0.0.1", ports[count % len(ports)]))
            await trio.sleep(0.002)
        await trio.sleep_forever()
    finally:
        for one in held:
            one.close()
