"""Measure the gas of the ledger's calls beside a ledger as one writes it first, in the same EVM (py-evm, Prague).

The rival, contracts/test/naive/NaiveLedger.sol, plays the same rounds: it sorts on chain, stores every record in full
structs and pays royalties by a walk over all ancestors. Gas is exact, so contracts/gas-snapshot.json has every figure
of the ledger and of the rival, and docs/GAS.md a table of them; a change of either is a decision.

    python benchmarks/gas.py            write benchmarks/results/gas.json
    python benchmarks/gas.py --check    compare with the snapshot and with the table
    python benchmarks/gas.py --accept   rewrite the snapshot and the table
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path
from statistics import median

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))  # the EVM and the game are those of the tests

import eth_abi  # noqa: E402
from naive_ledger import NaiveGame, compiled  # noqa: E402
from rows import Row, row, write  # noqa: E402
from tests.contracts.evm import account  # noqa: E402
from tests.contracts.game import Game  # noqa: E402
from tests.contracts.orders import bid_order, commitment, tip_order  # noqa: E402
from tests.contracts.relay import CREATOR, RULES, TRAINERS, Relay  # noqa: E402

from derelayl_node.evm.deploy import LIBRARIES, artifact, creation_code  # noqa: E402
from derelayl_protocol.ledger import commands  # noqa: E402
from derelayl_protocol.types import WHOLE_MODEL, Address, Ppm, Wei  # noqa: E402

SNAPSHOT = ROOT / "contracts" / "gas-snapshot.json"
TABLE = ROOT / "docs" / "GAS.md"
TABLE_BEGIN, TABLE_END = "<!-- table: benchmarks/gas.py --accept -->\n", "<!-- end of the table -->\n"
RELAYER = account(5)
LEGS, SEATS, VALIDATORS = 8, 5, 6
ROUNDS = 3
"""The last of them is measured: the first makes places in storage that later ones write over, in both ledgers."""
ANCESTORS = 8
BATCH = 4
RIVAL = "NaiveLedger.sol"

Figures = dict[str, list[int]]


def scores(legs: int, seats: int) -> list[list[int]]:
    """Judges who see about the same of legs that all gain; row i is for seat i."""
    return [[5000 + 400 * ((7 * leg) % 11) + 13 * seat for leg in range(legs)] for seat in range(seats)]


# --- the ledger -------------------------------------------------------------------------------------------------------


def play(game: Game, legs: int) -> Figures:
    """Play a round in which everyone does its part; the gas of each call, by kind."""
    used: Figures = {}

    def note(kind: str) -> None:
        used.setdefault(kind, []).append(game.relay.gas)

    for trainer, amount in zip(TRAINERS[game.number :], bids(legs), strict=False):
        game.send(trainer, commands.PlaceBid, WHOLE_MODEL, Wei(amount))
        note("bid")
    game.pass_deadline()
    game.send(CREATOR, commands.MatchRound, bid_order(game.view), tip_order(game.view))
    note("match")
    for number, leg in enumerate(game.view.legs):
        game.send(leg.trainer, commands.SubmitLeg, number, game.child(number))
        note("submit")
    rows = scores(legs, len(game.view.seats))
    for step, kind in ((game.commit, "commit"), (game.reveal, "reveal")):
        for seat, scored in enumerate(rows):
            step(*[None] * seat, scored)
            note(kind)
    game.settle()
    note("settle")
    return used


def bids(count: int) -> list[int]:
    """Ascending, so that whoever sorts has something to do."""
    return [20 + index for index in range(count)]


def measure_ledger() -> Figures:
    """Every figure of the ledger."""
    rules = replace(RULES, legs_per_tip=LEGS, committee_size=SEATS)
    game = Game(rules, validators=VALIDATORS, trainers=33)
    rounds = [play(game, LEGS) for _ in range(ROUNDS)]
    used = rounds[-1]
    used["round_8_legs_5_validators"] = [sum(map(sum, used.values()))]
    used["first_round_8_legs_5_validators"] = [sum(map(sum, rounds[0].values()))]
    used["commit_by_signature_of_4"] = measure_batch(game)
    used["collect_step"] = measure_walk()
    used["deploy"], used["size"] = measure_deployment()
    return used


def measure_batch(game: Game) -> list[int]:
    """A batch of signed commits, per commit."""
    for trainer, amount in zip(TRAINERS[game.number :], bids(LEGS), strict=False):
        game.send(trainer, commands.PlaceBid, WHOLE_MODEL, Wei(amount))
    game.match()
    game.submit()
    entries = []
    for number, seat in enumerate(game.view.seats[:BATCH]):
        seal = commitment(game.model, game.number, seat.validator, game.salt(number), [Ppm(1)] * LEGS)
        entries.append(game.sign.commit(game.model, game.number, seat.validator, seal))
    game.send(RELAYER, commands.CommitBySig, tuple(entries))
    return [game.relay.gas // BATCH]


def measure_walk() -> list[int]:
    """A royalty's way up eight ancestors in one call, per step; what waits at the first reaches all of them."""
    game = Game(replace(RULES, committee_size=SEATS), validators=VALIDATORS, trainers=33)
    for _ in range(ANCESTORS):
        play(game, 1)
    parent = game.relay.checkpoint(game.model, game.view.tips[0].root)
    assert parent is not None
    game.relay.send(RELAYER, commands.CollectRoyalty(game.model, parent.parent, ANCESTORS))
    return [game.relay.gas // ANCESTORS]


def measure_deployment() -> tuple[list[int], list[int]]:
    """Gas to deploy the ledger with its libraries, and their bytes at run time."""
    relay = Relay()
    code = {name: creation_code(name) for name in LIBRARIES}
    token = eth_abi.encode(["address"], [relay.token])
    code["RelayLedger"] = creation_code("RelayLedger", token, relay.libraries)
    sender = Address(account(9))
    gas = sum(relay.evm.transact(sender, b"", part).gas for part in code.values())
    return [gas], [sum(len(str(artifact(name)["deployedBytecode"])) // 2 - 1 for name in code)]


# --- the rival --------------------------------------------------------------------------------------------------------


def measure_rival() -> Figures:
    """The same figures of the naive ledger; where it has no like, the nearest thing that it does."""
    rules = replace(RULES, legs_per_tip=LEGS, committee_size=SEATS)
    game = NaiveGame(rules, VALIDATORS)
    rounds = []
    for _ in range(ROUNDS):
        game.gas = {}
        game.play(bids(LEGS), scores(LEGS, SEATS))
        rounds.append(game.gas)
    used = rounds[-1]
    used["match"] = used.pop("matchRound")
    used["round_8_legs_5_validators"] = [sum(map(sum, used.values()))]
    used["first_round_8_legs_5_validators"] = [sum(map(sum, rounds[0].values()))]
    game.gas = {}
    game.play(bids(LEGS), scores(LEGS, SEATS), by_signature=True)
    used["commit_by_signature_of_4"] = [sum(game.gas["commitBySig"][:BATCH]) // BATCH]
    used["collect_step"] = measure_rival_walk()
    used["deploy"], used["size"] = [game.deploy_gas], [compiled()[1]]
    return used


def measure_rival_walk() -> list[int]:
    """What one more ancestor adds to a settlement that selects one leg."""
    game = NaiveGame(replace(RULES, committee_size=SEATS), VALIDATORS)
    for _ in range(ANCESTORS + 2):
        game.play(bids(1), scores(1, SEATS))
    _, first, *_, last = game.gas["settle"]
    return [(last - first) // ANCESTORS]


# --- what is written --------------------------------------------------------------------------------------------------


def rows_of(ours: Figures, theirs: Figures) -> list[Row]:
    """Rows of the benchmark's results."""
    units = {"size": ("bytes at run time", "B")}
    return [
        row(case, *units.get(case, ("gas", "gas")), ours[case], f"{RIVAL}, same round", theirs[case]) for case in ours
    ]


def snapshot(ours: Figures, theirs: Figures) -> str:
    """The text of the snapshot."""
    return json.dumps({"RelayLedger": ours, "NaiveLedger": theirs}, indent=1) + "\n"


def table(ours: Figures, theirs: Figures) -> str:
    """The table of the document."""
    lines = ["| | ledger | naive rival | ratio |\n", "|---|---:|---:|---:|\n"]
    for case in ours:
        own, other = median(ours[case]), median(theirs[case])
        lines.append(f"| `{case}` | {own:,.0f} | {other:,.0f} | {own / other:.2f} |\n")
    return "".join(lines)


def document(figures: str) -> str:
    """The text of the document with this table in it."""
    before, rest = TABLE.read_text(encoding="utf-8").split(TABLE_BEGIN)
    return before + TABLE_BEGIN + figures + TABLE_END + rest.split(TABLE_END)[1]


def check(ours: Figures, theirs: Figures) -> int:
    """Say what differs from the snapshot and from the table; 0 if nothing does."""
    known = json.loads(SNAPSHOT.read_text(encoding="utf-8"))
    stale = 0
    for name, figures in (("RelayLedger", ours), ("NaiveLedger", theirs)):
        for case in {**known[name], **figures}:
            if known[name].get(case) != figures.get(case):
                print(f"{name} {case}: {known[name].get(case)} in the snapshot, {figures.get(case)} now")
                stale += 1
    if TABLE.read_text(encoding="utf-8") != document(table(ours, theirs)):
        print(f"the table in {TABLE.relative_to(ROOT)} is not the snapshot's")
        stale += 1
    print("accept it with `make gas-snapshot`" if stale else "gas is as recorded")
    return 1 if stale else 0


def main() -> int:
    """Measure, then do what the arguments say."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--check", action="store_true", help="compare with the snapshot and the table")
    parser.add_argument("--accept", action="store_true", help="rewrite the snapshot and the table")
    options = parser.parse_args()
    ours, theirs = measure_ledger(), measure_rival()
    if options.check:
        return check(ours, theirs)
    if options.accept:
        SNAPSHOT.write_text(snapshot(ours, theirs), encoding="utf-8")
        TABLE.write_text(document(table(ours, theirs)), encoding="utf-8")
        return 0
    write("gas", rows_of(ours, theirs))
    return 0


if __name__ == "__main__":
    sys.exit(main())
