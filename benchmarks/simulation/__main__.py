"""make bench-simulation: how fast the simulator is and how much memory it takes.

    python -m benchmarks.simulation [published] [ledger] [memory] [--quick]
    python -m benchmarks.simulation remedies|bends|hostage|spread|lanes|fits [--quick]

Writes results/simulation.json and results/simulation.png. A quick run, or one of some parts only, prints its rows and
draws .derelayl/bench/simulation-quick.png instead. The other parts measure rules and fits, not speed
(docs/SIMULATION.md), and write results/simulation-NAME.json. The rivals of `ledger` are installed on first use, each
into an environment of its own under .derelayl/bench. With a copy of the authors' script,

    DERELAYL_AUTHORS_SCRIPT=PATH make bench-simulation

also runs it beside ours.
"""

from __future__ import annotations

import argparse
import sys

from benchmarks.rows import RESULTS, Row, write
from benchmarks.simulation import bends, fits, hostage, lanes, ledger, memory, published, remedies, spread
from benchmarks.simulation.figure import draw
from benchmarks.simulation.rivals import ROOT, RivalFailed

PARTS = {"published": published.measure, "ledger": ledger.measure, "memory": memory.measure}
TABLES = {
    "remedies": remedies.measure,
    "bends": bends.measure,
    "hostage": hostage.measure,
    "spread": spread.measure,
    "lanes": lanes.measure,
    "fits": fits.measure,
}
"""What measures rules and fits, not speed."""

ASIDE = ROOT / ".derelayl" / "bench"


def main() -> int:
    parser = argparse.ArgumentParser(prog="make bench-simulation", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; all if none is named")
    parser.add_argument("--quick", action="store_true", help="fewer runs, fewer rounds; results aside")
    asked = parser.parse_args()
    if len(asked.parts) == 1 and asked.parts[0] in TABLES:
        name = asked.parts[0]
        measured = TABLES[name](asked.quick)
        _show(measured) if asked.quick else write(f"simulation-{name}", measured)
        return 0
    unknown = sorted(set(asked.parts) - set(PARTS))
    if unknown:
        parser.error(f"no part is called {unknown[0]!r}; there are {', '.join(PARTS)}, and {' or '.join(TABLES)} alone")
    names = [name for name in PARTS if name in (asked.parts or PARTS)]
    try:
        rows: list[Row] = [one for name in names for one in PARTS[name](asked.quick)]
    except RivalFailed as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    if asked.quick or len(names) < len(PARTS):
        ASIDE.mkdir(parents=True, exist_ok=True)
        _show(rows)
        draw(rows, ASIDE / "simulation-quick.png")
        return 0
    write("simulation", rows)
    draw(rows, RESULTS / "simulation.png")
    return 0


def _show(rows: list[Row]) -> None:
    for one in rows:
        beside = f"   {one['rival']} {one['rival_value']}, ratio {one['ratio']}" if one["rival"] else ""
        print(f"{one['case']}   {one['metric']}: {one['value']} {one['unit']} {one['spread']}{beside}")


if __name__ == "__main__":
    sys.exit(main())
