"""A relay of a few peers in one process: real roles and real hand-offs over the fakes of the ports."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from derelayl_node.fakes.clock import FakeClock
from derelayl_node.fakes.ledger import FakeChain, FakeLedger
from derelayl_node.fakes.network import FakeHub, FakeNetwork
from derelayl_node.fakes.store import MemoryStore
from derelayl_node.fakes.trainer import FAKE_ARCHITECTURE, FakeTrainer
from derelayl_node.handoff import Handoff, LedgerIdentity, keep_genesis
from derelayl_node.journal import Journal
from derelayl_node.keys import NodeKey
from derelayl_node.roles.keeper import Keeper
from derelayl_node.roles.owner import OwnerRole
from derelayl_node.roles.seeder import SeederRole
from derelayl_node.roles.trainer import LegStatus, TrainerPolicy, TrainerRole
from derelayl_node.roles.validator import ValidatorRole
from derelayl_protocol.ledger.commands import CreateModel, Deposit
from derelayl_protocol.ledger.events import Event, ModelCreated
from derelayl_protocol.ledger.phases import Phase
from derelayl_protocol.ledger.state import RoundView
from derelayl_protocol.rules import Rules
from derelayl_protocol.types import Address, ModelId, Ppm, Root, Wei

WALLET = Wei(10_000)
BUDGET = Wei(5_000)
BID = Wei(100)
IDENTITY = LedgerIdentity(1, Address("0x" + "1e" * 20))

RULES = Rules(
    legs_per_tip=2,
    selection_bps=5_000,
    segments=2,
    bid_seconds=10,
    train_seconds=100,
    commit_seconds=100,
    reveal_seconds=100,
    committee_size=3,
    quorum=2,
    margin_ppm=Ppm(1),
    agreement_ppm=Ppm(500_000),
    gamma_bps=5_000,
    trainer_bps=6_000,
    royalty_bps=2_000,
    validator_bps=2_000,
    slash_bps=1_000,
    min_bid=Wei(10),
    offer_deposit=Wei(5),
    validator_stake=Wei(1_000),
    emission=Wei(500),
    halving_rounds=100,
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
    owner: OwnerRole
    seeder: SeederRole
    keeper: Keeper
    trainer_role: TrainerRole
    validator: ValidatorRole
    stages: list[str] = field(default_factory=list)


class Relay:
    """A world of players on one fake chain; the first one owns the genesis checkpoint."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clock = FakeClock()
        self.hub = FakeHub()
        self.keys = {name: NodeKey(bytes([number]) * 32) for number, name in enumerate(NAMES, start=1)}
        self.chain = FakeChain({key.address: WALLET for key in self.keys.values()}, self.clock)
        self.players: dict[str, Player] = {}
        self.model = ModelId(bytes(32))
        self.genesis = Root(bytes(32))

    async def begin(self, rules: Rules = RULES) -> None:
        """Create the model and let everybody join; the validators stake."""
        maker = self.keys["founder"]
        store = MemoryStore()
        weights = await FakeTrainer().genesis(FAKE_ARCHITECTURE, 1, self.folder / "genesis.safetensors")
        self.genesis = keep_genesis(store, maker, IDENTITY, FAKE_ARCHITECTURE, weights)
        self.chain.execute(maker.address, Deposit(BUDGET))
        events = self.chain.execute(maker.address, CreateModel(rules, self.genesis, BUDGET))
        self.model = next(event.model for event in events if isinstance(event, ModelCreated))
        for name, key in self.keys.items():
            self.players[name] = self._player(name, key, store if name == "founder" else MemoryStore(), rules)
        for player in self.validators:
            await player.validator.join(await player.ledger.model(self.model))

    def _player(self, name: str, key: NodeKey, store: MemoryStore, rules: Rules) -> Player:
        ledger, network = self.chain.account(key.address), self.hub.join(name, store)
        trainer, home = FakeTrainer(), self.folder / name
        handoff = Handoff(network, store, key, IDENTITY, home / "weights")
        journal = Journal(home / "journal")
        policy = TrainerPolicy(bid=BID, segment="whole", steps=5, batch=1, learning_rate=0.1, seed=key.secret[0])
        stages: list[str] = []

        def report(status: LegStatus) -> None:
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
            owner=OwnerRole(ledger, self.model),
            seeder=SeederRole(handoff, self.model),
            keeper=Keeper(ledger, self.clock, self.model),
            trainer_role=TrainerRole(
                ledger, trainer, handoff, self.clock, self.model, rules, policy, home / "scratch", report
            ),
            validator=ValidatorRole(
                ledger, trainer, handoff, self.clock, self.model, journal, lambda: bytes([key.secret[0]]) * 32
            ),
            stages=stages,
        )

    @property
    def trainers(self) -> list[Player]:
        return [self.players[name] for name in ("ann", "bob")]

    @property
    def validators(self) -> list[Player]:
        return [self.players[name] for name in ("vera", "vito", "vlad")]

    @property
    def view(self) -> RoundView:
        return self.chain.state.models[self.model].current

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
        await self.clock.advance(5)
        await keeper.step(self.view)

    async def train(self) -> None:
        for player in self.trainers:
            await player.trainer_role.step(self.view)

    async def judge(self) -> None:
        """Commit and reveal."""
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
