"""The validator: judges each leg on held-out data of its own, seals the scores, then reveals them."""

from __future__ import annotations

import logging
from collections.abc import Callable

import trio

from derelayl_protocol.errors import LocalFault, RuleViolation
from derelayl_protocol.ledger.commands import CommitScores, RevealScores, Stake
from derelayl_protocol.ledger.phases import Phase
from derelayl_protocol.ledger.scoring import commitment
from derelayl_protocol.ledger.state import RoundView
from derelayl_protocol.limits import BPS
from derelayl_protocol.spelling import exact_tokens, to_hex
from derelayl_protocol.types import Address, Wei
from derelayl_training.jobs import MIN_JUDGED_SAMPLES, Architecture, too_few_to_judge

from ..handoff import FetchFailed
from ..journal import SealedScores
from ..ports import StoreDamaged, StoreFull, TrainingFailed
from ..refusals import NOTHING_LEFT, may_pass, sentence_of
from .duties import seat_of
from .judging import Judging, NoVerdict, Verdict
from .kit import Kit

log = logging.getLogger(__name__)

OWN_FAULTS = (NoVerdict, TrainingFailed, FetchFailed, StoreFull, StoreDamaged)
"""Why a seat may have no scores: none of them is a trainer's fault, so nothing is sealed about any leg."""

MANIFEST_SECONDS = 30.0
"""Between two words of a log that no peer has shown the model's manifest yet."""

LOST_MODEL_SECONDS = 2.0
"""Before the model is looked for again on a chain that has just shown its rules."""

COMMIT_RESERVE_SECONDS = 3.0
"""Judging stops this long before the deadline, so that the commit is in time with what is known by then."""


SEED_BYTES = 7
"""Of fresh randomness that draws the held-out samples of a round: nobody can foresee them, nor fit a child to them."""


class ValidatorRole:
    """One validator of one model. `salts` gives 32 fresh random bytes."""

    def __init__(self, kit: Kit, salts: Callable[[], bytes]) -> None:
        self._kit = kit
        self._salts = salts
        self._low_stake = ""  # why less than the rules ask is at stake
        self._silence = ""  # why nothing is sealed or revealed
        self._compared = 0  # the round in which the stake was last compared with the rules
        self._given_up: tuple[int, Phase] | None = None

    @property
    def obstacle(self) -> str:
        """Why it does not judge, or not for long any more; "" if nothing is in its way."""
        return "; ".join(filter(None, (self._silence, self._low_stake)))

    async def check_data(self) -> None:
        """Find out whether this peer's data can judge this model, and tell what that may earn before it stakes.

        Waits for a peer that shows what the model is.
        Raises LocalFault with the remedy, LedgerUnavailable.
        """
        while True:
            try:
                tip = (await self._kit.ledger.round(self._kit.model)).tips[0].root
                header = (await self._kit.handoff.manifest(tip, MANIFEST_SECONDS)).header
                break
            except FetchFailed as failure:
                self._hinder(f"what the model takes is not known yet: {failure}")
            except RuleViolation as refusal:  # the address lags, or a reorganisation: the rules were there before
                self._hinder(f"the model is not there just now: {sentence_of(refusal)}")
                await self._kit.clock.sleep(LOST_MODEL_SECONDS)
        try:
            counts = await self._kit.trainer.check(Architecture(header.architecture, header.parameters))
        except TrainingFailed as failure:
            raise LocalFault(f"this peer cannot judge the model: {failure}") from failure
        if counts.held < MIN_JUDGED_SAMPLES:
            raise LocalFault(f"this peer cannot judge the model: {too_few_to_judge(counts.held)}")
        from .prospects import outlook  # only here, because every other node does without numpy

        expected = await trio.to_thread.run_sync(outlook, counts.held, self._kit.rules)
        log.log(logging.INFO if expected.earns else logging.WARNING, "validator: %s", expected.text)
        self._silence = ""

    async def join(self) -> None:
        """Stake what the rules ask for, if this account never has for this model: more is for its owner to add.

        Where the ledger refuses, or less is at stake now, that is its obstacle. Raises LedgerUnavailable.
        """
        try:
            await self._stake()
        except RuleViolation as refusal:
            self._tell_stake(f"{sentence_of(refusal)}; then add the stake with `derelayl stake add`")
        else:
            await self._compare_stake()

    async def _stake(self) -> None:
        model, ledger, required = self._kit.model, self._kit.ledger, self._kit.rules.validator_stake
        staked = await self._kit.registry.stake(model, ledger.account)
        if staked is None:
            await ledger.settle()  # a stake that a former run or the command line has sent may be on its way
            staked = await self._kit.registry.stake(model, ledger.account)
        if staked is None:
            await ledger.send(Stake(model, required), f"first stake in {to_hex(model)}", cover=required)

    async def _compare_stake(self) -> None:
        account, required = self._kit.ledger.account, self._kit.rules.validator_stake
        staked = await self._kit.registry.stake(self._kit.model, account)
        if staked is None or staked < required:
            await self._kit.ledger.settle()  # a reorganisation may have dropped a stake: without a seat nothing is sent
            staked = await self._kit.registry.stake(self._kit.model, account)
        if staked is not None and staked >= required:
            self._low_stake = ""
        elif staked is not None or not self._low_stake:  # why it was never staked says more than that it was not
            self._tell_stake(_what_is_left(account, staked or Wei(0), required))

    async def step(self, view: RoundView) -> None:
        """Act on one look at the round. Raises LedgerUnavailable, TrainingFailed and the store's errors."""
        if view.number != self._compared:  # a settlement may have slashed, a person may have added
            await self._compare_stake()
            self._compared = view.number
        if self._given_up is not None and self._given_up[0] != view.number:
            self._given_up, self._silence = None, ""
        seat = seat_of(view, self._kit.ledger.account)
        if seat is None or self._given_up == (view.number, view.phase):
            return
        try:
            if view.phase == Phase.COMMIT and seat.commitment is None:
                await self._commit(view)
            elif view.phase == Phase.REVEAL and seat.commitment is not None and seat.scores is None:
                await self._reveal(view)
        except RuleViolation as refusal:
            self._refused(view, refusal)

    def _refused(self, view: RoundView, refusal: RuleViolation) -> None:
        told = f"round {view.number}: {view.phase.name.lower()} refused: {sentence_of(refusal)}"
        if refusal.reason in NOTHING_LEFT:
            log.info("%s", told)
            return
        if self._kit.clock.now() >= view.deadline or not may_pass(refusal):
            self._given_up = view.number, view.phase
        self._hinder(told)

    async def _commit(self, view: RoundView) -> None:
        sealed = self._kit.journal.read(self._kit.model, view.number)
        if sealed is None:
            verdict = await self._judge(view)
            if verdict is None:
                return
            answer = SealedScores(verdict.scores, verdict.originals, self._salts())
            sealed = self._kit.journal.write(self._kit.model, view.number, answer)
            log.info("round %d: sealed %s", view.number, list(sealed.scores))
        account = self._kit.ledger.account
        seal = commitment(self._kit.model, view.number, account, sealed.salt, sealed.scores, sealed.originals)
        await self._kit.submission.submit(view, CommitScores(self._kit.model, view.number, seal))
        self._silence = ""

    async def _reveal(self, view: RoundView) -> None:
        sealed = self._kit.journal.read(self._kit.model, view.number)
        if sealed is None:
            self._given_up = view.number, view.phase
            self._hinder(
                f"round {view.number}: HOME's journal has no scores to reveal, and the stake will be slashed: run the "
                "node with the HOME that sealed them"
            )
            return
        reveal = RevealScores(self._kit.model, view.number, sealed.scores, sealed.originals, sealed.salt)
        await self._kit.submission.submit(view, reveal)
        self._silence = ""

    async def _judge(self, view: RoundView) -> Verdict | None:
        """What this peer says of each leg; None where it has no verdict on one of them: then it says nothing at all.

        The next look at the round tries again, as long as there is time, on a fresh draw of its samples.
        """
        seconds = view.deadline - self._kit.clock.now() - COMMIT_RESERVE_SECONDS
        if seconds <= 0:
            return None
        try:
            seed = int.from_bytes(self._salts()[:SEED_BYTES])
            verdict = await Judging(self._kit, view, seconds, seed).verdict()
        except OWN_FAULTS as failure:
            price = self._kit.rules.slash_bps / BPS
            self._hinder(
                f"round {view.number}: no scores are sealed, for {failure}; a seat that stays silent loses {price:.0%} "
                f"of its stake"
            )
            return None
        self._silence = ""
        return verdict

    def _hinder(self, obstacle: str) -> None:
        if obstacle != self._silence:
            log.warning("%s", obstacle)
        self._silence = obstacle

    def _tell_stake(self, obstacle: str) -> None:
        if obstacle != self._low_stake:
            log.warning("validator: %s", obstacle)
        self._low_stake = obstacle


def _what_is_left(account: Address, staked: Wei, required: Wei) -> str:
    seat = "may still be seated, down to half of that" if 2 * staked >= required else "gets no seat"
    return (
        f"{account} has {exact_tokens(staked)} tokens at stake of the {exact_tokens(required)} that the model asks of "
        f"a validator, after a slash or an unstake, and {seat}; this node adds nothing by itself: "
        "`derelayl stake add` adds what is missing"
    )
