"""make bench-node: what a running node costs and bears, each case beside its rival in the same run.

    python -m benchmarks.node [CASE ...] [--quick]

A case is a module of this package with `measure(quick: bool) -> list[Row]`; its rows go to results/node-CASE.json. A
quick run is a trial of the benchmark itself and writes nothing. Each module says what it measures and against what.
"""

from __future__ import annotations

import argparse
import sys
from importlib import import_module

from benchmarks.rows import write

CASES = ("rest_lookup", "rest_ancestors", "chain_calls_idle", "chain_calls_catch_up", "goodput", "soak")
"""In the order in which they are measured; the last takes hours and is measured only when it is named."""

LONG = ("soak",)


def main() -> int:
    asked = parse(sys.argv[1:])
    for case in asked.cases:
        rows = import_module(f"benchmarks.node.{case}").measure(asked.quick)
        if asked.quick:
            print(*rows, sep="\n")
        else:
            write(f"node-{case}", rows)
    return 0


def parse(words: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench-node", description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("cases", nargs="*", metavar="CASE", help=f"of {', '.join(CASES)}; all but LONG if none")
    parser.add_argument("--quick", action="store_true", help="a short trial; writes nothing")
    asked = parser.parse_args(words)
    asked.cases = asked.cases or [case for case in CASES if case not in LONG]
    if unknown := [case for case in asked.cases if case not in CASES]:
        parser.error(f"{', '.join(unknown)}: unknown; allowed are {', '.join(CASES)}")
    return asked


if __name__ == "__main__":
    sys.exit(main())
