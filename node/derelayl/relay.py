"""A whole relay in this process: the ledger's very rules, real training, real judging; no chain, no sockets.

What is not real: there is one process instead of a network, the clock moves when the relay says so, and nobody cheats
unless your own loop does. `derelayl node run` plays the same rounds among strangers.
"""

from __future__ import annotations

import hashlib
import sys
import weakref
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import trio

from derelayl_node.handoff import check_signature, keep_genesis
from derelayl_node.keys import NodeKey
from derelayl_node.roles.duties import overdue, seat_of, tips_in_order
from derelayl_node.roles.judging import Verdict
from derelayl_node.roles.validator import SEED_BYTES
from derelayl_node.store.packing import assemble_weights
from derelayl_node.testing.clock import FakeClock
from derelayl_node.testing.ledger import FakeChain
from derelayl_node.testing.store import MemoryStore
from derelayl_protocol.checkpoint.manifest import Manifest, check_child, parse_manifest
from derelayl_protocol.errors import LocalFault, PeerFault
from derelayl_protocol.ledger import commands as ask
from derelayl_protocol.ledger.events import Event, LegSettled, ModelCreated
from derelayl_protocol.ledger.phases import Phase
from derelayl_protocol.ledger.presets import MINIMAL
from derelayl_protocol.ledger.rules import Rules
from derelayl_protocol.ledger.scoring import commitment, score_ppm
from derelayl_protocol.ledger.state import LegEntry, ModelState, RoundView
from derelayl_protocol.limits import BPS
from derelayl_protocol.spelling import to_hex
from derelayl_protocol.statement.books import Books
from derelayl_protocol.statement.teller import Line, Teller
from derelayl_protocol.types import UNAVAILABLE, WHOLE_MODEL, Address, LedgerId, ModelId, Root, Wei
from derelayl_training.architectures import build
from derelayl_training.jobs import Architecture, ChildFile, JudgingJob, TipFile
from derelayl_training.judge import judge
from derelayl_training.registry import ARCHITECTURES
from derelayl_training.split import Split
from derelayl_training.train import write_genesis

from .checkpoint import Checkpoint
from .lease import Lease

LEDGER = LedgerId(1, Address("0x" + "1e" * 20))
"""What manifests of an in-memory relay are signed for; no such contract exists."""

ROUNDS_FUNDED = 1_000
"""Rounds that the budget and everybody's purse last for, at least."""


class Relay:
    """A model, the peers that train it and those that judge it, and the ledger that they play on.

    Trainers are named trainer0, trainer1, …, validators validator0, …, in the order of their data; the account
    "founder" owns the genesis. The same arguments and calls give the same relay, bit for bit on one machine.
    """

    def __init__(
        self,
        architecture: str | Architecture,
        trainers: Sequence[Split],
        validators: Sequence[Split],
        *,
        rules: Rules = MINIMAL,
        seed: int = 0,
    ) -> None:
        """Found a model; a name alone means the small network of that name for 28 × 28 digits (`registry`).

        Every validator stakes. Raises LocalFault: an unknown network, data that do not fit it, too few validators.
        """
        self.architecture = _architecture(architecture)
        self.rules = rules
        self.seed = seed
        if len(validators) < rules.quorum:
            raise LocalFault(f"{len(validators)} validators can never be the quorum of {rules.quorum} that rules ask")
        groups = {"trainer": trainers, "validator": [own.all_held_out() for own in validators]}
        self.data = {f"{group}{number}": own for group, all_ in groups.items() for number, own in enumerate(all_)}
        network = build(self.architecture)
        for own in self.data.values():
            own.check_fits(network.input_shape, network.classes, network.input_kind)
        self.keys = {name: NodeKey(self.draw("key", name)) for name in ("founder", *self.data)}
        self.names = {key.address: name for name, key in self.keys.items()}
        self.ledger = LEDGER
        self.store = MemoryStore()
        folder = TemporaryDirectory(prefix="derelayl-")
        weakref.finalize(self, folder.cleanup)
        self.folder = Path(folder.name)
        self._clock = FakeClock()
        self.model, self.genesis, self.chain = self._found()

    # --- a round ------------------------------------------------------------------------------------------------------

    def lease(self, trainers: Sequence[str] | None = None, segment: int = WHOLE_MODEL) -> tuple[Lease, ...]:
        """Begin a round: these trainers (all) bid for the segment, and the ledger matches bids and tips to leases.

        There are `rules.legs_per_tip` leases for each tip; other bids return. Raises RuleViolation: a round is running,
        a segment that does not exist; LocalFault: no such trainer, or the round was voided for want of a committee.
        """
        names = [name for name in self.data if name.startswith("trainer")] if trainers is None else trainers
        if unknown := [name for name in names if not name.startswith("trainer") or name not in self.data]:
            raise LocalFault(f"there is no trainer {unknown[0]!r}; there are {', '.join(self.data)}")
        number = self.round.number
        for name in names:
            bid = ask.PlaceBid(self.model, number, segment, self.rules.min_bid)
            self.chain.execute(self.keys[name].address, bid)
        self._move_on()
        if self.round.number != number:
            raise LocalFault(f"round {number} was voided: too few validators have a stake left that may judge")
        return tuple(Lease(self, number, leg, entry) for leg, entry in enumerate(self.round.legs))

    def settle(self) -> tuple[LegSettled, ...]:
        """End the round: the drawn committee judges what was submitted, the ledger selects and pays.

        Returns what became of each leg, in the order of their numbers; a round in which nothing was submitted is voided
        by the rules, and no leg of it is selected. Raises LocalFault when no round is running.
        """
        before, number = len(self.events), self.round.number
        if self.round.phase is Phase.BID:
            raise LocalFault("no round is running: lease first")
        while self.round.number == number:
            phase = self.round.phase
            for name in self.data:
                self._judge(name)
            if self.round.phase is phase:  # else the last seat has ended it
                self._move_on()
        return tuple(event for event in self.events[before:] if isinstance(event, LegSettled))

    # --- what there is ------------------------------------------------------------------------------------------------

    @property
    def state(self) -> ModelState:
        """All that the ledger knows of the model."""
        return self.chain.state.models[self.model]

    @property
    def round(self) -> RoundView:
        """The running round."""
        return self.state.current

    @property
    def events(self) -> tuple[Event, ...]:
        """Every event of the ledger since its first block: what a lineage, or a statement, is made from."""
        return tuple(entry.event for entry in self.chain.logs(()).entries)

    @property
    def checkpoints(self) -> tuple[Checkpoint, ...]:
        """Every accepted checkpoint, genesis first."""
        return tuple(Checkpoint(self, root) for root in self.state.checkpoints)

    @property
    def best(self) -> Checkpoint:
        """The checkpoint with the highest score since genesis."""
        return max(self.checkpoints, key=lambda checkpoint: checkpoint.record.score)

    def statement(self, name: str) -> tuple[Line, ...]:
        """What moved an account's free balance and why, in sentences (`line.sentence`), from the events alone."""
        books = Books()
        teller = Teller(books)
        told: list[Line] = []
        for place, event in enumerate(self.events):
            books.note(event)
            told += teller.tell(event, place)
        return tuple(line for line in (*told, *teller.finish()) if line.account == self.keys[name].address)

    def manifest(self, root: Root) -> Manifest:
        """The signed manifest of a checkpoint or a submitted child. Raises LocalFault if there is none."""
        wire = self.store.manifest(root)
        if wire is None:
            raise LocalFault(f"this relay has no checkpoint {to_hex(root)}")
        return parse_manifest(wire)

    def weights(self, root: Root) -> Path:
        """A checkpoint as a safetensors file, assembled from its chunks; it goes when the relay does."""
        path = self.folder / f"{root.hex()}.safetensors"
        if not path.exists():
            assemble_weights(self.manifest(root), self.store, path)
        return path

    # --- inside -------------------------------------------------------------------------------------------------------

    def _found(self) -> tuple[ModelId, Root, FakeChain]:
        rules = self.rules
        budget = Wei(rules.emission * ROUNDS_FUNDED)
        purse = Wei(rules.validator_stake + rules.min_bid * ROUNDS_FUNDED)
        founder = self.keys["founder"]
        wallets = {key.address: purse for key in self.keys.values()} | {founder.address: Wei(max(budget, 1))}
        chain = FakeChain(wallets, self._clock, blocks_per_batch=sys.maxsize)  # the whole log in one piece
        for account, amount in wallets.items():
            chain.execute(account, ask.Deposit(amount))
        weights = write_genesis(self.architecture, self.seed, self.folder / "genesis.safetensors")
        genesis = keep_genesis(self.store, founder, self.ledger, self.architecture, weights)
        events = chain.execute(founder.address, ask.CreateModel(rules, genesis, budget))
        model = next(event.model for event in events if isinstance(event, ModelCreated))
        for name in self.data:
            if name.startswith("validator"):
                chain.execute(self.keys[name].address, ask.Stake(model, rules.validator_stake))
        return model, genesis, chain

    def _move_on(self) -> None:
        """Let time pass to the running deadline, if there is one, and send what anyone may send then."""
        view = self.round
        if view.deadline:
            trio.run(self._clock.advance, max(view.deadline - self._clock.now(), 0))
        due = overdue(self.model, view, self._clock.now())
        if due is not None:
            self.chain.execute(self.keys["founder"].address, due)

    def _judge(self, name: str) -> None:
        """Commit or reveal, if it is this peer's turn. Scores are measured on what the peer holds out."""
        view, account = self.round, self.keys[name].address
        seat = seat_of(view, account)
        if seat is None or view.phase not in (Phase.COMMIT, Phase.REVEAL):
            return
        verdict, salt = self._verdict(view, name), self.draw("salt", f"{name} {view.number}")
        if view.phase is Phase.COMMIT and seat.commitment is None:
            seal = commitment(self.model, view.number, account, salt, verdict.scores, verdict.originals)
            self.chain.execute(account, ask.CommitScores(self.model, view.number, seal))
        elif view.phase is Phase.REVEAL and seat.scores is None:
            reveal = ask.RevealScores(self.model, view.number, verdict.scores, verdict.originals, salt)
            self.chain.execute(account, reveal)

    def _verdict(self, view: RoundView, name: str) -> Verdict:
        """What a peer says of each leg; UNAVAILABLE of a child that is not acceptable under its lease."""
        scores, originals = [UNAVAILABLE] * len(view.legs), list(range(len(view.legs)))
        numbers = [number for number, leg in enumerate(view.legs) if self._is_acceptable(view.number, leg)]
        if not numbers:
            return Verdict(tuple(scores), tuple(originals))
        tips, own = [tip.root for tip in tips_in_order(view)], self.data[name]
        job = JudgingJob(
            architecture=self.architecture,
            tips=[TipFile(self.weights(root), self.manifest(root).header.segment) for root in tips],
            children=[
                ChildFile(self.weights(leg.child), tips.index(leg.parent))
                for leg in (view.legs[number] for number in numbers)
            ],
            alike=self.rules.duplicate_bps / BPS,
            seed=int.from_bytes(self.draw("samples", f"{name} {view.number}")[:SEED_BYTES]),
        )
        judged = judge(build(self.architecture), job, own.held_x, own.held_y)
        for number, child in zip(numbers, judged.children, strict=True):
            if child is not None:
                scores[number] = score_ppm(judged.bar.loss, child.loss, child.error)
                originals[number] = numbers[child.original]
        return Verdict(tuple(scores), tuple(originals))

    def _is_acceptable(self, number: int, leg: LegEntry) -> bool:
        if not leg.submitted:
            return False
        child = self.manifest(leg.child)
        try:
            check_child(
                child,
                self.manifest(leg.parent),
                model=self.model,
                round=number,
                segment=leg.segment,
                trainer=leg.trainer,
                parent_root=leg.parent,
            )
            check_signature(self.ledger, leg.child, child)
        except PeerFault:
            return False
        return True

    def draw(self, what: str, whose: str) -> bytes:
        """32 bytes that look random and are the same in every run with this seed."""
        return hashlib.sha256(f"derelayl/memory {self.seed} {what} {whose}".encode()).digest()


def _architecture(named: str | Architecture) -> Architecture:
    if isinstance(named, Architecture):
        return named
    blueprint = ARCHITECTURES.get(named)
    if blueprint is None or blueprint.example is None:
        known = ", ".join(name for name, each in ARCHITECTURES.items() if each.example is not None)
        raise LocalFault(f"architecture {named!r} needs its parameters (derelayl.Architecture), or is unknown: {known}")
    return Architecture(named, blueprint.example)
