"""The benchmark's world in Mesa: trainers and validators are agents and the accounts of their relay."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import mesa
import numpy as np

from benchmarks.simulation.plain_relay import PlainRelay
from benchmarks.simulation.relay_luck import ACCOUNTS, TRAINERS, draw_luck
from benchmarks.simulation.rival_job import Job, new_relay, opening, serve


class Participant(mesa.Agent):
    def __init__(self, model: World, relay: int, number: int) -> None:
        super().__init__(model)
        self.relay, self.number = relay, number
        self.free, self.stake = opening(number)


class Trainer(Participant):
    def bid(self) -> None:
        plan = self.model.bids.get((self.relay, self.number))
        if plan is not None:
            self.model.relays[self.relay].bid(self.number, *plan)


class Validator(Participant):
    def judge(self) -> None:
        seat = self.model.seats.get((self.relay, self.number))
        if seat is not None and not self.model.silent[self.relay][seat]:
            self.model.relays[self.relay].reveal(seat, self.model.scores[self.relay][seat])


class World(mesa.Model):
    def __init__(self, job: Job) -> None:
        super().__init__(rng=job.seed)
        self.job, self.luck = job, np.random.default_rng(job.seed)
        self.relays: list[PlainRelay] = []
        for relay in range(job.relays):
            kinds = [Trainer] * TRAINERS + [Validator] * (ACCOUNTS - TRAINERS)
            people = [kind(self, relay, number) for number, kind in enumerate(kinds)]
            self.relays.append(new_relay(job.rules, people))

    def step(self) -> None:
        rules = self.job.rules
        luck = draw_luck(self.luck, self.job.relays, rules["committee_size"], rules["min_bid"])
        plans = zip(luck.bidder.tolist(), luck.amount.tolist(), luck.bid_rank.tolist(), strict=True)
        self.bids: dict[tuple[int, int], Any] = {
            (relay, bidder): (amount, rank)
            for relay, plan in enumerate(plans)
            for bidder, amount, rank in zip(*plan, strict=True)
        }
        self.agents_by_type[Trainer].do("bid")
        ranks, draws, late = luck.tip_rank.tolist(), luck.draw.tolist(), luck.late.tolist()
        for number, relay in enumerate(self.relays):
            relay.match(ranks[number], draws[number], late[number])
        self.seats = {
            (number, seat.account): place
            for number, relay in enumerate(self.relays)
            for place, seat in enumerate(relay.seats)
        }
        self.scores, self.silent = luck.scores.tolist(), luck.silent.tolist()
        self.agents_by_type[Validator].do("judge")
        for relay in self.relays:
            relay.settle()
            relay.collect()


def start(job: Job) -> tuple[Callable[[], None], Callable[[], Sequence[PlainRelay]]]:
    world = World(job)

    def go() -> None:
        for _ in range(job.rounds):
            world.step()

    return go, lambda: world.relays


if __name__ == "__main__":
    serve(start)
