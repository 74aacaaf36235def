"""What the demo says of the relay while it runs, and keeps for its report: all from the protocol's statement."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from derelayl_protocol.checkpoint.ancestry import Edge
from derelayl_protocol.ledger.events import Event, LegSubmitted
from derelayl_protocol.ledger.selection import LegEnding
from derelayl_protocol.statement.books import Books
from derelayl_protocol.statement.story import Story, round_of
from derelayl_protocol.statement.teller import Teller
from derelayl_protocol.statement.words import short
from derelayl_protocol.types import Address, Ppm, Root, Wei


@dataclass(frozen=True, slots=True)
class Leg:
    """One leg as far as it is known; `child` is None until it is submitted, `ending` until its round is over."""

    round: int
    leg: int
    trainer: Address
    parent: Root
    segment: int
    child: Root | None
    score: Ppm
    ending: LegEnding | None
    reward: Wei
    forfeited: Wei

    @property
    def selected(self) -> bool:
        return self.ending is LegEnding.SELECTED


class Chronicle:
    """The story of one model so far. `names` maps accounts to names for people."""

    def __init__(self, names: Mapping[Address, str]) -> None:
        self._names = names
        self._books = Books()
        self._teller = Teller(self._books)
        self._told = 0
        self._rounds: dict[int, Story] = {}

    def tell(self, events: Iterable[Event]) -> Iterator[str]:
        """Take events in and say what happened: each account's lines, and those about a round as a whole."""
        for event in events:
            self._books.note(event)
            if (about := round_of(event)) is not None:
                self._rounds[about[1]] = self._books.story(*about)
            for line in self._teller.tell(event, self._told):
                yield line.sentence if line.account is None else f"{self._name(line.account)}: {line.sentence}"
            if isinstance(event, LegSubmitted):
                yield f"{self._name(event.trainer)}: you handed on {short(event.child)} in round {event.round}"
            self._told += 1

    @property
    def closed_rounds(self) -> int:
        """How many rounds are over."""
        return sum(map(_is_over, self._rounds.values()))

    @property
    def legs(self) -> tuple[Leg, ...]:
        """All legs, by round and number."""
        return tuple(leg for _, story in sorted(self._rounds.items()) for leg in _legs_of(story))

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
            for leg in self.legs
            if leg.child is not None and leg.round <= through_round
        )

    def forfeited_by(self, account: Address, round_number: int) -> Wei:
        """What the account lost with its leg of the round, in wei."""
        own = (leg for leg in self.legs if leg.trainer == account and leg.round == round_number)
        return Wei(sum(leg.forfeited for leg in own))

    def lineage_of(self, root: Root) -> tuple[Leg, ...]:
        """The accepted legs from genesis to the checkpoint, oldest first."""
        made_by = {leg.child: leg for leg in self.legs if leg.selected}
        path: list[Leg] = []
        while (leg := made_by.get(root)) is not None:
            path.append(leg)
            root = leg.parent
        return tuple(reversed(path))

    def best_checkpoint(self, genesis: Root) -> Root:
        """The accepted checkpoint with the largest gain since genesis; genesis itself if none was accepted."""
        accepted = [leg.child for leg in self.legs if leg.selected and leg.child is not None]
        return max(accepted, key=lambda root: sum(leg.score for leg in self.lineage_of(root)), default=genesis)

    def _name(self, account: Address) -> str:
        return self._names.get(account, short(account))


def _is_over(story: Story) -> bool:
    return story.settled is not None or story.voided is not None


def _legs_of(story: Story) -> Iterator[Leg]:
    endings = story.endings() if _is_over(story) else {}
    for number, leg in sorted(story.legs.items()):
        yield Leg(
            round=story.number,
            leg=number,
            trainer=leg.trainer,
            parent=leg.parent,
            segment=leg.segment,
            child=leg.child if leg.submitted else None,
            score=leg.score,
            ending=endings.get(number),
            reward=Wei(0) if leg.settled is None else leg.settled.reward,
            forfeited=Wei(0) if leg.settled is None else leg.settled.forfeited,
        )
