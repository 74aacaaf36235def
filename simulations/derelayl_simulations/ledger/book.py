"""The state of many relays between two rounds, and what accounts do with their own money.

The rules are those of docs/PROTOCOL.md section 4; `derelayl_protocol.ledger` is the reference for one relay, this form
plays R of them side by side. The tests compare the two, and the contract, to the wei after every round.

All arrays have a leading axis of R relays. Relays share the rules and nothing else: an account is a number from 0 to
A - 1 within its relay. Money is whole wei in 64 bits. What a call asks for and the ledger would refuse is left out, and
the call returns a mask of what was done. Where one relay does several things in one call, they happen in the order of
the account numbers.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from derelayl_protocol.errors import LocalFault
from derelayl_protocol.ledger.rules import Rules
from derelayl_protocol.limits import BPS

from .arithmetic import Bools, Ints
from .checkpoints import NOBODY, Checkpoints
from .settings import MAX_MONEY_WEI

KEPT_LEGS = 128
"""Legs before the tips that are never forgotten, whoever they paid: enough to see where the tips' lines meet."""

MAX_ACCOUNTS = 10_000_000
"""Accounts in all relays together; more would be a slip of the pen."""


@dataclass(slots=True, kw_only=True)
class Book:
    """R relays of A accounts each; `open` makes one, the functions of this package and its methods move it on."""

    rules: Rules
    checkpoints: Checkpoints
    tips: Ints  # (R, T) numbers of the checkpoints that legs may continue, NOBODY after the last; T may change
    stalled: Bools  # (R, T) tips that too few of their legs were submitted for: last in the next order
    free: Ints  # (R, A) wei an account can spend or withdraw
    stake: Ints  # (R, A) wei of a validator
    unbonding: Ints  # (R, A) wei on its way out, can still be lost
    release_time: Ints  # (R, A) seconds, from when on all that is unbonding can be taken
    validators: Ints  # (R, A) accounts in the ledger's order, NOBODY after the last
    validator_place: Ints  # (R, A) where an account stands in that order, NOBODY for no validator
    validator_count: Ints  # (R,)
    seated: Bools  # (R, A) who has a seat in the running round
    access: NDArray[np.uint32]  # (R, A) bit t: the account has bought access to the tip in column t
    budget: Ints  # (R,) wei that the emission is drawn from
    carry: Ints  # (R,) wei that wait for the next pot
    locked: Ints  # (R,) wei of the running round's bids and deposits
    settled_rounds: Ints  # (R,) rounds settled, not those that were void or idle
    deposited: int = field(default=0)  # wei in all relays together
    memory: dict[str, Any] = field(default_factory=dict)  # what a rule of `mechanism` remembers; arrays of R relays

    @classmethod
    def open(
        cls, rules: Rules, relays: int, accounts: int, *, genesis_owner: int = 0, budget: int = 0, free: int = 0
    ) -> Self:
        """Found `relays` relays whose only tip is a genesis of `genesis_owner`.

        `budget` wei are behind the emission of each; `free` wei lie on each account. Raises RuleViolation for rules out
        of bounds, LocalFault for a size or a sum of money that does not fit.
        """
        rules.check()
        if min(relays, accounts) < 1 or relays * accounts > MAX_ACCOUNTS:
            raise LocalFault(f"{relays} relays of {accounts} accounts, allowed are 1 … {MAX_ACCOUNTS} accounts in all")
        if not 0 <= genesis_owner < accounts:
            raise LocalFault(f"genesis_owner is {genesis_owner}, allowed is 0 … {accounts - 1}")
        for name in ("min_bid", "offer_deposit", "validator_stake", "emission", "access_fee"):
            _check_money(name, getattr(rules, name))
        deposited = relays * (budget + accounts * free)
        _check_money("what the relays hold together", deposited)
        each, everyone = (relays,), (relays, accounts)
        return cls(
            rules=rules,
            checkpoints=Checkpoints(relays, genesis_owner),
            tips=np.arange(relays)[:, None],
            stalled=np.zeros((relays, 1), np.bool_),
            free=np.full(everyone, free, np.int64),
            stake=np.zeros(everyone, np.int64),
            unbonding=np.zeros(everyone, np.int64),
            release_time=np.zeros(everyone, np.int64),
            validators=np.full(everyone, NOBODY, np.int64),
            validator_place=np.full(everyone, NOBODY, np.int64),
            validator_count=np.zeros(each, np.int64),
            seated=np.zeros(everyone, np.bool_),
            access=np.zeros(everyone, np.uint32),
            budget=np.full(each, budget, np.int64),
            carry=np.zeros(each, np.int64),
            locked=np.zeros(each, np.int64),
            settled_rounds=np.zeros(each, np.int64),
            deposited=deposited,
        )

    @property
    def relays(self) -> int:
        return len(self.free)

    @property
    def accounts(self) -> int:
        return int(self.free.shape[1])

    def total(self) -> Ints:
        """Add up all money of each relay in wei, (R,); only deposits and withdrawals change it."""
        pending = np.zeros(self.relays, np.int64)
        np.add.at(pending, self.checkpoints.relay, self.checkpoints.pending)
        accounts = self.free.sum(axis=1) + self.stake.sum(axis=1) + self.unbonding.sum(axis=1)
        total: Ints = accounts + pending + self.budget + self.carry + self.locked
        return total

    # --- money in and out ---------------------------------------------------------------------------------------------

    def deposit(self, amounts: Ints) -> None:
        """Bring money in from outside: `amounts` (R, A) wei from 0 on. Raises LocalFault beyond MAX_MONEY_WEI."""
        assert amounts.min() >= 0, "a deposit is never negative"
        more = int(
            amounts.sum(dtype=np.float64)
        )  # as a float it cannot wrap around; the limit leaves room for rounding
        _check_money("what the relays hold together", self.deposited + more)
        self.deposited += int(amounts.sum())
        self.free += amounts

    def withdraw(self, amounts: Ints) -> Bools:
        """Take `amounts` (R, A) wei out, where they are above 0 and covered; all or nothing for each account."""
        done = (amounts > 0) & (amounts <= self.free)
        taken = np.where(done, amounts, 0)
        self.free -= taken
        self.deposited -= int(taken.sum())
        return done

    def fund(self, amounts: Ints) -> Bools:
        """Move `amounts` (R, A) wei of free money into the budget, where they are above 0 and covered."""
        done = (amounts > 0) & (amounts <= self.free)
        moved = np.where(done, amounts, 0)
        self.free -= moved
        self.budget += moved.sum(axis=1)
        return done

    # --- stake --------------------------------------------------------------------------------------------------------

    def add_stake(self, amounts: Ints) -> Bools:
        """Stake `amounts` (R, A) wei more, where they are above 0, covered and reach `validator_stake` in total."""
        enough = self.stake + amounts >= self.rules.validator_stake
        done: Bools = (amounts > 0) & (amounts <= self.free) & enough
        moved = np.where(done, amounts, 0)
        self.free -= moved
        self.stake += moved
        relays, accounts = np.nonzero(done & (self.validator_place == NOBODY))
        places = self.validator_count[relays] + _occurrence(relays)
        self.validators[relays, places], self.validator_place[relays, accounts] = accounts, places
        self.validator_count += np.bincount(relays, minlength=self.relays)
        return done

    def unstake(self, who: Bools, now: int) -> Bools:
        """Take validators `who` (R, A) off the list, unless seated; their stake unbonds from `now` seconds on."""
        done: Bools = who & (self.validator_place != NOBODY) & ~self.seated
        moved = np.where(done, self.stake, 0)
        self.stake -= moved
        self.unbonding += moved
        self.release_time[done] = now + self.rules.unbonding_seconds
        for relays, accounts in _one_by_one(done):
            self._take_off(relays, accounts)
        return done

    def release(self, who: Bools, now: int) -> Bools:
        """Give `who` (R, A) what has unbonded by `now` seconds."""
        done: Bools = who & (self.unbonding > 0) & (self.release_time <= now)
        moved = np.where(done, self.unbonding, 0)
        self.unbonding -= moved
        self.free += moved
        return done

    # --- memory -------------------------------------------------------------------------------------------------------

    def forget(self, *held: Ints) -> Ints:
        """Drop checkpoints that can never be paid again unless somebody names them; renumber the others.

        Kept are the tips, those of `held` (arrays of numbers, NOBODY where there is none), those with something
        pending, and the ancestors of all these: KEPT_LEGS back, or more where a royalty could still climb further. An
        older one can get nothing: the largest royalty is rounded down to nothing on the way. Call it now and then.

        Returns the new number of each old one, NOBODY for what is gone, and one more NOBODY at the end, so that
        `held = renumbered[held]` keeps up.
        """
        named = np.concatenate([numbers.ravel() for numbers in (self.tips, *held)])
        reach = max(KEPT_LEGS, self._royalty_reach())
        renumbered = np.append(self.checkpoints.forget(np.unique(named[named != NOBODY]), reach), NOBODY)
        self.tips = renumbered[self.tips]
        return renumbered

    # --- Inside -------------------------------------------------------------------------------------------------------

    def _royalty_reach(self) -> int:
        """Return after how many legs the largest royalty there can be has shrunk to nothing on its way to genesis."""
        amount, legs, most = MAX_MONEY_WEI, 0, int(self.checkpoints.generation.max())
        while amount and legs < most:
            amount, legs = amount * self.rules.gamma_bps // BPS, legs + 1
        return legs

    def _take_off(self, relays: Ints, accounts: Ints) -> None:
        """Remove one validator of each of these relays: the last moves into its place."""
        self.validator_count[relays] -= 1
        places, last = self.validator_place[relays, accounts], self.validator_count[relays]
        moved = self.validators[relays, last]
        self.validators[relays, places], self.validator_place[relays, moved] = moved, places
        self.validators[relays, last], self.validator_place[relays, accounts] = NOBODY, NOBODY


def _check_money(name: str, amount: int) -> None:
    if not 0 <= amount <= MAX_MONEY_WEI:
        raise LocalFault(f"{name} is {amount} wei, allowed is 0 … {MAX_MONEY_WEI}")


def _occurrence(sorted_numbers: Ints) -> Ints:
    """For each entry, how many equal ones come before it."""
    first: Ints = np.searchsorted(sorted_numbers, sorted_numbers)
    return np.arange(len(sorted_numbers)) - first


def _one_by_one(chosen: Bools) -> Iterator[tuple[Ints, Ints]]:
    """Yield (relays, accounts) of the chosen of the chosen, each relay once a time, its accounts in ascending order."""
    relays, accounts = np.nonzero(chosen)
    turns = _occurrence(relays)
    for turn in range(int(turns.max(initial=-1)) + 1):
        now = turns == turn
        yield relays[now], accounts[now]
