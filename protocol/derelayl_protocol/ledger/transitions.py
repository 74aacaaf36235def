"""The state machine of a round, as data.

Theory of operation
-------------------
A model always has exactly one running round, and the round exactly one phase. A round goes bid → train → commit →
reveal → settle, and each phase ends in one of three ways: by the last of those it waits for (the last leg submitted,
the last seat committed, the last committed seat revealed), by its deadline, or by a settlement. Nothing happens by
itself: a chain has no alarm clock. So whoever finds a deadline passed may say so (`MatchRound` ends the bidding,
`Advance` every other phase), and whoever comes too late is refused although nobody has said so yet: the two sets of
allowed commands, before and after a deadline, do not overlap.

Going back to BID means that the round has ended and the next one begins: after a settlement, or because it was voided
(see `VoidReason`). Bidding has no deadline until the first bid sets one, and settling has none at all: a settlement
needs nobody but the caller, so it can wait. The proof that a trainer has signed two children may come at any time of
a leased round, and moves nothing on. In every state some command is enabled for a stranger with no stake in
the round, so no participant can hold a round up by staying away.

House rules: what affects the state machine lives in this file. `TRANSITIONS` lists for each phase the commands that
it takes and the phases in which each may leave the round; `apply` refuses every other command and asserts that its
handlers keep to the list. The diagram in the documentation is `mermaid()`. Commands that name no round (deposits,
stakes, royalties, …) are possible at any time and are not listed.
"""

from __future__ import annotations

from collections.abc import Mapping

from ..errors import Reason, RuleViolation
from ..types import Timestamp
from .commands import (
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
from .phases import Phase
from .state import RoundView

RoundCommand = (
    PlaceBid
    | BidBySig
    | OfferTip
    | MatchRound
    | SubmitLeg
    | SubmitBySig
    | CommitScores
    | CommitBySig
    | RevealScores
    | RevealBySig
    | SettleRound
    | Advance
    | ReportManifests
)
"""Commands about the running round. `ReportReveals` names a round too, but it may be any."""

TRANSITIONS: Mapping[Phase, Mapping[type[RoundCommand], tuple[Phase, ...]]] = {
    Phase.BID: {
        PlaceBid: (Phase.BID,),
        BidBySig: (Phase.BID,),
        OfferTip: (Phase.BID,),
        MatchRound: (Phase.TRAIN, Phase.BID),
    },
    Phase.TRAIN: {
        SubmitLeg: (Phase.TRAIN, Phase.COMMIT),
        SubmitBySig: (Phase.TRAIN, Phase.COMMIT),
        Advance: (Phase.COMMIT, Phase.BID),
        ReportManifests: (Phase.TRAIN,),
    },
    Phase.COMMIT: {
        CommitScores: (Phase.COMMIT, Phase.REVEAL),
        CommitBySig: (Phase.COMMIT, Phase.REVEAL),
        Advance: (Phase.REVEAL, Phase.BID),
        ReportManifests: (Phase.COMMIT,),
    },
    Phase.REVEAL: {
        RevealScores: (Phase.REVEAL, Phase.SETTLE),
        RevealBySig: (Phase.REVEAL, Phase.SETTLE),
        Advance: (Phase.SETTLE, Phase.BID),
        ReportManifests: (Phase.REVEAL,),
    },
    Phase.SETTLE: {
        SettleRound: (Phase.BID,),
        ReportManifests: (Phase.SETTLE,),
    },
}
"""For each phase the commands that it takes, each with the phases that may follow.

BID after another phase, or after MatchRound, is that of the next round.
"""

BEFORE_DEADLINE: frozenset[type[RoundCommand]] = frozenset(
    {PlaceBid, BidBySig, OfferTip, SubmitLeg, SubmitBySig, CommitScores, CommitBySig, RevealScores, RevealBySig}
)
"""Commands refused as TOO_LATE once the phase's deadline has passed."""

AFTER_DEADLINE: frozenset[type[RoundCommand]] = frozenset({MatchRound, Advance})
"""Commands refused as TOO_EARLY until the phase's deadline has passed."""


def check_turn(round: RoundView, command: RoundCommand, now: Timestamp) -> None:
    """Raise RuleViolation unless it is this command's time: WRONG_ROUND, then WRONG_PHASE, then TOO_LATE or TOO_EARLY.

    `Advance` in a phase that no deadline ends is NOTHING_TO_ADVANCE instead of WRONG_PHASE.
    """
    kind = type(command)
    if command.round != round.number:
        raise RuleViolation(Reason.WRONG_ROUND, f"round {round.number} is running, not {command.round}")
    if kind not in TRANSITIONS[round.phase]:
        reason = Reason.NOTHING_TO_ADVANCE if kind is Advance else Reason.WRONG_PHASE
        raise RuleViolation(reason, f"{kind.__name__} in {round.phase.name}")
    passed = round.deadline != 0 and now >= round.deadline
    if passed and kind in BEFORE_DEADLINE:
        raise RuleViolation(Reason.TOO_LATE, f"the deadline was {round.deadline}, now is {now}")
    if not passed and kind in AFTER_DEADLINE:
        raise RuleViolation(Reason.TOO_EARLY, f"the deadline is {round.deadline or 'not set yet'}, now is {now}")


def check_transition(before: RoundView, command: RoundCommand, after: RoundView) -> None:
    """Assert that a handler left the round in a phase that the table allows."""
    allowed = TRANSITIONS[before.phase][type(command)]
    name = type(command).__name__
    assert after.phase in allowed, f"{name} led from {before.phase.name} to {after.phase.name}, allowed is {allowed}"


def mermaid() -> str:
    """Draw TRANSITIONS as a Mermaid state diagram, one arrow for each pair of phases, ending with a newline."""
    arrows: dict[tuple[Phase, Phase], list[str]] = {}
    for phase, commands in TRANSITIONS.items():
        for command, followers in commands.items():
            for follower in followers:
                arrows.setdefault((phase, follower), []).append(command.__name__)
    lines = [f"    {start.name} --> {end.name}: {', '.join(names)}" for (start, end), names in arrows.items()]
    return "\n".join(["stateDiagram-v2", "    [*] --> BID: CreateModel", *lines]) + "\n"
