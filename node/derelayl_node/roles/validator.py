"""The validator: judges each leg on held-out data of its own, seals the scores, then reveals them."""

from __future__ import annotations

import logging
from collections.abc import Callable

import trio

from derelayl_protocol.errors import PeerFault, RuleViolation
from derelayl_protocol.ledger.commands import CommitScores, RevealScores, Stake
from derelayl_protocol.ledger.phases import Phase
from derelayl_protocol.ledger.scoring import commitment, score_ppm
from derelayl_protocol.ledger.state import LegEntry, RoundView
from derelayl_protocol.statement.words import short
from derelayl_protocol.types import UNAVAILABLE, Ppm, Root, Wei
from derelayl_training.jobs import Architecture, HeldOutLoss

from ..handoff import FetchFailed
from ..journal import SealedScores
from .duties import seat_of
from .kit import Kit
from .purse import send_paid

log = logging.getLogger(__name__)

FETCH_SHARE = 0.6
"""Share of the judging time that fetching may take; the rest is for measuring."""

COMMIT_RESERVE_SECONDS = 3.0
"""Judging stops this long before the deadline, so that the commit is in time with what is known by then."""


class ValidatorRole:
    """One validator of one model. `salts` gives 32 fresh random bytes."""

    def __init__(self, kit: Kit, salts: Callable[[], bytes]) -> None:
        self._kit = kit
        self._salts = salts

    async def join(self) -> None:
        """Stake what the rules ask for, unless it is staked already. Raises RuleViolation, LedgerUnavailable."""
        staked = await self._kit.registry.stake(self._kit.model, self._kit.ledger.account)
        missing = self._kit.rules.validator_stake - staked
        if missing > 0:
            await send_paid(self._kit.ledger, Stake(self._kit.model, Wei(missing)), Wei(missing))

    async def step(self, view: RoundView) -> None:
        """Act on one look at the round. Raises LedgerUnavailable, TrainingFailed and the store's errors."""
        seat = seat_of(view, self._kit.ledger.account)
        if seat is None:
            return
        try:
            if view.phase == Phase.COMMIT and seat.commitment is None:
                await self._commit(view)
            elif view.phase == Phase.REVEAL and seat.commitment is not None and seat.scores is None:
                await self._reveal(view)
        except RuleViolation as refusal:
            log.warning("round %d: %s refused: %s", view.number, view.phase.name.lower(), refusal)

    async def _commit(self, view: RoundView) -> None:
        sealed = self._kit.journal.read(self._kit.model, view.number)
        if sealed is None:
            sealed = SealedScores(await self._judge(view), self._salts())
            self._kit.journal.write(self._kit.model, view.number, sealed)
            log.info("round %d: sealed %s", view.number, list(sealed.scores))
        seal = commitment(self._kit.model, view.number, self._kit.ledger.account, sealed.salt, sealed.scores)
        await self._kit.submission.submit(view, CommitScores(self._kit.model, view.number, seal))

    async def _reveal(self, view: RoundView) -> None:
        sealed = self._kit.journal.read(self._kit.model, view.number)
        if sealed is None:
            log.error("round %d: no journal entry to reveal; the stake will be slashed", view.number)
            return
        await self._kit.submission.submit(view, RevealScores(self._kit.model, view.number, sealed.scores, sealed.salt))

    async def _judge(self, view: RoundView) -> tuple[Ppm, ...]:
        """One score for each leg of the round; what is not known when the time is over is UNAVAILABLE."""
        scores = [UNAVAILABLE] * len(view.legs)
        budget = max(view.deadline - self._kit.clock.now() - COMMIT_RESERVE_SECONDS, 0)
        with trio.move_on_after(budget) as patience:
            parents = await self._obtain_all(view, budget * FETCH_SHARE)
            for parent, children in parents.items():
                for number, score in (await self._compare(view, parent, children)).items():
                    scores[number] = score
        if patience.cancelled_caught:
            log.warning("round %d: judging did not finish in %.0f s", view.number, budget)
        return tuple(scores)

    async def _obtain_all(self, view: RoundView, seconds: float) -> dict[Root, list[int]]:
        """Legs whose child is here and acceptable, by parent; fetched side by side, so that one that is withheld costs
        the others nothing."""
        obtained: dict[Root, list[int]] = {}

        async def obtain(number: int, leg: LegEntry) -> None:
            try:
                parent = await self._kit.handoff.take(leg.parent, seconds)
                await self._kit.handoff.take_child(self._kit.model, view.number, leg, parent.manifest, seconds)
            except (PeerFault, FetchFailed) as error:
                log.warning("round %d leg %d: unavailable: %s", view.number, number, error)
            else:
                obtained.setdefault(leg.parent, []).append(number)

        async with trio.open_nursery() as nursery:
            for number, leg in enumerate(view.legs):
                if leg.submitted:
                    nursery.start_soon(obtain, number, leg)
        return obtained

    async def _compare(self, view: RoundView, parent_root: Root, numbers: list[int]) -> dict[int, Ppm]:
        """Scores of the children of one parent, on this peer's held-out data."""
        parent = await self._kit.handoff.take(parent_root, COMMIT_RESERVE_SECONDS)
        header = parent.manifest.header
        files = [
            await self._kit.handoff.weights(root) for root in (parent_root, *(view.legs[n].child for n in numbers))
        ]
        architecture = Architecture(header.architecture, header.parameters)
        ours, *theirs = await self._kit.trainer.losses(architecture, files)
        if ours is None:
            log.warning("round %d: parent %s cannot be loaded here", view.number, short(parent_root))
            return {}
        return {number: _score(ours, child) for number, child in zip(numbers, theirs, strict=True)}


def _score(parent: HeldOutLoss, child: HeldOutLoss | None) -> Ppm:
    return UNAVAILABLE if child is None else score_ppm(parent.mean, child.mean, child.error)
