"""What the ledger's events say about the relay: events in, sentences out, the legs kept for the report."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import singledispatchmethod

from derelayl_protocol.checkpoint.ancestry import Edge
from derelayl_protocol.ledger.events import (
    BidPlaced,
    CommitteeSeated,
    Event,
    LegLeased,
    LegSettled,
    LegSubmitted,
    RoundSettled,
    RoundVoided,
    RoyaltyCollected,
    ValidatorCharged,
    ValidatorPaid,
    ValidatorSlashed,
)
from derelayl_protocol.spelling import first_digits
from derelayl_protocol.statement.words import segment_name
from derelayl_protocol.types import NO_ROOT, TOKEN, UNAVAILABLE, Address, Ppm, Root, Wei

NOTHING = Wei(0)


@dataclass(frozen=True, slots=True)
class LegStory:
    """One leg from lease to settlement."""

    round: int
    leg: int
    trainer: Address
    parent: Root
    segment: int
    child: Root | None = None
    score: Ppm = UNAVAILABLE
    selected: bool = False
    settled: bool = False
    reward: Wei = NOTHING
    royalty: Wei = NOTHING
    forfeited: Wei = NOTHING


@dataclass
class Chronicle:
    """The story so far. `names` maps accounts to names for people."""

    names: dict[Address, str]
    legs: dict[tuple[int, int], LegStory] = field(default_factory=dict)
    closed_rounds: int = 0
    collected: Wei = NOTHING

    def tell(self, events: Iterable[Event]) -> Iterator[str]:
        """Take events in and say what happened, a sentence for each that a reader wants to know."""
        for event in events:
            line = self._take(event)
            if line is not None:
                yield line

    def edges(self, through_round: int) -> tuple[Edge, ...]:
        """The lineage of closed rounds, in the form that nodes compare."""
        return tuple(
            Edge(
                child=leg.child,
                parent=leg.parent,
                trainer=leg.trainer,
                round=leg.round,
                leg=leg.leg,
                segment=leg.segment,
                score=leg.score,
                selected=leg.selected,
            )
            for leg in self.legs.values()
            if leg.child is not None and leg.round <= through_round
        )

    def forfeited_by(self, account: Address, round_number: int) -> Wei:
        """What the account lost with its leg of the round, in wei."""
        own = (leg for leg in self.legs.values() if leg.trainer == account and leg.round == round_number)
        return Wei(sum(leg.forfeited for leg in own))

    def lineage_of(self, root: Root) -> tuple[LegStory, ...]:
        """The accepted legs from genesis to the checkpoint, oldest first."""
        made_by = {leg.child: leg for leg in self.legs.values() if leg.selected}
        path: list[LegStory] = []
        while (leg := made_by.get(root)) is not None:
            path.append(leg)
            root = leg.parent
        return tuple(reversed(path))

    def best_checkpoint(self, genesis: Root) -> Root:
        """The accepted checkpoint with the largest gain since genesis; genesis itself if none was accepted."""
        accepted = [leg.child for leg in self.legs.values() if leg.selected and leg.child is not None]
        return max(accepted, key=lambda root: sum(leg.score for leg in self.lineage_of(root)), default=genesis)

    @singledispatchmethod
    def _take(self, event: object) -> str | None:
        return None

    @_take.register
    def _(self, event: BidPlaced) -> str:
        tokens, segment = f"{event.amount / TOKEN:g}", segment_name(event.segment)
        return f"round {event.round}: {self._name(event.trainer)} bids {tokens} for segment {segment}"

    @_take.register
    def _(self, event: LegLeased) -> str:
        leg = LegStory(event.round, event.leg, event.trainer, event.parent, event.segment)
        self.legs[event.round, event.leg] = leg
        lease = f"lease {event.leg} for {self._name(event.trainer)}"
        return f"round {event.round}: {lease}: continue {first_digits(event.parent)}"

    @_take.register
    def _(self, event: CommitteeSeated) -> str:
        seats = ", ".join(self._name(account) for account in event.validators)
        return f"round {event.round}: committee {seats}"

    @_take.register
    def _(self, event: LegSubmitted) -> str:
        key = (event.round, event.leg)
        self.legs[key] = replace(self.legs[key], child=event.child)
        return f"round {event.round}: {self._name(event.trainer)} hands on {first_digits(event.child)}"

    @_take.register
    def _(self, event: LegSettled) -> str:
        key = (event.round, event.leg)
        leg = self.legs[key] = replace(
            self.legs[key],
            score=event.score,
            selected=event.selected,
            settled=True,
            reward=event.reward,
            royalty=event.royalty,
            forfeited=event.forfeited,
        )
        return f"round {event.round}: {self._name(leg.trainer)}'s leg {self._verdict(event)}"

    @_take.register
    def _(self, event: ValidatorPaid) -> str:
        tokens = f"{event.amount / TOKEN:.2f}"
        agreed = f"agrees at {event.agreement / 10_000:.0f} % of the most possible"
        return f"round {event.round}: {self._name(event.validator)} {agreed} and earns {tokens}"

    @_take.register
    def _(self, event: ValidatorCharged) -> str:
        tokens = f"{event.amount / TOKEN:.2f}"
        return f"round {event.round}: {self._name(event.validator)} contradicts the others and is charged {tokens}"

    @_take.register
    def _(self, event: ValidatorSlashed) -> str:
        return f"round {event.round}: {self._name(event.validator)} did not answer and is slashed"

    @_take.register
    def _(self, event: RoundSettled) -> str:
        self.closed_rounds += 1
        return f"round {event.round}: settled, {event.selected} selected, pot {event.pot / TOKEN:.2f}"

    @_take.register
    def _(self, event: RoundVoided) -> str:
        self.closed_rounds += 1
        return f"round {event.round}: void ({event.reason.name.lower().replace('_', ' ')})"

    @_take.register
    def _(self, event: RoyaltyCollected) -> str:
        self.collected = Wei(self.collected + event.kept)
        kept, passed = event.kept / TOKEN, event.passed / TOKEN
        onward = f", {passed:.2f} climb to the parent" if event.parent != NO_ROOT else ""
        return f"royalties: {self._name(event.owner)} keeps {kept:.2f} at {first_digits(event.root)}{onward}"

    def _verdict(self, event: LegSettled) -> str:
        if event.child == NO_ROOT:
            return f"was not delivered; its bid of {event.forfeited / TOKEN:g} is forfeited"
        gain = "could not be judged" if event.score == UNAVAILABLE else f"gained {event.score / 1e6:+.3f}"
        if event.selected:
            return f"{gain} and is selected; reward {event.reward / TOKEN:.2f}"
        return f"{gain} and is not selected; forfeited {event.forfeited / TOKEN:g}"

    def _name(self, account: Address) -> str:
        return self.names.get(account, account[:10])
