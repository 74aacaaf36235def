"""What the vectorised ledger was asked to do, sent command by command to the reference and to the contract."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from tests.contracts.envelopes import Signer
from tests.contracts.evm import START, account, account_key
from tests.contracts.orders import bid_order, commitment, settlement_order, tip_order
from tests.contracts.relay import Relay

from derelayl_node.evm.typed_data import recoverer
from derelayl_protocol.encoding import word
from derelayl_protocol.errors import Reason, RuleViolation
from derelayl_protocol.ledger import commands, events
from derelayl_protocol.ledger.apply import apply
from derelayl_protocol.ledger.phases import Phase
from derelayl_protocol.ledger.rules import Rules, model_id
from derelayl_protocol.ledger.signed import SignedMessage
from derelayl_protocol.ledger.state import LedgerState, ModelState
from derelayl_protocol.types import NO_ROOT, UNAVAILABLE, WHOLE_MODEL, Address, ModelId, Ppm, Root, Timestamp, Wei
from derelayl_simulations.ledger import NOBODY, Bids, Book, Leases, MatchLuck, Outcome

WALLET = Wei(10**24)
FIRST_ACCOUNT = 1000
"""Test accounts from here on are the relays'."""

Events = tuple[events.Event, ...]


def address(relay: int, number: int, accounts: int) -> Address:
    """The ledger's name of an account of a relay."""
    return account(FIRST_ACCOUNT + relay * accounts + number)


def named(signer: Address) -> bytes:
    """A signature for a ledger that believes what it is told."""
    return bytes.fromhex(signer[2:]).ljust(64, b"\0")


@dataclass
class Replay:
    """The same relays on the reference and on a contract; what the two say must be the same."""

    rules: Rules
    relays: int
    accounts: int
    budget: int
    free: int
    contract: Relay | None = None  # every account has a wallet of WALLET
    now: Timestamp = START
    seen: Counter[Any] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.owners = [[address(r, a, self.accounts) for a in range(self.accounts)] for r in range(self.relays)]
        everyone = [owner for owners in self.owners for owner in owners]
        self.numbers = {owner: number for owners in self.owners for number, owner in enumerate(owners)}
        self.keys = {owner: account_key(FIRST_ACCOUNT + place) for place, owner in enumerate(everyone)}
        self.state = LedgerState(wallets=dict.fromkeys(everyone, WALLET))
        self.storage = self.contract.storage() if self.contract else None
        self.recover: Callable[[SignedMessage, bytes], Address | None] = lambda _, signature: Address(
            "0x" + signature[:20].hex()
        )
        self.sign = Signer(lambda _, signer: named(signer))
        if self.contract:
            contract = self.contract
            self.recover = recoverer(contract.ledger_id)
            self.sign = Signer(lambda message, signer: contract.signature(message, self.keys[signer]))
        self.models: list[ModelId] = []
        self.roots: list[dict[int, Root]] = []  # of each relay, by the number of the checkpoint
        for relay, owners in enumerate(self.owners):
            for owner in owners:
                if self.free:
                    self.send(relay, owner, commands.Deposit(Wei(self.free)))
            genesis = self.root(relay, 0, 0)
            if self.budget:
                self.send(relay, owners[0], commands.Deposit(Wei(self.budget)))
            self.send(relay, owners[0], commands.CreateModel(self.rules, genesis, Wei(self.budget)))
            self.models.append(model_id(owners[0], genesis, self.rules))
            self.roots.append({relay: genesis})

    @staticmethod
    def root(relay: int, number: int, label: int) -> Root:
        """The root that a child of this label in that round has."""
        return Root(hashlib.sha256(b"%d/%d/%d" % (relay, number, label)).digest())

    def model(self, relay: int) -> ModelState:
        return self.state.models[self.models[relay]]

    # --- commands -----------------------------------------------------------------------------------------------------

    def send(self, relay: int, sender: Address, command: commands.Command) -> Events | Reason:
        """Send to both, and return what they agree on."""
        answer: Events | Reason
        try:
            self.state, answer = apply(self.state, command, sender, self.now, self.recover)
        except RuleViolation as violation:
            answer = violation.reason
        self.seen.update([answer] if isinstance(answer, Reason) else map(type, answer))
        if self.contract:
            assert self._contract(self.contract, sender, command) == answer, (relay, command)
        return answer

    def must(self, relay: int, sender: Address, make: Callable[..., commands.Command], *arguments: Any) -> Events:
        """Send a command about the running round that must succeed."""
        model = self.model(relay)
        answer = self.send(relay, sender, make(self.models[relay], model.current.number, *arguments))
        assert not isinstance(answer, Reason), (make, answer)
        return answer

    def each(self, done: Any, asked: Any, command: Callable[[int, int], commands.Command]) -> None:
        """Send a command for each of the `asked` (R, A), accounts in ascending order; those of `done` succeed."""
        for relay, number in zip(*np.nonzero(asked), strict=True):
            answer = self.send(relay, self.owners[relay][number], command(int(relay), int(number)))
            assert (not isinstance(answer, Reason)) == bool(done[relay, number]), (relay, number, answer)

    def _contract(self, contract: Relay, sender: Address, command: commands.Command) -> Events | Reason:
        contract.evm.now = self.now
        try:
            return contract.send(sender, command)
        except RuleViolation as violation:
            return violation.reason

    # --- a round ------------------------------------------------------------------------------------------------------

    def luck(self, bids: Bids) -> MatchLuck:
        """What the seeds of the running rounds say."""
        tips, draws = max(len(self.model(r).current.tips) for r in range(self.relays)), self.accounts
        luck = MatchLuck(
            np.zeros(bids.account.shape), np.zeros((self.relays, tips)), np.zeros((self.relays, draws), np.int64)
        )
        for relay in range(self.relays):
            model = self.model(relay)
            seed = model.current.seed
            bidders = [bytes.fromhex(self.owners[relay][number][2:]) for number in bids.account[relay]]
            luck.bid_rank[relay] = _ranks([hashlib.sha256(seed + bidder).digest() for bidder in bidders])
            roots = [hashlib.sha256(seed + tip.root).digest() for tip in model.current.tips]
            luck.tip_rank[relay, : len(roots)] = _ranks(roots)
            for place in range(len(model.validators)):
                drawn = int.from_bytes(hashlib.sha256(seed + word(place)).digest())
                luck.draw[relay, place] = drawn % (len(model.validators) - place)
        return luck

    def match(self, bids: Bids, wanted: Any, leases: Leases) -> None:
        """Bid, offer, match; compare the leases."""
        for relay, owners in enumerate(self.owners):
            for number, amount in zip(bids.account[relay], bids.amount[relay], strict=True):
                if number != NOBODY and amount > 0:
                    bid = commands.PlaceBid(
                        self.models[relay], self.model(relay).current.number, WHOLE_MODEL, Wei(int(amount))
                    )
                    self.send(relay, owners[number], bid)
            self._compare_places(relay, bids, leases)
            if leases.idle[relay]:
                continue
            for place, tip in enumerate(self.model(relay).current.tips):
                if wanted[relay, place]:
                    offer = commands.OfferTip(self.models[relay], self.model(relay).current.number, tip.root)
                    answer = self.send(relay, tip.owner, offer)
                    assert isinstance(answer, Reason) != leases.offered[relay, place]
        self.now = Timestamp(self.now + self.rules.bid_seconds)
        for relay in map(int, np.flatnonzero(~leases.idle)):
            view = self.model(relay).current
            self.must(relay, self.owners[relay][0], commands.MatchRound, bid_order(view), tip_order(view))
            self._compare_leases(relay, leases)

    def report_trainers(self, leases: Leases, reporter: Any, done: Any) -> None:
        for relay, leg in zip(*np.nonzero(reporter != NOBODY), strict=True):
            view = self.model(relay).current
            children = self.root(relay, view.number, 101), self.root(relay, view.number, 102)
            trainer = self.owners[relay][leases.trainer[relay, leg]]
            parent = self.roots[relay][leases.parent[relay, leg]]
            proof = self.sign.manifests(self.models[relay], view.number, int(leg), trainer, parent, children)
            answer = self.send(relay, self.owners[relay][reporter[relay, leg]], proof)
            assert (not isinstance(answer, Reason)) == done[relay, leg]

    def report_validators(self, reporter: Any, done: Any) -> None:
        scores = (Ppm(5),), (Ppm(6),)
        for relay, accused in zip(*np.nonzero(reporter != NOBODY), strict=True):
            proof = self.sign.reveals(
                self.models[relay], 1, self.owners[relay][accused], scores, (bytes(32), bytes(32))
            )
            answer = self.send(relay, self.owners[relay][reporter[relay, accused]], proof)
            assert (not isinstance(answer, Reason)) == done[relay, accused]

    def play(
        self, leases: Leases, submitted: Any, child: Any, committed: Any, revealed: Any, scores: Any, originals: Any
    ) -> list[Events]:
        """Submit, commit, reveal, settle, with the deadlines between; return each relay's last events."""
        last: list[Events] = [()] * self.relays
        running = [int(relay) for relay in np.flatnonzero(~leases.idle & ~leases.void)]
        for relay in running:
            for leg in np.flatnonzero(submitted[relay] & leases.is_leg[relay]):
                name = self.root(relay, self.model(relay).current.number, int(child[relay, leg]))
                self.must(relay, self.owners[relay][leases.trainer[relay, leg]], commands.SubmitLeg, int(leg), name)
        self._advance(running, Phase.TRAIN, self.rules.train_seconds, last)
        sealed = {relay: self._seals(relay, leases, committed, scores, originals) for relay in running}
        for relay in self._in(running, Phase.COMMIT):
            for owner, (row, names, salt) in sealed[relay].items():
                number = self.model(relay).current.number
                seal = commitment(self.models[relay], number, owner, salt, row, names)
                self.must(relay, owner, commands.CommitScores, seal)
        self._advance(running, Phase.COMMIT, self.rules.commit_seconds, last)
        for relay in self._in(running, Phase.REVEAL):
            opens = [self.owners[relay][seat] for seat in leases.seats[relay, revealed[relay] & leases.is_seat[relay]]]
            for owner in opens:
                if owner in sealed[relay]:
                    self.must(relay, owner, commands.RevealScores, *sealed[relay][owner])
        self._advance(running, Phase.REVEAL, self.rules.reveal_seconds, last)
        for relay in self._in(running, Phase.SETTLE):
            last[relay] = self.must(
                relay, self.owners[relay][1], commands.SettleRound, *settlement_order(self.model(relay).current)
            )
        return last

    def _in(self, relays: Sequence[int], phase: Phase) -> list[int]:
        return [relay for relay in relays if self.model(relay).current.phase is phase]

    def _advance(self, relays: Sequence[int], phase: Phase, seconds: int, last: list[Events]) -> None:
        self.now = Timestamp(self.now + seconds)
        for relay in self._in(relays, phase):
            last[relay] = self.must(relay, self.owners[relay][1], commands.Advance)

    def _seals(
        self, relay: int, leases: Leases, committed: Any, scores: Any, originals: Any
    ) -> dict[Address, tuple[tuple[Ppm, ...], tuple[int, ...], bytes]]:
        legs = self.model(relay).current.legs
        return {
            self.owners[relay][leases.seats[relay, seat]]: (
                tuple(
                    Ppm(int(score)) if leg.submitted else UNAVAILABLE
                    for leg, score in zip(legs, scores[relay, seat], strict=False)
                ),
                tuple(originals[relay, seat, : len(legs)].tolist()),
                self.root(relay, self.model(relay).current.number, 1000 + int(seat)),
            )
            for seat in np.flatnonzero(committed[relay] & leases.is_seat[relay])
        }

    # --- comparison ---------------------------------------------------------------------------------------------------

    def _compare_places(self, relay: int, bids: Bids, leases: Leases) -> None:
        placed = sorted(bids.account[relay, leases.placed[relay]].tolist())
        assert placed == sorted(self.numbers[bid.trainer] for bid in self.model(relay).current.bids)

    def _compare_leases(self, relay: int, leases: Leases) -> None:
        view, here = self.model(relay).current, leases.is_leg[relay]
        assert [self.numbers[leg.trainer] for leg in view.legs] == leases.trainer[relay, here].tolist()
        assert [leg.parent for leg in view.legs] == [self.roots[relay][n] for n in leases.parent[relay, here]]
        assert [self.numbers[leg.owner] for leg in view.legs] == leases.owner[relay, here].tolist()
        assert [leg.bid for leg in view.legs] == leases.bid[relay, here].tolist()
        assert [leg.deposit for leg in view.legs] == leases.deposit[relay, here].tolist()
        seats = [self.numbers[seat.validator] for seat in view.seats]
        assert seats == leases.seats[relay, leases.is_seat[relay]].tolist()
        assert [seat.weight for seat in view.seats] == leases.weight[relay, leases.is_seat[relay]].tolist()

    def compare_outcome(self, relay: int, leases: Leases, outcome: Outcome, recorded: Events) -> None:
        """Compare what the ledger said of the round's end."""
        seats = {self.owners[relay][seat]: place for place, seat in enumerate(leases.seats[relay]) if seat != NOBODY}
        paid, charged, slashed = (np.zeros(len(leases.seats[relay]), np.int64) for _ in range(3))
        agreed = np.zeros_like(paid)
        for event in recorded:
            match event:
                case events.LegSettled(leg=leg):
                    found = {
                        name: getattr(outcome, name)[relay, leg]
                        for name in ("score", "selected", "reward", "royalty", "bid_returned", "forfeited")
                    }
                    assert found == {name: getattr(event, name) for name in found}
                case events.ValidatorPaid():
                    paid[seats[event.validator]] = event.amount
                    agreed[seats[event.validator]] = event.agreement
                case events.ValidatorCharged():
                    charged[seats[event.validator]] = event.amount
                    agreed[seats[event.validator]] = -event.disagreement
                case events.ValidatorSlashed():
                    slashed[seats[event.validator]] = event.amount
                case events.RoundSettled():
                    assert (outcome.pot[relay], outcome.emission[relay]) == (event.pot, event.emission)
                    assert outcome.carry[relay] == event.carry
                    assert outcome.selected[relay].sum() == event.selected
        assert paid.tolist() == outcome.paid[relay].tolist()
        assert charged.tolist() == outcome.charged[relay].tolist()
        assert slashed.tolist() == outcome.slashed[relay].tolist()
        moved = (paid > 0) | (charged > 0)
        assert agreed[moved].tolist() == outcome.agreement[relay, moved].tolist()

    def learn_children(self, leases: Leases, outcome: Outcome, child: Any, numbers: Sequence[int]) -> None:
        """Remember the roots of the new checkpoints; `numbers` are the relays' round numbers in which they came."""
        for relay, leg in zip(*np.nonzero(outcome.selected), strict=True):
            name = self.root(relay, numbers[relay], int(child[relay, leg]))
            self.roots[relay][int(outcome.child[relay, leg])] = name

    def renumber(self, renumbered: Any) -> None:
        """Keep the roots of what the book has not forgotten."""
        self.roots = [
            {int(renumbered[old]): root for old, root in roots.items() if renumbered[old] != NOBODY}
            for roots in self.roots
        ]

    def compare(self, book: Book) -> None:
        """Compare every balance of every relay, and all that is known of its checkpoints."""
        if self.storage:
            self.storage.refresh()
        for relay, owners in enumerate(self.owners):
            model = self.model(relay)
            if self.storage:
                assert self.storage.model(self.models[relay], model.checkpoints, owners) == model
                assert [self.storage.free(owner) for owner in owners] == [self.state.free.get(o, 0) for o in owners]
            assert book.free[relay].tolist() == [self.state.free.get(owner, 0) for owner in owners]
            assert book.stake[relay].tolist() == [model.stakes.get(owner, 0) for owner in owners]
            leaving = [model.unbonding.get(owner) for owner in owners]
            assert book.unbonding[relay].tolist() == [entry.amount if entry else 0 for entry in leaving]
            times = [entry.release_time for entry in leaving if entry]
            assert (book.release_time[relay][book.unbonding[relay] > 0]).tolist() == times
            count = int(book.validator_count[relay])
            assert book.validators[relay, :count].tolist() == [self.numbers[owner] for owner in model.validators]
            assert (book.budget[relay], book.carry[relay]) == (model.budget, model.carry)
            assert (book.settled_rounds[relay], book.locked[relay]) == (model.settled_rounds, 0)
            tips = book.tips[relay][book.tips[relay] != NOBODY]
            assert [self.roots[relay][number] for number in tips] == [tip.root for tip in model.current.tips]
            stalled = book.stalled[relay]
            assert stalled.tolist() == [tip.stalled for tip in model.current.tips] + [False] * (
                len(stalled) - len(tips)
            )
            self._compare_checkpoints(relay, book, model)

    def _compare_checkpoints(self, relay: int, book: Book, model: ModelState) -> None:
        forest, numbers = book.checkpoints, self.roots[relay]
        names = {**numbers, NOBODY: NO_ROOT}
        for number, root in numbers.items():
            record = model.checkpoints[root]
            found = (self.owners[relay][forest.owner[number]], names[int(forest.parent[number])])
            forgotten = found[1] == NO_ROOT and record.parent not in numbers.values()
            assert (forest.relay[number], *found) == (relay, record.owner, NO_ROOT if forgotten else record.parent)
            assert (forest.score[number], forest.pending[number]) == (record.score, record.pending)
        gone = set(model.checkpoints) - set(numbers.values())
        assert not any(model.checkpoints[root].pending for root in gone)


def _ranks(digests: Sequence[bytes]) -> list[int]:
    return [sorted(digests).index(digest) for digest in digests]
