"""One row of a run's table from a world under the ledger's rules."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..columns import LAGS, ROLES, profit_column, share_column
from ..ledger import NOBODY
from ..measures import gini
from .income import OWNER, TRAINER, VALIDATOR
from .people import Bools, Floats
from .play import Round, circulating, within_reach
from .state import NO_MODEL, World
from .strategies import name_of

Row = dict[str, float]


def strategies_of(world: World) -> list[str]:
    """Return the names of the strategies in the world, trainers' first, a name that both roles have once."""
    return list(dict.fromkeys(name_of(code) for code in world.strategies))


def observe(world: World, happened: Round, strategies: Sequence[str]) -> Row:
    """Return the row of the round that was just played."""
    row: Row = {"round": world.round}
    row |= _people(world, happened)
    row |= _versions(world)
    row |= _coins(world, happened)
    row |= _models(world)
    row |= _market(world, happened)
    row |= _incomes(world, strategies)
    row |= _beyond_alone(world)
    return row


def people_coins(world: World) -> Floats:
    """Return what everybody has on the ledger, free, staked or unbonding, in coins; (R, P)."""
    book = world.book
    wei = world.people.places.fold(book.free + book.stake + book.unbonding)
    return np.asarray(wei / world.ledger.wei_per_coin)


def profits(world: World) -> Floats:
    """Return coins a round that each earns in all roles together, over the window; (R, P)."""
    return np.asarray(world.income.total / np.maximum(world.price, TINY)[:, None])


TINY = 1e-12  # money: a coin is never worth nothing when something is divided by its price


# --- Inside -----------------------------------------------------------------------------------------------------------


def _people(world: World, happened: Round) -> Row:
    outcome, legs = happened.outcome, happened.training
    return {
        "participants": float(np.count_nonzero(world.present)),
        "owners": float(np.count_nonzero(happened.owners)),
        "trainers": float(np.count_nonzero(happened.bidders)),
        "matched": float(len(legs.legs.relay)),
        "models": float(np.count_nonzero(legs.deeds.submitted)),
        "selected": float(np.count_nonzero(outcome.selected)),
        "audits": float(_audits(happened)),
        "slashed": float((outcome.slashed + outcome.charged).sum()) / world.ledger.wei_per_coin,
    }


def _audits(happened: Round) -> int:
    """Count the scores that were revealed, a number for each seat and submitted leg."""
    submitted = happened.training.mask(happened.training.deeds.submitted).sum(axis=1)
    return int(happened.verdicts.revealed.sum(axis=1) @ submitted)


def _versions(world: World) -> Row:
    """Return percentages of who is there by how far their version is behind the newest of their relay."""
    newest = world.held.max(axis=1, keepdims=True)
    lags = np.minimum(newest - world.held, LAGS)
    lags[world.held == NO_MODEL] = LAGS + 1
    counts = np.bincount(lags[world.present], minlength=LAGS + 2)
    shares = (counts * (100.0 / max(counts.sum(), 1))).tolist()
    names = ["share_latest", *(f"share_behind_{lag}" for lag in range(1, LAGS)), "share_older", "share_none"]
    return dict(zip(names, shares, strict=True))


def _coins(world: World, happened: Round) -> Row:
    held = np.sort(people_coins(world)[world.present])
    coin = world.ledger.wei_per_coin
    minted = float(happened.outcome.emission.sum())
    empty = len(held) == 0
    return {
        "supply": circulating(world) / coin,
        "minted": minted / coin,
        "budget": float(world.book.budget.sum()) / coin,
        "burned": 0.0,
        "gini": float(gini(held)),
        "coins_mean": float("nan") if empty else float(held.sum()) / len(held),
        "coins_min": float("nan") if empty else float(held[0]),
        "coins_max": float("nan") if empty else float(held[-1]),
        "inflation": minted / happened.supply_before if happened.supply_before > 0 else float("nan"),
    }


def _models(world: World) -> Row:
    book = world.book
    is_tip = book.tips != NOBODY
    levels = book.checkpoints.note[np.where(is_tip, book.tips, 0)]
    best = np.where(is_tip, levels, -np.inf).max(axis=1)
    mean = np.where(is_tip, levels, 0.0).sum(axis=1) / is_tip.sum(axis=1)
    alive = world.round - world.selected < world.settings.dead_after
    return {
        "live_tips": float(np.count_nonzero(is_tip)),
        "common_ancestor_depth": float(ancestor_depth(world).mean()),
        "relays_alive": float(alive.mean()),
        "quality": float(best.mean()),
        "quality_mean": float(mean.mean()),
    }


def ancestor_depth(world: World) -> Floats:
    """Return the legs from the tips of each relay back to their last common ancestor, (R,).

    All tips of a relay are equally far from genesis, so the walk goes one generation at a time.
    """
    tips, parent = world.book.tips, world.book.checkpoints.parent
    lines = np.where(tips == NOBODY, tips[:, :1], tips)
    depth = np.zeros(len(lines))
    apart = np.flatnonzero((lines != lines[:, :1]).any(axis=1))
    lines = lines[apart]
    while len(apart):
        depth[apart] += 1
        lines = parent[lines]
        still = (lines != lines[:, :1]).any(axis=1)
        apart, lines = apart[still], lines[still]
    return depth


def _market(world: World, happened: Round) -> Row:
    coin = world.ledger.wei_per_coin
    return {
        "demand": float(happened.consumers.sum()),
        "price": float(world.price.mean()),
        "revenue": float((happened.paid / coin * world.price).sum()),
    }


def _incomes(world: World, strategies: Sequence[str]) -> Row:
    income, recent = world.income, world.round - world.settings.window
    price = np.maximum(world.price, TINY)[:, None]
    trainers = np.broadcast_to(world.trainers, world.present.shape)
    active = {
        TRAINER: world.present & trainers & (world.leased > recent) & (world.leased > 0),
        OWNER: world.present & (world.owned > recent) & (world.owned > 0),
        VALIDATOR: world.present & ~trainers,
    }
    row = {f"profit_{ROLES[role]}": _median((income.profit[role] / price)[who]) for role, who in active.items()}
    owning = world.present & (world.owned == world.round)
    row["participation_trainer"] = _percent(world.present & trainers, trainers)
    row["participation_owner"] = _percent(owning, world.present)
    row["participation_validator"] = _percent(world.present & ~trainers, ~trainers)
    earned = profits(world)
    known = [name_of(code) for code in range(world.strategies[-1] + 1)]
    names = np.array(known)[world.people.strategy] if len(strategies) > 1 else None
    for name in strategies:
        who = world.present if names is None else world.present & (names == name)
        row[profit_column(name)] = _mean(earned[who])
        row[share_column(name)] = _percent(who, world.present)
    return row


def _beyond_alone(world: World) -> Row:
    """Compare those who are there with themselves outside: with the best that their own data can teach, at no cost.

    Who is alone has to train on, too, as the world moves on, so that is more than anybody would have. Where data teach
    no particular level nobody knows.
    """
    learning, usage, there = world.settings.learning, world.settings.demand.usage, world.present
    if learning.model != "saturating":
        return {"beyond_alone_money": float("nan"), "beyond_alone_nats": float("nan")}
    alone = learning.ceiling * world.people.traits.quality
    return {
        "beyond_alone_money": _median((world.income.total - usage * alone)[there]),
        "beyond_alone_nats": _median((within_reach(world) - alone)[there]),
    }


def _median(values: Floats) -> float:
    """Return the median, NaN of nothing; numpy's own costs more than all else here where there are few values."""
    count = len(values)
    if count == 0:
        return float("nan")
    middle = np.sort(values)[(count - 1) // 2 : count // 2 + 1]
    return float(middle.sum()) / len(middle)


def _mean(values: Floats) -> float:
    return float(values.mean()) if len(values) else float("nan")


def _percent(part: Bools, whole: Bools) -> float:
    """Return how many are marked in `part`, in % of those marked in `whole`; NaN for nobody."""
    count = int(np.count_nonzero(whole))
    return 100.0 * int(np.count_nonzero(part)) / count if count else float("nan")
