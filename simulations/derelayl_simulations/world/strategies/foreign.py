"""Strategies of plug-ins: whatever goes wrong in one is told with the name of its package."""

from __future__ import annotations

from functools import cache

import numpy as np

from derelayl_plugins import STRATEGIES, Plugin, plugin

from .port import Bench, Deeds, Floats, Ints, Judge, Learn, Legs, Market, Trainer


@cache
def role_and_strategy(name: str) -> tuple[str, Trainer | Judge]:
    """Import and make a plug-in's strategy. Raises LocalFault naming its package."""
    offered = plugin(STRATEGIES, name)
    assert offered is not None
    kind = offered.load()
    with offered.blamed():
        made = kind()
    if isinstance(made, Trainer):
        return "trainer", ForeignTrainer(made, offered)
    if isinstance(made, Judge):
        return "validator", ForeignJudge(made, offered)
    raise offered.fault("its class is derived neither from Trainer nor from Judge")


class ForeignTrainer(Trainer):
    """Passes on to a plug-in's trainer."""

    def __init__(self, inner: Trainer, offered: Plugin) -> None:
        self._inner, self._offered = inner, offered
        self.offers, self.serves, self.buys_own = inner.offers, inner.serves, inner.buys_own
        self.late, self.ring, self.leeches, self.many = inner.late, inner.ring, inner.leeches, inner.many

    def bid(self, market: Market, mine: tuple[Ints, Ints]) -> Floats:
        with self._offered.blamed():
            bids = np.asarray(self._inner.bid(market, mine), np.float64)
            if bids.shape != mine[0].shape or not (bids >= 0).all():
                raise ValueError(f"bids of shape {bids.shape} for {len(mine[0])} accounts, or one that is no bid")
        return bids

    def train(self, legs: Legs, mine: Ints, deeds: Deeds, learn: Learn) -> None:
        with self._offered.blamed():
            self._inner.train(legs, mine, deeds, learn)


class ForeignJudge(Judge):
    """Passes on to a plug-in's judge."""

    def __init__(self, inner: Judge, offered: Plugin) -> None:
        self._inner, self._offered = inner, offered
        self.reveals, self.effort, self.boast = inner.reveals, inner.effort, inner.boast

    def score(self, bench: Bench, mine: Ints) -> Ints:
        with self._offered.blamed():
            scores = np.asarray(self._inner.score(bench, mine))
            if scores.shape != bench.measured[mine].shape or scores.dtype.kind != "i":
                raise ValueError(f"scores of shape {scores.shape} and type {scores.dtype}, not whole ppm for each leg")
        return scores
