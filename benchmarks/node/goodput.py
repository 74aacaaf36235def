"""Goodput: the share of trained steps that end in a ranked leg, while one of seven peers is killed in every round.

In each round one of the seven peers, drawn by lot (the bootstrap peer too), is killed with SIGKILL at a random moment
of the legs and started again on the same home some seconds later. The rival is the same relay without kills, in the
same run. `python -m benchmarks.node.goodput --rounds 10 --out DIR` keeps homes and logs.

A *ranked leg* was submitted in a round that was settled and got a score from the committee: selected, outranked or
under the margin; not expired, unavailable, equivocated or voided. Steps are counted by the workers of tests/chaos/real,
one byte on disk a step before it can be lost; a step that is trained twice, because its peer was killed, is trained two
times and ends in a ranked leg once. A worker snapshots a leg ten times, as a real one does in a leg of ten minutes. A
round is lost that is voided.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import trio
from tests.chaos.real.observer import Observer, observing
from tests.chaos.real.stage import SWIFT, Pace, Stage, open_stage
from tests.chaos.real.worker import trained_steps

from benchmarks.rows import Row, row
from derelayl_protocol.ledger.events import Event, LegSettled, RoundSettled, RoundVoided
from derelayl_protocol.ledger.phases import Phase
from derelayl_protocol.types import NO_ROOT, UNAVAILABLE

ROUNDS = 40
QUICK_ROUNDS = 3
SEED = 13
LEG_SECONDS = 6.0
DOWN_SECONDS = (1.0, 4.0)
"""Between a kill and the start that follows it."""

POLL_SECONDS = 0.25
PACE = Pace(leg_seconds=LEG_SECONDS, steps=60, rules=replace(SWIFT, train_seconds=30, commit_seconds=20))
"""A lease of five legs, as in the preset for strangers a leg of two minutes would have."""

RIVAL = "the same without kills"


@dataclass(frozen=True)
class Played:
    """Some rounds: steps that ended in ranked legs, steps that were trained, rounds by their end, legs by theirs."""

    ranked_steps: int
    trained_steps: int
    rounds: int
    lost: int
    legs: Mapping[str, int]

    @property
    def goodput(self) -> float:
        return self.ranked_steps / max(1, self.trained_steps)


def count(events: Iterable[Event], trained: Mapping[tuple[int, int], int], steps: int) -> Played:
    """Add up; `trained` is by round and leg, and only rounds that are over are looked at."""
    events = tuple(events)
    over = {each.round for each in events if isinstance(each, RoundSettled | RoundVoided)}
    settled = [each for each in events if isinstance(each, LegSettled)]
    return Played(
        ranked_steps=steps * sum(_ending(leg) in ("selected", "ranked, not selected") for leg in settled),
        trained_steps=sum(number for (round_number, _), number in trained.items() if round_number in over),
        rounds=len(over),
        lost=sum(isinstance(each, RoundVoided) for each in events),
        legs=Counter(map(_ending, settled)),
    )


def _ending(leg: LegSettled) -> str:
    if leg.child == NO_ROOT:
        return "expired"
    if leg.score == UNAVAILABLE:
        return "unavailable"
    return "selected" if leg.selected else "ranked, not selected"


def play(folder: Path, rounds: int, kills: bool) -> Played:
    """Play on a new stage and count."""
    return trio.run(_play, folder, rounds, kills)


async def _play(folder: Path, rounds: int, kills: bool) -> Played:
    async with open_stage(folder, PACE, SEED) as stage, observing(stage) as observer:
        async with trio.open_nursery() as nursery:
            if kills:
                nursery.start_soon(_kill_in_each_round, stage, observer)
            while observer.rounds_over < rounds:
                await observer.look()
                await trio.sleep(POLL_SECONDS)
            nursery.cancel_scope.cancel()
        trained: Counter[tuple[int, int]] = Counter()
        for name in stage.peers:
            trained.update(trained_steps(stage.world.home(name)))
        return count((entry.event for entry in observer.entries), trained, PACE.steps)


async def _kill_in_each_round(stage: Stage, observer: Observer) -> None:
    luck, last = random.Random(SEED), 0  # noqa: S311 - it draws victims, not secrets
    while True:
        view = await observer.ledger.round(stage.founded.model)
        if view.phase == Phase.TRAIN and view.number > last:
            last = view.number
            victim = stage.peers[luck.choice(tuple(stage.peers))]
            await trio.sleep(luck.uniform(0, LEG_SECONDS))
            victim.check()
            await trio.to_thread.run_sync(victim.kill)
            await trio.sleep(luck.uniform(*DOWN_SECONDS))
            victim.start()
            print(f"round {view.number}: {victim.name} was killed and started again", file=sys.stderr, flush=True)
        await trio.sleep(POLL_SECONDS)


def measure(quick: bool) -> list[Row]:
    """The rows of this case."""
    rounds = QUICK_ROUNDS if quick else ROUNDS
    with tempfile.TemporaryDirectory() as folder:
        calm = play(Path(folder) / "calm", rounds, kills=False)
        stormy = play(Path(folder) / "stormy", rounds, kills=True)
    return rows(stormy, calm)


def rows(ours: Played, theirs: Played) -> list[Row]:
    """The relay with kills beside the one without."""
    numbers = {
        "goodput": ("share", ours.goodput, theirs.goodput),
        "rounds": ("count", ours.rounds, theirs.rounds),
        "legs selected": ("count", ours.legs["selected"], theirs.legs["selected"]),
        "steps trained": ("count", ours.trained_steps, theirs.trained_steps),
    }
    made = [row("goodput", name, unit, [own], RIVAL, [other]) for name, (unit, own, other) in numbers.items()]
    for name in ("expired", "unavailable"):
        made.append(row("goodput", f"legs {name}", "count", [ours.legs[name]]))
    return [*made, row("goodput", "rounds lost", "count", [ours.lost])]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--out", type=Path, required=True, help="a new folder")
    parser.add_argument("--calm", action="store_true", help="without kills")
    options = parser.parse_args()
    played = play(options.out, options.rounds, kills=not options.calm)
    print(json.dumps({**played.__dict__, "goodput": played.goodput}))


if __name__ == "__main__":
    main()
