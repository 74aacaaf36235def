"""Random histories of the ledger: commands that mostly fit the state, now and then one that does not, and a clock."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from typing import Any

from derelayl_protocol import limits
from derelayl_protocol.ledger import commands
from derelayl_protocol.ledger.phases import Phase
from derelayl_protocol.ledger.state import LedgerState, ModelState
from derelayl_protocol.rules import Rules
from derelayl_protocol.types import UNAVAILABLE, WHOLE_MODEL, Address, ModelId, Ppm, Root, Timestamp, Wei

from .orders import bid_order, commitment, settlement_order, tip_order
from .relay import RULES, UNKNOWN, account, root

Step = tuple[Address, commands.Command]

ACCOUNTS = tuple(account(number) for number in range(1, 11))
"""Few enough that bidders, owners and validators are often the same accounts."""

MODELS = 2
"""Models at once; each has other rules."""

MISTAKES = 0.2
"""Share of commands that are spoiled on purpose."""


class Driver:
    """Chooses the next step from the reference's state; the same seed gives the same history."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.secrets: dict[tuple[ModelId, int, Address], tuple[tuple[Ppm, ...], bytes]] = {}

    # --- time ---------------------------------------------------------------------------------------------------------

    def tick(self, state: LedgerState, now: Timestamp) -> Timestamp:
        """The next block's time: the same, soon, or just before, at or after a deadline."""
        deadlines = [model.current.deadline for model in state.models.values() if model.current.deadline > now]
        if deadlines and self.random.random() < 0.1:
            return Timestamp(max(now, min(deadlines) + self.random.choice([-1, 0, 0, 0, 5])))
        return Timestamp(now + self.random.choice([0, 0, 1, 2]))

    # --- commands -----------------------------------------------------------------------------------------------------

    def step(self, state: LedgerState, now: Timestamp) -> Step:
        """A sender and a command."""
        sender, command = self._fitting(state, now)
        if self.random.random() < MISTAKES:
            return self._spoiled(sender, command)
        return sender, command

    def _fitting(self, state: LedgerState, now: Timestamp) -> Step:
        poor = [owner for owner in ACCOUNTS if state.free.get(owner, 0) < 10_000]
        if poor:
            return poor[0], commands.Deposit(Wei(10**5 + self.random.randrange(1000)))
        if len(state.models) < MODELS:
            return self._any(), commands.CreateModel(
                self._rules(), self._new_root(), Wei(self.random.choice([0, 3000]))
            )
        model = self.random.choice(list(state.models))
        if len(state.models[model].validators) < 4:
            return self._first_stake(state.models[model], model)
        if self.random.random() < 0.12:
            return self._aside(state, model)
        return self._round(model, state.models[model], now)

    def _first_stake(self, ledger: ModelState, model: ModelId) -> Step:
        sender = self.random.choice([owner for owner in ACCOUNTS if owner not in ledger.stakes])
        return sender, commands.Stake(model, Wei(ledger.rules.validator_stake + self.random.randrange(300)))

    def _aside(self, state: LedgerState, model: ModelId) -> Step:
        """A command about no round."""
        ledger, sender = state.models[model], self._any()
        least = max(1, ledger.rules.validator_stake - ledger.stakes.get(sender, 0))
        roots = [name for name, record in ledger.checkpoints.items() if record.pending] or list(ledger.checkpoints)
        steps = self.random.choice([1, 2, 8, limits.MAX_COLLECT_STEPS])
        choices: list[commands.Command] = [
            commands.Stake(model, Wei(least + self.random.randrange(300))),
            commands.Stake(model, Wei(self.random.randrange(1, 300))),
            commands.Unstake(model),
            commands.Fund(model, Wei(self.random.randrange(1, 5000))),
            commands.Withdraw(Wei(self.random.randrange(1, 5000))),
            commands.CollectRoyalty(model, self.random.choice(roots), steps),
            commands.CollectRoyalty(model, roots[-1], steps),
        ]
        weights = [2, 1, 1, 1, 1, 3, 3]
        return sender, self.random.choices(choices, weights)[0]

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

    def _submit(self, model: ModelId, ledger: ModelState) -> Step:
        view = ledger.current
        leg = self.random.choice([number for number, entry in enumerate(view.legs) if not entry.submitted])
        taken = [entry.child for entry in view.legs if entry.submitted]
        child = self.random.choice(taken) if taken and self.random.random() < 0.1 else self._new_root()
        return view.legs[leg].trainer, commands.SubmitLeg(model, view.number, leg, child)

    def _commit(self, model: ModelId, ledger: ModelState) -> Step:
        view = ledger.current
        seat = self.random.choice([seat for seat in view.seats if seat.commitment is None])
        scores = tuple(self._score(number) if leg.submitted else UNAVAILABLE for number, leg in enumerate(view.legs))
        salt = self.random.randbytes(32)
        self.secrets[model, view.number, seat.validator] = scores, salt
        seal = commitment(model, view.number, seat.validator, salt, scores)
        return seat.validator, commands.CommitScores(model, view.number, seal)

    def _reveal(self, model: ModelId, ledger: ModelState) -> Step:
        view = ledger.current
        sealed = [seat for seat in view.seats if seat.commitment is not None and seat.scores is None]
        seat = self.random.choice(sealed)
        secret = self.secrets.get((model, view.number, seat.validator))
        scores, salt = secret or ((UNAVAILABLE,) * len(view.legs), bytes(32))
        return seat.validator, commands.RevealScores(model, view.number, scores, salt)

    def _settle(self, model: ModelId, ledger: ModelState) -> Step:
        return self._any(), commands.SettleRound(model, ledger.current.number, *settlement_order(ledger.current))

    # --- mistakes -----------------------------------------------------------------------------------------------------

    def _spoiled(self, sender: Address, command: commands.Command) -> Step:
        """The same command by another account, or with one field changed."""
        if self.random.random() < 0.15:
            return self._any(), command
        if self.random.random() < 0.25:
            return sender, self._untimely(command)
        field = self.random.choice(fields(command)).name
        value = getattr(command, field)
        changes: dict[str, Callable[[], Any]] = {
            "model": lambda: UNKNOWN,
            "round": lambda: value + self.random.choice([-1, 1]),
            "amount": lambda: self.random.choice([0, 1, 10**30, limits.MAX_AMOUNT_WEI, limits.MAX_AMOUNT_WEI + 1]),
            "budget": lambda: self.random.choice([10**20, limits.MAX_AMOUNT_WEI + 1]),
            "segment": lambda: self.random.choice([9, 64, 254]),
            "leg": lambda: self.random.choice([0, 1, 31, 255]),
            "steps": lambda: self.random.choice([0, limits.MAX_COLLECT_STEPS + 1]),
            "scores": lambda: self._spoiled_scores(value),
            "rules": lambda: replace(value, quorum=value.committee_size + 1),
        }
        if isinstance(value, bytes) and field != "model":
            changes[field] = lambda: self.random.choice([bytes(32), self.random.randbytes(32)])
        if field.endswith("_order") or field == "median_seats":
            changes[field] = lambda: self._spoiled_order(value)
        changed: dict[str, Any] = {field: changes[field]()}
        return sender, replace(command, **changed)

    def _untimely(self, command: commands.Command) -> commands.Command:
        """Another command about the same round, likely in the wrong phase or before its deadline."""
        model, number = getattr(command, "model", UNKNOWN), getattr(command, "round", 1)
        return self.random.choice(
            [
                commands.PlaceBid(model, number, 0, Wei(20)),
                commands.OfferTip(model, number, self._new_root()),
                commands.MatchRound(model, number, (0,), (0,)),
                commands.SubmitLeg(model, number, 0, self._new_root()),
                commands.CommitScores(model, number, self.random.randbytes(32)),
                commands.RevealScores(model, number, (Ppm(0),), bytes(32)),
                commands.SettleRound(model, number, (0,), (0,)),
                commands.Advance(model, number),
                commands.CollectRoyalty(model, self._new_root(), 1),
                commands.Unstake(model),
            ]
        )

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
            agreement_ppm=Ppm(pick([0, 500])),
            gamma_bps=pick([0, 5000, 10_000]),
            trainer_bps=trainer,
            royalty_bps=royalty,
            validator_bps=limits.BPS - trainer - royalty,
            slash_bps=pick([0, 3333, 10_000]),
            offer_deposit=Wei(pick([0, 7])),
            emission=Wei(pick([0, 1009])),
            halving_rounds=pick([1, 2]),
        )
