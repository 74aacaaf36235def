"""What each ledger event means for the projections: one small method per event.

The ledger is trusted to follow its own rules; a log that contradicts itself (a settlement of a leg nobody leased) comes
from a broken endpoint and is refused as `LedgerUnavailable`, before anything is written.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final

from sqlalchemy import Table

from derelayl_protocol.ledger import events as ev
from derelayl_protocol.ledger.phases import Phase
from derelayl_protocol.ledger.selection import LegEnding
from derelayl_protocol.types import NO_ROOT, UNAVAILABLE, WHOLE_MODEL, Address, ModelId, Root

from ..ports import LedgerUnavailable
from . import tables
from .accounting import Accounting
from .event_json import event_to_json
from .records import ACCEPTED
from .rows import Row, Rows


class Projector:
    """Applies events in the order of the chain; `seq` is the event's place in the whole log, from 0."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows
        self._money = Accounting(rows)

    def apply(self, seq: int, event: ev.Event) -> None:
        """Update the projections. Raises LedgerUnavailable when the event contradicts the log before it."""
        handler = _HANDLERS.get(type(event))
        if handler is not None:
            handler(self, seq, event)
        self._money.apply(seq, event)
        if isinstance(event, ev.RoundSettled | ev.RoundVoided):
            self._end_round(seq, event)

    def end_block(self) -> None:
        """Close the block: nothing of it is left to be told."""
        self._money.end_block()

    def _need(self, table: Table, *key: Any) -> Row:
        row = self._rows.get(table, *key)
        if row is None:
            raise LedgerUnavailable(f"the event log contradicts itself: no row of {table.name} for an event about it")
        return row

    def _model_created(self, seq: int, event: ev.ModelCreated) -> None:
        model = {
            "model": event.model,
            "seq": seq,
            "creator": event.creator,
            "genesis": event.genesis,
            "rules": json.dumps(json.loads(event_to_json(event))["rules"], sort_keys=True, separators=(",", ":")),
            "round": 1,
            "phase": int(Phase.BID),
            "deadline": 0,
        }
        counters = dict.fromkeys(("settled_rounds", "voided_rounds", "submitted", "selected", "budget", "carry"), 0)
        self._rows.add(tables.models, model | counters)
        genesis = _checkpoint(seq, event.model, event.genesis, event.creator)
        self._rows.put(tables.checkpoints, genesis | {"gain": 0, "score": 0, "settled_event": seq})
        self._put_tip(event.model, event.genesis, 0, 0)
        self._money.count(event.creator, "models")

    def _phase_changed(self, seq: int, event: ev.PhaseChanged) -> None:
        now = {"phase": int(event.phase), "deadline": event.deadline}
        self._rows.put(tables.models, self._need(tables.models, event.model) | now | {"round": event.round})
        row = self._rows.get(tables.rounds, event.model, event.round) or _round(seq, event.model, event.round)
        self._rows.put(tables.rounds, row | now)

    def _bid_placed(self, seq: int, event: ev.BidPlaced) -> None:
        bid = {"model": event.model, "round": event.round, "trainer": event.trainer, "segment": event.segment}
        # Who was displaced may bid again: one row for each trainer in a round.
        self._rows.put(tables.bids, bid | {"amount": event.amount})
        self._count_in_round(event.model, event.round, "bids")
        self._money.count(event.trainer, "bids")

    def _bid_returned(self, seq: int, event: ev.BidReturned | ev.BidDisplaced) -> None:
        """Keep what is still locked: of a bid that wins a leg, its bond."""
        bid = self._need(tables.bids, event.model, event.round, event.trainer)
        self._rows.put(tables.bids, bid | {"amount": bid["amount"] - event.amount})

    def _leg_leased(self, seq: int, event: ev.LegLeased) -> None:
        bid = self._need(tables.bids, event.model, event.round, event.trainer)
        leg = {
            "model": event.model,
            "round": event.round,
            "leg": event.leg,
            "trainer": event.trainer,
            "parent": event.parent,
            "segment": event.segment,
            "child": None,
            "status": "leased",
            "score": None,
            "bid": bid["amount"],
            "leased_event": seq,
            "submitted_event": None,
            "settled_event": None,
        }
        self._rows.add(tables.legs, leg | dict.fromkeys(("reward", "royalty", "bid_returned", "forfeited"), 0))
        self._count_in_round(event.model, event.round, "legs")
        self._money.count(event.trainer, "legs")

    def _committee_seated(self, seq: int, event: ev.CommitteeSeated) -> None:
        row = self._need(tables.rounds, event.model, event.round)
        self._rows.put(tables.rounds, row | {"validators": json.dumps(list(event.validators))})

    def _leg_submitted(self, seq: int, event: ev.LegSubmitted) -> None:
        leg = self._need(tables.legs, event.model, event.round, event.leg)
        self._rows.put(tables.legs, leg | {"child": event.child, "status": "submitted", "submitted_event": seq})
        self._count_in_round(event.model, event.round, "submitted")
        model = self._need(tables.models, event.model)
        self._rows.put(tables.models, model | {"submitted": model["submitted"] + 1})
        known = self._rows.get(tables.checkpoints, event.model, event.child)
        if known is None or known["status"] not in ("submitted", *ACCEPTED):
            child = self._child(seq, leg, event.child)
            self._rows.put(tables.checkpoints, child | ({} if known is None else {"seq": known["seq"]}))

    def _child(self, seq: int, leg: Row, root: Root) -> Row:
        parent = self._need(tables.checkpoints, leg["model"], leg["parent"])
        return _checkpoint(seq, leg["model"], root, leg["trainer"]) | {
            "status": "submitted",
            "parent": leg["parent"],
            "round": leg["round"],
            "leg": leg["leg"],
            "segment": leg["segment"],
            "depth": parent["depth"] + 1,
        }

    def _leg_settled(self, seq: int, event: ev.LegSettled) -> None:
        leg = self._need(tables.legs, event.model, event.round, event.leg)
        result = {
            "score": None if event.score == UNAVAILABLE else int(event.score),
            "reward": event.reward,
            "royalty": event.royalty,
            "bid_returned": event.bid_returned,
            "forfeited": event.forfeited,
            "settled_event": seq,
        }
        self._rows.put(tables.legs, leg | result)

    def _end_leg(self, leg: Row, ending: LegEnding) -> None:
        """Say how a leg ended, which only the end of its round tells."""
        self._rows.put(tables.legs, leg | {"status": ending.value})
        if ending is LegEnding.SELECTED:
            self._select(leg)
        elif ending is not LegEnding.EXPIRED:
            self._refuse(leg, ending)

    def _select(self, leg: Row) -> None:
        """Make this leg the checkpoint's origin; another leg may have named the same root first."""
        known = self._need(tables.checkpoints, leg["model"], leg["child"])
        parent = self._need(tables.checkpoints, leg["model"], leg["parent"])
        child = self._child(leg["submitted_event"], leg, leg["child"]) | {"seq": known["seq"], "status": "selected"}
        child |= {"gain": leg["score"], "score": parent["score"] + leg["score"], "settled_event": leg["settled_event"]}
        self._rows.put(tables.checkpoints, child | {"reward": leg["reward"], "royalty": leg["royalty"]})
        model = self._need(tables.models, leg["model"])
        self._rows.put(tables.models, model | {"selected": model["selected"] + 1})
        self._count_in_round(leg["model"], leg["round"], "selected")
        self._money.count(leg["trainer"], "selected")

    def _refuse(self, leg: Row, ending: LegEnding) -> None:
        known = self._need(tables.checkpoints, leg["model"], leg["child"])
        if known["status"] == "submitted" and (known["round"], known["leg"]) == (leg["round"], leg["leg"]):
            result = {"status": ending.value, "gain": leg["score"], "settled_event": leg["settled_event"]}
            self._rows.put(tables.checkpoints, known | result)

    def _end_round(self, seq: int, event: ev.RoundSettled | ev.RoundVoided) -> None:
        """Say how the round and its legs ended, once all that the event moves is booked."""
        story = self._money.story(event.model, event.round)
        for number, ending in story.endings().items():
            self._end_leg(self._need(tables.legs, event.model, event.round, number), ending)
        model = self._need(tables.models, event.model)
        result: Row
        if isinstance(event, ev.RoundSettled):
            result = {"outcome": "settled", "pot": event.pot, "emission": event.emission}
        else:
            result = {"outcome": "voided", "void_reason": int(event.reason)}
        sums = {"forfeited": story.forfeited, "slashed": story.slashed, "carry": model["carry"], "ended_event": seq}
        row = self._need(tables.rounds, event.model, event.round)
        self._rows.put(tables.rounds, row | result | sums)
        ended = f"{result['outcome']}_rounds"
        self._rows.put(tables.models, model | {ended: model[ended] + 1})
        if isinstance(event, ev.RoundSettled) and event.selected:
            self._replace_tips(event.model, event.round)

    def _replace_tips(self, model: ModelId, number: int) -> None:
        for tip in self._rows.scan(tables.tips, model):
            self._rows.remove(tables.tips, model, tip["root"])
        legs = [leg for leg in self._rows.scan(tables.legs, model, number) if leg["status"] == "selected"]
        for position, leg in enumerate(sorted(legs, key=lambda leg: (-leg["score"], leg["leg"]))):
            self._put_tip(model, leg["child"], position, number)

    def _trainer_equivocated(self, seq: int, event: ev.TrainerEquivocated) -> None:
        leg = self._need(tables.legs, event.model, event.round, event.leg)
        self._rows.put(tables.legs, leg | {"bid": 0})

    def _count_in_round(self, model: ModelId, number: int, what: str) -> None:
        row = self._need(tables.rounds, model, number)
        self._rows.put(tables.rounds, row | {what: row[what] + 1})

    def _put_tip(self, model: ModelId, root: Root, position: int, number: int) -> None:
        tip = {"model": model, "root": root, "position": position, "since_round": number}
        self._rows.put(tables.tips, tip)


def _checkpoint(seq: int, model: ModelId, root: Root, owner: Address) -> Row:
    """Give the row of a genesis; a child overrides what differs."""
    return {
        "model": model,
        "root": root,
        "seq": seq,
        "status": "genesis",
        "parent": NO_ROOT,
        "owner": owner,
        "round": 0,
        "leg": None,
        "segment": WHOLE_MODEL,
        "depth": 0,
        "gain": None,
        "score": None,
        "submitted_event": seq,
        "settled_event": None,
    } | dict.fromkeys(("reward", "royalty", "pending", "collected"), 0)


def _round(seq: int, model: ModelId, number: int) -> Row:
    counters = ("bids", "legs", "submitted", "selected", "pot", "emission", "carry", "forfeited", "slashed")
    state = {
        "outcome": "running",
        "void_reason": None,
        "validators": "[]",
        "weights": "[]",
        "started_event": seq,
        "ended_event": None,
    }
    return {"model": model, "number": number} | state | dict.fromkeys(counters, 0)


_HANDLERS: Final[dict[type[Any], Callable[[Projector, int, Any], None]]] = {
    ev.ModelCreated: Projector._model_created,
    ev.PhaseChanged: Projector._phase_changed,
    ev.BidPlaced: Projector._bid_placed,
    ev.BidReturned: Projector._bid_returned,
    ev.BidDisplaced: Projector._bid_returned,
    ev.LegLeased: Projector._leg_leased,
    ev.CommitteeSeated: Projector._committee_seated,
    ev.LegSubmitted: Projector._leg_submitted,
    ev.LegSettled: Projector._leg_settled,
    ev.TrainerEquivocated: Projector._trainer_equivocated,
}
