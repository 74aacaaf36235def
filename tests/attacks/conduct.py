"""What accounts do when it is their turn: the honest conduct, which an attack overrides for its own accounts."""

from __future__ import annotations

from collections.abc import Sequence

from derelayl_protocol.ledger import commands
from derelayl_protocol.ledger.scoring import commitment
from derelayl_protocol.ledger.state import LegEntry
from derelayl_protocol.limits import MAX_SCORE_PPM
from derelayl_protocol.types import NO_ROOT, TOKEN, UNAVAILABLE, Address, Ppm, Root, Wei

from .world import ERROR_PPM, TRAINERS, Child, World, name

Scores = tuple[Ppm, ...]

MEAN_BID = 7 * TOKEN // 2
BID_SPREAD = TOKEN // 2
"""Standard deviation of honest bids, in wei: they lie between two and five tokens."""


class Conduct:
    """Everybody honest: trainers bid, train and serve; owners offer; validators measure, commit and reveal."""

    trainers: tuple[Address, ...] = TRAINERS
    """Accounts that train, in this history and in the honest one beside it."""

    error: int = ERROR_PPM
    """Standard deviation of what validators measure of a trained child."""

    # --- trainers and owners ------------------------------------------------------------------------------------------

    def bidders(self, world: World) -> Sequence[Address]:
        return self.trainers

    def bid(self, world: World, trainer: Address) -> Wei:
        return Wei(MEAN_BID + world.draw(BID_SPREAD, "bid", trainer))

    def offers(self, world: World, owner: Address) -> bool:
        return True

    def submission_order(self, world: World, legs: Sequence[LegEntry]) -> Sequence[int]:
        return range(len(legs))

    def train(self, world: World, leg: LegEntry) -> Child | None:
        """Return the child that is handed over, None for nothing."""
        return self.own_child(world, leg, world.children[leg.parent].level + world.gain(leg.trainer))

    def own_child(self, world: World, leg: LegEntry, level: int, error: int | None = None) -> Child:
        """Return a child at that level, named and signed by the lease's trainer as the lease asks."""
        root = name(world.seed, world.round.number, leg.trainer)
        return Child(root, level, leg.trainer, leg.parent, self.error if error is None else error)

    # --- validators ---------------------------------------------------------------------------------------------------

    def measure(self, world: World, validator: Address, leg: LegEntry) -> Ppm:
        """Return what an honest validator says of a leg: what it is worth above the bar, nearly."""
        child = self.fetched(world, leg)
        if child is None:
            return UNAVAILABLE
        measured = child.level - world.bar() + world.draw(child.error, "error", validator, leg.trainer)
        return Ppm(max(-MAX_SCORE_PPM, min(MAX_SCORE_PPM, measured)))

    def fetched(self, world: World, leg: LegEntry) -> Child | None:
        """Return the child if it is served and is the lease's."""
        child = world.children.get(leg.child)
        if child is None or not child.served or (child.signer, child.parent) != (leg.trainer, leg.parent):
            return None
        return child

    def scores(self, world: World, validator: Address) -> Scores:
        """Return one score for each leg of the round."""
        return tuple(self.measure(world, validator, leg) for leg in world.round.legs)

    def commit(self, world: World, validator: Address) -> None:
        number = world.round.number
        world.do(validator, commands.CommitScores(world.model, number, self.seal(world, validator)))

    def seal(self, world: World, validator: Address) -> bytes:
        """Seal what the validator would reveal."""
        scores, salt = self.scores(world, validator), world.salt(validator)
        return commitment(world.model, world.round.number, validator, salt, scores, self.originals(world, validator))

    def originals(self, world: World, validator: Address) -> tuple[int, ...]:
        """Name for each leg the first one of the same training and parent. All honest seats see the same copies."""
        first: dict[tuple[Root, Root], int] = {}
        named = []
        for number, leg in enumerate(world.round.legs):
            child = self.fetched(world, leg)
            training = child.training if child is not None else NO_ROOT
            named.append(number if training == NO_ROOT else first.setdefault((training, leg.parent), number))
        return tuple(named)

    def reveal_order(self, world: World, validators: Sequence[Address]) -> Sequence[Address]:
        return validators

    def reveal(self, world: World, validator: Address) -> None:
        scores, salt = self.scores(world, validator), world.salt(validator)
        originals = self.originals(world, validator)
        world.do(validator, commands.RevealScores(world.model, world.round.number, scores, originals, salt))

    # --- anyone -------------------------------------------------------------------------------------------------------

    def after_round(self, world: World) -> None:
        """Do what is outside the rounds."""
