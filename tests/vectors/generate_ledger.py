"""Write histories of the ledger as test vectors; see ledger/README.md here for their format.

Run ``python tests/vectors/generate_ledger.py`` after a change of the rules; a test checks that the files are current.
"""

from __future__ import annotations

import hashlib
import json
import typing
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass, replace
from enum import IntEnum
from pathlib import Path
from typing import Any

from derelayl_protocol.errors import Reason, RuleViolation
from derelayl_protocol.ledger import commands as c
from derelayl_protocol.ledger.apply import apply
from derelayl_protocol.ledger.events import Event
from derelayl_protocol.ledger.state import LedgerState, ModelState, RoundView
from derelayl_protocol.limits import MAX_AMOUNT_WEI, MAX_BIDS
from derelayl_protocol.matching import bid_order, tip_order
from derelayl_protocol.rules import Rules, model_id
from derelayl_protocol.scoring import commitment
from derelayl_protocol.settlement import leg_order, median_seats
from derelayl_protocol.types import NO_ROOT, UNAVAILABLE, WHOLE_MODEL, Address, ModelId, Ppm, Root, Timestamp, Wei

HERE = Path(__file__).parent
START = 1_800_000_000
WALLET = Wei(10**6)
RULES = Rules(
    legs_per_tip=2,
    selection_bps=5_000,
    segments=3,
    bid_seconds=10,
    train_seconds=100,
    commit_seconds=20,
    reveal_seconds=30,
    committee_size=3,
    quorum=2,
    margin_ppm=Ppm(1_000),
    agreement_ppm=Ppm(500),
    gamma_bps=5_000,
    trainer_bps=6_000,
    royalty_bps=2_500,
    validator_bps=1_500,
    slash_bps=1_000,
    min_bid=Wei(10),
    offer_deposit=Wei(5),
    validator_stake=Wei(1_000),
    emission=Wei(9_999),
    halving_rounds=2,
)


def files() -> dict[str, str]:
    """Return the text of each vector file by its path in this folder."""
    contents = {
        "ledger/settled.json": [settled_rounds(), ties_and_twins()],
        "ledger/voids.json": [voids()],
        "ledger/refusals.json": [refusals()],
    }
    return {path: json.dumps(cases, indent=1) + "\n" for path, cases in contents.items()}


def address(name: str) -> Address:
    return Address("0x" + hashlib.sha256(name.encode()).hexdigest()[:40])


def root(name: str) -> Root:
    return Root(hashlib.sha256(name.encode()).digest())


OWNER = address("owner")
TRAINERS = [address(f"trainer {number}") for number in range(MAX_BIDS + 1)]
JUDGES = [address(f"judge {number}") for number in range(5)]
STRANGER = address("stranger")
GENESIS, SALT = root("genesis"), bytes(root("salt"))


# --- JSON -------------------------------------------------------------------------------------------------------------


def to_json(value: Any, hint: Any) -> Any:
    """Encode by the type hint: amounts and scores as decimal strings, bytes as hex, enumerations by name."""
    if hint in (Wei, Ppm):
        return str(value)
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, tuple):
        return [to_json(entry, typing.get_args(hint)[0]) for entry in value]
    if is_dataclass(value):
        return {name: to_json(getattr(value, name), kind) for name, kind in _hints(type(value)).items()}
    return value.name if isinstance(value, IntEnum) else value


def from_json(value: Any, hint: Any) -> Any:
    """Decode what `to_json` wrote."""
    if hint in (Wei, Ppm):
        return int(value)
    if typing.get_origin(hint) is tuple:
        return tuple(from_json(entry, typing.get_args(hint)[0]) for entry in value)
    if is_dataclass(hint):
        return hint(**{name: from_json(value[name], kind) for name, kind in _hints(hint).items()})
    return bytes.fromhex(value) if hint in (bytes, Root, ModelId) else value


def message_to_json(message: c.Command | Event) -> dict[str, Any]:
    """A command or an event: its fields and, as `type`, its name."""
    return {"type": type(message).__name__, **to_json(message, type(message))}


def command_from_json(value: Mapping[str, Any]) -> c.Command:
    """Decode a command."""
    command: c.Command = from_json(value, getattr(c, value["type"]))
    return command


def state_to_json(state: LedgerState) -> dict[str, Any]:
    """Balances and models, in the order of their names."""
    return {
        "wallets": _amounts(state.wallets),
        "free": _amounts(state.free),
        "models": {model.hex(): _model_to_json(held) for model, held in sorted(state.models.items())},
    }


def _model_to_json(held: ModelState) -> dict[str, Any]:
    checkpoints = {key.hex(): to_json(record, type(record)) for key, record in sorted(held.checkpoints.items())}
    hints = _hints(ModelState)
    plain = ("budget", "carry", "settled_rounds", "next_seed", "validators")
    return {
        **{name: to_json(getattr(held, name), hints[name]) for name in plain},
        "stakes": _amounts(held.stakes),
        "round": held.current.number,
        "phase": held.current.phase.name,
        "tips": [tip.root.hex() for tip in held.current.tips],
        "checkpoints": checkpoints,
    }


def _amounts(balances: Mapping[Address, Wei]) -> dict[str, str]:
    return {account: str(amount) for account, amount in sorted(balances.items()) if amount}


def _hints(kind: type) -> dict[str, Any]:
    hints = typing.get_type_hints(kind)
    return {field.name: hints[field.name] for field in fields(kind)}  # type: ignore[arg-type]


# --- recording --------------------------------------------------------------------------------------------------------


class History:
    """One ledger with one model, and the record of what was sent to it."""

    def __init__(self, rules: Rules = RULES, judges: int = 4) -> None:
        accounts = [OWNER, *TRAINERS, *JUDGES, STRANGER]
        self.now = START
        self.state = LedgerState(wallets=dict.fromkeys(accounts, WALLET))
        self.wallets = _amounts(self.state.wallets)
        self.steps: list[dict[str, Any]] = []
        self.model = model_id(OWNER, GENESIS, rules)
        for account in accounts:
            self.send(account, c.Deposit(Wei(500_000)))
        self.send(OWNER, c.CreateModel(rules, GENESIS, Wei(100_000)))
        for number, judge in enumerate(JUDGES[:judges]):
            self.send(judge, c.Stake(self.model, Wei(rules.validator_stake + number)))

    @property
    def round(self) -> RoundView:
        return self.state.models[self.model].current

    def send(self, sender: Address, command: c.Command) -> Reason | None:
        """Apply and record; returns why it was refused."""
        step: dict[str, Any] = {"sender": sender, "now": self.now, "command": message_to_json(command)}
        self.steps.append(step)
        try:
            self.state, events = apply(self.state, command, sender, Timestamp(self.now))
        except RuleViolation as refusal:
            step["refused"] = refusal.reason.value
            return refusal.reason
        step["events"] = [message_to_json(event) for event in events]
        return None

    def about(self, sender: Address, kind: Callable[..., c.Command], *arguments: Any) -> Reason | None:
        """Send a command about the running round."""
        return self.send(sender, kind(self.model, self.round.number, *arguments))

    def refused(self, reason: Reason, sender: Address, command: c.Command) -> None:
        assert self.send(sender, command) == reason, f"{command} should be refused as {reason}"

    def case(self, name: str) -> dict[str, Any]:
        return {"name": name, "wallets": self.wallets, "steps": self.steps, "final": state_to_json(self.state)}

    # --- parts of a round -------------------------------------------------------------------------------------------

    def lease(self, amounts: Mapping[Address, int]) -> None:
        for trainer, amount in amounts.items():
            self.about(trainer, c.PlaceBid, WHOLE_MODEL, Wei(amount))
        self.match()

    def match(self) -> None:
        self.now = self.round.deadline
        seed = self.round.seed
        self.about(STRANGER, c.MatchRound, bid_order(seed, self.round.bids), tip_order(seed, self.round.tips))

    def train(self, *children: str | None) -> None:
        for leg, (lease, child) in enumerate(zip(self.round.legs, children, strict=True)):
            if child is not None:
                self.about(lease.trainer, c.SubmitLeg, leg, root(child))
        if None in children:
            self.advance()

    def judge(self, *scores: tuple[int, ...] | None) -> None:
        seats = [seat.validator for seat in self.round.seats]
        for judge, own in zip(seats, scores, strict=True):
            self.commit(judge, own or ())
        for judge, own in zip(seats, scores, strict=True):
            if own is not None:
                self.reveal(judge, own)
        if None in scores:
            self.advance()

    def commit(self, judge: Address, scores: tuple[int, ...]) -> None:
        seal = commitment(self.model, self.round.number, judge, SALT, tuple(map(Ppm, scores)))
        self.about(judge, c.CommitScores, seal)

    def reveal(self, judge: Address, scores: tuple[int, ...]) -> None:
        self.about(judge, c.RevealScores, tuple(map(Ppm, scores)), SALT)

    def settle(self) -> None:
        order = leg_order(self.round.legs, self.round.seats)
        self.about(STRANGER, c.SettleRound, order, median_seats(order, self.round.seats))

    def advance(self) -> None:
        self.now = self.round.deadline
        self.about(STRANGER, c.Advance)


# --- histories --------------------------------------------------------------------------------------------------------


def settled_rounds() -> dict[str, Any]:
    """Offers, a bid without a place, a lost leg, a silent and a straying seat, royalties."""
    history = History()
    history.about(OWNER, c.OfferTip, GENESIS)
    history.lease(dict(zip(TRAINERS, (500, 300, 300), strict=False)))
    history.train("a", "b")
    history.judge((4_000, 2_500), (4_100, 8_000), None)
    history.settle()
    history.send(STRANGER, c.Fund(history.model, Wei(77)))
    history.lease(dict(zip(TRAINERS[3:], (50, 70, 60), strict=False)))
    history.train("c", None)
    history.judge((1_500, UNAVAILABLE), (1_400, UNAVAILABLE), (900, UNAVAILABLE))
    history.settle()
    history.lease(dict(zip(TRAINERS[6:], (400,), strict=False)))
    history.train("d")
    history.judge((999,), (999,), (999,))
    history.settle()
    history.send(STRANGER, c.CollectRoyalty(history.model, history.round.tips[0].root, 32))
    history.send(JUDGES[1], c.Unstake(history.model))
    history.send(TRAINERS[0], c.Withdraw(Wei(123)))
    return history.case("settled rounds")


def ties_and_twins() -> dict[str, Any]:
    """Equal bids, equal tips, two legs of one child, medians of equal halves, everything selected."""
    rules = replace(RULES, committee_size=2, selection_bps=10_000, legs_per_tip=3, agreement_ppm=Ppm(0))
    history = History(rules)
    history.lease(dict.fromkeys(TRAINERS[:4], 100))
    history.train("twin", "twin", "other")
    history.judge((5_000, 5_000, 5_000), (5_000, 6_000, 5_000))
    history.settle()
    history.about(history.round.tips[1].owner, c.OfferTip, history.round.tips[1].root)
    history.lease(dict.fromkeys(TRAINERS[5:10], 100))
    history.train("e", "f", "g", "h", "i")
    unavailable = (UNAVAILABLE, 2_000, UNAVAILABLE, -1, 20_000_000)
    history.judge(unavailable, (3_000, 2_000, UNAVAILABLE, -1, 20_000_000))
    history.settle()
    return history.case("ties and twins")


def voids() -> dict[str, Any]:
    """Each way in which a round ends without a settlement."""
    history = History(judges=1)
    history.about(OWNER, c.OfferTip, GENESIS)
    history.lease(dict(zip(TRAINERS, (30, 20), strict=False)))
    for judge in JUDGES[1:4]:
        history.send(judge, c.Stake(history.model, Wei(2_000)))
    history.about(OWNER, c.OfferTip, GENESIS)
    history.lease(dict(zip(TRAINERS, (30, 20), strict=False)))
    history.advance()
    history.about(OWNER, c.OfferTip, GENESIS)
    history.lease(dict(zip(TRAINERS, (30, 20), strict=False)))
    history.train("a", None)
    history.commit(history.round.seats[1].validator, (1, UNAVAILABLE))
    history.advance()
    history.lease(dict(zip(TRAINERS, (30, 20), strict=False)))
    history.train("a", "b")
    for seat in history.round.seats[:2]:
        history.commit(seat.validator, (1, 2))
    history.advance()
    history.reveal(history.round.seats[0].validator, (1, 2))
    history.advance()
    assert history.round.number == 5
    return history.case("voids")


def refusals() -> dict[str, Any]:
    """Every reason for which the ledger refuses, at least once."""
    history = History()
    model, refused = history.model, history.refused
    refused(Reason.BAD_RULES, OWNER, c.CreateModel(replace(RULES, quorum=4), GENESIS, Wei(0)))
    refused(Reason.ZERO_ROOT, OWNER, c.CreateModel(RULES, NO_ROOT, Wei(0)))
    refused(Reason.MODEL_EXISTS, OWNER, c.CreateModel(RULES, GENESIS, Wei(0)))
    refused(Reason.UNKNOWN_MODEL, OWNER, c.Unstake(ModelId(root("nowhere"))))
    refused(Reason.ZERO_AMOUNT, OWNER, c.Deposit(Wei(0)))
    refused(Reason.AMOUNT_TOO_LARGE, OWNER, c.Deposit(Wei(MAX_AMOUNT_WEI + 1)))
    refused(Reason.INSUFFICIENT_BALANCE, OWNER, c.Deposit(Wei(500_001)))
    refused(Reason.STAKE_TOO_SMALL, STRANGER, c.Stake(model, Wei(999)))
    refused(Reason.NO_STAKE, STRANGER, c.Unstake(model))
    refused(Reason.BAD_STEPS, STRANGER, c.CollectRoyalty(model, GENESIS, 0))
    refused(Reason.UNKNOWN_CHECKPOINT, STRANGER, c.CollectRoyalty(model, root("a"), 1))
    refused(Reason.WRONG_ROUND, STRANGER, c.Advance(model, 2))
    refused(Reason.NOTHING_TO_ADVANCE, STRANGER, c.Advance(model, 1))
    refused(Reason.WRONG_PHASE, STRANGER, c.SettleRound(model, 1, (), ()))
    refused(Reason.BAD_SEGMENT, TRAINERS[0], c.PlaceBid(model, 1, 3, Wei(10)))
    refused(Reason.BID_TOO_SMALL, TRAINERS[0], c.PlaceBid(model, 1, 0, Wei(9)))
    refused(Reason.NOT_A_TIP, OWNER, c.OfferTip(model, 1, root("a")))
    refused(Reason.NOT_THE_OWNER, STRANGER, c.OfferTip(model, 1, GENESIS))
    history.about(OWNER, c.OfferTip, GENESIS)
    refused(Reason.ALREADY_OFFERED, OWNER, c.OfferTip(model, 1, GENESIS))
    for number, trainer in enumerate(TRAINERS[:MAX_BIDS]):
        history.about(trainer, c.PlaceBid, number % 3, Wei(10 + number))
        if number == 0:
            refused(Reason.ALREADY_BID, trainer, c.PlaceBid(model, 1, 0, Wei(10)))
    refused(Reason.TOO_MANY_BIDS, TRAINERS[MAX_BIDS], c.PlaceBid(model, 1, 0, Wei(99)))
    refused(Reason.TOO_EARLY, STRANGER, c.MatchRound(model, 1, (), ()))
    history.now = history.round.deadline
    refused(Reason.TOO_LATE, OWNER, c.PlaceBid(model, 1, 0, Wei(10)))
    refused(Reason.WRONG_ORDER, STRANGER, c.MatchRound(model, 1, (), ()))
    history.match()
    first = history.round.legs[0].trainer
    refused(Reason.NO_SUCH_LEG, first, c.SubmitLeg(model, 1, 2, root("a")))
    refused(Reason.NOT_YOUR_LEASE, first, c.SubmitLeg(model, 1, 1, root("a")))
    refused(Reason.CHECKPOINT_EXISTS, first, c.SubmitLeg(model, 1, 0, GENESIS))
    history.about(first, c.SubmitLeg, 0, root("a"))
    refused(Reason.ALREADY_SUBMITTED, first, c.SubmitLeg(model, 1, 0, root("b")))
    history.advance()
    seats = [seat.validator for seat in history.round.seats]
    refused(Reason.NOT_SEATED, STRANGER, c.CommitScores(model, 1, root("x")))
    refused(Reason.ZERO_COMMITMENT, seats[0], c.CommitScores(model, 1, bytes(32)))
    history.commit(seats[0], (5_000, UNAVAILABLE))
    refused(Reason.ALREADY_COMMITTED, seats[0], c.CommitScores(model, 1, root("x")))
    copied = history.round.seats[0].commitment
    assert copied is not None
    history.about(seats[1], c.CommitScores, copied)
    history.advance()
    refused(Reason.STAKE_IN_USE, seats[2], c.Unstake(model))
    scores = (Ppm(5_000), UNAVAILABLE)
    refused(Reason.NOT_COMMITTED, seats[2], c.RevealScores(model, 1, scores, SALT))
    refused(Reason.BAD_SCORES, seats[0], c.RevealScores(model, 1, (Ppm(5_000), Ppm(0)), SALT))
    refused(Reason.COMMIT_MISMATCH, seats[1], c.RevealScores(model, 1, scores, SALT))
    history.reveal(seats[0], scores)
    refused(Reason.ALREADY_REVEALED, seats[0], c.RevealScores(model, 1, scores, SALT))
    history.advance()
    history.lease({TRAINERS[0]: 10})
    history.train("a")
    history.judge((5_000,), (4_000,))
    (median,) = median_seats((0,), history.round.seats)
    refused(Reason.WRONG_MEDIAN, STRANGER, c.SettleRound(model, 2, (0,), (1 - median,)))
    history.settle()
    refusals_seen = {step["refused"] for step in history.steps if "refused" in step}
    assert refusals_seen == {reason.value for reason in Reason}, "a reason is missing"
    return history.case("refusals")


def main() -> None:
    """Write all files."""
    for path, text in files().items():
        (HERE / path).parent.mkdir(exist_ok=True)
        (HERE / path).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
