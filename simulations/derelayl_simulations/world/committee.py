"""What the committees commit, reveal and say."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from derelayl_protocol.ledger.scoring import PPM

from ..ledger import Evidence, Leases
from ..ledger.luck import DRAW_BITS
from .bidding import allowed
from .judging import errors, how_alike, measure, name_originals
from .luck import Luck
from .people import TASTES, Bools, Floats, Ints
from .state import World
from .strategies import judge_of
from .strategies.port import Bench, Judge
from .training import Training, leg_cost


@dataclass(frozen=True, slots=True)
class Verdicts:
    """What the seats did."""

    person: Ints  # (R, K) who sits there, 0 where nobody does
    committed: Bools  # (R, K)
    revealed: Bools  # (R, K)
    scores: Ints  # (R, K, L) ppm
    originals: Ints  # (R, K, L) number of the leg that each is a copy of, its own if of none
    boast: Floats  # (R, K) factor on the standard error that it states
    cost: Floats  # (R, K) money that judging every leg costs


def judge(world: World, leases: Leases, training: Training, luck: Luck) -> Verdicts:
    """Let every seat score every leg as its strategy says."""
    lines = np.arange(len(leases.seats))[:, None]
    person = np.where(leases.is_seat, world.people.places.person[np.maximum(leases.seats, 0)], 0)
    codes = np.where(leases.is_seat, world.people.strategy[lines, person], -1)
    bench = _bench(world, training, person, luck)
    scores, effort = bench.measured.copy(), np.ones(person.shape)
    reveals, boast = np.ones(person.shape, np.bool_), np.ones(person.shape)
    for code in world.codes("validator"):
        mine, strategy = np.nonzero(codes == code), judge_of(code)
        if type(strategy) is not Judge and len(mine[0]):  # honest seats have said already what they measured
            flat = np.ravel_multi_index(mine, person.shape)
            scores[mine] = strategy.score(_flatten(bench), flat)
            effort[mine], reveals[mine], boast[mine] = strategy.effort, strategy.reveals, strategy.boast
    up = leases.is_seat & ~world.crashed[lines, person]
    reached = luck.decide[lines, person] >= world.partition
    legs = training.mask(training.deeds.submitted).sum(axis=1)[:, None]
    cost = leg_cost(world)[lines, person] * (world.settings.costs.judging * effort * legs) * up
    originals = _originals(world, training, luck, effort > 0)
    return Verdicts(person, up, up & reveals & reached, scores, originals, boast, cost)


def evidence(world: World, training: Training, verdicts: Verdicts, luck: Luck) -> Evidence:
    """Return what other rules than the contract's may ask for."""
    legs, deeds = training.legs, training.deeds
    lines = np.arange(len(verdicts.person))[:, None]
    quality = world.people.traits.quality[lines, verdicts.person]
    known = errors(world.settings.judging, training.mask(deeds.still), quality)
    twin = np.tile(np.arange(training.shape[1]), (training.shape[0], 1))
    whole = deeds.submitted & deeds.submitted[deeds.twin] & ~deeds.half
    twin[legs.relay[whole], legs.number[whole]] = legs.number[deeds.twin[whole]]
    uniform = luck.match.draw[:, : training.shape[1]] / 2.0**DRAW_BITS
    return Evidence(error=known * PPM * verdicts.boast[:, :, None], twin=twin, luck=uniform)


# --- Inside -----------------------------------------------------------------------------------------------------------


def _bench(world: World, training: Training, person: Ints, luck: Luck) -> Bench:
    """Return what honest judges would measure, and what dishonest ones know besides; (R, K, L)."""
    legs, deeds, traits = training.legs, training.deeds, world.people.traits
    lines = np.arange(len(person))[:, None]
    own_luck = luck.scores[:, : person.shape[1], : training.shape[1]]
    taste = np.zeros((*training.shape, TASTES))
    taste[legs.relay, legs.number] = world.people.taste[legs.relay, legs.person]
    measured = measure(
        world.settings.judging,
        gain=training.dense(deeds.level - legs.base),
        still=training.mask(deeds.still),
        skew=training.dense(traits.skew[legs.relay, legs.person]),
        submitted=training.mask(deeds.submitted),
        quality=traits.quality[lines, person],
        luck=_shared_by_twins(own_luck, training),
        samples=luck.samples[:, : person.shape[1]],
        liking=how_alike(world.people.taste[lines, person], taste),
    )
    ring = training.mask(allowed("ring", world.strategies)[legs.strategy])
    return Bench(
        measured=measured,
        ring=np.broadcast_to(ring[:, None, :], measured.shape),
        luck=own_luck,
        usual=np.broadcast_to(world.score[:, None, None], (*person.shape, 1)),
    )


def _shared_by_twins(luck: Floats, training: Training) -> Floats:
    """Give copies their twin's error, (R, K, L), and children of half a training half of it."""
    legs, deeds = training.legs, training.deeds
    copies = np.flatnonzero(deeds.twin != np.arange(len(deeds.twin)))
    if not len(copies):
        return luck
    relay, number = legs.relay[copies], legs.number[copies]
    own, twins = luck[relay, :, number], luck[relay, :, legs.number[deeds.twin[copies]]]
    shared = luck.copy()
    shared[relay, :, number] = np.where(deeds.half[copies, None], np.sqrt(0.5) * (own + twins), twins)
    return shared


def _originals(world: World, training: Training, luck: Luck, measures: Bools) -> Ints:
    """Return what each seat names as the original of each leg, (R, K, L): who has not measured names no copy."""
    legs = training.legs
    own = np.arange(training.shape[1])
    seen = np.tile(own, (training.shape[0], 1))
    likeness = luck.likeness[legs.relay, legs.number]
    seen[legs.relay, legs.number] = name_originals(world.settings.judging, legs, training.deeds, likeness)
    return np.where(measures[:, :, None], seen[:, None, :], own)


def _flatten(bench: Bench) -> Bench:
    """Lay all relays' seats into one axis."""
    legs = bench.measured.shape[-1]
    return Bench(
        measured=bench.measured.reshape(-1, legs),
        ring=bench.ring.reshape(-1, legs),
        luck=bench.luck.reshape(-1, legs),
        usual=bench.usual.reshape(-1, 1),
    )
