"""`python -m tests.chaos --seeds 0:1000`: plays plans on a virtual clock; status 1 if any broke a promise."""

from __future__ import annotations

import argparse
import logging
import os
import sys

from .virtual.many import try_goodput, try_seeds, virtual_plan

VIRTUAL_SEEDS = "0:200"
GOODPUT_SEEDS = "0:20"


def seeds(text: str) -> range:
    """`7` is one number, `0:1000` those from 0 to 999."""
    first, _, end = text.partition(":")
    return range(int(first), int(end) if end else int(first) + 1)


def say(line: str) -> None:
    """Print at once: a night's run is read while it goes."""
    print(line, flush=True)  # noqa: T201 -- a command


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--seeds", type=seeds, help="one number, or FIRST:END")
    parser.add_argument("--goodput", action="store_true", help="instead: one of seven peers killed in each leg")
    parser.add_argument("--show", action="store_true", help="print the plans and play none")
    chosen = parser.parse_args()
    logging.disable(logging.CRITICAL)  # faults are meant: what a role warns of is nothing new
    if chosen.show:
        for number in chosen.seeds or seeds("0"):
            say(str(virtual_plan(number)))
        return 0
    if chosen.goodput:
        tally = try_goodput(chosen.seeds or seeds(GOODPUT_SEEDS), say)
    else:
        tally = try_seeds(chosen.seeds or seeds(VIRTUAL_SEEDS), say)
    say(str(tally))
    return 1 if tally.broken else 0


if __name__ == "__main__":
    if os.environ.get("PYTHONHASHSEED") is None:  # the order of a set must not depend on the process
        again = [sys.executable, "-m", "tests.chaos", *sys.argv[1:]]
        os.execve(sys.executable, again, {**os.environ, "PYTHONHASHSEED": "0"})  # noqa: S606
    sys.exit(main())
