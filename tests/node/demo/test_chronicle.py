"""The demo's chronicle: what it says is the statement's lines by name, what it keeps is how each leg ended."""

from __future__ import annotations

import json
from pathlib import Path

from derelayl_node.demo.chronicle import Chronicle
from derelayl_node.demo.report import Accuracy, LegLine, Report, WeiAudit
from derelayl_protocol.ledger.selection import LegEnding
from derelayl_protocol.statement.words import short

from ...protocol.relay import GENESIS, JUDGES, OWNER, TRAINERS, root
from ...protocol.statements import AuditedRelay

NAMES = {OWNER: "founder", TRAINERS[0]: "ann", TRAINERS[1]: "bob"}


def chronicle_of(relay: AuditedRelay) -> tuple[Chronicle, list[str]]:
    chronicle = Chronicle(NAMES)
    return chronicle, list(chronicle.tell(relay.audit.events))


def two_rounds() -> AuditedRelay:
    """A settled round in which the second leg of two is outranked, and one that is voided before the second submits."""
    relay = AuditedRelay()
    relay.whole_round((200, 100), (3_000, 2_000))
    relay.lease(200, 100)
    relay.train(1)
    relay.advance()
    return relay


def test_a_leg_that_is_running_has_no_ending_and_is_in_no_lineage() -> None:
    relay = AuditedRelay()
    relay.lease(200, 100)
    relay.submit(0)
    chronicle, _ = chronicle_of(relay)
    assert [(leg.child is None, leg.ending, leg.selected) for leg in chronicle.legs] == [
        (False, None, False),
        (True, None, False),
    ]
    assert chronicle.closed_rounds == 0
    assert chronicle.edges(0) == ()
    assert chronicle.best_checkpoint(GENESIS) == GENESIS


def test_it_says_the_lines_of_the_statement_with_names() -> None:
    relay = two_rounds()
    _, said = chronicle_of(relay)
    first = root("round 1 leg 0")
    won = f"ann: your bid won leg 0 of round 1, with a bond of 100 wei: continue checkpoint {short(GENESIS)}"
    assert won in "\n".join(said)
    assert f"ann: you handed on {short(first)} in round 1" in said
    assert any(line.startswith(f"ann: leg {short(first)}: your gain of 3,000 ppm out of") for line in said)
    assert any(line.startswith("bob: leg ") and "was not selected (outranked)" in line for line in said)
    assert any(line.startswith(f"{short(JUDGES[0])}: you were drawn into the committee") for line in said)
    assert any(line.startswith("round 1 was settled: 1 of 2 submitted legs selected") for line in said)
    assert any(line.startswith("round 2 was voided: fewer seats committed than the quorum") for line in said)
    statement = {line.sentence for line in relay.audit.lines}
    assert statement <= {line.split(": ", 1)[1] for line in said if ": " in line} | set(said)


def test_it_keeps_how_each_leg_ended_and_what_it_won_or_lost() -> None:
    chronicle, _ = chronicle_of(two_rounds())
    assert [(leg.round, leg.leg, leg.ending) for leg in chronicle.legs] == [
        (1, 0, LegEnding.SELECTED),
        (1, 1, LegEnding.OUTRANKED),
        (2, 0, LegEnding.VOIDED),
        (2, 1, LegEnding.EXPIRED),
    ]
    assert chronicle.closed_rounds == 2
    assert chronicle.legs[0].reward > 0
    assert chronicle.forfeited_by(TRAINERS[1], 2) == 100
    best = chronicle.best_checkpoint(GENESIS)
    assert [leg.child for leg in chronicle.lineage_of(best)] == [best]
    assert [(edge.round, edge.selected) for edge in chronicle.edges(2)] == [(1, True), (1, False), (2, False)]


def test_the_report_has_the_word_of_each_ending(tmp_path: Path) -> None:
    line = LegLine(2, 0, "ann", "0x01", "0x02", 0, None, LegEnding.VOIDED, False, 0, 7, 0.5)
    wei = WeiAudit(minted=0, balances=0, locked=0, pending=0, burned=0)
    report = Report(1.0, ["ann"], 2, [line], None, Accuracy(0.1, 0.5, 0.6), 9, wei, True, "http://127.0.0.1:1")
    report.write(tmp_path / "report.json")
    (leg,) = json.loads((tmp_path / "report.json").read_text())["legs"]
    assert (leg["ending"], leg["selected"]) == ("voided", False)
    assert list(report.table().columns[-1].cells) == ["voided"]
