"""A peer: the one place that knows every adapter and wires them to the roles."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, fields
from functools import partial
from pathlib import Path

import trio
from fastapi import FastAPI

from derelayl_protocol.errors import Ignored, LocalFault, RuleViolation
from derelayl_protocol.ledger.entries import SignedEntry
from derelayl_protocol.ledger.experience import Past
from derelayl_protocol.ledger.state import RoundView
from derelayl_protocol.spelling import from_hex
from derelayl_protocol.statement.words import short
from derelayl_protocol.types import ModelId, Root, Wei
from derelayl_training.files import write_json

from .access import Doorkeeper, participants
from .api.app import create_app
from .api.server import serve
from .api.status import NodeStatus, Obstacle, Work
from .clock import SystemClock
from .evm.client import open_network_ledger
from .evm.typed_data import recoverer, signer
from .handoff import FetchFailed, Handoff
from .journal import Journal
from .keys import NodeKey
from .lineage.database import IndexUnusable, QueryTooSlow
from .lineage.follower import Progress, follow
from .lineage.index import LineageIndex
from .lineage.proof import Chain
from .lock import only_node
from .network.host import Libp2pNetwork, open_network
from .network.serve import everybody
from .pace import Pace
from .ports import LedgerUnavailable, StoreDamaged, StoreFull, TrainingFailed
from .refusals import sentence_of
from .roles.admission import check_entry
from .roles.bidder import Bidder, Recall
from .roles.keeper import Keeper
from .roles.kit import Kit
from .roles.owner import OwnerRole, Waiting
from .roles.relayer import RelayerRole
from .roles.seeder import SeederRole
from .roles.submission import DirectSubmission, RelayedSubmission, Submission
from .roles.trainer import LegStage, TrainerPolicy, TrainerRole
from .roles.validator import ValidatorRole
from .roles.watcher import WatcherRole
from .rounds import RoundWatch
from .settings import Network, NodeSettings
from .signals import stop_on_signal
from .store.chunks import FileStore
from .training.process import WORKER, SubprocessTrainer, open_trainer

TRAINER_MARK = "trainer"
"""An empty file in the home of a peer that is, or was, a trainer."""

log = logging.getLogger(__name__)

Step = Callable[[RoundView], Awaitable[None]]

HOLDUPS = (
    LedgerUnavailable,
    RuleViolation,
    IndexUnusable,
    QueryTooSlow,
    TrainingFailed,
    FetchFailed,
    StoreFull,
    StoreDamaged,
    trio.TooSlowError,
)
"""What may go wrong in one round without ending the peer: it is logged, and the next look at the round tries again."""


@dataclass
class Activity:
    """What the node is at, for its status page."""

    leg: LegStage | None = None
    progress: float = 0.0
    held_up: dict[str, str] = field(default_factory=dict)
    """Why the last step of a role failed, by the role's name; gone with its next good step."""

    def leg_changed(self, status: LegStage) -> None:
        """Note the trainer's stage."""
        self.leg, self.progress = status, 0.0

    def leg_progressed(self, fraction: float) -> None:
        """Note how far the training is, in [0, 1]."""
        self.progress = fraction


async def run_peer(
    settings: NodeSettings,
    network: Network,
    key: NodeKey,
    *,
    say: Callable[[str], None],
    worker: Sequence[str] = WORKER,
) -> None:
    """Be a peer until SIGTERM, SIGINT or cancellation; `home/ready.json` appears once everything answers.

    `worker` is the command of the process that trains and judges, see `training.process`.

    Raises LocalFault, also for a home that another node has, LedgerUnavailable, CannotListen and the store's errors
    when the peer cannot start.
    """
    model = settings.model_id or (ModelId(from_hex(network.model)) if network.model else None)
    if model is None:
        raise LocalFault("the network file names no model: pass --model 0x…")
    if settings.works_with_data and not settings.data:
        raise LocalFault("a trainer or validator needs data of its own: pass --data SPEC, or --role seeder")
    async with AsyncExitStack() as stack:
        stack.enter_context(only_node(settings.home))
        peer = await _open(stack, settings, network, key, model, worker)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(stop_on_signal, nursery.cancel_scope)
            stopping = trio.Event()
            url = await nursery.start(serve, peer.app(), settings.api_host, settings.api_port, stopping)
            await peer.join()
            peer.start(nursery)
            ready = {
                "account": key.address,
                "peer_id": peer.network.peer_id,
                "addresses": list(peer.network.addresses),
                "api_url": url,
            }
            write_json(settings.home / "ready.json", ready)
            say(f"{key.address} is a peer of {network.name} as {', '.join(settings.roles)}; status: {url}/v1/node")


async def _open(
    stack: AsyncExitStack,
    settings: NodeSettings,
    network: Network,
    key: NodeKey,
    model: ModelId,
    worker: Sequence[str],
) -> Peer:
    home, activity, clock, indexing = settings.home, Activity(), SystemClock(), Progress()
    store = FileStore(home / "store")
    ledger = await open_network_ledger(network, key, home, settings)
    stack.callback(ledger.close)
    if settings.roles != ("seeder",):
        await ledger.check_takes_part()
    rules = await ledger.rules(model)
    pace = Pace(clock, settings.poll_seconds)
    watch = RoundWatch(ledger, clock, model, pace)
    index = await trio.to_thread.run_sync(LineageIndex, settings.index or home / "lineage.sqlite")
    stack.callback(index.close)
    trainer = await stack.enter_async_context(
        open_trainer(
            settings.data,
            judge_only=await trio.to_thread.run_sync(never_trained, home, settings.roles),
            compute=settings.compute(),
            on_progress=activity.leg_progressed,
            worker=worker,
        )
    )
    doorkeeper = Doorkeeper(model, ledger, ledger, lambda: watch.latest, store, clock)
    recover = recoverer(network.ledger_id)

    def check(entry: SignedEntry) -> None:
        if watch.latest is None:
            raise Ignored("the round is not known yet")
        check_entry(entry, watch.latest, rules, clock.now(), recover)

    peers = await stack.enter_async_context(
        open_network(
            key.secret,
            store=store,
            models=[model],
            bootstrap=network.bootstrap,
            host=settings.p2p_host,
            port=settings.p2p_port,
            announce=settings.announce,
            admit=doorkeeper.admits if rules.access_fee else everybody,
            check_entry=check,
            participants=lambda: () if watch.latest is None else participants(watch.latest),
        )
    )
    submission: Submission = DirectSubmission(ledger)
    if settings.submission == "relayed":
        sign = signer(key, network.ledger_id)
        submission = RelayedSubmission(
            ledger=ledger, registry=ledger, network=peers, clock=clock, rules=rules, sign=sign
        )
    kit = Kit(
        model=model,
        rules=rules,
        ledger=ledger,
        registry=ledger,
        handoff=Handoff(peers, store, key, network.ledger_id, home / "weights"),
        trainer=trainer,
        clock=clock,
        journal=Journal(home / "journal"),
        submission=submission,
        recover=recover,
    )

    async def waiting() -> tuple[Root, ...] | None:
        if indexing.caught_up_at is None:
            return None
        return await trio.to_thread.run_sync(index.waiting_royalties, model, key.address)

    async def recall(number: int) -> Past | None:
        return await trio.to_thread.run_sync(index.past, model, key.address, number)

    return Peer(
        settings=settings,
        shared=network,
        kit=kit,
        roles=_roles(settings, kit, waiting, activity, recall),
        watch=watch,
        pace=pace,
        store=store,
        index=index,
        indexing=indexing,
        trainer=trainer,
        network=peers,
        activity=activity,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Roles:
    """What a peer does: the first four every peer, the others if its settings say so."""

    keeper: Keeper
    owner: OwnerRole
    seeder: SeederRole
    watcher: WatcherRole
    validator: ValidatorRole | None
    trainer: TrainerRole | None
    relayer: RelayerRole | None

    def steps(self) -> dict[str, Step]:
        """The step of each role that there is, by the role's name."""
        roles = {each.name: getattr(self, each.name) for each in fields(self)}
        return {name: role.step for name, role in roles.items() if role is not None}


def never_trained(home: Path, roles: Sequence[str]) -> bool:
    """Whether no node of this home has been a trainer; notes it there. What a peer has trained on it cannot judge by:
    others' children look worse there than they are (docs/LEARNING.md)."""
    mark = home / TRAINER_MARK
    if "trainer" in roles:
        mark.touch()
    return not mark.exists()


def _roles(
    settings: NodeSettings, kit: Kit, waiting: Waiting, activity: Activity, recall: Recall | None = None
) -> Roles:
    learned = recall if settings.bidding == "learned" else None
    bidder = Bidder(kit, Wei(settings.bid_wei), Wei(settings.leg_cost_wei), learned)
    policy = TrainerPolicy(
        segment=settings.segment,
        steps=settings.steps,
        batch=settings.batch,
        learning_rate=settings.learning_rate,
        seed=settings.seed,
        recipe=settings.leg_recipe(),
    )
    scratch, chosen = settings.home / "scratch", settings.roles
    return Roles(
        keeper=Keeper(kit),
        owner=OwnerRole(kit, waiting),
        seeder=SeederRole(kit),
        watcher=WatcherRole(kit),
        validator=ValidatorRole(kit, partial(secrets.token_bytes, 32)) if "validator" in chosen else None,
        trainer=TrainerRole(kit, policy, bidder, scratch, activity.leg_changed) if "trainer" in chosen else None,
        relayer=RelayerRole(kit) if "relayer" in chosen else None,
    )


@dataclass(frozen=True, kw_only=True)
class Peer:
    """A running node, whole when it is made. `trainer` and `network` are the adapters, for what no port has."""

    settings: NodeSettings
    shared: Network
    kit: Kit
    roles: Roles
    watch: RoundWatch
    pace: Pace
    store: FileStore
    index: LineageIndex
    indexing: Progress
    trainer: SubprocessTrainer
    network: Libp2pNetwork
    activity: Activity

    async def join(self) -> None:
        """Look at the data, and stake as validator if it never has. Raises LocalFault, LedgerUnavailable."""
        if self.settings.works_with_data:
            await self._check_data()
        if self.roles.validator is not None:
            await self.roles.validator.join()

    async def _check_data(self) -> None:
        counts = await self.trainer.samples()
        if "trainer" in self.settings.roles and counts.train == 0:
            raise LocalFault(f"{self.settings.data} has no samples to train on, which a trainer needs: name other data")
        if self.roles.validator is not None:
            await self.roles.validator.check_data()

    def start(self, nursery: trio.Nursery) -> None:
        """Start the tasks of the roles."""
        nursery.start_soon(self.watch.run)
        nursery.start_soon(follow, self.kit.ledger, self.index, self.kit.clock, self.pace, self.indexing, self.watch)
        nursery.start_soon(self._hear)
        nursery.start_soon(self._hear_entries)
        for name, step in self.roles.steps().items():
            nursery.start_soon(self._play, name, step)

    def app(self) -> FastAPI:
        """The node's REST API."""
        chain = Chain(self.shared.name, self.shared.ledger_id)
        return create_app(self.index, chain=chain, manifests=self.store.manifest, status=self.status)

    def status(self) -> NodeStatus:
        """A moment's state."""
        counters = self.network.counters
        leg = self.activity.leg
        work = None if leg is None else Work(leg.stage, leg.round, leg.leg, self.activity.progress)
        return NodeStatus(
            chain_reachable=self.indexing.reachable,
            lag_seconds=self.indexing.lag_seconds(self.kit.clock.now()),
            error=self.indexing.error,
            stale=self.indexing.error if self.indexing.another_chain else "",
            peers=counters["peers"],
            bytes_served=counters["bytes_served"],
            bytes_fetched=self.kit.handoff.bytes_fetched,
            account=self.kit.ledger.account,
            peer_id=self.network.peer_id,
            addresses=self.network.addresses,
            roles=self.settings.roles,
            work=work,
            obstacles=self.obstacles(),
        )

    def obstacles(self) -> tuple[Obstacle, ...]:
        """What keeps parts of this node from their work now, at most one reason for each."""
        parts = {"validator": self.roles.validator, "trainer": self.roles.trainer, "worker": self.trainer}
        reasons = {name: part.obstacle for name, part in parts.items() if part and part.obstacle}
        return tuple(Obstacle(name, reason) for name, reason in {**reasons, **self.activity.held_up}.items())

    async def _play(self, name: str, step: Step) -> None:
        while True:
            view = await self.watch.next()
            try:
                await step(view)
            except HOLDUPS as error:
                told = _told(error)
                if told != self.activity.held_up.get(name):
                    log.warning("round %d: %s held up: %s", view.number, name, told)
                self.activity.held_up[name] = told
            else:
                self.activity.held_up.pop(name, None)

    async def _hear(self) -> None:
        """Listen to announcements; the seeder fetches what the ledger confirms, so nobody makes us fetch anything."""
        while True:
            peer, announcement = await self.network.next_announcement()
            level = logging.INFO if self.roles.watcher.hear_announcement(peer, announcement) else logging.DEBUG
            log.log(level, "%s announces %s of round %d", peer, short(announcement.root), announcement.round)

    async def _hear_entries(self) -> None:
        """Give signed entries, which the network has checked, to those who want them."""
        while True:
            _, entry = await self.network.next_entry()
            self.pace.hurry()
            self.roles.watcher.hear_entry(entry)
            if self.roles.relayer is not None:
                self.roles.relayer.hear(entry)


def _told(error: Exception) -> str:
    return sentence_of(error) if isinstance(error, RuleViolation) else str(error) or type(error).__name__
