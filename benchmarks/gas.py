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
from derelayl_protocol.types import WHOLE_MODEL, Address, Ppm, Timestamp, Wei  # noqa: E402

SNAPSHOT = ROOT / "contracts" / "gas-snapshot.json"
TABLE = ROOT / "docs" / "GAS.md"
TABLE_BEGIN, TABLE_END = "<!-- table: benchmarks/gas.py --accept -->\n", "<!-- end of the table -->\n"
RELAYER = account(5)
LEGS, SEATS, VALIDATORS = 8, 5, 6
LARGER = ((16, 5, 6), (32, 5, 6), (32, 15, 20))
"""Legs, seats and validators of larger rounds, which the rival is spared: its settlement needs too much gas."""
ROUNDS = 3
"""The last of them is measured: the first makes places in storage that later ones write over, in both ledgers."""
ANCESTORS = 8
BATCH = 4
RIVAL = "NaiveLedger.sol"

Figures = dict[str, list[int]]


def scores(number: int, legs: int, seats: int) -> list[list[int]]:
    """Judges who see about the same of legs that all gain, in each round other numbers; row i is for seat i."""
    return [[5000 + number + 400 * ((7 * leg) % 11) + 13 * seat for leg in range(legs)] for seat in range(seats)]


# --- the ledger -------------------------------------------------------------------------------------------------------


def play(game: Game, legs: int, signed: bool = False) -> Figures:
    """Play a round in which everyone does its part; the gas of each call, by kind.

    `signed`: bids, children, commits and reveals come in one list each, which somebody else sends.
    """
    used: Figures = {}

    def note(kind: str) -> None:
        used.setdefault(kind, []).append(game.relay.gas)

    if signed:
        place_signed(game, legs)
        note("bid")
    else:
        for trainer, amount in zip(bidders(game.number, legs), bids(legs), strict=True):
            game.send(trainer, commands.PlaceBid, WHOLE_MODEL, Wei(amount))
            note("bid")
    game.pass_deadline()
    game.send(CREATOR, commands.MatchRound, bid_order(game.view), tip_order(game.view))
    note("match")
    if signed:
        submit_signed(game)
        note("submit")
    else:
        for number, leg in enumerate(game.view.legs):
            game.send(leg.trainer, commands.SubmitLeg, number, game.child(number))
            note("submit")
    rows = scores(game.number, legs, len(game.view.seats))
    if signed:
        commit_signed(game, rows)
        note("commit")
        reveal_signed(game, rows)
        note("reveal")
    else:
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


def bidders(number: int, count: int) -> tuple[Address, ...]:
    """Who bids in that round: most trainers in every one."""
    return (TRAINERS * 2)[number : number + count]


def place_signed(game: Game, legs: int) -> None:
    """The bids of a round in one list."""
    expiry = Timestamp(game.relay.evm.now + 100)
    entries = [
        game.sign.bid(game.model, game.number, trainer, WHOLE_MODEL, Wei(amount), expiry)
        for trainer, amount in zip(bidders(game.number, legs), bids(legs), strict=True)
    ]
    game.send(RELAYER, commands.BidBySig, tuple(entries))


def submit_signed(game: Game) -> None:
    """The children of a round in one list."""
    entries = [
        game.sign.child(game.model, game.number, number, leg.trainer, leg.parent, game.child(number))
        for number, leg in enumerate(game.view.legs)
    ]
    game.send(RELAYER, commands.SubmitBySig, tuple(entries))


def commit_signed(game: Game, rows: list[list[int]]) -> None:
    """The commits to these scores in one list."""
    entries = []
    for number, (seat, scored) in enumerate(zip(game.view.seats, rows, strict=False)):
        seal = commitment(game.model, game.number, seat.validator, game.salt(number), [Ppm(score) for score in scored])
        entries.append(game.sign.commit(game.model, game.number, seat.validator, seal))
    game.send(RELAYER, commands.CommitBySig, tuple(entries))


def reveal_signed(game: Game, rows: list[list[int]]) -> None:
    """The reveals of these scores in one list."""
    entries = [
        game.sign.reveal(game.model, game.number, seat.validator, tuple(map(Ppm, scored)), game.salt(number))
        for number, (seat, scored) in enumerate(zip(game.view.seats, rows, strict=True))
    ]
    game.send(RELAYER, commands.RevealBySig, tuple(entries))


def played(legs: int, seats: int, validators: int, signed: bool = False) -> list[Figures]:
    """The rounds of a fresh model."""
    rules = replace(RULES, legs_per_tip=legs, committee_size=seats)
    game = Game(rules, validators=validators, trainers=33)
    return [play(game, legs, signed) for _ in range(ROUNDS)]


def total(used: Figures) -> int:
    """The gas of all calls of a round."""
    return sum(map(sum, used.values()))


def measure_ledger() -> Figures:
    """Every figure of the ledger."""
    rounds = played(LEGS, SEATS, VALIDATORS)
    used = dict(rounds[-1])
    used["round_8_legs_5_validators"] = [total(rounds[-1])]
    used["first_round_8_legs_5_validators"] = [total(rounds[0])]
    used["signed_round_8_legs_5_validators"] = [total(played(LEGS, SEATS, VALIDATORS, signed=True)[-1])]
    for size in LARGER:
        case = "{}_legs_{}_validators".format(*size)
        used[f"round_{case}"] = [total(played(*size)[-1])]
        used[f"signed_round_{case}"] = [total(played(*size, signed=True)[-1])]
    for kind in ("round", "signed_round"):
        small, large = (used[f"{kind}_{legs}_legs_5_validators"][0] for legs in (LEGS, 32))
        used[f"further_leg_of_{kind}"] = [(large - small) // (32 - LEGS)]
    game = Game(replace(RULES, legs_per_tip=LEGS, committee_size=SEATS), validators=VALIDATORS, trainers=33)
    for _ in range(ROUNDS):
        play(game, LEGS)
    used["commit_by_signature_of_4"] = measure_batch(game)
    used["collect_step"] = measure_walk()
    used["deploy"], used["size"] = measure_deployment()
    return used


def measure_batch(game: Game) -> list[int]:
    """A batch of signed commits, per commit."""
    place_signed(game, LEGS)
    game.match()
    game.submit()
    commit_signed(game, [[1] * LEGS] * BATCH)
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
        game.play(bids(LEGS), scores(len(rounds), LEGS, SEATS))
        rounds.append(game.gas)
    used = rounds[-1]
    used["match"] = used.pop("matchRound")
    used["round_8_legs_5_validators"] = [sum(map(sum, used.values()))]
    used["first_round_8_legs_5_validators"] = [sum(map(sum, rounds[0].values()))]
    game.gas = {}
    game.play(bids(LEGS), scores(ROUNDS, LEGS, SEATS), by_signature=True)
    used["commit_by_signature_of_4"] = [sum(game.gas["commitBySig"][:BATCH]) // BATCH]
    used["collect_step"] = measure_rival_walk()
    used["deploy"], used["size"] = [game.deploy_gas], [compiled()[1]]
    return used


def measure_rival_walk() -> list[int]:
    """What one more ancestor adds to a settlement that selects one leg."""
    game = NaiveGame(replace(RULES, committee_size=SEATS), VALIDATORS)
    for _ in range(ANCESTORS + 2):
        game.play(bids(1), scores(0, 1, SEATS))
    _, first, *_, last = game.gas["settle"]
    return [(last - first) // ANCESTORS]


# --- what is written --------------------------------------------------------------------------------------------------


def beside(case: str, theirs: Figures) -> tuple[str, list[int]] | tuple[()]:
    """The rival's figure of the same case, where it has one."""
    return (f"{RIVAL}, same round", theirs[case]) if case in theirs else ()


def rows_of(ours: Figures, theirs: Figures) -> list[Row]:
    """Rows of the benchmark's results."""
    units = {"size": ("bytes at run time", "B")}
    return [row(case, *units.get(case, ("gas", "gas")), ours[case], *beside(case, theirs)) for case in ours]


def snapshot(ours: Figures, theirs: Figures) -> str:
    """The text of the snapshot."""
    return json.dumps({"RelayLedger": ours, "NaiveLedger": theirs}, indent=1) + "\n"


def table(ours: Figures, theirs: Figures) -> str:
    """The table of the document."""
    lines = ["| | ledger | naive rival | ratio |\n", "|---|---:|---:|---:|\n"]
    for case in ours:
        own = median(ours[case])
        other = median(theirs[case]) if case in theirs else None
        rest = "| | |" if other is None else f"| {other:,.0f} | {own / other:.2f} |"
        lines.append(f"| `{case}` | {own:,.0f} {rest}\n")
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
