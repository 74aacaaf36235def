"""One seat's judging of one round: fetch the children, measure each against its parent, in the time that there is."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

import trio

from derelayl_protocol.errors import PeerFault
from derelayl_protocol.ledger.scoring import score_ppm
from derelayl_protocol.ledger.state import LegEntry, RoundView
from derelayl_protocol.statement.words import short
from derelayl_protocol.types import UNAVAILABLE, Ppm, Root
from derelayl_training.jobs import Architecture

from ..failures import Failure
from ..groups import ungrouped
from ..handoff import MAX_CACHED_WEIGHTS, FetchFailed
from .kit import Kit

log = logging.getLogger(__name__)

FETCH_SHARE = 0.4
"""Share of the time that the first try to fetch may take. What it gets is measured while the rest is tried again, for a
load on this machine may pass."""

AGAIN_SHARE = 0.5
MEASURE_SHARE = 0.75
"""Shares of the time left, for the second try and for measuring beside it what came first."""

ANSWER_SECONDS = 1.0
"""How long after its time a measuring may still answer."""

MAX_COMPARED = MAX_CACHED_WEIGHTS - 1
"""Children measured at once: with their parent as many files as the hand-off keeps."""


class NoVerdict(Failure):
    """This peer, by no fault of a leg's trainer, cannot say what the leg is worth."""


class Judging:
    """The scores of one round by one seat. UNAVAILABLE is said only of a child that could not be had or decoded."""

    def __init__(self, kit: Kit, view: RoundView, seconds: float) -> None:
        """`seconds` are what there is for all of it."""
        self._kit = kit
        self._view = view
        self._end = trio.current_time() + seconds
        self._scores = {number: UNAVAILABLE for number, leg in enumerate(view.legs) if not leg.submitted}
        self._missing: dict[int, FetchFailed] = {}

    async def scores(self) -> tuple[Ppm, ...]:
        """One score for each leg. Raises NoVerdict unless each is known; TrainingFailed, FetchFailed, StoreFull and
        StoreDamaged mean the same."""
        with trio.move_on_at(self._end + ANSWER_SECONDS), ungrouped():
            submitted = [number for number in range(len(self._view.legs)) if number not in self._scores]
            children = await self._obtain(submitted, self._left * FETCH_SHARE)
            if self._missing:
                children = await self._measure_and_obtain(children)
            await self._measure(children, self._left)
        for number, failure in self._missing.items():
            if not failure.answered:
                raise NoVerdict(f"leg {number} could not be fetched, and no peer answered") from failure
            log.warning("round %d leg %d: unavailable: %s", self._view.number, number, failure)
            self._scores[number] = UNAVAILABLE
        late = [number for number in range(len(self._view.legs)) if number not in self._scores]
        if late:
            raise NoVerdict(f"there was no time to measure leg {', '.join(map(str, late))}")
        return tuple(self._scores[number] for number in range(len(self._view.legs)))

    @property
    def _left(self) -> float:
        return max(self._end - trio.current_time(), 0.0)

    async def _measure_and_obtain(self, children: Mapping[Root, Sequence[int]]) -> Mapping[Root, Sequence[int]]:
        """Measure these legs and try again for what is missing; returns what has come of it."""
        left, late = self._left, dict[Root, Sequence[int]]()

        async def try_again() -> None:
            late.update(await self._obtain(list(self._missing), left * AGAIN_SHARE))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(try_again)
            await self._measure(children, left * MEASURE_SHARE)
        return late

    async def _obtain(self, numbers: Sequence[int], seconds: float) -> Mapping[Root, Sequence[int]]:
        """Those of the legs whose child and parent are here now, by parent; fetched side by side, so that one that is
        withheld costs the others nothing."""
        obtained: dict[Root, list[int]] = {}

        async def obtain(number: int, leg: LegEntry) -> None:
            try:
                parent = await self._kit.handoff.take(leg.parent, seconds)
                await self._kit.handoff.take_child(self._kit.model, self._view.number, leg, parent.manifest, seconds)
            except FetchFailed as failure:
                self._missing[number] = failure
                return
            except PeerFault as fault:
                log.warning("round %d leg %d: unavailable: %s", self._view.number, number, fault)
                self._scores[number] = UNAVAILABLE
            else:
                obtained.setdefault(leg.parent, []).append(number)
            self._missing.pop(number, None)

        async with trio.open_nursery() as nursery:
            for number in numbers:
                nursery.start_soon(obtain, number, self._view.legs[number])
        return {parent: sorted(legs) for parent, legs in obtained.items()}

    async def _measure(self, children: Mapping[Root, Sequence[int]], seconds: float) -> None:
        """Score these legs on this peer's held-out data; each file gets an equal part of the time."""
        end = trio.current_time() + seconds
        groups = [
            (parent, numbers[start : start + MAX_COMPARED])
            for parent, numbers in children.items()
            for start in range(0, len(numbers), MAX_COMPARED)
        ]
        files = sum(1 + len(numbers) for _, numbers in groups)
        for parent, numbers in groups:
            part = (1 + len(numbers)) / files
            files -= 1 + len(numbers)
            await self._compare(parent, numbers, max(end - trio.current_time(), 0.0) * part)

    async def _compare(self, parent: Root, numbers: Sequence[int], seconds: float) -> None:
        """Score the children of one parent, all on the same samples."""
        manifest = (await self._kit.handoff.take(parent, seconds)).manifest
        roots = (parent, *(self._view.legs[number].child for number in numbers))
        files = [await self._kit.handoff.weights(root) for root in roots]
        ours, *theirs = await self._kit.trainer.losses(
            Architecture(manifest.header.architecture, manifest.header.parameters),
            files,
            seconds=seconds,
            seed=self._view.number,
        )
        if ours is None:  # a committee has accepted it, so it is this peer that lacks something
            raise NoVerdict(f"the parent {short(parent)} cannot be loaded here; is this version of derelayl too old?")
        log.info("round %d: legs %s measured on %d samples", self._view.number, list(numbers), ours.samples)
        for number, child in zip(numbers, theirs, strict=True):
            self._scores[number] = UNAVAILABLE if child is None else score_ppm(ours.mean, child.mean, child.error)
