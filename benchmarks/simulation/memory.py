"""Peak memory of whole runs, each in a fresh process.

    python -m benchmarks.simulation.memory SCENARIO [KEY=VALUE …]

plays one run with seed 0 and prints the greatest resident set of its process in MiB.
"""

from __future__ import annotations

import resource
import sys
from collections.abc import Mapping
from pathlib import Path

from benchmarks.rows import Row, row
from benchmarks.simulation.rivals import fresh
from derelayl_simulations.scenarios import load
from derelayl_simulations.study.run import run

FULL: Mapping[str, tuple[str, ...]] = {
    "published rules, 256 participants, 5000 rounds": ("published-long", "rounds=5000"),
    "published rules, 100000 participants, 1000 rounds": (
        "published",
        "rounds=1000",
        "published.participants=100000",
    ),
    "ledger rules, 100000 participants, 1000 rounds": ("hundred-thousand", "rounds=1000"),
}
QUICK: Mapping[str, tuple[str, ...]] = {
    "published rules, 256 participants, 500 rounds": ("published-long", "rounds=500"),
    "published rules, 100000 participants, 10 rounds": ("published", "rounds=10", "published.participants=100000"),
    "ledger rules, 100000 participants, 10 rounds": ("hundred-thousand", "rounds=10"),
}
KIB_PER_MIB = 1024


def measure(quick: bool) -> list[Row]:
    return [
        row(case, "peak resident memory", "MiB", [float(fresh("benchmarks.simulation.memory", *words))])
        for case, words in (QUICK if quick else FULL).items()
    ]


def main() -> None:
    name, *pairs = sys.argv[1:]
    values = dict(pair.split("=", 1) for pair in pairs)
    run(load(name).with_values({key: int(value) for key, value in values.items()}), 0)
    print(peak_mib())


def peak_mib() -> float:
    """The greatest resident set of this process, MiB.

    The kernel's own record where there is one: what `getrusage` says begins with the size of the process that started
    this one.
    """
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text(encoding="ascii").splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) / KIB_PER_MIB
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / KIB_PER_MIB


if __name__ == "__main__":
    main()
