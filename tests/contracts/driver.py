"""Random histories of the ledger: commands that mostly fit the state, now and then one that does not, and a clock."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from enum import StrEnum
from typing import Any

from derelayl_protocol import limits
from derelayl_protocol.ledger import commands
from derelayl_protocol.ledger.phases import Phase
from derelayl_protocol.ledger.rules import Rules
from derelayl_protocol.ledger.state import LedgerState, ModelState, RoundView
from derelayl_protocol.types import UNAVAILABLE, WHOLE_MODEL, Address, ModelId, Ppm, Root, Timestamp, Wei

from .envelopes import Signer
from .evm import account
from .orders import bid_order, commitment, own_originals, settlement_order, tip_order
from .relay import RULES, UNKNOWN, root

Step = tuple[Address, commands.Command]

Opened = tuple[tuple[Ppm, ...], tuple[int, ...], bytes]
"""What a seat reveals: scores, originals and salt."""

ACCOUNTS = tuple(account(number) for number in range(1, 11))
"""Few enough that bidders, owners and validators are often the same accounts."""

MODELS = 2
"""Models at once; each has other rules."""


class Kind(StrEnum):
    """What the next command is for; the more frequent ones first."""

    GO_ON = "go on with a round"
    BATCH = "go on with a round by signatures"
    ASIDE = "no round"
    MISTAKE = "spoil any of the others"
    REPORT = "report an equivocation"


class Driver:
    """Chooses the next step from the reference's state; the same seeds give the same history."""

    def __init__(self, sign: Signer) -> None:
        self.random = random.Random()
        self.sign = sign
        self.sent: list[Step] = []
        self.secrets: dict[tuple[ModelId, int, Address], Opened] = {}

    def reseed(self, seed: int, state: LedgerState) -> None:
        """Make the choices from here on those of that seed in that state.

        Hypothesis likes to repeat a number; in another state it means something else.
        """
        rounds = [(model.next_seed, model.current.phase, len(model.current.bids)) for model in state.models.values()]
        self.random.seed(repr((seed, rounds, sum(state.free.values()))))

    # --- time ---------------------------------------------------------------------------------------------------------

    def tick(self, state: LedgerState, now: Timestamp) -> Timestamp:
        """The next block's time: the same, soon, or just before, at or after a deadline."""
        deadlines = [model.current.deadline for model in state.models.values() if model.current.deadline > now]
        crowded = any(len(model.current.bids) > 3 and not model.current.legs for model in state.models.values())
        if deadlines and self.random.random() < (0.4 if crowded else 0.05):
            return Timestamp(max(now, min(deadlines) + self.random.choice([-1, 0, 0, 0, 5])))
        return Timestamp(now + self.random.choice([0, 0, 0, 1, 2]))

    # --- commands -----------------------------------------------------------------------------------------------------

    def found(self, state: LedgerState) -> Step | None:
        """A command that founds the models, until they have some validators."""
        if len(state.models) < MODELS:
            budget = Wei(self.random.choice([0, 3000, 10**6]))
            return self._any(), commands.CreateModel(self._rules(), self._new_root(), budget)
        for model, ledger in state.models.items():
            if len(ledger.validators) < 4:
                return self._first_stake(ledger, model)
        return None

    def step(self, state: LedgerState, now: Timestamp, kind: Kind) -> Step:
        """A sender and a command of that kind, or of the next best one where there is none."""
        chosen = self._step(state, now, kind)
        self.sent.append(chosen)
        return chosen

    def _step(self, state: LedgerState, now: Timestamp, kind: Kind) -> Step:
        poor = [owner for owner in ACCOUNTS if state.free.get(owner, 0) < 10_000]
        if poor:
            return poor[0], commands.Deposit(Wei(10**5 + self.random.randrange(1000)))
        if kind is Kind.MISTAKE:
            others = [Kind.GO_ON, Kind.BATCH, Kind.ASIDE, Kind.REPORT]
            return self._spoiled(*self._step(state, now, self.random.choices(others, [5, 3, 2, 2])[0]))
        model = self.random.choice(list(state.models))
        ledger = state.models[model]
        if kind is Kind.ASIDE:
            return self._aside(state, model, now)
        if kind is Kind.BATCH:
            return self._batch(model, ledger, now) or self._round(model, ledger, now)
        if kind is Kind.REPORT:
            return self._report(model, ledger)
        return self._round(model, ledger, now)

    def _first_stake(self, ledger: ModelState, model: ModelId) -> Step:
        sender = self.random.choice([owner for owner in ACCOUNTS if owner not in ledger.stakes])
        return sender, commands.Stake(model, Wei(ledger.rules.validator_stake + self.random.randrange(300)))

    def _aside(self, state: LedgerState, model: ModelId, now: Timestamp) -> Step:
        """A command about no round."""
        ledger, sender = state.models[model], self._any()
        seated = {seat.validator for seat in ledger.current.seats}
        idle = [owner for owner in ledger.validators if owner not in seated] or [sender]
        ripe = [owner for owner, leaving in ledger.unbonding.items() if leaving.release_time <= now]
        least = max(1, ledger.rules.validator_stake - ledger.stakes.get(sender, 0))
        roots = [name for name, record in ledger.checkpoints.items() if record.pending] or list(ledger.checkpoints)
        steps = self.random.choice([1, 2, 8, limits.MAX_COLLECT_STEPS])
        choices: list[Step] = [
            (sender, commands.Stake(model, Wei(least + self.random.randrange(300)))),
            (sender, commands.Stake(model, Wei(self.random.randrange(1, 300)))),
            (self.random.choice(idle), commands.Unstake(model)),
            (self.random.choice(ripe or list(ledger.unbonding) or [sender]), commands.Release(model)),
            (sender, commands.Fund(model, Wei(self.random.randrange(1, 5000)))),
            (sender, commands.Withdraw(Wei(self.random.randrange(1, 5000)))),
            (sender, commands.CollectRoyalty(model, self.random.choice(roots), steps)),
            (sender, commands.CollectRoyalty(model, roots[-1], steps)),
            (sender, commands.BuyAccess(model, self.random.choice(list(ledger.checkpoints)))),
        ]
        weights = [3, 1, 4, 6 if ripe else 1, 1, 1, 3, 3, 3]
        return self.random.choices(choices, weights)[0]

    def _round(self, model: ModelId, ledger: ModelState, now: Timestamp) -> Step:
        view = ledger.current
        if view.deadline and now >= view.deadline:
            if view.phase is Phase.BID:
                return self._any(), commands.MatchRound(model, view.number, bid_order(view), tip_order(view))
            return self._any(), commands.Advance(model, view.number)
        phases: dict[Phase, Callable[[ModelId, ModelState], Step]] = {
            Phase.BID: self._bid_or_offer,
            Phase.TRAIN: self._submit,
            Phase.COMMIT: self._commit,
            Phase.REVEAL: self._reveal,
            Phase.SETTLE: self._settle,
        }
        return phases[view.phase](model, ledger)

    def _bid_or_offer(self, model: ModelId, ledger: ModelState) -> Step:
        view, rules = ledger.current, ledger.rules
        parties = {bid.trainer for bid in view.bids} | {tip.owner for tip in view.tips}
        fit = [owner for owner, stake in ledger.stakes.items() if 2 * stake >= rules.validator_stake]
        if len(set(fit) - parties) < 4 and self.random.random() < 0.5:
            return self._refilled(model, ledger, parties)
        silent = [tip for tip in view.tips if not tip.offered]
        if silent and self.random.random() < 0.25:
            tip = self.random.choice(silent)
            return tip.owner, commands.OfferTip(model, view.number, tip.root)
        amount = Wei(rules.min_bid + self.random.choice([0, 0, 1, self.random.randrange(50)]))
        segment = self.random.choice([WHOLE_MODEL, *range(rules.segments)])
        bidders = {bid.trainer for bid in view.bids}
        left = [owner for owner in ACCOUNTS if owner not in bidders] or [self._any()]
        # Who has staked bids less often, so that a committee can be seated.
        free = [owner for owner in left if owner not in ledger.stakes]
        sender = self.random.choice(free if free and self.random.random() < 0.8 else left)
        return sender, commands.PlaceBid(model, view.number, segment, amount)

    def _refilled(self, model: ModelId, ledger: ModelState, parties: set[Address]) -> Step:
        """A stake by somebody who could get a seat with it."""
        sender = self.random.choice([owner for owner in ACCOUNTS if owner not in parties] or ACCOUNTS)
        missing = max(1, ledger.rules.validator_stake - ledger.stakes.get(sender, 0))
        return sender, commands.Stake(model, Wei(missing + self.random.randrange(300)))

    def _submit(self, model: ModelId, ledger: ModelState) -> Step:
        view = ledger.current
        leg = self.random.choice([number for number, entry in enumerate(view.legs) if not entry.submitted])
        taken = [entry.child for entry in view.legs if entry.submitted]
        child = self.random.choice(taken) if taken and self.random.random() < 0.1 else self._new_root()
        return view.legs[leg].trainer, commands.SubmitLeg(model, view.number, leg, child)

    def _commit(self, model: ModelId, ledger: ModelState) -> Step:
        seat = self.random.choice([seat for seat in ledger.current.seats if seat.commitment is None])
        return seat.validator, commands.CommitScores(
            model, ledger.current.number, self._seal(model, ledger, seat.validator)
        )

    def _seal(self, model: ModelId, ledger: ModelState, validator: Address) -> bytes:
        """Make up a seat's scores and what it commits to."""
        view = ledger.current
        places = list(range(len(view.legs)))
        if self.random.random() < 0.25:
            places.reverse()  # as if it had mixed up the legs
        scores = tuple(
            self._score(place) if leg.submitted else UNAVAILABLE for place, leg in zip(places, view.legs, strict=True)
        )
        salt = self.random.randbytes(32)
        originals = self._originals(view)
        self.secrets[model, view.number, validator] = scores, originals, salt
        return commitment(model, view.number, validator, salt, scores, originals)

    def _originals(self, view: RoundView) -> tuple[int, ...]:
        """What seats mostly agree on, of the legs that were submitted: the odd ones duplicate the one before them."""
        named = list(range(len(view.legs)))
        for place in range(1, len(named)):
            copied = self.random.random() < (0.6 if place % 2 else 0.1)
            if copied and view.legs[place].submitted and view.legs[place - 1].submitted:
                named[place] = place - 1
        return tuple(named)

    def _reveal(self, model: ModelId, ledger: ModelState) -> Step:
        view = ledger.current
        sealed = [seat for seat in view.seats if seat.commitment is not None and seat.scores is None]
        seat = self.random.choice(sealed)
        opened = self._opened(model, ledger, seat.validator)
        return seat.validator, commands.RevealScores(model, view.number, *opened)

    def _opened(self, model: ModelId, ledger: ModelState, validator: Address) -> Opened:
        secret = self.secrets.get((model, ledger.current.number, validator))
        blind = (UNAVAILABLE,) * len(ledger.current.legs)
        return secret or (blind, own_originals(blind), bytes(32))

    def _settle(self, model: ModelId, ledger: ModelState) -> Step:
        return self._any(), commands.SettleRound(model, ledger.current.number, *settlement_order(ledger.current))

    # --- by signature -------------------------------------------------------------------------------------------------

    def _batch(self, model: ModelId, ledger: ModelState, now: Timestamp) -> Step | None:
        """A list of signed entries for the running phase, some of which come twice or too late."""
        view = ledger.current
        command: commands.Command | None = None
        if view.deadline and now >= view.deadline:
            return None
        if view.phase is Phase.BID:
            command = commands.BidBySig(model, view.number, self._signed_bids(model, ledger, now))
        elif view.phase is Phase.TRAIN:
            legs = self._some(range(len(view.legs)))
            children = tuple(self._signed_child(model, ledger, leg) for leg in legs)
            command = commands.SubmitBySig(model, view.number, children)
        elif view.phase is Phase.COMMIT:
            committed = [self._signed_commit(model, ledger, seat.validator) for seat in self._some(view.seats)]
            command = commands.CommitBySig(model, view.number, tuple(committed))
        elif view.phase is Phase.REVEAL:
            sealed = [seat for seat in view.seats if seat.commitment is not None]
            revealed = [self._signed_reveal(model, ledger, seat.validator) for seat in self._some(sealed)]
            command = commands.RevealBySig(model, view.number, tuple(revealed))
        return None if command is None else (self._any(), command)

    def _signed_bids(self, model: ModelId, ledger: ModelState, now: Timestamp) -> tuple[commands.SignedBid, ...]:
        rules = ledger.rules
        return tuple(
            self.sign.bid(
                model,
                ledger.current.number,
                trainer,
                self.random.choice([WHOLE_MODEL, *range(rules.segments)]),
                Wei(rules.min_bid + self.random.choice([0, 1, 10**7, self.random.randrange(50)])),
                Timestamp(now + self.random.choice([-1, 0, 1, 100, 100])),
            )
            for trainer in self._some(ACCOUNTS, 4)
        )

    def _signed_child(self, model: ModelId, ledger: ModelState, leg: int) -> commands.SignedChild:
        lease = ledger.current.legs[leg]
        child = lease.child if lease.submitted else self._new_root()
        return self.sign.child(model, ledger.current.number, leg, lease.trainer, lease.parent, child)

    def _signed_commit(self, model: ModelId, ledger: ModelState, validator: Address) -> commands.SignedCommit:
        seat = next(seat for seat in ledger.current.seats if seat.validator == validator)
        seal = self._seal(model, ledger, validator) if seat.commitment is None else bytes(32)
        return self.sign.commit(model, ledger.current.number, validator, seal)

    def _signed_reveal(self, model: ModelId, ledger: ModelState, validator: Address) -> commands.SignedReveal:
        scores, originals, salt = self._opened(model, ledger, validator)
        return self.sign.reveal(model, ledger.current.number, validator, scores, salt, originals)

    def _some(self, items: Sequence[Any], most: int = 15) -> list[Any]:
        """Some of the items, in any order, now and then one of them twice."""
        chosen = self.random.sample(items, self.random.randint(1, min(most, len(items))))
        return [*chosen, *chosen[: self.random.random() < 0.2]]

    # --- equivocations ------------------------------------------------------------------------------------------------

    def _report(self, model: ModelId, ledger: ModelState) -> Step:
        """Two signed messages where one was due, of a running lease or of anyone's seat in any round."""
        view = ledger.current
        if view.legs and self.random.random() < 0.4:
            leg = self.random.randrange(len(view.legs))
            children = self._new_root(), view.legs[leg].child
            return self._any(), self.sign.manifests(
                model, view.number, leg, view.legs[leg].trainer, view.legs[leg].parent, children
            )
        liable = self.random.choice([list(ledger.unbonding), list(ledger.stakes), ACCOUNTS]) or ACCOUNTS
        validator = self.random.choice(liable)
        scores = (Ppm(5), UNAVAILABLE), (Ppm(5), UNAVAILABLE)
        salts = self.random.randbytes(32), self.random.randbytes(32)
        return self._any(), self.sign.reveals(model, self.random.randrange(9), validator, scores, salts)

    # --- mistakes -----------------------------------------------------------------------------------------------------

    def _spoiled(self, sender: Address, command: commands.Command) -> Step:
        """A former step again, or the same command by another account, or with one field changed."""
        if self.sent and self.random.random() < 0.2:
            return self.random.choice(self.sent[-10:])
        if self.random.random() < 0.15:
            return self._any(), command
        if self.random.random() < 0.2:
            return sender, self._untimely(command)
        return sender, self._changed(command)

    def _changed(self, item: Any) -> Any:
        """The same command or entry with one field changed."""
        field = self.random.choice(fields(item)).name
        value = getattr(item, field)
        changes: dict[str, Callable[[], Any]] = {
            "model": lambda: UNKNOWN,
            "round": lambda: value + self.random.choice([-1, 1]) if value else 1,
            "amount": lambda: self.random.choice([0, 1, 10**30, limits.MAX_AMOUNT_WEI, limits.MAX_AMOUNT_WEI + 1]),
            "budget": lambda: self.random.choice([10**20, limits.MAX_AMOUNT_WEI + 1]),
            "segment": lambda: self.random.choice([9, 64, 254]),
            "leg": lambda: self.random.choice([0, 1, 31, 255]),
            "steps": lambda: self.random.choice([0, limits.MAX_COLLECT_STEPS + 1]),
            "rules": lambda: replace(value, quorum=value.committee_size + 1),
            "expiry": lambda: value + 1,
            "trainer": self._any,
            "validator": self._any,
            "signature": lambda: self._spoiled_signature(value),
            "signatures": lambda: (value[0], self._spoiled_signature(value[1])),
            "salts": lambda: (value[0], value[0]),
        }
        if field == "children":
            nested = isinstance(item, commands.ReportManifests)
            changes[field] = lambda: (value[0], value[self.random.randrange(2)]) if nested else value
        if field == "scores":
            nested = isinstance(item, commands.ReportReveals)
            changes[field] = lambda: (value[0], value[0]) if nested else self._spoiled_scores(value)
        if field == "originals":
            nested = isinstance(item, commands.ReportReveals)
            changes[field] = lambda: (value[0], value[0]) if nested else self._spoiled_originals(value)
        entries = field in ("bids", "commits", "reveals") or isinstance(item, commands.SubmitBySig)
        if entries and field in ("bids", "children", "commits", "reveals") and value:
            changes[field] = lambda: self._spoiled_entries(item.model, item.round, value)
        if field in ("genesis", "root", "tip", "child", "commitment", "salt"):
            changes[field] = lambda: self.random.choice([bytes(32), self.random.randbytes(32)])
        if field.endswith("_order"):
            changes[field] = lambda: self._spoiled_order(value)
        changed: dict[str, Any] = {field: changes[field]()}
        if field == "scores":  # a list that is longer or shorter than the other has no form in the contract
            nested = isinstance(item, commands.ReportReveals)
            scores = changed[field]
            changed["originals"] = tuple(map(own_originals, scores)) if nested else own_originals(scores)
        return replace(item, **changed)

    def _spoiled_entries(self, model: ModelId, number: int, entries: Sequence[Any]) -> tuple[Any, ...]:
        """One entry changed; as often as not signed as it is now."""
        number = self.random.randrange(len(entries))
        changed = self._changed(entries[number])
        if self.random.random() < 0.5:
            changed = self.sign.again(model, number, changed)
        return (*entries[:number], changed, *entries[number + 1 :])

    def _spoiled_signature(self, signature: bytes) -> bytes:
        """No point of the curve, another point, the other parity, or one that is too high."""
        kind = self.random.randrange(4)
        if kind == 0:
            return self.random.choice([bytes(64), b"\xff" * 64])
        if kind == 1:
            return self.random.randbytes(32) + signature[32:]
        return signature[:32] + bytes([signature[32] ^ (0x80 if kind == 2 else 0x40)]) + signature[33:]

    def _untimely(self, command: commands.Command) -> commands.Command:
        """Another command about the same round, likely in the wrong phase or before its deadline."""
        model, number = getattr(command, "model", UNKNOWN), getattr(command, "round", 1)
        others: list[commands.Command] = [
            commands.PlaceBid(model, number, 0, Wei(20)),
            commands.OfferTip(model, number, self._new_root()),
            commands.MatchRound(model, number, (0,), (0,)),
            commands.SubmitLeg(model, number, 0, self._new_root()),
            commands.CommitScores(model, number, self.random.randbytes(32)),
            commands.RevealScores(model, number, (Ppm(0),), (0,), bytes(32)),
            commands.SettleRound(model, number, (0,), (0,)),
            commands.Advance(model, number),
            commands.CollectRoyalty(model, self._new_root(), 1),
            commands.Unstake(model),
            commands.Release(model),
            commands.BuyAccess(model, self._new_root()),
            commands.BidBySig(model, number, ()),
            commands.SubmitBySig(model, number, ()),
            commands.CommitBySig(model, number, ()),
            commands.RevealBySig(model, number, ()),
            self.sign.manifests(model, number, 0, self._any(), self._new_root(), (self._new_root(), Root(bytes(32)))),
        ]
        return self.random.choice(others)

    def _spoiled_order(self, order: Sequence[int]) -> tuple[int, ...]:
        wrong = list(order)
        kind = self.random.randrange(4)
        if kind == 0:
            self.random.shuffle(wrong)
        elif kind == 1 and wrong:
            wrong.pop()
        elif kind == 2 and wrong:
            wrong[self.random.randrange(len(wrong))] = self.random.choice([0, 1, len(wrong), 255])
        else:
            wrong.append(self.random.randrange(4))
        return tuple(wrong)

    def _spoiled_scores(self, scores: Sequence[Ppm]) -> tuple[Ppm, ...]:
        wrong = list(scores)
        if not wrong or self.random.random() < 0.3:
            return (*wrong, UNAVAILABLE)
        wrong[self.random.randrange(len(wrong))] = Ppm(
            self.random.choice([0, limits.MAX_SCORE_PPM + 1, UNAVAILABLE + 1])
        )
        return tuple(wrong)

    def _spoiled_originals(self, originals: Sequence[int]) -> tuple[int, ...]:
        wrong = list(originals)
        if wrong:
            wrong[self.random.randrange(len(wrong))] = self.random.randrange(limits.MAX_BIDS)
        return tuple(wrong)

    # --- values -------------------------------------------------------------------------------------------------------

    def _any(self) -> Address:
        return self.random.choice(ACCOUNTS)

    def _new_root(self) -> Root:
        return root(self.random.getrandbits(64))

    def _score(self, leg: int) -> Ppm:
        """Judges mostly agree that a lower leg number is better; some cannot fetch, some are extreme."""
        near = 3000 - 700 * leg + self.random.choice([0, 0, 1, -400, 900])
        choices = [near, UNAVAILABLE, limits.MAX_SCORE_PPM, -limits.MAX_SCORE_PPM]
        return Ppm(self.random.choices(choices, weights=[20, 2, 1, 1])[0])

    def _rules(self) -> Rules:
        pick = self.random.choice
        trainer, royalty = pick([(6000, 2500), (10_000, 0), (3333, 3333)])
        return replace(
            RULES,
            legs_per_tip=pick([1, 2, 4]),
            selection_bps=pick([1, 5000, 10_000]),
            segments=pick([1, 3]),
            bid_seconds=pick([10, 20]),
            committee_size=pick([2, 3, 5]),
            quorum=pick([1, 2]),
            train_seconds=pick([30, 90]),
            commit_seconds=pick([20, 60]),
            reveal_seconds=pick([20, 60]),
            margin_ppm=Ppm(pick([1, 1000])),
            agreement_ppm=Ppm(pick([1, 500, 2000, 20_000])),
            duplicate_bps=pick([0, 9500, 9500]),
            gamma_bps=pick([0, 5000, 10_000]),
            trainer_bps=trainer,
            royalty_bps=royalty,
            validator_bps=limits.BPS - trainer - royalty,
            slash_bps=pick([0, 3333, 10_000]),
            offer_deposit=Wei(pick([0, 7])),
            min_bid=Wei(pick([10, 4000])),
            emission=Wei(pick([0, 1009, 10**5])),
            halving_rounds=pick([1, 2]),
            unbonding_seconds=pick([0, 30, 100]),
            reporter_bps=pick([0, 2000, limits.MAX_REPORTER_BPS]),
            access_fee=Wei(pick([0, 101])),
            access_pot_bps=pick([0, 3333, 10_000]),
        )
