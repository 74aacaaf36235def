"""The validator: judges each leg on held-out data of its own, seals the scores, then reveals them."""

from __future__ import annotations

import logging
from collections.abc import Callable

from derelayl_protocol.errors import LocalFault, RuleViolation
from derelayl_protocol.ledger.commands import CommitScores, RevealScores, Stake
from derelayl_protocol.ledger.phases import Phase
from derelayl_protocol.ledger.scoring import commitment
from derelayl_protocol.ledger.state import RoundView
from derelayl_protocol.limits import BPS
from derelayl_protocol.spelling import exact_tokens, to_hex
from derelayl_protocol.types import Address, Ppm, Wei
from derelayl_training.jobs import MIN_JUDGED_SAMPLES, Architecture, too_few_to_judge

from ..failures import Failure
from ..handoff import FetchFailed
from ..journal import SealedScores
from ..ports import StoreDamaged, StoreFull, TrainingFailed
from .duties import seat_of
from .judging import Judging, NoVerdict
from .kit import Kit

log = logging.getLogger(__name__)

OWN_FAULTS = (NoVerdict, TrainingFailed, FetchFailed, StoreFull, StoreDamaged)
"""Why a seat may have no scores: none of them is a trainer's fault, so nothing is sealed about any leg."""

MANIFEST_SECONDS = 30.0
"""Between two words of a log that no peer has shown the model's manifest yet."""

COMMIT_RESERVE_SECONDS = 3.0
"""Judging stops this long before the deadline, so that the commit is in time with what is known by then."""


class StakeTooLow(Failure):
    """Less than the rules ask is at stake, which only a person changes; the message has the amounts and the way."""


class ValidatorRole:
    """One validator of one model. `salts` gives 32 fresh random bytes; `obstacle` says why it does not judge, or ""."""

    def __init__(self, kit: Kit, salts: Callable[[], bytes]) -> None:
        self._kit = kit
        self._salts = salts
        self.obstacle = ""

    async def check_data(self) -> None:
        """Find out whether this peer's data can judge this model; waits for a peer that shows what the model is.

        Raises LocalFault with the remedy, LedgerUnavailable.
        """
        tip = (await self._kit.ledger.round(self._kit.model)).tips[0].root
        while True:
            try:
                header = (await self._kit.handoff.manifest(tip, MANIFEST_SECONDS)).header
                break
            except FetchFailed as failure:
                self._hinder(f"what the model takes is not known yet: {failure}")
        try:
            counts = await self._kit.trainer.check(Architecture(header.architecture, header.parameters))
        except TrainingFailed as failure:
            raise LocalFault(f"this peer cannot judge the model: {failure}") from failure
        if counts.held < MIN_JUDGED_SAMPLES:
            raise LocalFault(f"this peer cannot judge the model: {too_few_to_judge(counts.held)}")
        self.obstacle = ""

    async def join(self) -> None:
        """Stake what the rules ask for, if this account never has for this model: more is for its owner to add.

        Raises StakeTooLow when less is at stake now, RuleViolation, LedgerUnavailable.
        """
        model, ledger, required = self._kit.model, self._kit.ledger, self._kit.rules.validator_stake
        staked = await self._kit.registry.stake(model, ledger.account)
        if staked is None:
            await ledger.settle()  # a stake that a former run or the command line has sent may be on its way
            staked = await self._kit.registry.stake(model, ledger.account)
        if staked is None:
            await ledger.send(Stake(model, required), f"first stake in {to_hex(model)}", cover=required)
            staked = await self._kit.registry.stake(model, ledger.account)
        if (staked or 0) < required:
            raise StakeTooLow(_what_is_left(ledger.account, staked or Wei(0), required))

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
            scores = await self._judge(view)
            if scores is None:
                return
            sealed = self._kit.journal.write(self._kit.model, view.number, SealedScores(scores, self._salts()))
            log.info("round %d: sealed %s", view.number, list(sealed.scores))
        seal = commitment(self._kit.model, view.number, self._kit.ledger.account, sealed.salt, sealed.scores)
        await self._kit.submission.submit(view, CommitScores(self._kit.model, view.number, seal))

    async def _reveal(self, view: RoundView) -> None:
        sealed = self._kit.journal.read(self._kit.model, view.number)
        if sealed is None:
            log.error("round %d: no journal entry to reveal; the stake will be slashed", view.number)
            return
        await self._kit.submission.submit(view, RevealScores(self._kit.model, view.number, sealed.scores, sealed.salt))

    async def _judge(self, view: RoundView) -> tuple[Ppm, ...] | None:
        """One score for each leg; None where this peer has no verdict on one of them: then it says nothing at all.

        The next look at the round tries again, as long as there is time.
        """
        seconds = view.deadline - self._kit.clock.now() - COMMIT_RESERVE_SECONDS
        if seconds <= 0:
            return None
        try:
            scores = await Judging(self._kit, view, seconds).scores()
        except OWN_FAULTS as failure:
            price = self._kit.rules.slash_bps / BPS
            self._hinder(
                f"round {view.number}: no scores are sealed, for {failure}; a seat that stays silent loses {price:.0%} "
                f"of its stake"
            )
            return None
        self.obstacle = ""
        return scores

    def _hinder(self, obstacle: str) -> None:
        if obstacle != self.obstacle:
            log.warning("%s", obstacle)
        self.obstacle = obstacle


def _what_is_left(account: Address, staked: Wei, required: Wei) -> str:
    seat = "may still be seated, down to half of that" if 2 * staked >= required else "gets no seat"
    return (
        f"{account} has {exact_tokens(staked)} tokens at stake of the {exact_tokens(required)} that the model asks of "
        f"a validator, after a slash or an unstake, and {seat}; this node adds nothing by itself: "
        "`derelayl stake add` adds what is missing"
    )
