"""What the committees commit, reveal and say."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..ledger import Leases
from .bidding import allowed
from .judging import measure
from .luck import Luck
from .people import Bools, Floats, Ints
from .state import World
from .strategies import judge_of
from .strategies.port import Bench
from .training import Training, leg_cost


@dataclass(frozen=True, slots=True)
class Verdicts:
    """What the seats did."""

    person: Ints  # (R, K) who sits there, 0 where nobody does
    committed: Bools  # (R, K)
    revealed: Bools  # (R, K)
    scores: Ints  # (R, K, L) ppm
    cost: Floats  # (R, K) money that judging cost


def judge(world: World, leases: Leases, training: Training, luck: Luck) -> Verdicts:
    """Let every seat score every leg as its strategy says."""
    lines = np.arange(len(leases.seats))[:, None]
    person = np.where(leases.is_seat, world.people.places.person[np.maximum(leases.seats, 0)], 0)
    codes = np.where(leases.is_seat, world.people.strategy[lines, person], -1)
    bench = _bench(world, training, person, luck)
    scores, effort = bench.measured.copy(), np.ones(person.shape)
    reveals = np.ones(person.shape, np.bool_)
    for code in world.codes("validator"):
        mine, strategy = np.nonzero(codes == code), judge_of(code)
        if len(mine[0]):
            flat = np.ravel_multi_index(mine, person.shape)
            scores[mine] = strategy.score(_flatten(bench), flat)
            effort[mine], reveals[mine] = strategy.effort, strategy.reveals
    up = leases.is_seat & ~world.crashed[lines, person]
    reached = luck.decide[lines, person] >= world.partition
    legs = training.mask(training.deeds.submitted).sum(axis=1)[:, None]
    cost = leg_cost(world)[lines, person] * (world.settings.costs.judging * effort * legs) * up
    return Verdicts(person, committed=up, revealed=up & reveals & reached, scores=scores, cost=cost)


# --- Inside -----------------------------------------------------------------------------------------------------------


def _bench(world: World, training: Training, person: Ints, luck: Luck) -> Bench:
    """Return what honest judges would measure, and what dishonest ones know besides; (R, K, L)."""
    legs, deeds, traits = training.legs, training.deeds, world.people.traits
    lines = np.arange(len(person))[:, None]
    own_luck = luck.scores[:, : person.shape[1], : training.shape[1]]
    measured = measure(
        world.settings.judging,
        gain=training.dense(deeds.level - legs.level),
        still=training.mask(deeds.still),
        skew=training.dense(traits.skew[legs.relay, legs.person]),
        submitted=training.mask(deeds.submitted),
        quality=traits.quality[lines, person],
        luck=own_luck,
    )
    ring = training.mask(allowed("ring", world.strategies)[legs.strategy])
    return Bench(
        measured=measured,
        ring=np.broadcast_to(ring[:, None, :], measured.shape),
        luck=own_luck,
        usual=np.broadcast_to(world.score[:, None, None], (*person.shape, 1)),
    )


def _flatten(bench: Bench) -> Bench:
    """Lay all relays' seats into one axis."""
    legs = bench.measured.shape[-1]
    return Bench(
        measured=bench.measured.reshape(-1, legs),
        ring=bench.ring.reshape(-1, legs),
        luck=bench.luck.reshape(-1, legs),
        usual=bench.usual.reshape(-1, 1),
    )
