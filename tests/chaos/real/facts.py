"""Collect the oracle's facts from processes and files: the ledger's views, each peer's index and store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil
import trio
from tests.chaos import adversaries as bad
from tests.chaos.oracle import Facts, PeerFacts
from tests.chaos.plan import Plan

from derelayl_node.evm.balances import held_at
from derelayl_node.lineage.index import LineageIndex
from derelayl_node.lineage.queries import all_checkpoints
from derelayl_node.lineage.records import ACCEPTED
from derelayl_node.ports import StoreDamaged
from derelayl_node.store.chunks import FileStore
from derelayl_protocol.checkpoint.manifest import parse_manifest
from derelayl_protocol.ledger import events as ev
from derelayl_protocol.ledger.rules import Rules
from derelayl_protocol.spelling import to_hex
from derelayl_protocol.statement.books import Books
from derelayl_protocol.types import Address, ModelId, Root, Wei

from .observer import Observer
from .stage import Pace, Stage
from .worker import trained_steps

MOST_CHECKPOINTS = 10_000

INVALID: Mapping[type[bad.Adversary], str] = {
    bad.WithholdingDonor: "nobody could fetch it",
    bad.CopiedChild: "it is another's work",
}
"""Why a villain's children must not be accepted."""


async def collect(stage: Stage, observer: Observer, plan: Plan, names: Mapping[str, str], pace: Pace) -> Facts:
    """What can be seen while all run. The peers' stores are not opened: only their owners may."""
    model, rules = stage.founded.model, pace.rules
    peers = tuple([await trio.to_thread.run_sync(_peer, stage, names[each], model, rules) for each in plan.honest])
    await observer.look()  # after the peers: none of them can be ahead
    head = observer.block
    events = tuple(entry.event for entry in observer.entries)
    state = await observer.ledger.model_at(model, head)
    return Facts(
        model=model,
        rules=rules,
        events=events,
        held=await held_at(observer.ledger, Books(events), head),
        lineage={root: record.parent for root, record in state.checkpoints.items()},
        head=head,
        peers=peers,
        invalid=_invalid(plan, stage, names, events),
        trained=_trained(stage, [names[each] for each in plan.honest]),
        steps=pace.steps,
    )


def _peer(stage: Stage, name: str, model: ModelId, rules: Rules) -> PeerFacts:
    member = next(each for each in stage.world.members if each.name == name)
    index = LineageIndex(stage.world.home(name) / "lineage.sqlite")
    try:
        with index.reading() as connection:
            found = all_checkpoints(connection, model, None, MOST_CHECKPOINTS)
        return PeerFacts(
            name=name,
            account=Address(member.account),
            block=index.head().block or 0,
            lineage={each.root: each.parent for each in found if each.status in ACCEPTED},
            balances=Books(index.log()).held(),
            stake_meant=Wei(rules.validator_stake if member.role == "validator" else 0),
        )
    finally:
        index.close()


def _invalid(
    plan: Plan, stage: Stage, names: Mapping[str, str], events: tuple[ev.Event, ...]
) -> dict[tuple[int, Address], str]:
    accounts = {member.name: member.account for member in stage.world.members}
    villains = {
        accounts[names[each]]: why
        for kind in plan.adversaries
        for each in kind.whom
        if (why := INVALID.get(type(kind)))
    }
    leases = [event for event in events if isinstance(event, ev.LegLeased)]
    return {(lease.round, lease.trainer): villains[lease.trainer] for lease in leases if lease.trainer in villains}


def _trained(stage: Stage, honest: Sequence[str]) -> dict[tuple[int, Address], int]:
    """Steps by round and trainer; nobody has two legs in one round."""
    return {
        (number, Address(member.account)): steps
        for member in stage.world.members
        if member.name in honest
        for (number, _), steps in trained_steps(stage.world.home(member.name)).items()
    }


def store_of(home: Path) -> tuple[frozenset[Root], tuple[str, ...]]:
    """What a peer that has ended has: complete checkpoints, and files that are not what they are called."""
    store, whole, damaged = FileStore(home / "store"), set(), []
    for root in store.roots():
        try:
            wire = store.manifest(root)
            chunks = [] if wire is None else [store.chunk(chunk.digest) for chunk in parse_manifest(wire).chunks]
            if wire is not None and all(chunk is not None for chunk in chunks):
                whole.add(root)
        except StoreDamaged as damage:
            damaged.append(f"{to_hex(root)}: {damage}")
    return frozenset(whole), tuple(damaged)


def descriptors(stage: Stage) -> dict[str, int]:
    """Open descriptors of each peer that runs and is ready."""
    return {
        name: psutil.Process(peer.process.pid).num_fds()
        for name, peer in stage.peers.items()
        if peer.process is not None and peer.process.exitcode is None and peer.ready_file.exists()
    }


def left_behind(folder: Path) -> dict[str, list[str]]:
    """Processes whose command names a home in the folder, by the home."""
    found: dict[str, list[str]] = {}
    for process in psutil.process_iter(["pid", "cmdline"]):
        words = " ".join(process.info["cmdline"] or [])
        if f"{folder}/" in words:
            home = words.split(f"{folder}/", 1)[1].split("/", 1)[0]
            found.setdefault(home, []).append(f"process {process.info['pid']}")
    return found
