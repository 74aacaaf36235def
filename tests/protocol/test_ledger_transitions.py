"""The table of phases: what it draws, and that the ledger keeps to it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from derelayl_protocol.errors import Reason
from derelayl_protocol.ledger.apply import HANDLERS
from derelayl_protocol.ledger.commands import (
    Advance,
    BidBySig,
    CommitBySig,
    CommitScores,
    MatchRound,
    OfferTip,
    PlaceBid,
    ReportManifests,
    RevealBySig,
    RevealScores,
    SettleRound,
    SubmitBySig,
    SubmitLeg,
)
from derelayl_protocol.ledger.phases import Phase
from derelayl_protocol.ledger.transitions import (
    AFTER_DEADLINE,
    BEFORE_DEADLINE,
    TRANSITIONS,
    RoundCommand,
    check_transition,
    mermaid,
)
from derelayl_protocol.types import ModelId, Wei

from .relay import GENESIS, SALT, STRANGER, Relay, in_phase, root

DIAGRAM = """\
stateDiagram-v2
    [*] --> BID: CreateModel
    BID --> BID: PlaceBid, BidBySig, OfferTip, MatchRound
    BID --> TRAIN: MatchRound
    TRAIN --> TRAIN: SubmitLeg, SubmitBySig, ReportManifests
    TRAIN --> COMMIT: SubmitLeg, SubmitBySig, Advance
    TRAIN --> BID: Advance
    COMMIT --> COMMIT: CommitScores, CommitBySig, ReportManifests
    COMMIT --> REVEAL: CommitScores, CommitBySig, Advance
    COMMIT --> BID: Advance
    REVEAL --> REVEAL: RevealScores, RevealBySig, ReportManifests
    REVEAL --> SETTLE: RevealScores, RevealBySig, Advance
    REVEAL --> BID: Advance
    SETTLE --> BID: SettleRound
    SETTLE --> SETTLE: ReportManifests
"""


def one_of_each(model: ModelId, number: int) -> list[RoundCommand]:
    return [
        PlaceBid(model, number, 0, Wei(100)),
        BidBySig(model, number, ()),
        OfferTip(model, number, GENESIS),
        MatchRound(model, number, (), ()),
        SubmitLeg(model, number, 0, root("child")),
        SubmitBySig(model, number, ()),
        CommitScores(model, number, root("seal")),
        CommitBySig(model, number, ()),
        RevealScores(model, number, (), (), SALT),
        RevealBySig(model, number, ()),
        SettleRound(model, number, (), ()),
        Advance(model, number),
        ReportManifests(model, number, 0, (root("one"), root("other")), (bytes(64), bytes(64))),
    ]


@pytest.mark.parametrize("phase", Phase)
def test_a_command_outside_the_phases_row_is_refused(phase: Phase) -> None:
    relay = in_phase(phase)
    for command in one_of_each(relay.model, 1):
        if type(command) not in TRANSITIONS[phase]:
            advancing = isinstance(command, Advance)
            relay.refuse(Reason.NOTHING_TO_ADVANCE if advancing else Reason.WRONG_PHASE, STRANGER, command)


@pytest.mark.parametrize("phase", Phase)
@pytest.mark.parametrize("number", [0, 2, -1])
def test_another_rounds_number_is_refused_before_anything_else(phase: Phase, number: int) -> None:
    relay = in_phase(phase)
    for command in one_of_each(relay.model, number):
        relay.refuse(Reason.WRONG_ROUND, STRANGER, command)


def test_an_unknown_model_is_refused_before_the_round() -> None:
    for command in one_of_each(ModelId(root("nowhere")), 7):
        Relay().refuse(Reason.UNKNOWN_MODEL, STRANGER, command)


def test_a_handler_that_leaves_the_table_is_our_bug() -> None:
    before = in_phase(Phase.TRAIN).round
    with pytest.raises(AssertionError, match="Advance led from TRAIN to SETTLE"):
        check_transition(before, Advance(ModelId(GENESIS), 1), replace(before, phase=Phase.SETTLE))


def test_every_phase_takes_a_command_and_each_command_has_its_place() -> None:
    listed = {command for row in TRANSITIONS.values() for command in row}
    assert all(TRANSITIONS[phase] for phase in Phase)
    assert listed == {type(command) for command in one_of_each(ModelId(GENESIS), 1)}
    assert listed - {SettleRound, ReportManifests} == BEFORE_DEADLINE | AFTER_DEADLINE
    assert not BEFORE_DEADLINE & AFTER_DEADLINE
    assert listed < set(HANDLERS)


def test_the_diagram_is_drawn_from_the_table() -> None:
    assert mermaid() == DIAGRAM
