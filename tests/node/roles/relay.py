"""A relay of a few peers in one process: real roles and real hand-offs over the fakes of the ports."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from derelayl_node.evm.typed_data import recoverer, signer
from derelayl_node.handoff import Handoff, keep_genesis
from derelayl_node.journal import Journal
from derelayl_node.keys import NodeKey
from derelayl_node.roles.admission import check_entry
from derelayl_node.roles.bidder import Bidder
from derelayl_node.roles.duties import KEEPER_STEP_SECONDS, KEEPERS
from derelayl_node.roles.keeper import Keeper
from derelayl_node.roles.kit import Kit
from derelayl_node.roles.owner import OwnerRole
from derelayl_node.roles.relayer import RelayerRole
from derelayl_node.roles.seeder import SeederRole
from derelayl_node.roles.submission import DirectSubmission, RelayedSubmission, Submission
from derelayl_node.roles.trainer import LegStage, TrainerPolicy, TrainerRole
from derelayl_node.roles.validator import ValidatorRole
from derelayl_node.roles.watcher import WatcherRole
from derelayl_node.testing.clock import FakeClock
from derelayl_node.testing.ledger import FakeChain, FakeLedger
from derelayl_node.testing.network import FakeHub, FakeNetwork
from derelayl_node.testing.store import MemoryStore
from derelayl_node.testing.trainer import FAKE_ARCHITECTURE, FakeTrainer
from derelayl_protocol.errors import Ignored
from derelayl_protocol.ledger.commands import Command, CreateModel, Deposit
from derelayl_protocol.ledger.events import Event, ModelCreated
from derelayl_protocol.ledger.phases import Phase
from derelayl_protocol.ledger.presets import MINIMAL
from derelayl_protocol.ledger.rules import Rules
from derelayl_protocol.ledger.state import RoundView
from derelayl_protocol.types import Address, LedgerId, ModelId, Ppm, Root, Wei

WALLET = Wei(10_000)
BUDGET = Wei(5_000)
BID = Wei(100)
LEDGER = LedgerId(1, Address("0x" + "1e" * 20))

RULES = replace(
    MINIMAL,
    commit_seconds=100,  # roles keep a reserve of each phase
    reveal_seconds=100,
    margin_ppm=Ppm(1),
    agreement_ppm=Ppm(500_000),
    emission=Wei(500),
)


@dataclass
class Player:
    """One peer: its key, its parts, its roles."""

    name: str
    key: NodeKey
    ledger: FakeLedger
    store: MemoryStore
    network: FakeNetwork
    trainer: FakeTrainer
    handoff: Handoff
    journal: Journal
    kit: Kit
    owner: OwnerRole
    seeder: SeederRole
    keeper: Keeper
    trainer_role: TrainerRole
    validator: ValidatorRole
    relayer: RelayerRole
    watcher: WatcherRole
    stages: list[str] = field(default_factory=list)


class Relay:
    """A world of players on one fake chain; the first one owns the genesis checkpoint."""

    def __init__(self, folder: Path, *, relayed: bool = False) -> None:
        """With `relayed`, bids, children, commits and reveals are signed and told, and the founder sends them."""
        self.folder = folder
        self.indexed = False
        self.relayed = relayed
        self.recover = recoverer(LEDGER)
        self.clock = FakeClock()
        self.hub = FakeHub()
        self.keys = {name: NodeKey(bytes([number]) * 32) for number, name in enumerate(NAMES, start=1)}
        wallets = {key.address: WALLET for key in self.keys.values()}
        self.chain = FakeChain(wallets, self.clock, recover=self.recover)
        self.players: dict[str, Player] = {}
        self.model = ModelId(bytes(32))
        self.genesis = Root(bytes(32))
        self.rules = RULES

    async def begin(self, rules: Rules = RULES) -> None:
        """Create the model and let everybody join; the validators stake."""
        self.rules = rules
        maker = self.keys["founder"]
        store = MemoryStore()
        weights = await FakeTrainer().genesis(FAKE_ARCHITECTURE, 1, self.folder / "genesis.safetensors")
        self.genesis = keep_genesis(store, maker, LEDGER, FAKE_ARCHITECTURE, weights)
        self.chain.execute(maker.address, Deposit(BUDGET))
        events = self.chain.execute(maker.address, CreateModel(rules, self.genesis, BUDGET))
        self.model = next(event.model for event in events if isinstance(event, ModelCreated))
        for name, key in self.keys.items():
            self.players[name] = self._player(name, key, store if name == "founder" else MemoryStore(), rules)
            await self.players[name].network.follow(self.model)
        for player in self.validators:
            await player.validator.join()

    def _player(self, name: str, key: NodeKey, store: MemoryStore, rules: Rules) -> Player:
        ledger, network = self.chain.account(key.address), self.hub.join(name, store)
        trainer, home = FakeTrainer(), self.folder / name
        handoff = Handoff(network, store, key, LEDGER, home / "weights")
        journal = Journal(home / "journal")
        sign = signer(key, LEDGER)
        submission: Submission = DirectSubmission(ledger)
        if self.relayed:
            submission = RelayedSubmission(
                ledger=ledger, registry=ledger, network=network, clock=self.clock, rules=rules, sign=sign
            )
        kit = Kit(
            model=self.model,
            rules=rules,
            ledger=ledger,
            registry=ledger,
            handoff=handoff,
            trainer=trainer,
            clock=self.clock,
            journal=journal,
            submission=submission,
            recover=self.recover,
        )
        policy = TrainerPolicy(segment="whole", steps=5, batch=1, learning_rate=0.1, seed=key.secret[0])
        stages: list[str] = []

        def report(status: LegStage) -> None:
            stages.append(status.stage)

        return Player(
            name=name,
            key=key,
            ledger=ledger,
            store=store,
            network=network,
            trainer=trainer,
            handoff=handoff,
            journal=journal,
            kit=kit,
            owner=OwnerRole(kit, partial(self._waiting, key.address)),
            seeder=SeederRole(kit),
            keeper=Keeper(kit),
            trainer_role=TrainerRole(kit, policy, Bidder(kit, BID, Wei(0), None), home / "scratch", report),
            validator=ValidatorRole(kit, lambda: bytes([key.secret[0]]) * 32),
            relayer=RelayerRole(kit),
            watcher=WatcherRole(kit),
            stages=stages,
        )

    async def _waiting(self, account: Address) -> list[Root] | None:
        """What a node's index tells its owner once it has read the log."""
        if not self.indexed:
            return None
        known = self.chain.state.models[self.model].checkpoints
        return [root for root, record in known.items() if record.owner == account and record.pending > 0]

    @property
    def trainers(self) -> list[Player]:
        return [self.players[name] for name in ("ann", "bob")]

    @property
    def validators(self) -> list[Player]:
        return [self.players[name] for name in ("vera", "vito", "vlad")]

    @property
    def view(self) -> RoundView:
        return self.chain.state.models[self.model].current

    def deliver(self, name: str) -> int:
        """Let a player's relayer and watcher hear the signed entries that reached it; returns how many counted."""
        player, counted = self.players[name], 0
        for _, entry in player.network.entries_heard():
            try:
                check_entry(entry, self.view, self.rules, self.clock.now(), self.recover)
            except Ignored:
                continue
            player.relayer.hear(entry)
            player.watcher.hear_entry(entry)
            counted += 1
        return counted

    async def post(self) -> None:
        """Let the founder hear what was told, and send it if it is time."""
        self.deliver("founder")
        await self.players["founder"].relayer.step(self.view)

    def commands(self, kind: type[Command]) -> list[tuple[Address, Command]]:
        """Who has sent which commands of a kind, oldest first."""
        sent = (block.sent for block in self.chain._blocks)
        return [pair for pair in sent if pair is not None and isinstance(pair[1], kind)]

    async def bid_and_match(self) -> None:
        """Everybody enters the round; then its bidding is closed."""
        for player in self.trainers:
            await player.trainer_role.step(self.view)
        await self.clock.advance(RULES.bid_seconds)
        await self.keep()

    async def keep(self) -> None:
        """Let the founder enforce what is overdue, after its patience."""
        keeper = self.players["founder"].keeper
        await keeper.step(self.view)
        await self.clock.advance(2 * KEEPERS * KEEPER_STEP_SECONDS)
        await keeper.step(self.view)

    async def train(self) -> None:
        """Submit; whose child is the last one before COMMIT sees that at the next look, see `show`."""
        for player in self.trainers:
            await player.trainer_role.step(self.view)
        if self.relayed:
            await self.post()
        await self.show()

    async def show(self) -> None:
        """Let the trainers look at the round once more: in COMMIT they give their children away."""
        if self.view.phase == Phase.COMMIT:
            for player in self.trainers:
                await player.trainer_role.step(self.view)

    async def judge(self) -> None:
        """Commit and reveal."""
        await self.show()
        for _ in (Phase.COMMIT, Phase.REVEAL):
            for player in self.validators:
                await player.validator.step(self.view)

    async def play_round(self) -> None:
        """A whole honest round."""
        await self.bid_and_match()
        await self.train()
        await self.judge()
        await self.keep()

    def events(self, kind: type[Event]) -> list[Event]:
        """All events of a kind since block 0."""
        entries = self.chain.logs(()).entries
        return [entry.event for entry in entries if isinstance(entry.event, kind)]


NAMES = ("founder", "ann", "bob", "vera", "vito", "vlad")
SUPPLY = Wei(WALLET * len(NAMES))
