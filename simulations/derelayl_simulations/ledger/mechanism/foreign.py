"""Rules of plug-ins: whatever goes wrong in one is told with the name of its package."""

from __future__ import annotations

import numpy as np

from derelayl_plugins import Plugin

from ..arithmetic import Bools, Ints
from ..checkpoints import NOBODY
from .port import (
    Ballots,
    Base,
    Copies,
    Delivery,
    Duplicates,
    Floats,
    Gains,
    Judged,
    Matching,
    Payment,
    Rule,
    Score,
)

MOST_WEIGHT = 2**40
"""What the weights of a relay's legs stay below, so that no share overflows."""


class Foreign(Rule):
    """Passes on to a plug-in's rule and checks what comes back."""

    def __init__(self, inner: Rule, offered: Plugin) -> None:
        self._inner, self._offered = inner, offered


class ForeignPayment(Foreign, Payment):
    def weights(self, gains: Gains) -> Ints:
        with self._offered.blamed():
            assert isinstance(self._inner, Payment)
            weights = np.asarray(self._inner.weights(gains))
            _check("weights", weights, gains.score.shape)
            if (weights < 0).any() or weights[~gains.selected].any():
                raise ValueError("a weight below 0, or one for a leg that is not selected")
            if (weights.sum(axis=1, dtype=np.float64) >= MOST_WEIGHT).any():
                raise ValueError(f"the weights of a relay's legs add up to {MOST_WEIGHT} or more")
        return weights


class ForeignDelivery(Foreign, Delivery):
    def counts(self, tip: Ints, is_leg: Bools, submitted: Bools) -> Bools:
        with self._offered.blamed():
            assert isinstance(self._inner, Delivery)
            counts = np.asarray(self._inner.counts(tip, is_leg, submitted))
            if counts.shape != submitted.shape or counts.dtype != np.bool_ or (counts & ~submitted).any():
                raise ValueError("not a boolean for each leg, or a leg that was not submitted")
        return counts


class ForeignBase(Foreign, Base):
    def base(self, parent: Floats, best: Floats, average: Floats) -> Floats:
        with self._offered.blamed():
            assert isinstance(self._inner, Base)
            base = np.asarray(self._inner.base(parent, best, average), np.float64)
            if base.shape != parent.shape or not np.isfinite(base).all():
                raise ValueError(f"levels of shape {base.shape} for {len(parent)} legs, or one that is no number")
        return base


class ForeignMatching(Foreign, Matching):
    def bonds(self, bids: Ints) -> Ints:
        with self._offered.blamed():
            assert isinstance(self._inner, Matching)
            bonds = np.asarray(self._inner.bonds(bids))
            _check("bonds", bonds, bids.shape)
            if np.where(bids == NOBODY, bonds != 0, (bonds < 1) | (bonds > bids)).any():
                raise ValueError("a bond below a wei, above its bid, or where there is no leg")
        return bonds

    def ranks(self, legs: Ints, tips: Ints, most: int, width: int) -> Ints:
        with self._offered.blamed():
            assert isinstance(self._inner, Matching)
            ranks = np.asarray(self._inner.ranks(legs, tips, most, width))
            _check("ranks", ranks, (len(legs), width))
            real = np.arange(width) < legs[:, None]
            if (real & ((ranks < 0) | (ranks >= tips[:, None]))).any():
                raise ValueError("a leg of a tip that there is not")
            of_tip = ranks[:, :, None] == np.arange(int(tips.max(initial=0)))
            if ((of_tip & real[:, :, None]).sum(axis=1) > most).any():
                raise ValueError(f"more than {most} legs of one tip")
        return ranks


class ForeignDuplicates(Foreign, Duplicates):
    def classes(self, copies: Copies) -> Ints | None:
        with self._offered.blamed():
            assert isinstance(self._inner, Duplicates)
            found = self._inner.classes(copies)
            if found is None:
                return None
            found = np.asarray(found)
            _check("classes", found, copies.judged.shape)
            if ((found < 0) | (found > np.arange(found.shape[1]))).any():
                raise ValueError("a class that is no number of a leg up to its own")
        return found


class ForeignScore(Foreign, Score):
    def judge(self, ballots: Ballots) -> Judged:
        with self._offered.blamed():
            assert isinstance(self._inner, Score)
            judged = self._inner.judge(ballots)
            _check("scores", judged.score, ballots.submitted.shape)
            _check("agreement", judged.agreement, ballots.revealed.shape)
            if judged.most is not None and (np.abs(judged.agreement) > judged.most[:, None]).any():
                raise ValueError("more agreement than the most there is")
        return judged


KINDS: dict[str, tuple[type[Rule], type[Foreign]]] = {
    "payment": (Payment, ForeignPayment),
    "delivery": (Delivery, ForeignDelivery),
    "base": (Base, ForeignBase),
    "matching": (Matching, ForeignMatching),
    "duplicates": (Duplicates, ForeignDuplicates),
    "score": (Score, ForeignScore),
}
"""What a plug-in's class is derived from, and what passes on to it."""


def kind_of(rule: object) -> str | None:
    """Return the kind of a rule, None if it is of none."""
    return next((kind for kind, (base, _) in KINDS.items() if isinstance(rule, base)), None)


def blame(rule: Rule, offered: Plugin) -> Rule:
    """Return a rule that passes on to a plug-in's and checks what comes back."""
    kind = kind_of(rule)
    assert kind is not None
    return KINDS[kind][1](rule, offered)


def _check(what: str, values: Ints, shape: tuple[int, ...]) -> None:
    if values.shape != shape or values.dtype.kind != "i":
        raise ValueError(f"{what} of shape {values.shape} and type {values.dtype}, whole numbers of {shape} are needed")
