"""One run of a plan: seven peers made of the node's own parts, a chain, and the facts that are left at the end."""

from __future__ import annotations

import hashlib
import logging
import random
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import cache, partial
from pathlib import Path
from typing import Any, cast

import trio
import trio._core._run
from trio.testing import MockClock

from derelayl_node import handoff as handing
from derelayl_node import peer as wiring
from derelayl_node.evm.typed_data import recoverer, signer
from derelayl_node.handoff import Handoff, keep_genesis
from derelayl_node.keys import NodeKey
from derelayl_node.lineage.follower import Progress
from derelayl_node.lineage.index import LineageIndex
from derelayl_node.lineage.queries import all_checkpoints
from derelayl_node.lineage.records import ACCEPTED
from derelayl_node.network import fetch
from derelayl_node.pace import Pace
from derelayl_node.peer import Activity, Peer
from derelayl_node.ports import LedgerUnavailable
from derelayl_node.roles.admission import check_entry
from derelayl_node.roles.kit import Kit
from derelayl_node.roles.submission import DirectSubmission, RelayedSubmission, Submission
from derelayl_node.rounds import RoundWatch
from derelayl_node.settings import NodeSettings
from derelayl_node.testing.network import FakeHub
from derelayl_node.testing.trainer import FAKE_ARCHITECTURE, FakeTrainer
from derelayl_protocol.checkpoint.manifest import parse_manifest
from derelayl_protocol.errors import Ignored
from derelayl_protocol.ledger import events as ev
from derelayl_protocol.ledger.commands import REPEATABLE, CreateModel, Deposit
from derelayl_protocol.ledger.entries import SignedEntry
from derelayl_protocol.ledger.presets import MINIMAL
from derelayl_protocol.ledger.rules import model_id
from derelayl_protocol.ledger.state import ModelState
from derelayl_protocol.statement.books import Books
from derelayl_protocol.statement.places import amounts
from derelayl_protocol.statement.reconciliation import Held
from derelayl_protocol.types import NO_ROOT, Address, LedgerId, ModelId, Ppm, Root, Wei
from tests.chaos import adversaries as bad
from tests.chaos import faults
from tests.chaos.oracle import Facts, Intent, PeerFacts
from tests.chaos.plan import PEERS, SEEDER, TRAINERS, VALIDATORS, Plan

from . import villains
from .chain import Transaction, VirtualChain
from .index import MemoryIndex
from .ledger import Outbox, VirtualLedger
from .network import VirtualNetwork
from .store import VirtualJournal, VirtualStore, in_line
from .training import VirtualTrainer, Worked
from .weather import Weather, WeatherClock

LEDGER = LedgerId(1, Address("0x" + "1e" * 20))
WALLET = Wei(100_000)
BUDGET = Wei(50_000)
BID = Wei(100)
STEPS = 8
RULES = replace(
    MINIMAL,
    bid_seconds=5,
    train_seconds=14,
    commit_seconds=12,
    reveal_seconds=9,
    margin_ppm=Ppm(1),
    agreement_ppm=Ppm(500_000),
    emission=Wei(2_000),
    halving_rounds=100,
)
"""Short phases, each of which still holds the reserves that the roles keep."""

ROUND_SECONDS = 25.0
"""What a round of these rules takes when nothing goes wrong: phases end early when everybody has done his part."""

INDEXED = 4
"""In one of so many plans `p0` has the index with its database, which costs as much as the rest; else one in memory."""

RESTART_SECONDS = 2.0
"""How soon whoever watches over a peer starts it again after it has ended by itself."""

SETTLING_SECONDS = 5.0
"""After the last block: for everybody to read it."""

IN_MEMORY = Path("/dev/shm")  # noqa: S108 -- journals and weights of thousands of runs wear out no disk

KINDS = faults.KINDS
VILLAINS = tuple(kind for kind in bad.KINDS if kind not in (bad.SilentConnections, bad.Eclipse))
"""What needs real sockets has no place here."""

KEYS = {name: NodeKey(bytes([number]) * 32) for number, name in enumerate(PEERS, start=1)}
log = logging.getLogger(__name__)


@dataclass
class Home:
    """What of a peer outlives it."""

    name: str
    folder: Path
    store: VirtualStore
    index: LineageIndex | MemoryIndex
    outbox: Outbox = field(default_factory=Outbox)
    worked: Worked = field(default_factory=Worked)
    life: trio.CancelScope | None = None
    ended: list[str] = field(default_factory=list)

    @property
    def account(self) -> Address:
        return KEYS[self.name].address


class World:
    """Everything of one run."""

    def __init__(self, plan: Plan, folder: Path) -> None:
        self.plan = plan
        self.folder = folder
        self.luck = random.Random(f"derelayl world {plan.number}")
        self.weather = Weather(plan, ROUND_SECONDS)
        self.recover = recoverer(LEDGER)
        self.hub = FakeHub()
        self.chain = VirtualChain({key.address: WALLET for key in KEYS.values()}, self.recover)
        self.homes = {name: self._home(name) for name in PEERS}
        self.model = ModelId(bytes(32))
        self.genesis = Root(bytes(32))

    def _home(self, name: str) -> Home:
        folder = self.folder / name
        folder.mkdir()
        indexed = name == SEEDER and self.plan.number % INDEXED == 0
        index = LineageIndex(folder / "lineage.sqlite") if indexed else MemoryIndex()
        return Home(name, folder, VirtualStore(self.weather, name), index)

    async def play(self) -> Facts:
        """Run the plan to its end, give the peers a moment, and look."""
        await self._found()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.chain.run)
            for home in self.homes.values():
                nursery.start_soon(self._be, home)
            for fault in self.weather.faults:
                nursery.start_soon(self._happen, fault)
            await trio.sleep(self.plan.rounds * ROUND_SECONDS)
            self.chain.frozen = True
            await trio.sleep(SETTLING_SECONDS)
            facts = self.facts()
            nursery.cancel_scope.cancel()
        for home in self.homes.values():
            home.index.close()
        return facts

    async def _found(self) -> None:
        """The genesis checkpoint at `p0`, and its model on the chain."""
        founder, home = KEYS[SEEDER], self.homes[SEEDER]
        weights = await FakeTrainer().genesis(FAKE_ARCHITECTURE, 1, self.folder / "genesis.safetensors")
        self.genesis = keep_genesis(home.store, founder, LEDGER, FAKE_ARCHITECTURE, weights)
        self.model = model_id(founder.address, self.genesis, RULES)
        for command in (Deposit(BUDGET), CreateModel(RULES, self.genesis, BUDGET)):
            intent = home.outbox.reserve(type(command).__name__, founder.address, 0, command)
            self.chain.take(intent)
        self.chain.mine(tuple(self.chain.pool.values()))

    async def _happen(self, fault: faults.Fault) -> None:
        """Bring about what is no state of the weather."""
        await trio.sleep(fault.start)
        if isinstance(fault, faults.Reorganise):
            self.chain.reorganise(fault.depth, self.luck)
        elif isinstance(fault, faults.Kill):
            for name in fault.whom:
                if (life := self.homes[name].life) is not None:
                    life.cancel()

    async def _be(self, home: Home) -> None:
        """Whoever watches over a peer: start it again when it was killed, or found no chain at its start."""
        while True:
            while self.weather.is_down(home.name):  # noqa: ASYNC110 -- the weather is asked, it tells nobody
                await trio.sleep(0.5)
            with trio.CancelScope() as home.life:
                try:
                    await self._live(home)
                except Exception as errors:  # noqa: BLE001 -- whatever ends a peer is what the oracle wants to hear of
                    if not isinstance(_first(errors), LedgerUnavailable):
                        home.ended.append(f"{home.name} ended: {_first(errors)!r}")
                        return
                    log.warning("%s does not start: %s", home.name, _first(errors))
            self.hub.nodes.pop(home.name, None)
            if not self.weather.is_down(home.name):
                await trio.sleep(RESTART_SECONDS)

    async def _live(self, home: Home) -> None:
        """What `run_peer` does, with the adapters of this world."""
        peer = self._peer(home)
        await peer.kit.ledger.catch_up()  # type: ignore[attr-defined]
        await cast(VirtualNetwork, peer.network).follow(self.model)
        async with trio.open_nursery() as nursery:
            await peer.join()
            peer.start(nursery)
            for kind in self.plan.adversaries:
                if home.name in kind.whom:
                    self._do_wrong(nursery, kind, home, cast(VirtualNetwork, peer.network))
            await trio.sleep_forever()

    def _do_wrong(self, nursery: trio.Nursery, kind: bad.Adversary, home: Home, network: VirtualNetwork) -> None:
        if isinstance(kind, bad.GossipFlood):
            nursery.start_soon(villains.flood, network, self.model, kind, ROUND_SECONDS, home.account)
        elif isinstance(kind, bad.Replay):
            nursery.start_soon(villains.replay, network, self.luck)

    def _is(self, home: Home, kind: type[bad.Adversary]) -> bool:
        return any(isinstance(each, kind) and home.name in each.whom for each in self.plan.adversaries)

    def _peer(self, home: Home) -> Peer:
        key, clock = KEYS[home.name], WeatherClock(self.weather, home.name)
        settings = self._settings(home)
        ledger_type = villains.CopyingLedger if self._is(home, bad.CopiedChild) else VirtualLedger
        ledger = ledger_type(self.chain, key.address, home.outbox, self.weather, home.name, self.luck)
        network = VirtualNetwork(self.hub, home.name, home.store, self.weather, self.luck)
        network.corrupt, network.withhold = self._is(home, bad.CorruptDonor), self._is(home, bad.WithholdingDonor)
        pace = Pace(clock, settings.poll_seconds)
        watch = RoundWatch(ledger, clock, self.model, pace)

        def check(entry: SignedEntry) -> None:
            if watch.latest is None:
                raise Ignored("the round is not known yet")
            check_entry(entry, watch.latest, RULES, clock.now(), self.recover)

        network.check = check
        submission: Submission = DirectSubmission(ledger)
        if self.plan.relayed and not self._is(home, bad.CopiedChild):  # who copies has signed nothing to be sent
            submission = RelayedSubmission(
                ledger=ledger, registry=ledger, network=network, clock=clock, rules=RULES, sign=signer(key, LEDGER)
            )
        trainer = self._trainer(home)
        kit = Kit(
            model=self.model,
            rules=RULES,
            ledger=ledger,
            registry=ledger,
            handoff=self._handoff(home, network),
            trainer=trainer,
            clock=clock,
            journal=VirtualJournal(home.folder / "journal", self.weather, home.name),
            submission=submission,
            recover=self.recover,
        )
        indexing, activity = Progress(), Activity()

        async def waiting() -> tuple[Root, ...] | None:
            return None if indexing.caught_up_at is None else home.index.waiting_royalties(self.model, key.address)

        return Peer(
            settings=settings,
            shared=cast(Any, None),
            kit=kit,
            roles=wiring._roles(settings, kit, waiting, activity),
            watch=watch,
            pace=pace,
            store=cast(Any, home.store),
            index=cast(Any, home.index),
            indexing=indexing,
            trainer=cast(Any, trainer),
            network=cast(Any, network),
            activity=activity,
        )

    def _settings(self, home: Home) -> NodeSettings:
        roles = {SEEDER: ("seeder", "relayer")}.get(
            home.name, ("trainer",) if home.name in TRAINERS else ("validator",)
        )
        return NodeSettings(
            home=home.folder,
            network=self.folder,
            roles=cast(Any, roles),
            data="fake",
            bid_wei=BID,
            segment="whole",
            steps=STEPS,
            batch=1,
            learning_rate=0.02,
            seed=PEERS.index(home.name),
            submission="relayed" if self.plan.relayed else "direct",
            poll_seconds=1.0,
        )

    def _trainer(self, home: Home) -> VirtualTrainer:
        for kind in self.plan.adversaries:
            if isinstance(kind, bad.ColludingMinority) and home.name in kind.whom:
                partial_one = villains.PartialTrainer(self.weather, home.name, home.worked)
                partial_one.friends = frozenset(KEYS[name].address for name in kind.friends)
                partial_one.look = lambda: self.held.current
                return partial_one
        return VirtualTrainer(self.weather, home.name, home.worked)

    def _handoff(self, home: Home, network: VirtualNetwork) -> Handoff:
        make = partial(_handoff, network, home)
        if self._is(home, bad.StaleParent):
            stale = make(villains.StaleHandoff)
            stale.genesis = self.genesis
            return stale
        return make(villains.TwoFacedHandoff) if self._is(home, bad.Equivocation) else make(Handoff)

    # --- facts --------------------------------------------------------------------------------------------------------

    @property
    def held(self) -> ModelState:
        return self.chain.head.state.models[self.model]

    def facts(self) -> Facts:
        """What is left at the end."""
        state, events = self.chain.head.state, self.chain.events()
        inside = amounts(state)
        return Facts(
            model=self.model,
            rules=RULES,
            events=events,
            held=Held(inside, {}, Wei(sum(inside.values()))),
            lineage={root: record.parent for root, record in self.held.checkpoints.items()},
            head=self.chain.head.ref.number,
            peers=tuple(self._peer_facts(self.homes[name]) for name in self.plan.honest),
            invalid=dict(self._invalid(events)),
            trained={
                (number, home.account): round(steps)
                for home in self.homes.values()
                if home.name in self.plan.honest
                for number, steps in home.worked.steps.items()
            },
            steps=STEPS,
            leaks=tuple(line for name in self.plan.honest for line in self.homes[name].ended),
            rounds_expected=self.plan.rounds // 2,
        )

    def _peer_facts(self, home: Home) -> PeerFacts:
        books = Books(home.index.log())
        return PeerFacts(
            name=home.name,
            account=home.account,
            block=_newest(home.index),
            lineage=_lineage(home.index, self.model),
            balances=books.held(),
            stake_meant=Wei(RULES.validator_stake if home.name in VALIDATORS else 0),
            intents=tuple(self._intents(home)),
            roots=frozenset(home.store.roots()),
        )

    def _intents(self, home: Home) -> Iterator[Intent]:
        """Commands that one account can mean once only, with the transactions that did them."""
        by_command: dict[str, list[Transaction]] = {}
        for transaction in home.outbox.all:
            outcome = self.chain.outcome(transaction.hash)
            if outcome is not None and outcome.refusal is None:
                by_command.setdefault(_what(transaction), []).append(transaction)
        for what, done in by_command.items():
            yield Intent(what, tuple(transaction.hash for transaction in done))

    def _invalid(self, events: tuple[ev.Event, ...]) -> Iterator[tuple[tuple[int, Address], str]]:
        """Leases whose child must not be accepted, for what is known of who did wrong."""
        why = {
            bad.WithholdingDonor: "nobody could fetch it",
            bad.CopiedChild: "it is another's work",
            bad.StaleParent: "it names another parent than its lease",
        }
        for adversary in self.plan.adversaries:
            if type(adversary) not in why:
                continue
            accounts = {KEYS[name].address for name in adversary.whom}
            for event in events:
                if isinstance(event, ev.LegLeased) and event.trainer in accounts:
                    if isinstance(adversary, bad.StaleParent) and event.parent == self.genesis:
                        continue
                    yield (event.round, event.trainer), why[type(adversary)]


def play(plan: Plan) -> tuple[Facts, str]:
    """Run a plan; the same plan gives the same facts. Also a digest of the whole event log, to compare two runs by."""
    folder = Path(tempfile.mkdtemp(prefix="derelayl-chaos-", dir=IN_MEMORY if IN_MEMORY.is_dir() else None))
    try:
        with _determined(plan.number):
            facts = trio.run(_played, plan, folder, clock=MockClock(autojump_threshold=0))
            return facts, hashlib.sha256(repr(facts.events).encode()).hexdigest()
    finally:
        shutil.rmtree(folder)


async def _played(plan: Plan, folder: Path) -> Facts:
    return await World(plan, folder).play()


@contextmanager
def _determined(number: int) -> Iterator[None]:
    """Take chance out of a run: trio's order of tasks, salts and keys of intents; and threads, which the clock
    does not see."""
    luck = random.Random(f"derelayl chance {number}")
    scheduler = trio._core._run
    with ExitStack() as stack:
        for owner, name, value in (
            (scheduler, "_ALLOW_DETERMINISTIC_SCHEDULING", True),
            (scheduler, "_r", random.Random(f"derelayl order {number}")),
            (trio.to_thread, "run_sync", in_line),
            (fetch, "in_thread", in_line),
            (handing, "parse_manifest", cache(parse_manifest)),
            (secrets, "token_bytes", lambda count=32: luck.randbytes(count)),
            (secrets, "token_hex", lambda count=32: luck.randbytes(count).hex()),
        ):
            stack.callback(setattr, owner, name, getattr(owner, name))
            setattr(owner, name, value)
        yield


def _handoff(network: VirtualNetwork, home: Home, kind: type[Handoff]) -> Any:
    return kind(network, home.store, KEYS[home.name], LEDGER, home.folder / "weights")


def _what(transaction: Transaction) -> str:
    """The intent behind a transaction: its content where that can be meant once, else the transaction itself."""
    command = transaction.command
    return f"{type(command).__name__} {transaction.hash.hex() if type(command) in REPEATABLE else command}"


def _newest(index: LineageIndex | MemoryIndex) -> int:
    if isinstance(index, MemoryIndex):
        return index.block()
    return cast(int, index.head().block)


def _lineage(index: LineageIndex | MemoryIndex, model: ModelId) -> dict[Root, Root]:
    """Accepted checkpoints and their parents, as the index tells them."""
    if isinstance(index, LineageIndex):
        with index.reading() as connection:
            found = all_checkpoints(connection, model, None, 10_000)
        return {each.root: each.parent for each in found if each.status in ACCEPTED}
    parents: dict[Root, Root] = {}
    legs: dict[tuple[int, int], ev.LegLeased] = {}
    for event in index.log():
        if isinstance(event, ev.ModelCreated):
            parents[event.genesis] = NO_ROOT
        elif isinstance(event, ev.LegLeased):
            legs[event.round, event.leg] = event
        elif isinstance(event, ev.LegSettled) and event.selected:
            parents[event.child] = legs[event.round, event.leg].parent
    return parents


def _first(errors: BaseException) -> BaseException:
    while isinstance(errors, BaseExceptionGroup):
        errors = errors.exceptions[0]
    return errors
