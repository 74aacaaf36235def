"""One round of a world under the ledger's rules."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from derelayl_protocol.ledger.scoring import PPM
from derelayl_protocol.types import UNAVAILABLE

from ..ledger import NOBODY, Leases, Outcome, buy_access, collect_pending, match, settle
from . import bidding, churn, committee, demand, learning, shocks, training
from .committee import Verdicts
from .income import OWNER, TRAINER, VALIDATOR, Ledgered
from .luck import Luck
from .people import Bools, Floats, Ints
from .settings import Event
from .state import World
from .training import Training

FORGET_EVERY = 32  # rounds: how long checkpoints that nothing comes after are kept


@dataclass(frozen=True, slots=True)
class Round:
    """What happened in a round."""

    owners: Bools  # (R, P) who owned a tip
    bidders: Bools  # (R, P)
    leases: Leases
    training: Training
    verdicts: Verdicts
    outcome: Outcome
    earned: Ledgered
    consumers: Ints  # (R,) who bought access
    paid: Ints  # (R,) wei they paid
    supply_before: float  # wei on the ledgers but the budgets


def play_round(world: World, luck: Luck, prescribed: Sequence[Event] = ()) -> Round:
    """Play one round and move `world` on. Raises LocalFault if the ledger's money would overflow."""
    world.round += 1
    shocks.happen(world, prescribed, luck)
    before = circulating(world)
    owners = _owners(world)
    wanted = bidding.willing(world)
    bids = bidding.place_bids(world, wanted, luck)
    bidders = _people(world, bids.account)
    matching = luck.matching(bids.account.shape[1])
    leases = match(world.book, bids, bidding.offers(world), matching, world.mechanism)
    trained = training.train(world, leases, luck)
    verdicts = committee.judge(world, leases, trained, luck)
    submitted = trained.mask(trained.deeds.submitted)
    outcome = settle(
        world.book,
        leases,
        submitted,
        verdicts.committed,
        verdicts.revealed,
        verdicts.scores,
        originals=verdicts.originals,
        mechanism=world.mechanism,
        evidence=committee.evidence(world, trained, verdicts, luck) if world.mechanism.asks else None,
    )

    _hand_on(world, trained, outcome, verdicts)
    earned = Ledgered.fresh(*world.present.shape)
    _book_legs(world, earned, leases, trained, outcome)
    _book_seats(world, earned, leases, verdicts, outcome)
    consumers, paid = _trade(world, earned, luck)
    _book_royalties(world, earned)
    _use(world, earned, luck)
    leased = _people(world, leases.trainer)
    world.owned[owners], world.leased[leased] = world.round, world.round
    bidding.learn_to_bid(world, wanted, leased)
    _look_back(world, earned, leases, trained, outcome)
    result = Round(owners, bidders, leases, trained, verdicts, outcome, earned, consumers, paid, before)
    churn.come_and_go(world, luck)
    if world.round % FORGET_EVERY == 0:
        world.book.forget()
    return result


def circulating(world: World) -> float:
    """Return the wei on all ledgers but the budgets."""
    return float((world.book.total() - world.book.budget).sum())


def within_reach(world: World) -> Floats:
    """Return the level of the best model that each has or may take, (R, P) nats; an open one is everybody's."""
    opened = world.present & (world.book.rules.access_fee == 0)
    return np.where(opened, np.maximum(_best(world), world.held_level), world.held_level)


# --- Inside: learning -------------------------------------------------------------------------------------------------


def _hand_on(world: World, trained: Training, outcome: Outcome, verdicts: Verdicts) -> None:
    """Write down what the new checkpoints are worth in truth and who now holds a copy, and let the world move on."""
    legs, deeds, forest = trained.legs, trained.deeds, world.book.checkpoints
    selected = outcome.selected[legs.relay, legs.number]
    forest.note[outcome.child[legs.relay, legs.number][selected]] = deeds.level[selected]

    generation = _generation(world, outcome)
    made = deeds.submitted
    version = generation[legs.relay[made]]
    np.maximum.at(world.held, (legs.relay[made], legs.person[made]), version)
    np.maximum.at(world.held_level, (legs.relay[made], legs.person[made]), deeds.kept[made])
    best = np.where(trained.mask(made), trained.dense(deeds.level, -np.inf), -np.inf).max(axis=1, initial=-np.inf)
    judged = verdicts.committed & np.isfinite(best)[:, None]
    relay, seat = np.nonzero(judged)
    np.maximum.at(world.held, (relay, verdicts.person[relay, seat]), generation[relay])
    np.maximum.at(world.held_level, (relay, verdicts.person[relay, seat]), best[relay])

    tips = world.book.tips[world.book.tips != NOBODY]
    forest.note[tips] = learning.age(world.settings.learning, forest.note[tips])
    world.held_level = learning.age(world.settings.learning, world.held_level)


def _generation(world: World, outcome: Outcome) -> Ints:
    """Return the version of the children of the round, (R,): all tips of a relay have one version."""
    tips = world.book.tips[:, 0]
    version = world.book.checkpoints.generation[tips].astype(np.int64)
    return np.where(outcome.selected.any(axis=1), version, version + 1)


# --- Inside: money ----------------------------------------------------------------------------------------------------


def _book_legs(world: World, earned: Ledgered, leases: Leases, trained: Training, outcome: Outcome) -> None:
    legs = trained.legs
    place = (legs.relay, legs.number)
    won = (outcome.reward + outcome.bid_returned - leases.bid)[place]
    earned.add(TRAINER, legs.relay, legs.person, won.astype(np.float64))
    earned.spend(TRAINER, legs.relay, legs.person, trained.unit_cost * trained.deeds.effort)
    owner = world.people.places.person[leases.owner[place]]
    earned.add(OWNER, legs.relay, owner, (outcome.deposit_returned - leases.deposit)[place].astype(np.float64))


def _book_seats(world: World, earned: Ledgered, leases: Leases, verdicts: Verdicts, outcome: Outcome) -> None:
    relay, seat = np.nonzero(leases.is_seat)
    person = verdicts.person[relay, seat]
    won = (outcome.paid - outcome.charged - outcome.slashed)[relay, seat]
    earned.add(VALIDATOR, relay, person, won.astype(np.float64))
    cost = verdicts.cost if outcome.asked is None else verdicts.cost * outcome.asked
    earned.spend(VALIDATOR, relay, person, cost[relay, seat])


def _trade(world: World, earned: Ledgered, luck: Luck) -> tuple[Ints, Ints]:
    """Let owners wash and consumers buy, and let the price follow; return buyers and the wei they paid, (R,) each."""
    book, settings = world.book, world.settings.demand
    if book.rules.access_fee == 0:
        nobody = np.zeros(book.relays, np.int64)
        return nobody, nobody
    _wash(world, earned)
    notes = np.where(book.tips == NOBODY, -np.inf, book.checkpoints.note[book.tips])
    best, coin = notes.argmax(axis=1), world.ledger.wei_per_coin
    lines = np.arange(book.relays)
    fee = book.rules.access_fee / coin * world.price
    count = demand.buyers(settings, notes[lines, best], fee, world.demand_factor, luck.consumers)
    paid = demand.sell(book, book.tips[lines, best], count)
    supply = (book.total() - book.budget).astype(np.float64)
    world.price = demand.next_price(settings, world.price, paid.astype(np.float64), supply)
    return count, paid


def _wash(world: World, earned: Ledgered) -> None:
    """Let owners who make their tips look wanted buy access to them."""
    people = bidding.owner_people(world)
    lines = np.arange(len(people))[:, None]
    washes = bidding.allowed("buys_own", world.strategies)[world.people.strategy[lines, np.maximum(people, 0)]] & (
        people != NOBODY
    )
    relay, column = np.nonzero(washes)
    if not len(relay):
        return
    owner = world.book.checkpoints.owner[world.book.tips[relay, column]]
    wanted = np.full(world.book.free.shape, NOBODY, np.int64)
    wanted[relay, owner] = column
    done = buy_access(world.book, wanted)
    relay, account = np.nonzero(done)
    lost = np.full(len(relay), -float(world.book.rules.access_fee))
    earned.add(OWNER, relay, world.people.places.person[account], lost)


def _book_royalties(world: World, earned: Ledgered) -> None:
    before = world.book.free.copy()
    collect_pending(world.book)
    earned.wei[OWNER] += world.people.places.fold(world.book.free - before)


def _use(world: World, earned: Ledgered, luck: Luck) -> None:
    """Let everybody who is there earn with the best model within reach, and pay for being there.

    An open model is within everybody's reach, a paid one within that of who trained, judged or got hold of a leak.
    """
    settings, book = world.settings, world.book
    presence = settings.costs.presence * world.cost_factor
    if presence:
        paid = np.where(world.present, presence * world.people.traits.cost, 0.0)
        earned.cost[TRAINER] += np.where(world.trainers, paid, 0.0)
        earned.cost[VALIDATOR] += np.where(world.trainers, 0.0, paid)
    leeches = bidding.allowed("leeches", world.strategies)[world.people.strategy] & (luck.decide < settings.demand.leak)
    level = np.where(leeches & world.present, np.maximum(_best(world), world.held_level), within_reach(world))
    if leeches.any():
        newest = book.checkpoints.generation[book.tips[:, 0]].astype(np.int64)[:, None]
        world.held = np.where(leeches & world.present, np.maximum(world.held, newest), world.held)
        world.held_level = np.where(leeches & world.present, level, world.held_level)
    if settings.demand.usage:
        earned.usage += np.where(world.present, settings.demand.usage * np.maximum(level, 0.0), 0.0)


def _best(world: World) -> Floats:
    """Return the level of each relay's best tip, (R, 1)."""
    tips = world.book.tips
    return np.asarray(np.where(tips == NOBODY, 0.0, world.book.checkpoints.note[tips]).max(axis=1)[:, None])


# --- Inside: memory ---------------------------------------------------------------------------------------------------


def _look_back(world: World, earned: Ledgered, leases: Leases, trained: Training, outcome: Outcome) -> None:
    """Average the round into what people know of their prospects."""
    coin = world.ledger.wei_per_coin
    profit = earned.profit(world.price, coin)
    world.income.remember(world.present, profit, earned.usage)
    world.income.remember_legs(_people(world, leases.trainer), profit[TRAINER])
    role = np.stack([np.broadcast_to(each, world.present.shape) for each in (world.trainers, ~world.trainers)])
    role = role & world.present
    gross = profit.sum(axis=0) + earned.cost.sum(axis=0) + earned.usage
    unit = np.maximum(training.leg_cost(world), 1e-12)
    world.income.remember_roles(
        role.sum(axis=2),
        np.where(role, gross, 0.0).sum(axis=2),
        np.where(role, earned.cost.sum(axis=0) / unit, 0.0).sum(axis=2),
    )
    some: Bools = np.asarray(outcome.selected.any(axis=1))
    count = np.maximum(outcome.selected.sum(axis=1), 1)
    world.reward = _follow(world, world.reward, outcome.reward.sum(axis=1) / count, some)
    submitted = trained.mask(trained.deeds.submitted) & (outcome.score != UNAVAILABLE)
    mean = np.where(submitted, outcome.score, 0).sum(axis=1) / np.maximum(submitted.sum(axis=1), 1) / PPM
    world.score = _follow(world, world.score, mean, submitted.any(axis=1))
    world.selected[some] = world.round


def _follow(world: World, old: Floats, new: Floats, where: Bools) -> Floats:
    """Move a running average of the last few rounds on where there is something new."""
    weight = 1.0 / min(world.round, max(world.settings.window // 4, 1))
    return np.where(where, old + weight * (new - old), old)


def _people(world: World, accounts: Ints) -> Bools:
    """Mark whose these accounts (R, N) are, (R, P); NOBODY marks nobody."""
    marked = np.zeros(world.present.shape, np.bool_)
    relay, column = np.nonzero(accounts != NOBODY)
    marked[relay, world.people.places.person[accounts[relay, column]]] = True
    return marked


def _owners(world: World) -> Bools:
    owners = bidding.owner_people(world)
    marked = np.zeros(world.present.shape, np.bool_)
    relay, column = np.nonzero(owners != NOBODY)
    marked[relay, owners[relay, column]] = True
    return marked
