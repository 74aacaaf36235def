"""Two hours of churn: each minute one of four peers is killed with SIGKILL and started again on the same home.

    python -m benchmarks.node soak                     two hours, into results/node-soak.json and node-soak.png
    python -m benchmarks.node.soak --minutes 5 --out DIR   another length, with all that was sampled
    python -m benchmarks.node.soak --minutes 10 --haste 10 --out DIR   the rounds of some hours

Seven peers and the chain are processes of their own, with the worker of tests/chaos/real: real sockets, disks and
blocks, and hardly any training. The bootstrap peer, a trainer, a validator and the chain live through; of these and
their workers, memory and descriptors are told. `samples.jsonl` is written as it goes: what is stopped early, is kept.

Memory is the resident set; its slope is fitted by least squares to the samples after WARM_UP_MINUTES. A round is lost
that ends without a settlement.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import psutil
import trio
from tests.chaos.real.observer import Observer, observing
from tests.chaos.real.stage import SWIFT, Pace, Stage, open_stage

from benchmarks.rows import RESULTS, Row, row, write
from derelayl_node.signals import stop_on_signal
from derelayl_protocol.ledger.events import LegSettled, RoundSettled, RoundVoided
from derelayl_protocol.types import NO_ROOT

MINUTES = 120.0
QUICK_MINUTES = 3.0
WARM_UP_MINUTES = 20.0
"""Until caches, pools and SQLite's pages have grown to their size."""

CHURN_SECONDS = 60.0
DOWN_SECONDS = 5.0
SAMPLE_SECONDS = 15.0
PACE = Pace(leg_seconds=20.0, poll_seconds=1.0, rules=replace(SWIFT, train_seconds=60))
"""Rounds of half a minute, that leave most of a core to others; who is killed in its leg can still finish it."""

SEED = 13
STAYING = ("bootstrap", "trainer-1", "validator-1", "chain")
"""Who lives through."""

MIB = 2**20


@dataclass(frozen=True)
class Sample:
    """One process at one moment; `name` is the peer's, with `worker` behind it for its worker."""

    minute: float
    name: str
    rss: int
    descriptors: int
    processor_seconds: float


def sample(stage: Stage, started: float) -> Iterable[Sample]:
    """Look at every process of the stage."""
    minute = (time.monotonic() - started) / 60
    for child in stage.everybody():
        if child.process is None or child.process.pid is None:
            continue
        try:
            peer = psutil.Process(child.process.pid)
            yield _one(minute, child.name, peer)
            for worker in peer.children():
                yield _one(minute, f"{child.name} worker", worker)
        except psutil.NoSuchProcess:
            continue  # it ended between the two looks


def _one(minute: float, name: str, process: psutil.Process) -> Sample:
    with process.oneshot():
        times = process.cpu_times()
        return Sample(minute, name, process.memory_info().rss, process.num_fds(), times.user + times.system)


class Soak:
    """One run; `out` gets samples.jsonl and events.json, `net/` the peers' homes."""

    def __init__(self, out: Path, minutes: float, haste: float = 1.0) -> None:
        self.samples: list[Sample] = []
        self.kills = 0
        self._out, self._minutes, self._haste = out, minutes, haste
        self._luck = random.Random(SEED)  # noqa: S311 - it draws victims, not secrets
        self.observer: Observer | None = None

    async def run(self) -> None:
        async with open_stage(self._out / "net", hurried(self._haste), SEED) as stage, observing(stage) as observer:
            self.observer = observer
            started = time.monotonic()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(stop_on_signal, nursery.cancel_scope)
                nursery.start_soon(self._churn, stage)
                nursery.start_soon(self._sample, stage, started)
                with trio.move_on_after(self._minutes * 60):
                    while True:
                        await observer.look()
                        for name in STAYING:
                            (stage.chain if name == "chain" else stage.peers[name]).check()
                        await trio.sleep(SAMPLE_SECONDS)
                nursery.cancel_scope.cancel()

    async def _churn(self, stage: Stage) -> None:
        victims = [name for name in stage.peers if name not in STAYING]
        while True:
            await trio.sleep(CHURN_SECONDS - DOWN_SECONDS)
            victim = stage.peers[self._luck.choice(victims)]
            if victim.process is not None and victim.process.exitcode is None:
                await trio.to_thread.run_sync(victim.kill)
            self.kills += 1
            await trio.sleep(DOWN_SECONDS)
            victim.start()

    async def _sample(self, stage: Stage, started: float) -> None:
        with (self._out / "samples.jsonl").open("a") as file:
            while True:
                for one in sample(stage, started):
                    self.samples.append(one)
                    file.write(json.dumps(one.__dict__) + "\n")
                file.flush()
                self._note()
                await trio.sleep(SAMPLE_SECONDS)

    def _note(self) -> None:
        """Write the rows so far, so that a run that is stopped is worth something."""
        (self._out / "rows.json").write_text(json.dumps(self.rows(), indent=1) + "\n")

    def rows(self) -> list[Row]:
        """What was measured so far."""
        events = [entry.event for entry in self.observer.entries] if self.observer else []
        legs = [event for event in events if isinstance(event, LegSettled)]
        warm = min(WARM_UP_MINUTES, self._minutes / 3)
        lived = [one for one in self.samples if one.name.removesuffix(" worker") in STAYING and one.minute >= warm]
        by_name: dict[str, list[Sample]] = defaultdict(list)
        for one in lived:
            by_name[one.name].append(one)
        minutes = max((one.minute for one in self.samples), default=0.0)
        counts = {
            "minutes": minutes,
            "kills": self.kills,
            "rounds settled": sum(isinstance(event, RoundSettled) for event in events),
            "rounds lost": sum(isinstance(event, RoundVoided) for event in events),
            "legs submitted": sum(leg.child != NO_ROOT for leg in legs),
            "legs accepted": sum(leg.selected for leg in legs),
            "processor share of one core": sum(map(_processor, _by_process(self.samples))) / max(minutes * 60, 1e-9),
        }
        rows = [row("soak", name, "share" if "share" in name else "count", [value]) for name, value in counts.items()]
        for name, samples in sorted(by_name.items()):
            if len(samples) > 2:
                rows.append(row("soak", f"memory slope of {name}", "MiB/h", [slope(samples, "rss") / MIB]))
                rows.append(row("soak", f"descriptor slope of {name}", "1/h", [slope(samples, "descriptors")]))
                rows.append(row("soak", f"descriptors of {name}", "count", [one.descriptors for one in samples]))
        return rows


def hurried(haste: float) -> Pace:
    """The pace with legs and looks so many times as fast; a block still takes a second."""
    seconds = max(SWIFT.train_seconds, round(PACE.rules.train_seconds / haste))
    rules = replace(PACE.rules, train_seconds=seconds)
    return replace(PACE, leg_seconds=PACE.leg_seconds / haste, poll_seconds=PACE.poll_seconds / haste, rules=rules)


def slope(samples: Sequence[Sample], what: str) -> float:
    """Growth an hour, by least squares."""
    hours = np.array([one.minute / 60 for one in samples])
    return float(np.polyfit(hours, np.array([getattr(one, what) for one in samples], dtype=float), 1)[0])


def _by_process(samples: Iterable[Sample]) -> Iterable[list[float]]:
    """Processor seconds of each name in order; they fall back to nothing where a process was started again."""
    times: dict[str, list[float]] = defaultdict(list)
    for one in samples:
        times[one.name].append(one.processor_seconds)
    return times.values()


def _processor(times: Sequence[float]) -> float:
    return sum(later - earlier if later >= earlier else later for earlier, later in pairwise(times))


def draw(samples: Sequence[Sample], path: Path) -> None:
    """Draw memory and descriptors of those who live through."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 7), layout="constrained")
    memory, descriptors = figure.subplots(2, 1, sharex=True)
    for name in sorted({one.name for one in samples if one.name.removesuffix(" worker") in STAYING}):
        own = [one for one in samples if one.name == name]
        minutes = [one.minute for one in own]
        style = "--" if name.endswith("worker") else "-"
        memory.plot(minutes, [one.rss / MIB for one in own], style, label=name)
        descriptors.plot(minutes, [one.descriptors for one in own], style, label=name)
    memory.set_ylabel("resident memory, MiB")
    descriptors.set_ylabel("open descriptors")
    descriptors.set_xlabel("minutes; every minute another peer is killed and started again")
    memory.set_ylim(bottom=0)
    descriptors.set_ylim(bottom=0)
    figure.legend(*memory.get_legend_handles_labels(), loc="outside upper center", fontsize="small", ncols=3)
    figure.savefig(path, dpi=110)


def soak(out: Path, minutes: float, haste: float = 1.0) -> Soak:
    """Run it; leave samples, rows and the plot in `out`."""
    out.mkdir(parents=True, exist_ok=True)
    run = Soak(out, minutes, haste)
    try:
        trio.run(run.run, strict_exception_groups=True)
    finally:
        if run.samples:
            draw(run.samples, out / "node-soak.png")
    return run


def measure(quick: bool) -> list[Row]:
    """The rows of this case."""
    with tempfile.TemporaryDirectory() as folder:
        run = soak(Path(folder), QUICK_MINUTES if quick else MINUTES)
        if not quick:
            draw(run.samples, RESULTS / "node-soak.png")
        return run.rows()


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--minutes", type=float, default=MINUTES)
    parser.add_argument(
        "--haste", type=float, default=1.0, help="how many times as fast legs and looks at the ledger are"
    )
    parser.add_argument("--out", type=Path, required=True, help="a new folder")
    parser.add_argument("--keep", action="store_true", help="write results/node-soak.json and .png in the end")
    options = parser.parse_args()
    run = soak(options.out, options.minutes, options.haste)
    if options.keep:
        write("node-soak", run.rows())
        draw(run.samples, RESULTS / "node-soak.png")
    return 0


if __name__ == "__main__":
    sys.exit(main())
