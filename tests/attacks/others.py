"""Attacks by owners, buyers and relayers."""

from __future__ import annotations

from derelayl_protocol.ledger import commands
from derelayl_protocol.ledger.commands import SignedCommit
from derelayl_protocol.ledger.signed import CommitMessage
from derelayl_protocol.ledger.state import LegEntry
from derelayl_protocol.types import UNAVAILABLE, Address

from .measuring import Attack, Verdict
from .world import CREATOR, IDLE, TRAINERS, VALIDATORS, Child, World, fake_signature

RELAYER = IDLE[0]


class OwnerWithholds(Attack):
    """Serves its tips to nobody. Who was on the committee that accepted a tip has fetched it, and serves it."""

    title = "Owner who withholds chunks"
    tries = "hostage: offers its tips and serves them to nobody, so that whoever leases them cannot train and forfeits"
    answer = "a tip was accepted because most of a committee had fetched it, and they (and every seeder) serve it too"
    verdict = Verdict.NOTHING
    victims = TRAINERS[1:]

    def train(self, world: World, leg: LegEntry) -> Child | None:
        return super().train(world, leg) if self.obtainable(world, leg) else None

    def obtainable(self, world: World, leg: LegEntry) -> bool:
        """Whether anyone serves the leased parent to that trainer."""
        return leg.owner not in self.attackers or leg.trainer in self.attackers or self.holders(world, leg) > 0

    def holders(self, world: World, leg: LegEntry) -> int:
        """How many seats of the round that accepted the parent had it to measure it."""
        for view in world.settled:
            for number, past in enumerate(view.legs):
                if past.child == leg.parent:
                    return sum(seat.scores is not None and seat.scores[number] != UNAVAILABLE for seat in view.seats)
        return 0


class OwnerWithholdsAlone(OwnerWithholds):
    """The same in a network where nobody but the owner keeps a tip."""

    title = "Owner who withholds chunks that nobody else has kept"
    tries = "the same where validators and seeders throw away what they have fetched"
    answer = (
        "**nothing on the ledger** while the owner itself submits: a tip is stalled only when nothing is selected. "
        "Run seeders"
    )
    verdict = Verdict.PAYS

    def holders(self, world: World, leg: LegEntry) -> int:
        return 0


class WashAccess(Attack):
    """After each round, four of the attacker's other accounts buy access to each of its checkpoints."""

    title = "Wash access purchases"
    tries = "four other accounts of an owner's purse buy access to its own checkpoints"
    answer = (
        "purchases change no score and no rank; a share of each fee goes to the pot, another to the ancestors' owners"
    )
    verdict = Verdict.LOSES
    attackers = (TRAINERS[0], *IDLE[:4])
    victims = (CREATOR, *TRAINERS[1:], *VALIDATORS)

    def after_round(self, world: World) -> None:
        owned = [root for root, record in world.held.checkpoints.items() if record.owner == TRAINERS[0]]
        bought = world.held.buyers
        for root in owned:
            for buyer in IDLE[:4]:
                if buyer not in bought.get(root, frozenset()):
                    world.do(buyer, commands.BuyAccess(world.model, root))


class RelayerDrops(Attack):
    """Posts the signed commits of all seats but one of three, whom it would rather see slashed.

    A seat that does not find its commit on the ledger when half of the phase is over sends it itself.
    """

    title = "Relayer that drops signatures"
    tries = "posts everyone's commits but those of three validators, to have them slashed"
    answer = "whoever does not see its commit on the ledger in time sends it itself"
    verdict = Verdict.NOTHING
    attackers = (RELAYER,)
    victims = VALIDATORS[:3]
    falls_back = True

    def commit(self, world: World, validator: Address) -> None:
        number = world.round.number
        sealed = self.seal(world, validator)
        if validator not in self.victims:
            signature = fake_signature(validator, CommitMessage(world.model, number, sealed))
            world.do(RELAYER, commands.CommitBySig(world.model, number, (SignedCommit(validator, sealed, signature),)))
        elif self.falls_back:
            world.do(validator, commands.CommitScores(world.model, number, sealed))


class RelayerDropsTheTrusting(RelayerDrops):
    """The same with victims that leave it at having signed."""

    title = "Relayer that drops signatures of validators that do not look"
    tries = "the same, with victims that never send anything themselves"
    answer = "**nothing on the ledger**: they are slashed like silent seats. The relayer gains nothing"
    verdict = Verdict.NOTHING
    falls_back = False


class RelayerChanges(RelayerDrops):
    """Posts another commitment than the one that was signed."""

    title = "Relayer that changes what was signed"
    tries = "replaces three validators' commitments by one that nobody can open"
    answer = "the signature does not fit: `BadSignature`, the whole batch is refused"
    verdict = Verdict.NOTHING

    def commit(self, world: World, validator: Address) -> None:
        number = world.round.number
        signed = self.seal(world, validator)
        signature = fake_signature(validator, CommitMessage(world.model, number, signed))
        forged = (SignedCommit(validator, bytes(31) + b"\x01", signature),)
        assert not world.attempt(RELAYER, commands.CommitBySig(world.model, number, forged))
        super().commit(world, validator)


OTHER_ATTACKS: tuple[type[Attack], ...] = (
    OwnerWithholds,
    OwnerWithholdsAlone,
    WashAccess,
    RelayerDrops,
    RelayerDropsTheTrusting,
    RelayerChanges,
)
