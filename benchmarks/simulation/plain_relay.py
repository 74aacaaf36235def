"""One relay in plain Python, as one writes it for an agent-based model: the rules of docs/PROTOCOL.md section 4.

Accounts are any objects with `free` and `stake`, so the agents of a framework can be its accounts. Only what the
benchmark's world does is here: no equivocation, no access, no unstaking, no missing scores, no copies. Both rivals use
it, and their balances are compared with ours to the wei.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

BPS = 10_000


@dataclass(slots=True)
class Account:
    """What an account has, in wei."""

    free: int
    stake: int


@dataclass(slots=True)
class Checkpoint:
    owner: int
    parent: int  # number of a checkpoint, -1 for genesis
    score: int
    pending: int = 0
    stalled: bool = False


@dataclass(slots=True)
class Leg:
    trainer: int
    bid: int
    parent: int
    deposit: int
    submitted: bool = True


@dataclass(slots=True)
class Seat:
    account: int
    weight: int
    scores: Sequence[int] | None = None  # None if silent


@dataclass(slots=True)
class PlainRelay:
    """A relay; a round is `bid` for each bidder, `match`, `reveal` for each seat, `settle`, `collect`."""

    rules: dict[str, int]
    accounts: list[Any]
    validators: list[int]
    budget: int
    carry: int = 0
    settled_rounds: int = 0
    checkpoints: list[Checkpoint] = field(default_factory=lambda: [Checkpoint(0, -1, 0)])
    waiting: set[int] = field(default_factory=set)  # checkpoints with something pending
    tips: list[int] = field(default_factory=lambda: [0])
    bids: list[tuple[int, float, int]] = field(default_factory=list)  # (-amount, rank, account)
    legs: list[Leg] = field(default_factory=list)
    seats: list[Seat] = field(default_factory=list)

    def bid(self, account: int, amount: int, rank: float) -> None:
        if self.rules["min_bid"] <= amount <= self.accounts[account].free:
            self.accounts[account].free -= amount
            self.bids.append((-amount, rank, account))

    def match(self, tip_ranks: Sequence[float], draws: Sequence[int], late: Sequence[bool]) -> None:
        """Take the offers, seat the committee, lease the legs. The world always has a quorum."""
        each, most = self.rules["offer_deposit"], self.rules["legs_per_tip"]
        ranked = []
        for place, tip in enumerate(self.tips):
            owner = self.accounts[self.checkpoints[tip].owner]
            offered = owner.free >= each * most
            if offered:
                owner.free -= each * most
            checkpoint = self.checkpoints[tip]
            ranked.append((checkpoint.stalled, not offered, -checkpoint.score, tip_ranks[place], tip))
        ranked.sort()
        self._seat(draws)
        self.bids.sort()
        places = len(ranked) * most
        self.legs = []
        bond = -self.bids[:places][-1][0]
        for number, (amount, _, account) in enumerate(self.bids[:places]):
            _, withheld, _, _, tip = ranked[number // most]
            self.legs.append(Leg(account, bond, tip, 0 if withheld else each, not late[number]))
            self.accounts[account].free += -amount - bond
        for amount, _, account in self.bids[places:]:
            self.accounts[account].free -= amount
        for rank, (_, withheld, _, _, tip) in enumerate(ranked):
            used = min(max(len(self.legs) - rank * most, 0), most)
            if not withheld:
                self.accounts[self.checkpoints[tip].owner].free += (most - used) * each
        self.bids = []

    def reveal(self, seat: int, scores: Sequence[int]) -> None:
        self.seats[seat].scores = scores

    def settle(self) -> None:
        """Settle, or void a round with too few reveals or without a submitted leg."""
        revealed = [seat for seat in self.seats if seat.scores is not None]
        submitted = [number for number, leg in enumerate(self.legs) if leg.submitted]
        if not submitted or len(revealed) < self.rules["quorum"]:
            self._void(bool(submitted))
            self._mark_stalled()
            return
        weights = [seat.weight for seat in revealed]
        score = {leg: median([seat.scores[leg] for seat in revealed], weights) for leg in submitted}
        order = sorted(submitted, key=lambda leg: (-score[leg], leg))
        most = max(1, len(order) * self.rules["selection_bps"] // BPS)
        selected = [leg for leg in order if score[leg] >= self.rules["margin_ppm"]][:most]
        emission = 0
        if selected:
            emission = min(self.budget, self.rules["emission"] >> (self.settled_rounds // self.rules["halving_rounds"]))
        pot = self.carry + emission + self._slash() + self._return(set(selected))
        self.budget -= emission
        self.carry = pot - self._pay_legs(selected, score, pot) - self._pay_seats(submitted, revealed, pot)
        self.settled_rounds += 1
        if selected:
            self.tips = [self._accept(self.legs[leg], score[leg]) for leg in selected]
        else:
            self._mark_stalled()

    def collect(self) -> None:
        """Collect one step from every checkpoint with something pending, the oldest first."""
        for number in sorted(self.waiting):
            checkpoint = self.checkpoints[number]
            passed = checkpoint.pending * self.rules["gamma_bps"] // BPS if checkpoint.parent >= 0 else 0
            self.accounts[checkpoint.owner].free += checkpoint.pending - passed
            checkpoint.pending = 0
            self.waiting.discard(number)
            if passed:
                self.checkpoints[checkpoint.parent].pending += passed
                self.waiting.add(checkpoint.parent)

    # --- inside -------------------------------------------------------------------------------------------------------

    def _seat(self, draws: Sequence[int]) -> None:
        parties = {account for _, _, account in self.bids} | {self.checkpoints[tip].owner for tip in self.tips}
        drawn, self.seats = list(self.validators), []
        for place in range(len(drawn)):
            if len(self.seats) == self.rules["committee_size"]:
                break
            other = place + draws[place] % (len(drawn) - place)
            drawn[place], drawn[other] = drawn[other], drawn[place]
            stake = self.accounts[drawn[place]].stake
            if drawn[place] not in parties and 2 * stake >= self.rules["validator_stake"]:
                self.seats.append(Seat(drawn[place], stake))

    def _slash(self) -> int:
        lost = 0
        for seat in self.seats:
            if seat.scores is None:
                account = self.accounts[seat.account]
                slashed = account.stake * self.rules["slash_bps"] // BPS
                account.stake -= slashed
                lost += slashed
        return lost

    def _return(self, selected: set[int]) -> int:
        """Return bids and deposits; return what is forfeited."""
        forfeited = 0
        for number, leg in enumerate(self.legs):
            owner = self.accounts[self.checkpoints[leg.parent].owner]
            if number in selected:
                self.accounts[leg.trainer].free += leg.bid
                owner.free += leg.deposit
            elif leg.submitted:
                forfeited += leg.bid + leg.deposit
            else:
                owner.free += leg.deposit
                forfeited += leg.bid
        return forfeited

    def _void(self, judged: bool) -> None:
        for leg in self.legs:
            self.accounts[self.checkpoints[leg.parent].owner].free += leg.deposit
            if leg.submitted:
                self.accounts[leg.trainer].free += leg.bid
            else:
                self.carry += leg.bid
        if judged:
            self.carry += self._slash()

    def _mark_stalled(self) -> None:
        for tip in self.tips:
            submitted = [leg.submitted for leg in self.legs if leg.parent == tip]
            if submitted:
                self.checkpoints[tip].stalled = 2 * sum(submitted) < len(submitted)
        if all(self.checkpoints[tip].stalled for tip in self.tips):
            for tip in self.tips:
                self.checkpoints[tip].stalled = False

    def _pay_legs(self, selected: list[int], score: dict[int, int], pot: int) -> int:
        total, paid = sum(score[leg] for leg in selected), 0
        for leg in selected:
            reward = pot * self.rules["trainer_bps"] // BPS * score[leg] // total
            royalty = pot * self.rules["royalty_bps"] // BPS * score[leg] // total
            self.accounts[self.legs[leg].trainer].free += reward
            parent = self.legs[leg].parent
            self.checkpoints[parent].pending += royalty
            if royalty:
                self.waiting.add(parent)
            paid += reward + royalty
        return paid

    def _pay_seats(self, submitted: list[int], revealed: list[Seat], pot: int) -> int:
        tolerance, count = self.rules["agreement_ppm"], len(submitted)
        share = pot * self.rules["validator_bps"] // BPS // len(self.seats)
        most, paid = count * (count - 1) * tolerance, 0
        if most == 0 or len(revealed) == 1:
            return 0
        for seat in revealed:
            others = [other for other in revealed if other is not seat]
            weights = [other.weight for other in others]
            common = [median([other.scores[leg] for other in others], weights) for leg in submitted]
            own = [seat.scores[leg] for leg in submitted]
            right = sum(max(0, tolerance - abs(mine - theirs)) for mine, theirs in zip(own, common, strict=True))
            agreement = count * right - sum(max(0, tolerance - abs(mine - theirs)) for mine in own for theirs in common)
            amount = share * abs(agreement) // most
            account = self.accounts[seat.account]
            if agreement > 0:
                account.free += amount
                paid += amount
            else:
                charged = min(account.stake, amount)
                account.stake -= charged
                paid -= charged
        return paid

    def _accept(self, leg: Leg, gain: int) -> int:
        self.checkpoints.append(Checkpoint(leg.trainer, leg.parent, self.checkpoints[leg.parent].score + gain))
        return len(self.checkpoints) - 1


def median(scores: Sequence[int], weights: Sequence[int]) -> int:
    """The weighted lower median."""
    total, below = sum(weights), 0
    for score, weight in sorted(zip(scores, weights, strict=True)):
        below += weight
        if 2 * below >= total:
            return score
    raise ValueError("the median of no scores is undefined")
