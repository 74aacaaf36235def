"""Attacks by validators, alone or in groups. Twenty have staked alike, eleven have a seat in a round."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from statistics import fmean

from derelayl_protocol.encoding import word
from derelayl_protocol.ledger import commands
from derelayl_protocol.ledger.matching import seat_committee
from derelayl_protocol.ledger.state import LegEntry
from derelayl_protocol.types import UNAVAILABLE, Address, Ppm

from .conduct import Scores
from .measuring import Attack, Verdict
from .world import GAIN_SPREAD_PPM, MEAN_GAIN_PPM, RULES, VALIDATORS, World, draw, name

ATTACKER = VALIDATORS[0]


class ByValidator(Attack):
    """The first validator attacks."""

    attackers: tuple[Address, ...] = (ATTACKER,)
    victims = VALIDATORS[1:]

    def measure(self, world: World, validator: Address, leg: LegEntry) -> Ppm:
        if validator in self.attackers and leg.submitted:
            return self.answer_for(world, validator, leg)
        return super().measure(world, validator, leg)

    def answer_for(self, world: World, validator: Address, leg: LegEntry) -> Ppm:
        return super().measure(world, validator, leg)


class ConstantAnswer(ByValidator):
    """Gives every leg the usual score."""

    title = "Validator that guesses: the usual score for every leg"
    tries = "the validator's share without evaluating"
    answer = (
        "pay is for fitting the right legs better than the wrong ones; a constant fits all alike and gets exactly 0"
    )
    verdict = Verdict.LOSES

    def answer_for(self, world: World, validator: Address, leg: LegEntry) -> Ppm:
        return Ppm(MEAN_GAIN_PPM)


class RandomAnswer(ByValidator):
    """Draws each score from the distribution that true gains have."""

    title = "Validator that guesses: a plausible random score"
    tries = "the validator's share without evaluating"
    answer = "what it gains by chance it is charged by chance: 0 in the mean"
    verdict = Verdict.LOSES

    def answer_for(self, world: World, validator: Address, leg: LegEntry) -> Ppm:
        return Ppm(MEAN_GAIN_PPM + world.draw(GAIN_SPREAD_PPM, "guess", validator, leg.trainer))


class ReputationAnswer(ByValidator):
    """Knows each trainer's mean gain exactly, the most that looking at the past can yield, and answers that."""

    title = "Validator that guesses: the trainer's record"
    tries = "scores each leg by what its trainer usually achieves"
    answer = "paid only as far as the record tells the legs of this round apart"
    verdict = Verdict.LOSES

    def answer_for(self, world: World, validator: Address, leg: LegEntry) -> Ppm:
        return Ppm(MEAN_GAIN_PPM + world.skill(leg.trainer))


class Exaggeration(ByValidator):
    """Evaluates, then stretches its scores around their mean by a quarter."""

    title = "Validator that exaggerates what it measured"
    tries = "makes the legs look further apart than they are, to fit the wrong ones worse"
    answer = (
        "the best and the worst leg can be overstated at no cost; **so a little pays a little** (doubling loses). "
        "Medians hardly move"
    )
    verdict = Verdict.PAYS

    def scores(self, world: World, validator: Address) -> Scores:
        seen = super().scores(world, validator)
        numbers = [score for score in seen if score != UNAVAILABLE]
        if validator not in self.attackers or not numbers:
            return seen
        middle = round(fmean(numbers))
        return tuple(score if score == UNAVAILABLE else Ppm(middle + (score - middle) * 5 // 4) for score in seen)


class CopiedCommit(ByValidator):
    """Commits to what the first other seat has committed, and to reveal repeats what that one has revealed."""

    title = "Copied commit"
    tries = "repeats another seat's commitment, then its revealed scores and salt"
    answer = "a commitment names its validator, so the copy cannot be opened: slashed as silent"
    verdict = Verdict.LOSES

    def commit(self, world: World, validator: Address) -> None:
        if validator not in self.attackers:
            return super().commit(world, validator)
        other = next(seat.validator for seat in world.round.seats if seat.validator not in self.attackers)
        number = world.round.number
        return world.do(validator, commands.CommitScores(world.model, number, self.seal(world, other)))

    def reveal_order(self, world: World, validators: Sequence[Address]) -> Sequence[Address]:
        return sorted(validators, key=lambda validator: validator in self.attackers)

    def reveal(self, world: World, validator: Address) -> None:
        if validator not in self.attackers:
            return super().reveal(world, validator)
        other = next(seat for seat in world.round.seats if seat.validator not in self.attackers)
        assert other.scores is not None
        scores, salt = other.scores, world.salt(other.validator)
        copied = commands.RevealScores(world.model, world.round.number, scores, self.originals(world, validator), salt)
        assert not world.attempt(validator, copied)
        return None


class CommitWithoutReveal(ByValidator):
    """Never reveals."""

    title = "Commit without reveal"
    tries = "keeps its scores back once it has committed"
    answer = "`slash_bps` of its stake goes to the pot"
    verdict = Verdict.LOSES

    def reveal(self, world: World, validator: Address) -> None:
        if validator not in self.attackers:
            super().reveal(world, validator)


class VoidingMinority(CommitWithoutReveal):
    """Seven of twenty never reveal; where six of eleven seats are theirs, the round is void."""

    title = "Commit without reveal, by a third of the validators"
    tries = "voids rounds by silence"
    answer = "each silent seat is slashed; bids and deposits of submitted legs return"
    verdict = Verdict.LOSES
    attackers = VALIDATORS[:7]
    victims = VALIDATORS[7:]


class LastRevealer(ByValidator):
    """A third of the validators; theirs reveal last, and the last stays silent if that seats more of them next."""

    title = "Choosing the next committee by staying silent"
    tries = "the last revealer, one of seven allies, withholds its salt when that gives them more seats next round"
    answer = "one bit of choice for one slash, far more than a seat earns"
    verdict = Verdict.LOSES
    attackers = VALIDATORS[:7]
    victims = VALIDATORS[7:]

    def reveal_order(self, world: World, validators: Sequence[Address]) -> Sequence[Address]:
        return sorted(validators, key=lambda validator: validator in self.attackers)

    def reveal(self, world: World, validator: Address) -> None:
        revealed = sum(seat.scores is not None for seat in world.round.seats)
        last = revealed == sum(seat.commitment is not None for seat in world.round.seats) - 1
        if validator in self.attackers and last and self._seats(world, None) > self._seats(world, validator):
            return
        super().reveal(world, validator)

    def _seats(self, world: World, revealing: Address | None) -> int:
        """The allies' seats in the next round, if that one reveals or if nobody does."""
        seed = world.held.next_seed
        if revealing is not None:
            seed = hashlib.sha256(seed + world.salt(revealing)).digest()
        seed = hashlib.sha256(seed + word(world.round.number + 1)).digest()
        seats = seat_committee(seed, world.held.validators, world.held.stakes, (), world.rules)
        return sum(seat.validator in self.attackers for seat in seats)


class AgreedAnswers(ByValidator):
    """A third of the validators answers a hash of the child's root, spread as true gains are."""

    title = "Answers agreed beforehand, by a third of the validators"
    tries = "allies answer a hash of each root instead of evaluating"
    answer = "the median they are compared with is that of honest seats, unless the draw gives them most of the seats"
    verdict = Verdict.LOSES
    attackers = VALIDATORS[:7]
    victims = VALIDATORS[7:]

    def answer_for(self, world: World, validator: Address, leg: LegEntry) -> Ppm:
        return Ppm(MEAN_GAIN_PPM + draw(GAIN_SPREAD_PPM, "agreed", leg.child.hex()))


class AgreedAnswersOfMost(AgreedAnswers):
    """Thirteen of twenty validators answer far apart, to be paid the most."""

    title = "Answers agreed beforehand, by two thirds of the validators"
    tries = "the same, with answers far apart, which are paid best"
    answer = "**nothing**: whoever has the committee has the truth; see *What is trusted*"
    verdict = Verdict.PAYS
    attackers = VALIDATORS[:13]
    victims = VALIDATORS[13:]

    def answer_for(self, world: World, validator: Address, leg: LegEntry) -> Ppm:
        return Ppm(RULES.margin_ppm + (RULES.agreement_ppm if name("agreed", leg.child.hex())[0] % 2 else 0))


VALIDATOR_ATTACKS: tuple[type[Attack], ...] = (
    ConstantAnswer,
    RandomAnswer,
    ReputationAnswer,
    Exaggeration,
    CopiedCommit,
    CommitWithoutReveal,
    VoidingMinority,
    LastRevealer,
    AgreedAnswers,
    AgreedAnswersOfMost,
)
