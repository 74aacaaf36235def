"""Peers in an adversary's hands: an honest peer with one part exchanged, or one more task."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable
from dataclasses import replace

import trio

from derelayl_node.handoff import Handoff, sign_checkpoint
from derelayl_node.journal import SignedChild
from derelayl_protocol.checkpoint.manifest import Header, Manifest, parse_manifest
from derelayl_protocol.checkpoint.messages import Announcement
from derelayl_protocol.ledger.commands import Command, SubmitLeg
from derelayl_protocol.ledger.events import Event
from derelayl_protocol.ledger.state import LegEntry, RoundView
from derelayl_protocol.types import Address, ModelId, Root, Wei
from derelayl_training.jobs import Judged, JudgingJob, Record
from tests.chaos.adversaries import GossipFlood

from .ledger import VirtualLedger
from .network import VirtualNetwork
from .training import VirtualTrainer

REPLAY_SECONDS = 2.0
BEST, MIDDLE, WORST = 1e-6, 0.1, 10.0
"""Losses in nats."""


class StaleHandoff(Handoff):
    """Names the genesis as the parent of what was trained from another checkpoint."""

    genesis: Root

    def _header(
        self,
        model: ModelId,
        round_number: int,
        leg: LegEntry,
        parent: Manifest,
        record: Record,
    ) -> Callable[..., Header]:
        return super()._header(model, round_number, replace(leg, parent=self.genesis), parent, record)


class TwoFacedHandoff(Handoff):
    """Publishes a second child under the same lease."""

    async def publish(self, model: ModelId, round_number: int, child: SignedChild) -> None:
        first = parse_manifest(child.manifest)
        training = {**first.header.training, "batch": 7}
        unsigned = Manifest(replace(first.header, training=training), first.chunks)
        second = sign_checkpoint(self._key, self._ledger, unsigned)
        for each in (child, second):
            await super().publish(model, round_number, each)


class CopyingLedger(VirtualLedger):
    """Submits what somebody else has submitted in the round, or the parent, as this account's child."""

    async def send(self, command: Command, key: str | None = None, *, cover: Wei | None = None) -> tuple[Event, ...]:
        if isinstance(command, SubmitLeg):
            view = await self.round(command.model)
            own = view.legs[command.leg] if command.leg < len(view.legs) else None
            others = [leg.child for leg in view.legs if leg.submitted and leg is not own]
            if own is not None:
                command = replace(command, child=others[0] if others else own.parent)
        return await super().send(command, key, cover=cover)


class PartialTrainer(VirtualTrainer):
    """Judges friends the best and everybody else the worst."""

    friends: frozenset[Address] = frozenset()
    look: Callable[[], RoundView]

    async def judge(self, job: JudgingJob, *, seconds: float) -> Judged:
        found = await super().judge(job, seconds=seconds)
        trainers = {leg.child.hex(): leg.trainer for leg in self.look().legs}
        losses = [
            BEST if trainers.get(each.path.name.split(".")[0]) in self.friends else WORST for each in job.children
        ]
        pairs = zip(found.children, losses, strict=True)
        children = tuple(None if child is None else replace(child, loss=loss) for child, loss in pairs)
        return replace(found, bar=replace(found.bar, loss=MIDDLE), children=children)


async def flood(network: VirtualNetwork, model: ModelId, kind: GossipFlood, round_seconds: float, me: Address) -> None:
    """Announce roots that nobody has."""
    sent = 0
    while True:
        await trio.sleep(1.0)
        for _ in range(int(kind.messages / round_seconds)):
            sent += 1
            root = Root(hashlib.sha256(b"flood %d" % sent).digest())
            await network.announce(Announcement(model, 1 + sent % 7, root, me))


async def replay(network: VirtualNetwork, luck: random.Random) -> None:
    """Say again what others have said."""
    while True:
        await trio.sleep(REPLAY_SECONDS)
        for news in luck.sample(network.heard, min(20, len(network.heard))):
            await network.announce(news)
