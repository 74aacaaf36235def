"""The trainer: bids for a lease, takes the parent over, trains a leg, hands the child on."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import trio

from derelayl_protocol.errors import RuleViolation
from derelayl_protocol.ledger.commands import OfferTip, PlaceBid, SubmitLeg
from derelayl_protocol.ledger.phases import Phase
from derelayl_protocol.ledger.state import LegEntry, RoundView
from derelayl_protocol.manifest import Manifest
from derelayl_protocol.rules import Rules
from derelayl_protocol.types import ModelId, Root, Wei

from ..handoff import Handoff, Record
from ..journal import Journal, SignedChild
from ..ports import Architecture, Clock, Ledger, LegJob, Trainer
from .duties import has_bid, may_still_enter, open_lease, segment_for_round, tips_to_offer
from .purse import send_paid
from .submission import Submission

log = logging.getLogger(__name__)

SUBMIT_RESERVE_SECONDS = 2.0
"""A leg that is not trained this long before its deadline is given up: the submission would come too late."""


@dataclass(frozen=True, slots=True)
class TrainerPolicy:
    """How this peer bids and trains."""

    bid: Wei
    segment: str  # see duties.segment_for_round
    steps: int
    batch: int
    learning_rate: float
    seed: int


@dataclass(frozen=True, slots=True)
class LegStatus:
    """What the trainer is doing, for the node's status page. `stage` is idle, fetching, training or submitting."""

    round: int
    leg: int | None
    stage: str


class TrainerRole:
    """One trainer of one model."""

    def __init__(
        self,
        ledger: Ledger,
        trainer: Trainer,
        handoff: Handoff,
        clock: Clock,
        model: ModelId,
        rules: Rules,
        policy: TrainerPolicy,
        scratch: Path,
        journal: Journal,
        submission: Submission,
        report: Callable[[LegStatus], None],
    ) -> None:
        self._ledger = ledger
        self._trainer = trainer
        self._handoff = handoff
        self._clock = clock
        self._model = model
        self._rules = rules
        self._policy = policy
        self._scratch = scratch
        self._journal = journal
        self._submission = submission
        self._report = report
        self._published: Root | None = None
        scratch.mkdir(parents=True, exist_ok=True)

    async def step(self, view: RoundView) -> None:
        """Act on one look at the round; returns when nothing is left to do in it for now.

        Raises LedgerUnavailable, TrainingFailed, FetchFailed and the store's errors: the leg is lost, the peer goes on.
        """
        now = self._clock.now()
        await self._publish(view)
        if may_still_enter(view, now):
            await self._enter(view)
        lease = open_lease(view, self._ledger.account, now)
        if lease is not None:
            try:
                await self._run(view, *lease)
            finally:
                self._report(LegStatus(view.number, None, "idle"))

    async def _enter(self, view: RoundView) -> None:
        try:
            for tip in tips_to_offer(view, self._ledger.account):
                deposit = Wei(self._rules.offer_deposit * self._rules.legs_per_tip)
                await send_paid(self._ledger, OfferTip(self._model, view.number, tip), deposit)
            if not has_bid(view, self._ledger.account):
                segment = segment_for_round(self._policy.segment, view.number, self._rules.segments)
                await self._submission.submit(view, PlaceBid(self._model, view.number, segment, self._policy.bid))
        except RuleViolation as refusal:
            # The round moved on while we were entering it, or the purse is empty: sit this one out.
            log.warning("round %d: not entered: %s", view.number, refusal)

    async def _run(self, view: RoundView, number: int, leg: LegEntry) -> None:
        child = self._journal.child(self._model, view.number, leg.parent)
        if child is not None:
            log.info("round %d leg %d: going on with the child 0x%s", view.number, number, child.root.hex()[:8])
        else:
            child = await self._make_child(view, number, leg)
        if child is None:
            return
        self._report(LegStatus(view.number, number, "submitting"))
        try:
            await self._ledger.send(SubmitLeg(self._model, view.number, number, child.root))
        except RuleViolation as refusal:
            log.warning("round %d leg %d: not submitted: %s", view.number, number, refusal)
            return
        log.info("round %d leg %d: submitted 0x%s", view.number, number, child.root.hex())

    async def _publish(self, view: RoundView) -> None:
        """Give the child to the peers from COMMIT on: until then another trainer could hand it in a little improved."""
        own = next((leg for leg in view.legs if leg.trainer == self._ledger.account and leg.submitted), None)
        if own is None or view.phase == Phase.TRAIN or own.child == self._published:
            return
        child = self._journal.child(self._model, view.number, own.parent)
        if child is not None and child.root == own.child:
            await self._handoff.publish(self._model, view.number, child)
            self._published = child.root

    async def _make_child(self, view: RoundView, number: int, leg: LegEntry) -> SignedChild | None:
        """Train, sign and note the child of a lease; None when the time does not suffice."""
        remaining = view.deadline - self._clock.now() - SUBMIT_RESERVE_SECONDS
        if remaining <= 0:
            log.warning("round %d leg %d: %.0f s left, too few to train", view.number, number, remaining)
            return None
        with trio.fail_after(remaining):
            self._report(LegStatus(view.number, number, "fetching"))
            taken = await self._handoff.take(leg.parent, remaining)
            log.info("round %d leg %d: parent taken, %d bytes fetched", view.number, number, taken.bytes_fetched)
            self._report(LegStatus(view.number, number, "training"))
            job = await self._job(view, number, leg, taken.manifest)
            result = await self._trainer.train(job)
        record: Record = {
            "method": "backprop",
            "steps": result.steps,
            "samples": result.samples,
            "batch": job.batch,
            "bytes_fetched": taken.bytes_fetched,
        }
        child = await self._handoff.hand_over(self._model, view.number, leg, taken.manifest, result.weights, record)
        self._journal.write_child(self._model, view.number, leg.parent, child)  # before anybody else knows the root
        job.child.unlink(missing_ok=True)
        return child

    async def _job(self, view: RoundView, number: int, leg: LegEntry, parent: Manifest) -> LegJob:
        return LegJob(
            architecture=Architecture(parent.header.architecture, parent.header.parameters),
            parent=await self._handoff.weights(leg.parent),
            child=self._scratch / f"child-{view.number}-{number}.safetensors",
            segment=leg.segment,
            steps=self._policy.steps,
            batch=self._policy.batch,
            learning_rate=self._policy.learning_rate,
            seed=self._policy.seed + view.number,
        )
