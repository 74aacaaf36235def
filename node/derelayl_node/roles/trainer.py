"""The trainer: bids for a lease, takes the parent over, trains a leg, hands the child on."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import trio

from derelayl_protocol.checkpoint.manifest import Manifest
from derelayl_protocol.errors import PeerFault, RuleViolation
from derelayl_protocol.ledger.commands import OfferTip, PlaceBid, SubmitLeg
from derelayl_protocol.ledger.phases import Phase
from derelayl_protocol.ledger.state import LegEntry, RoundView
from derelayl_protocol.spelling import exact_tokens, to_hex
from derelayl_protocol.statement.words import short
from derelayl_protocol.types import Root, Wei
from derelayl_training.jobs import Architecture, LegJob, LegResult, Record, TipFile
from derelayl_training.recipe import DEFAULT, Recipe

from ..handoff import FetchFailed
from ..journal import SignedChild
from ..ports import LedgerUnavailable, StoreDamaged, StoreFull, TrainingFailed
from ..refusals import NOTHING_LEFT, may_pass, sentence_of
from .bidder import Bidder
from .duties import has_bid, may_still_enter, open_lease, segment_for_round, tips_beside, tips_to_offer
from .kit import Kit

log = logging.getLogger(__name__)

SUBMIT_RESERVE_SECONDS = 2.0
"""A leg that is not trained this long before its deadline is given up: the submission would come too late."""

CHECK_SECONDS = 60.0
"""How long fetching a tip may take before the first bid; a peer that needs longer bids in the next round."""

FETCH_SHARE, CHOOSE_SHARE = 0.1, 0.1
"""Shares of a leg's time for having the round's other tips, and for comparing their average with the parent."""

SEEN_SECONDS = 30.0
"""How long a look at the round may be older than our own submission: then it is sent again, which sends it once."""


@dataclass(frozen=True, slots=True)
class TrainerPolicy:
    """How this peer trains."""

    segment: str  # see duties.segment_for_round
    steps: int
    batch: int
    learning_rate: float
    seed: int
    recipe: Recipe = DEFAULT


@dataclass(frozen=True, slots=True)
class LegStage:
    """What the trainer is doing, for the node's status page. `stage` is idle, fetching, training or submitting."""

    round: int
    leg: int | None
    stage: str


class TrainerRole:
    """One trainer of one model."""

    def __init__(
        self, kit: Kit, policy: TrainerPolicy, bidder: Bidder, scratch: Path, report: Callable[[LegStage], None]
    ) -> None:
        self._kit = kit
        self._bidder = bidder
        self._policy = policy
        self._scratch = scratch
        self._report = report
        self._published: Root | None = None
        self._able: dict[int, Architecture] = {}  # segments that this peer was found able to train, of what network
        self._unfit = ""  # why a leg would not start here
        self._refusal = ""  # why the ledger did not take a bid, an offer or a child
        self._refused_round = 0
        self._signed: tuple[tuple[int, Root], Root] | None = None  # round and leased parent, and the child signed there
        self._submitted: tuple[int, int] | None = None  # round and leg whose child the ledger took, or never will
        self._seen_by = 0.0
        scratch.mkdir(parents=True, exist_ok=True)

    @property
    def obstacle(self) -> str:
        """Why it does not bid, or hand in its leg; "" if nothing is in its way."""
        return "; ".join(filter(None, (self._bidder.obstacle, self._unfit, self._refusal)))

    async def step(self, view: RoundView) -> None:
        """Act on one look at the round; returns when nothing is left to do in it for now.

        Raises LedgerUnavailable, TrainingFailed, FetchFailed and the store's errors: the leg is lost, the peer goes on.
        Also what the bidder raises.
        """
        now = self._kit.clock.now()
        await self._publish(view)
        if may_still_enter(view, now) and view.number != self._refused_round:
            await self._enter(view)
        lease = open_lease(view, self._kit.ledger.account, now)
        if lease is not None and ((view.number, lease[0]) != self._submitted or now >= self._seen_by):
            try:
                await self._run(view, *lease)
            finally:
                self._report(LegStage(view.number, None, "idle"))

    async def _enter(self, view: RoundView) -> None:
        segment = segment_for_round(self._policy.segment, view.number, self._kit.rules.segments)
        bid = None if has_bid(view, self._kit.ledger.account) else await self._bidder.amount(view)
        if bid is not None and not await self._can_train(view, segment):
            return
        try:
            try:
                await self._offer(view)
            except LedgerUnavailable:
                # No relayer offers tips: who has no coins for gas keeps them back, and can bid all the same.
                await self._place(view, segment, bid)
                raise
            await self._place(view, segment, bid)
        except RuleViolation as refusal:
            # The round moved on while we were entering it, or the purse is empty: sit this one out.
            self._refused(f"round {view.number}: not entered", refusal)
            if not may_pass(refusal):
                self._refused_round = view.number
        else:
            self._refusal = ""

    async def _offer(self, view: RoundView) -> None:
        for tip in tips_to_offer(view, self._kit.ledger.account):
            deposit = Wei(self._kit.rules.offer_deposit * self._kit.rules.legs_per_tip)
            await self._kit.ledger.send(OfferTip(self._kit.model, view.number, tip), cover=deposit)

    async def _place(self, view: RoundView, segment: int, bid: Wei | None) -> None:
        if bid is not None:
            await self._kit.submission.submit(view, PlaceBid(self._kit.model, view.number, segment, bid))

    def _refused(self, what: str, refusal: RuleViolation) -> None:
        told = f"{what}: {sentence_of(refusal)}"
        if refusal.reason in NOTHING_LEFT:
            log.info("%s", told)
            return
        if told != self._refusal:
            log.warning("%s", told)
        self._refusal = told

    async def _can_train(self, view: RoundView, segment: int) -> bool:
        """Whether a leg would start here, before any token is bid for it: a segment is tried once, data each time."""
        try:
            if segment in self._able:
                await self._kit.trainer.check(self._able[segment])
            else:
                await self._try_leg(view, segment)
        except (FetchFailed, TrainingFailed) as failure:
            self._able.clear()
            obstacle = f"round {view.number}: no bid, because this peer could not train segment {segment}: {failure}"
            if obstacle != self._unfit:
                log.warning("%s", obstacle)
            self._unfit = obstacle
            return False
        self._unfit = ""
        return True

    async def _try_leg(self, view: RoundView, segment: int) -> None:
        tip = view.tips[0].root
        taken = await self._kit.handoff.take(tip, CHECK_SECONDS)
        job = await self._job(view, segment, tip, taken.manifest, "check")
        await self._kit.trainer.check(job)
        self._able[segment] = job.architecture

    async def _run(self, view: RoundView, number: int, leg: LegEntry) -> None:
        child = await self._child_of(view, number, leg)
        if child is None:
            return
        self._report(LegStage(view.number, number, "submitting"))
        try:
            done = await self._kit.submission.submit(view, SubmitLeg(self._kit.model, view.number, number, child))
        except RuleViolation as refusal:
            self._refused(f"round {view.number} leg {number}: not submitted", refusal)
            if not may_pass(refusal):
                self._submitted, self._seen_by = (view.number, number), view.deadline
            return
        self._refusal = ""
        if done:
            self._submitted, self._seen_by = (view.number, number), self._kit.clock.now() + SEEN_SECONDS
            log.info("round %d leg %d: submitted %s", view.number, number, to_hex(child))

    async def _child_of(self, view: RoundView, number: int, leg: LegEntry) -> Root | None:
        """The child signed under the lease, made if there is none yet; None when the time does not suffice."""
        place = view.number, leg.parent
        if self._signed is not None and self._signed[0] == place:  # a relayer has it, and each look asks for it
            return self._signed[1]
        child = self._kit.journal.child(self._kit.model, view.number, leg.parent)
        if child is not None:
            log.info("round %d leg %d: continuing with the child %s", view.number, number, short(child.root))
        else:
            child = await self._make_child(view, number, leg)
        if child is None:
            return None
        self._signed = place, child.root
        return child.root

    async def _publish(self, view: RoundView) -> None:
        """Give the child to the peers from COMMIT on: until then another trainer could hand it in a little improved."""
        own = next((leg for leg in view.legs if leg.trainer == self._kit.ledger.account and leg.submitted), None)
        if own is None or view.phase == Phase.TRAIN or own.child == self._published:
            return
        child = self._kit.journal.child(self._kit.model, view.number, own.parent)
        if child is not None and child.root == own.child:
            await self._kit.handoff.publish(self._kit.model, view.number, child)
            self._published = child.root

    async def _make_child(self, view: RoundView, number: int, leg: LegEntry) -> SignedChild | None:
        """Train, sign and note the child of a lease; None when the time does not suffice."""
        remaining = view.deadline - self._kit.clock.now() - SUBMIT_RESERVE_SECONDS
        if remaining <= 0:
            log.warning("round %d leg %d: only %.0f s left, too little to train", view.number, number, remaining)
            return None
        with trio.fail_after(remaining):
            self._report(LegStage(view.number, number, "fetching"))
            taken = await self._kit.handoff.take(leg.parent, remaining)
            log.info("round %d leg %d: parent complete, %d bytes fetched", view.number, number, taken.bytes_fetched)
            others = await self._other_tips(view, leg, remaining * FETCH_SHARE)
            self._report(LegStage(view.number, number, "training"))
            name = f"child-{view.number}-{number}"
            self._forget_other_legs(name)
            async with self._kit.handoff.holding_weights(list(others)) as files:
                job = replace(
                    await self._job(view, leg.segment, leg.parent, taken.manifest, name),
                    tips=[
                        TipFile(path, each.header.segment) for path, each in zip(files, others.values(), strict=True)
                    ],
                    choosing_seconds=(view.deadline - self._kit.clock.now()) * CHOOSE_SHARE,
                )
                result = await self._train(view, number, job)
        record: Record = {
            **job.recipe.record(),
            "steps": result.steps,
            "samples": result.samples,
            "batch": job.batch,
            "bytes_fetched": taken.bytes_fetched,
            **result.record,  # last: a private leg tells how many samples it expects to draw, not how many it drew
        }
        child = await self._kit.handoff.hand_over(
            self._kit.model, view.number, leg, taken.manifest, result.weights, record
        )
        # before anybody else knows the root
        child = self._kit.journal.write_child(self._kit.model, view.number, leg.parent, child)
        job.child.unlink(missing_ok=True)
        return child

    async def _other_tips(self, view: RoundView, leg: LegEntry, seconds: float) -> dict[Root, Manifest]:
        """The first of the round's other tips in order, those that can be had in time: a leg may start from them."""
        if not self._policy.recipe.starts_anywhere:
            return {}
        others = [tip.root for tip in tips_beside(view, leg.parent)]
        had: dict[Root, Manifest] = {}

        async def have(root: Root) -> None:
            try:
                taken = await self._kit.handoff.take(root, seconds)
                await self._kit.handoff.weights(root)
            except (FetchFailed, PeerFault, StoreDamaged, StoreFull) as failure:
                log.info("round %d: the leg starts without the tip %s: %s", view.number, short(root), failure)
            else:
                had[root] = taken.manifest

        async with trio.open_nursery() as nursery:
            for root in others:
                nursery.start_soon(have, root)
        return {root: had[root] for root in others if root in had}

    def _forget_other_legs(self, name: str) -> None:
        """Remove snapshots of legs whose lease has run out."""
        for path in self._scratch.glob("child-*"):
            if not path.name.startswith(f"{name}."):
                path.unlink(missing_ok=True)

    async def _train(self, view: RoundView, number: int, job: LegJob) -> LegResult:
        try:
            return await self._kit.trainer.train(job)
        except TrainingFailed as failure:
            log.warning(
                "round %d leg %d: training failed: %s; the bid of %s tokens is lost unless a child comes in time",
                view.number, number, failure, exact_tokens(view.legs[number].bid),
            )  # fmt: skip
            raise

    async def _job(self, view: RoundView, segment: int, root: Root, parent: Manifest, name: str) -> LegJob:
        return LegJob(
            architecture=Architecture(parent.header.architecture, parent.header.parameters),
            parent=await self._kit.handoff.weights(root),
            child=self._scratch / f"{name}.safetensors",
            segment=segment,
            steps=self._policy.steps,
            batch=self._policy.batch,
            learning_rate=self._policy.learning_rate,
            seed=self._policy.seed + view.number,
            recipe=self._policy.recipe,
            history=parent.header.training,
        )
