"""make chaos: plans drawn from numbers, played by real processes; what fails is kept.

    python -m tests.chaos.real                   twenty plans, from --start on
    python -m tests.chaos.real --seed 7          one plan again
    python -m tests.chaos.real --seed 7 --show   only what it is

Which faults and adversaries processes play is in `inject.KINDS` and `play.VILLAINS`: kills, pauses, a full disk, a busy
machine, a chain that is down, reorganised, lying or limiting, no gas; donors that corrupt or withhold, a copied child,
a flood of gossip, replays, silent connections and eclipse attempts. Clocks that jump, slow disks, loss, partitions,
stale parents, equivocation and collusion are played in the virtual world.
"""

from __future__ import annotations

import argparse
import logging
import shutil
import sys
import tempfile
import time
from pathlib import Path

import trio
from tests.chaos.oracle import goodput

from derelayl_node.devnet.processes import preload

from .play import PACE, Outcome, plan_of, play
from .stage import Script, write_script

SEEDS = 20
LANES = 2
"""Plans side by side: each waits for blocks most of the time."""

FOUNDING_SEED = 1


def main() -> int:
    """Play and report; 1 if anything was violated."""
    options = _parse(sys.argv[1:])
    numbers = [options.seed] if options.seed is not None else list(range(options.start, options.start + options.seeds))
    if options.show:
        for number in numbers:
            _say(str(plan_of(number)))
        return 0
    logging.basicConfig(level=logging.ERROR)
    folder = Path(tempfile.mkdtemp(prefix="derelayl-chaos-"))
    _say(f"plans {numbers[0]} to {numbers[-1]}, in {folder}")
    outcomes: list[Outcome] = []
    lanes = min(options.lanes, len(numbers))
    trio.run(_play_all, numbers, lanes, folder, outcomes, options.keep, strict_exception_groups=True)
    failed = [outcome.plan.number for outcome in outcomes if outcome.violations]
    if not failed and not options.keep:
        shutil.rmtree(folder)
    _say(f"{len(outcomes)} plans played, violated: {failed or 'none'}")
    return 1 if failed else 0


async def _play_all(numbers: list[int], lanes: int, folder: Path, outcomes: list[Outcome], keep: bool) -> None:
    preload()
    script = await write_script(folder / "founded", PACE.rules, FOUNDING_SEED)
    send, receive = trio.open_memory_channel[int](len(numbers))
    for number in numbers:
        send.send_nowait(number)
    send.close()
    async with trio.open_nursery() as nursery:
        for _ in range(lanes):
            nursery.start_soon(_lane, script, folder, receive.clone(), outcomes, keep)


async def _lane(
    script: Script, folder: Path, numbers: trio.MemoryReceiveChannel[int], outcomes: list[Outcome], keep: bool
) -> None:
    async for number in numbers:
        plan, home, started = plan_of(number), folder / f"plan-{number}", time.monotonic()
        try:
            outcome = await play(plan, script, home)
        except Exception as error:  # noqa: BLE001 - whatever ends one plan must not hide the others
            outcome = Outcome(plan, None, (f"the play ended: {_innermost(error)!r}",))
        outcomes.append(outcome)
        _report(outcome, home, time.monotonic() - started)
        if not outcome.violations and not keep:
            await trio.to_thread.run_sync(shutil.rmtree, home)


def _report(outcome: Outcome, home: Path, seconds: float) -> None:
    plan = outcome.plan
    share = "" if outcome.facts is None else f", goodput {goodput(outcome.facts):.2f}"
    share += f", {outcome.lost_blocks} blocks lost" if outcome.lost_blocks else ""
    what = ", ".join(type(each).__name__ for each in (*plan.faults, *plan.adversaries))
    _say(f"plan {plan.number}: {'VIOLATED' if outcome.violations else 'good'} after {seconds:.0f} s{share} ({what})")
    if outcome.violations:
        _say(str(plan))
        for found in outcome.violations:
            _say(f"  ! {found}")
        _say(f'  homes and logs: {home}; again: make chaos ARGS="--seed {plan.number}"')


def _innermost(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _parse(words: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make chaos", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seed", type=int, help="play this plan only")
    parser.add_argument("--start", type=int, default=1, help="the first plan's number")
    parser.add_argument("--seeds", type=int, default=SEEDS, help="how many plans")
    parser.add_argument("--lanes", type=int, default=LANES, help="how many at a time")
    parser.add_argument("--keep", action="store_true", help="keep the homes and logs of good plans too")
    parser.add_argument("--show", action="store_true", help="print the plans and play nothing")
    return parser.parse_args(words)


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
