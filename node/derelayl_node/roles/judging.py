"""One seat's judging of one round: fetch the children, measure each above what anyone could make, in the time there is.

Source: docs/PROTOCOL.md section 4 (Scores, Originals).
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import trio

from derelayl_protocol.checkpoint.manifest import Manifest
from derelayl_protocol.errors import PeerFault
from derelayl_protocol.ledger.scoring import score_ppm
from derelayl_protocol.ledger.state import LegEntry, RoundView
from derelayl_protocol.limits import BPS
from derelayl_protocol.statement.words import short
from derelayl_protocol.types import UNAVAILABLE, WHOLE_MODEL, Ppm, Root
from derelayl_training.bar import MAX_BAR_TIPS
from derelayl_training.jobs import Architecture, Bar, ChildFile, Judged, JudgingJob, TipFile

from ..failures import Failure
from ..groups import ungrouped
from ..handoff import FetchFailed
from ..ports import StoreDamaged
from .duties import tips_in_order
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


class NoVerdict(Failure):
    """This peer, by no fault of a leg's trainer, cannot say what the leg is worth."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a seat says of a round, in leg order: each leg's score, and the number of its original."""

    scores: tuple[Ppm, ...]
    originals: tuple[int, ...]


class Judging:
    """The verdict on one round by one seat. UNAVAILABLE is said only of a child that could not be had or decoded."""

    def __init__(self, kit: Kit, view: RoundView, seconds: float, seed: int) -> None:
        """`seconds` are what there is for all of it; `seed` draws the samples, and nobody else may know it."""
        self._kit = kit
        self._view = view
        self._end = trio.current_time() + seconds
        self._seed = seed
        self._scores = {number: UNAVAILABLE for number, leg in enumerate(view.legs) if not leg.submitted}
        self._originals = list(range(len(view.legs)))
        self._missing: dict[int, FetchFailed] = {}

    async def verdict(self) -> Verdict:
        """Say something of each leg. Raises NoVerdict unless each score is known.

        TrainingFailed, FetchFailed, StoreFull and StoreDamaged mean the same.
        """
        with trio.move_on_at(self._end + ANSWER_SECONDS), ungrouped():
            submitted = [number for number in range(len(self._view.legs)) if number not in self._scores]
            here = await self._obtain(submitted, self._left * FETCH_SHARE)
            if self._missing:
                late = await self._measure_and_obtain(here)
                if late:  # once more beside the others, for what came late may be a copy of them, or they of it
                    await self._measure(sorted([*here, *late]), self._left)
            else:
                await self._measure(here, self._left)
        for number, failure in self._missing.items():
            if not failure.answered:
                raise NoVerdict(f"leg {number} could not be fetched, and no peer answered") from failure
            log.warning("round %d leg %d: unavailable: %s", self._view.number, number, failure)
            self._scores[number] = UNAVAILABLE
        late = [number for number in range(len(self._view.legs)) if number not in self._scores]
        if late:
            raise NoVerdict(f"there was no time to measure leg {', '.join(map(str, late))}")
        return Verdict(tuple(self._scores[number] for number in range(len(self._view.legs))), tuple(self._originals))

    @property
    def _left(self) -> float:
        return max(self._end - trio.current_time(), 0.0)

    async def _measure_and_obtain(self, here: Sequence[int]) -> Sequence[int]:
        """Measure these legs and try again for what is missing; returns what has come of it."""
        left, late = self._left, list[int]()

        async def try_again() -> None:
            late.extend(await self._obtain(list(self._missing), left * AGAIN_SHARE))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(try_again)
            await self._measure(here, left * MEASURE_SHARE)
        return late

    async def _obtain(self, numbers: Sequence[int], seconds: float) -> Sequence[int]:
        """Those of the legs whose child and parent are here now; fetched side by side, so that one that is withheld
        costs the others nothing."""
        obtained: list[int] = []

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
                obtained.append(number)
            self._missing.pop(number, None)

        async with trio.open_nursery() as nursery:
            for number in numbers:
                nursery.start_soon(obtain, number, self._view.legs[number])
        return sorted(obtained)

    async def _measure(self, numbers: Sequence[int], seconds: float) -> None:
        """Score these legs on this peer's held-out data, all on the same samples; a score that is known stands."""
        if not numbers:
            return
        end = trio.current_time() + seconds
        legs = [self._view.legs[number] for number in numbers]
        tips = await self._tips({leg.parent for leg in legs})
        places = {root: place for place, root in enumerate(tips)}
        header = tips[legs[0].parent].header
        async with self._kit.handoff.holding_weights([*tips, *(leg.child for leg in legs)]) as files:
            job = JudgingJob(
                architecture=Architecture(header.architecture, header.parameters),
                tips=[TipFile(path, each.header.segment) for path, each in zip(files, tips.values(), strict=False)],
                children=[
                    ChildFile(path, places[leg.parent]) for path, leg in zip(files[len(tips) :], legs, strict=True)
                ],
                alike=self._kit.rules.duplicate_bps / BPS,
                seed=self._seed,
            )
            judged = await self._kit.trainer.judge(job, seconds=max(end - trio.current_time(), 0.0))
        self._note(numbers, judged)
        log.info(
            "round %d: legs %s measured on %d samples with standard errors up to %.3f nats, above %s%s",
            self._view.number, list(numbers), judged.samples,
            max((child.error or 0.0 for child in judged.children if child is not None), default=0.0),
            _name(judged.bar, list(tips)),
            f"; no time for {judged.left_out} other things that anyone could make" if judged.left_out else "",
        )  # fmt: skip

    def _note(self, numbers: Sequence[int], judged: Judged) -> None:
        """Take over what is new: a second measuring had less time, and is asked about what came late alone."""
        known = {number for number in numbers if number in self._scores}
        for number, child in zip(numbers, judged.children, strict=True):
            if child is None:
                self._scores.setdefault(number, UNAVAILABLE)
                continue
            self._scores.setdefault(number, score_ppm(judged.bar.loss, child.loss, child.error))
            original = numbers[child.original]
            if number not in known or original not in known:
                self._originals[number] = min(original, self._originals[number])

    async def _tips(self, leased: set[Root]) -> dict[Root, Manifest]:
        """The tips that legs continue and the first others that are here, in order; the log names what is not here."""
        tips, others = dict[Root, Manifest](), 0
        for tip in tips_in_order(self._view):
            if tip.root in leased:
                tips[tip.root] = (await self._kit.handoff.take(tip.root, self._left)).manifest
            elif others < MAX_BAR_TIPS - 1:
                others += 1
                manifest = await self._held(tip.root)
                if manifest is not None:
                    tips[tip.root] = manifest
        return tips

    async def _held(self, root: Root) -> Manifest | None:
        try:
            manifest = await self._kit.handoff.held(root)
            if manifest is not None:
                await self._kit.handoff.weights(root)
                return manifest
            reason: object = "this peer does not have it"
        except (FetchFailed, StoreDamaged) as failure:
            reason = failure
        log.info("round %d: the bar is made without the tip %s: %s", self._view.number, short(root), reason)
        return None


def _name(bar: Bar, tips: Sequence[Root]) -> str:
    names = [short(tips[place]) for place in bar.tips]
    if bar.segment != WHOLE_MODEL:
        return f"tip {names[0]} with segment {bar.segment} of {names[1]}"
    return f"tip {names[0]}" if len(names) == 1 else f"the average of the tips {', '.join(names)}"
