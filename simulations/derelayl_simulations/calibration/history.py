"""What happened on a ledger, round by round: what a calibration sees, of a real network as of a simulated one.

Accounts and roots are whatever names them (text, bytes, numbers): they are compared, and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from derelayl_protocol.errors import LocalFault
from derelayl_protocol.ledger import events
from derelayl_protocol.ledger.events import Event
from derelayl_protocol.ledger.rules import Rules
from derelayl_protocol.ledger.scoring import PPM
from derelayl_protocol.types import TOKEN, UNAVAILABLE, ModelId

from ..world.people import Bools, Floats

Reader = Callable[[Path, str | None, str | None], tuple[ModelId, Iterable[Event]]]
"""Reads a network file's ledger: (file, model or None for the file's, chain's address or None for the file's) to the
model and the events, in the order of the chain."""


@dataclass(frozen=True, slots=True)
class Round:
    """One round that ended; B bids, L legs, K seats."""

    number: int
    settled: bool  # else void
    bidders: tuple[Hashable, ...]  # (B,)
    bids: Floats  # (B,) coins, as they were placed
    trainers: tuple[Hashable, ...]  # (L,)
    parents: tuple[Hashable, ...]  # (L,)
    children: tuple[Hashable, ...]  # (L,) None where nothing was submitted
    score: Floats  # (L,) nats, NaN where the leg was not judged
    selected: Bools  # (L,)
    reward: Floats  # (L,) coins
    seats: tuple[Hashable, ...]  # (K,)
    scores: Floats  # (K, L) nats, NaN where the seat revealed nothing or UNAVAILABLE
    revealed: Bools  # (K,)
    copies: Bools  # (L,) taken for a copy of another leg by more than half of the seats that revealed
    withdrew: tuple[Hashable, ...] = ()  # who took tokens or its stake out since the round before, of any model

    @property
    def submitted(self) -> Bools:
        """Which legs were handed over, (L,)."""
        return np.array([child is not None for child in self.children], np.bool_)

    @property
    def judged(self) -> Bools:
        """Which legs have a score, (L,)."""
        return np.asarray(~np.isnan(self.score))


@dataclass(frozen=True, slots=True)
class History:
    """A model's rounds in their order."""

    rules: Rules
    budget: float  # coins that were given to the model
    rounds: tuple[Round, ...]

    def first(self, count: int) -> History:
        """Return the history as it was after so many rounds."""
        return History(self.rules, self.budget, self.rounds[:count])


def read_history(log: Iterable[Event], model: ModelId) -> History:
    """Read a model's rounds from a ledger's events, of either version; a round that runs is left out.

    Raises LocalFault if the ledger has no such model.
    """
    rules: Rules | None = None
    budget = 0
    running: dict[int, _Running] = {}
    ended: list[Round] = []
    withdrew: dict[Hashable, None] = {}
    for event in log:
        if isinstance(event, events.Withdrawn):  # of no model: an account has one balance
            withdrew[event.account] = None
        if getattr(event, "model", None) != model:
            continue
        match event:
            case events.ModelCreated():
                rules = event.rules
            case events.Funded():
                budget += event.amount
            case events.RoundSettled() | events.RoundVoided():
                if (held := running.pop(event.round, None)) is not None:
                    ended.append(held.end(event.round, isinstance(event, events.RoundSettled), tuple(withdrew)))
                    withdrew.clear()
            case events.Unstaked():
                withdrew[event.account] = None
            case _ if (number := getattr(event, "round", None)) is not None:
                running.setdefault(number, _Running()).note(event)
            case _:
                pass  # access and royalties are nobody's round
    if rules is None:
        raise LocalFault("the ledger has no such model: check --model and the network file")
    return History(rules, budget / TOKEN, tuple(ended))


# --- Inside -----------------------------------------------------------------------------------------------------------


class _Running:
    """What is known of a round that has not ended."""

    def __init__(self) -> None:
        self._bids: dict[Hashable, int] = {}
        self._legs: dict[int, events.LegLeased] = {}
        self._children: dict[int, Hashable] = {}
        self._settled: dict[int, events.LegSettled] = {}
        self._seats: tuple[Hashable, ...] = ()
        self._revealed: dict[Hashable, events.ScoresRevealed] = {}

    def note(self, event: Event) -> None:
        match event:
            case events.BidPlaced():
                self._bids[event.trainer] = event.amount
            case events.LegLeased():
                self._legs[event.leg] = event
            case events.CommitteeSeated():
                self._seats = event.validators
            case events.LegSubmitted():
                self._children[event.leg] = event.child
            case events.ScoresRevealed():
                self._revealed[event.validator] = event
            case events.LegSettled():
                self._settled[event.leg] = event
            case _:
                pass  # phases, deposits and what was paid follow from the rest

    def end(self, number: int, settled: bool, withdrew: tuple[Hashable, ...]) -> Round:
        legs = sorted(self._legs)
        outcomes = [self._settled.get(leg) for leg in legs]
        scores = np.full((len(self._seats), len(legs)), np.nan)
        named = np.zeros(len(legs))
        for seat, account in enumerate(self._seats):
            if (revealed := self._revealed.get(account)) is not None and len(revealed.scores) == len(legs):
                scores[seat] = [np.nan if each == UNAVAILABLE else each / PPM for each in revealed.scores]
                named += [original != leg for leg, original in enumerate(revealed.originals)]
        judged = [each is not None and each.score != UNAVAILABLE for each in outcomes]
        return Round(
            number=number,
            settled=settled,
            bidders=tuple(self._bids),
            bids=np.array(list(self._bids.values()), np.float64) / TOKEN,
            trainers=tuple(self._legs[leg].trainer for leg in legs),
            parents=tuple(self._legs[leg].parent for leg in legs),
            children=tuple(self._children.get(leg) for leg in legs),
            score=np.array([each.score / PPM if each and there else np.nan
                            for each, there in zip(outcomes, judged, strict=True)]),
            selected=np.array([each is not None and each.selected for each in outcomes], np.bool_),
            reward=np.array([each.reward / TOKEN if each else 0.0 for each in outcomes]),
            seats=self._seats,
            scores=scores,
            revealed=np.array([account in self._revealed for account in self._seats], np.bool_),
            copies=named > len(self._revealed) / 2,
            withdrew=withdrew,
        )  # fmt: skip
