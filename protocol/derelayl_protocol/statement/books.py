"""Books: every balance recomputed from the ledger's events, and nothing else."""

from __future__ import annotations

from collections.abc import Iterable

from ..ledger import events as ev
from ..ledger.rules import Rules
from ..spelling import to_hex
from ..types import Address, ModelId, Root, Timestamp, Wei
from . import places
from .places import Place, Pocket
from .story import Story, round_of
from .transfers import LogContradiction, Transfer, transfers


class Books:
    """What the events so far say of every place. `add` them in the order of the log, all from the first on.

    A `Desk` for `transfers` and for `teller.Teller`. Keeps the running round of each model, not those before.
    """

    def __init__(self, events: Iterable[ev.Event] = ()) -> None:
        self._amounts: dict[Place, Wei] = {}
        self._rules: dict[ModelId, Rules] = {}
        self._owners: dict[tuple[ModelId, Root], Address] = {}
        self._stories: dict[ModelId, Story] = {}
        self.release_times: dict[tuple[ModelId, Address], Timestamp] = {}
        for event in events:
            self.add(event)

    def add(self, event: ev.Event) -> tuple[Transfer, ...]:
        """Take in one event and return what it moved. Raises LogContradiction."""
        self.note(event)
        moved = transfers(event, self)
        for transfer in moved:
            self.move(transfer)
        if isinstance(event, ev.RoundSettled) and self.amount(places.carry(event.model)) != event.carry:
            raise LogContradiction(f"round {event.round} left {event.carry} wei in the carry, its events say otherwise")
        return moved

    def note(self, event: ev.Event) -> None:
        """Take in what an event says, without its transfers."""
        if isinstance(event, ev.ModelCreated):
            self._rules[event.model] = event.rules
            self._owners[event.model, event.genesis] = event.creator
        elif isinstance(event, ev.Unstaked):
            self.release_times[event.model, event.account] = event.release_time
        elif isinstance(event, ev.PhaseChanged):
            self._begin(event)
        elif (about := round_of(event)) is not None:
            self.story(*about).note(event)
        if isinstance(event, ev.CommitteeSeated):
            weights = {account: self.amount(places.stake(event.model, account)) for account in event.validators}
            self.story(event.model, event.round).weights = weights
        if isinstance(event, ev.LegSettled) and event.selected:
            leg = self.story(event.model, event.round).legs.get(event.leg)
            if leg is not None:
                self._owners[event.model, event.child] = leg.trainer

    def held(self) -> dict[Place, Wei]:
        """Every place in the ledger that is not empty, as `places.amounts` gives them for a state."""
        inside = (place for place in self._amounts if place.pocket != Pocket.WALLET)
        return {place: self._amounts[place] for place in inside if self._amounts[place]}

    def names(self) -> frozenset[Place]:
        """Every place in the ledger that was ever used, the empty ones too."""
        return frozenset(place for place in self._amounts if place.pocket != Pocket.WALLET)

    def total(self) -> Wei:
        """All that the ledger holds: what was deposited and not withdrawn."""
        return Wei(sum(self.held().values()))

    def models(self) -> tuple[ModelId, ...]:
        """The models, in the order of their creation."""
        return tuple(self._rules)

    # --- Desk -------------------------------------------------------------------------------------------------------

    def rules(self, model: ModelId) -> Rules:
        """The rules of a model. Raises LogContradiction for one that was never created."""
        if model not in self._rules:
            raise LogContradiction(f"an event of model {to_hex(model)}, which was never created")
        return self._rules[model]

    def owner(self, model: ModelId, root: Root) -> Address:
        """Who owns an accepted checkpoint. Raises LogContradiction for one that was never accepted."""
        if (model, root) not in self._owners:
            raise LogContradiction(f"money at the checkpoint {to_hex(root)}, which was never accepted")
        return self._owners[model, root]

    def amount(self, place: Place) -> Wei:
        """What a place holds."""
        return self._amounts.get(place, Wei(0))

    def story(self, model: ModelId, round: int) -> Story:
        """The running round. Raises LogContradiction for another one."""
        story = self._stories.get(model)
        if story is None or story.number != round:
            raise LogContradiction(f"an event of round {round} of model {to_hex(model)}, which is not running")
        return story

    def move(self, transfer: Transfer) -> None:
        """Book a transfer. A pot is shared out before all of it has come in; otherwise nothing is ever overdrawn."""
        source, target = transfer.source, transfer.target
        self._amounts[source] = Wei(self.amount(source) - transfer.amount)
        self._amounts[target] = Wei(self.amount(target) + transfer.amount)
        if self._amounts[source] < 0 and source.pocket not in (Pocket.WALLET, Pocket.CARRY):
            raise LogContradiction(f"the {source.pocket} of {places.holder(source)} is overdrawn")

    def _begin(self, event: ev.PhaseChanged) -> None:
        story = self._stories.get(event.model)
        if story is None or story.number != event.round:
            self._stories[event.model] = Story(event.model, event.round, self.rules(event.model))
