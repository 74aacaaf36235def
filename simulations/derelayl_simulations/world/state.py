"""Where a world stands between two rounds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

from derelayl_protocol.errors import LocalFault

from ..ledger import CONTRACT, MAX_MONEY_WEI, NOBODY, ROUND_SECONDS, Book, LedgerSettings, Mechanism
from .income import Averages
from .people import Bools, Floats, Ints, People
from .settings import WorldSettings
from .strategies import role_of

NO_MODEL = -1  # the version of somebody who never held a model
NEVER = -1  # the round of what has not happened yet


@dataclass(slots=True, kw_only=True)
class World:
    """People, their ledgers and what they have learnt about their prospects; `play_round` moves it on.

    R relays, P people and A accounts in each. Amounts on the ledger are wei, all others money.
    """

    settings: WorldSettings
    ledger: LedgerSettings
    mechanism: Mechanism
    people: People
    book: Book
    present: Bools  # (R, P) who is there
    held: Ints  # (R, P) the newest version each holds: legs since genesis, NO_MODEL if none
    held_level: Floats  # (R, P) nats of the best model each holds
    owned: Ints  # (R, P) the last round in which each owned a tip
    leased: Ints  # (R, P) the last round in which each had a leg
    eagerness: Floats  # (R, P) factor on bids: rises with every leg missed, falls with every leg
    crash_from: Ints  # (R, P) first and last round of a breakdown
    crash_until: Ints
    losing: Ints  # (R, P) rounds in a row in which being there did not pay
    income: Averages
    strategies: tuple[int, ...]  # codes of all that anybody follows, in ascending order
    used: Bools  # (R, A) accounts that are somebody's, not places kept for a sybil
    price: Floats  # (R,) money per coin
    reward: Floats  # (R,) wei that a selected leg earned lately
    score: Floats  # (R,) nats that a submitted leg was judged at lately
    selected: Ints  # (R,) the last round in which a leg was selected, 0 at the start
    round: int = 0  # rounds played
    cost_factor: float = 1.0
    demand_factor: float = 1.0
    partition: float = 0.0  # share of the reveals that get lost

    @classmethod
    def open(
        cls, settings: WorldSettings, ledger: LedgerSettings, people: People, mechanism: Mechanism = CONTRACT
    ) -> Self:
        """Found the relays: account 0 owns genesis, founders have brought their capital and staked.

        Raises LocalFault if their money does not fit the ledger.
        """
        places, relays = people.places, people.relays
        rank = np.arange(places.accounts) - places.first[places.person]
        each = (relays, places.people)
        book = Book.open(
            ledger.rules(), relays, places.accounts, genesis_owner=0, budget=ledger.wei(ledger.budget), free=0
        )
        world = cls(
            settings=settings,
            ledger=ledger,
            mechanism=mechanism,
            people=people,
            book=book,
            present=np.zeros(each, np.bool_),
            held=np.full(each, NO_MODEL, np.int64),
            held_level=np.zeros(each),
            owned=np.full(each, NEVER, np.int64),
            leased=np.full(each, NEVER, np.int64),
            eagerness=np.ones(each),
            crash_from=np.zeros(each, np.int64),
            crash_until=np.zeros(each, np.int64),
            losing=np.zeros(each, np.int64),
            income=Averages.fresh(relays, places.people, settings.window),
            strategies=tuple(np.unique(people.strategy).tolist()),
            used=rank < places.spread(people.identities),
            price=np.full(relays, settings.demand.coin_price),
            reward=np.zeros(relays),
            score=np.zeros(relays),
            selected=np.zeros(relays, np.int64),
        )
        world.held[:, 0] = 0
        world.admit(people.founding)
        return world

    def codes(self, role: str) -> list[int]:
        """Return the codes of a role's strategies that anybody in the world follows, in ascending order."""
        return [code for code in self.strategies if role_of(code) == role]

    @property
    def trainers(self) -> Bools:
        """Which places are trainers', (P,)."""
        return self.people.places.trainer

    @property
    def crashed(self) -> Bools:
        """Who is broken down in the running round, (R, P)."""
        return (self.crash_from <= self.round) & (self.round <= self.crash_until)

    def admit(self, who: Bools) -> None:
        """Let absent people `who` (R, P) come in: they bring their capital, and validators stake."""
        who = who & ~self.present
        if not who.any():
            return
        traits, wei = self.people.traits, self.ledger.wei_per_coin
        stake = np.where(self.trainers, 0.0, traits.stake * self.ledger.validator_stake)
        staked = self._split(np.where(who, stake, 0.0) * wei)
        capital = self._split(np.where(who, traits.capital, 0.0) * wei)
        self.book.deposit(np.maximum(capital - self.book.free, 0) + staked)
        self.book.add_stake(staked)
        self.present |= who
        self.losing[who] = 0
        self.income.forget(who)

    def dismiss(self, who: Bools) -> None:
        """Let people `who` (R, P) go: they take what is free; a stake unbonds and follows."""
        if not who.any():
            return
        self.present &= ~who
        self.book.unstake(self._accounts(who), self.now)

    def settle_debts(self) -> None:
        """Give those who have left what has become free; let validators refill a stake that has fallen too low."""
        if not self.present.all():
            gone = self._accounts(~self.present)
            self.book.release(gone, self.now)
            self.book.withdraw(np.where(gone, self.book.free, 0))
        low = (2 * self.book.stake < self.book.rules.validator_stake) & (self.book.validator_place != NOBODY)
        if low.any():
            refill = self._accounts(self.present & ~self.trainers) & low
            self.book.add_stake(np.where(refill, self.book.rules.validator_stake - self.book.stake, 0))

    @property
    def now(self) -> int:
        """Seconds on the ledger's clock."""
        return self.round * ROUND_SECONDS

    def _accounts(self, who: Bools) -> Bools:
        return self.people.places.spread(who) & self.used

    def _split(self, of_people: Floats) -> Ints:
        """Share wei of people (R, P) out to the accounts that they use, (R, A)."""
        if of_people.max(initial=0.0) > MAX_MONEY_WEI:
            most = of_people.max() / self.ledger.wei_per_coin
            raise LocalFault(f"somebody brings {most:g} coins, a ledger holds at most {MAX_MONEY_WEI} wei")
        each = of_people / np.maximum(self.people.identities, 1)
        return np.where(self.used, self.people.places.spread(each), 0.0).astype(np.int64)
