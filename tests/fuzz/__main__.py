"""`python -m tests.fuzz`: millions of inputs to every decoder of strangers' bytes; status 1 if one broke a promise."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable

from .campaign import run_target
from .guided import run_guided
from .targets import Target, all_targets

INPUTS = 1_000_000


def say(line: str) -> None:
    """Print at once: a long run is read while it goes."""
    print(line, flush=True)  # noqa: T201 -- a command


def counts(targets: Iterable[Target], total: int) -> dict[str, int]:
    """How many inputs each target gets."""
    shares = {target.name: target.share for target in targets}
    return {name: max(1, round(total * share / sum(shares.values()))) for name, share in shares.items()}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"of {', '.join(all_targets())}; default: all")
    parser.add_argument("--inputs", type=int, default=INPUTS, help="in all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--guided", action="store_true", help="by coverage, with atheris (the extra `fuzz`)")
    chosen = parser.parse_args()
    if unknown := set(chosen.targets) - set(all_targets()):
        parser.error(f"no target {', '.join(sorted(unknown))}")
    targets = [all_targets()[name] for name in chosen.targets or all_targets()]
    if chosen.guided:
        targets = [target for target in targets if target.guided]
        return max(run_guided(target, chosen.seed, n) for target, n in _with_counts(targets, chosen.inputs))
    found = given = 0
    for target, number in _with_counts(targets, chosen.inputs):
        outcome = run_target(target, chosen.seed, number)
        given += outcome.inputs
        found += len(outcome.findings)
        say(str(outcome))
        for finding in outcome.findings:
            say(f"  ! {finding}")
    say(f"{given:,} inputs, seed {chosen.seed}, {found} findings")
    return 1 if found else 0


def _with_counts(targets: list[Target], total: int) -> list[tuple[Target, int]]:
    number = counts(targets, total)
    return [(target, number[target.name]) for target in targets]


if __name__ == "__main__":
    sys.exit(main())
