"""What starting and idling cost, beside an earlier commit in the same run.

make bench-start                              all cases, three turns
make bench-start ARGS="node_start --turns 5"  one case
make bench-start ARGS="--quick"               one turn without the demo; writes nothing

The earlier commit gets a work tree and an environment of its own under `.derelayl/baselines`, made by its own set-up.
Both sides take turns. Processor time is that of a process with all its children; it depends little on what else the
machine does, wall time depends on it much.

* `node_start`: from the command to `ready.json`: a seeder alone, a trainer alone, and the seven peers of a devnet
* `node_idle`: a seeder between rounds: its share of a core, and its memory
* `sim_start`, `api_start`: `derelayl sim list`, and `derelayl api` until it answers
* `demo`: `derelayl demo`, wall time
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
from rows import RESULTS, Row, row, write

ROOT = Path(__file__).parents[1]
BASELINES = ROOT / ".derelayl" / "baselines"
BASELINE = "7318668"
"""The last commit before starting was looked at."""

RIVAL = f"commit {BASELINE}"
TURNS = 3
READY_SECONDS = 180.0
IDLE_SECONDS = 60.0
SETTLE_SECONDS = 15.0
"""A node that has just started still loads what it will need later."""

STOP_SECONDS = 20.0
POLL_SECONDS = 0.02
CHAIN_PORT = 18_545
API_PORT = 18_080


@dataclass(frozen=True)
class Tree:
    """A checkout with an environment."""

    folder: Path

    def command(self, *words: str) -> list[str]:
        return [str(self.folder / ".venv" / "bin" / "python"), "-m", "derelayl_node.cli.main", *words]

    def run(self, *words: str) -> None:
        """Run a command to its end."""
        subprocess.run(self.command(*words), env=self.environment(), check=True, capture_output=True, timeout=900)

    def start(self, log: Path, *words: str) -> psutil.Popen:
        """Start a command."""
        with log.open("wb") as out:
            return psutil.Popen(
                self.command(*words), env=self.environment(), stdin=subprocess.DEVNULL, stdout=out, stderr=out
            )

    def environment(self) -> dict[str, str]:
        """This tree's code, whatever its environment was installed from."""
        packages = [str(self.folder / part) for part in ("protocol", "node", "simulations")]
        return {**os.environ, "PYTHONPATH": os.pathsep.join(packages)}


def baseline() -> Tree:
    """The earlier commit, checked out and set up unless it is there."""
    folder = BASELINES / BASELINE
    if not (folder / ".venv" / ".complete").exists():
        if not folder.exists():
            subprocess.run(["git", "worktree", "add", "--detach", str(folder), BASELINE], cwd=ROOT, check=True)
        subprocess.run(["bash", "scripts/setup.sh", ".venv"], cwd=folder, check=True)
        (folder / ".venv" / ".complete").touch()
    return Tree(folder)


def processor_seconds(process: psutil.Popen) -> float:
    """Of a process, its living children, and those that it has waited for."""
    total = 0.0
    for each in (process, *process.children(recursive=True)):
        try:
            times = each.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += times.user + times.system + times.children_user + times.children_system
    return total


@contextmanager
def running(process: psutil.Popen) -> Iterator[psutil.Popen]:
    """Stop the process in the end, and what it started."""
    try:
        yield process
    finally:
        if process.poll() is None:
            everybody = [process, *process.children(recursive=True)]
            process.terminate()
            _, alive = psutil.wait_procs(everybody, timeout=STOP_SECONDS)
            for each in alive:
                each.kill()


def wait_for(file: Path, process: psutil.Popen, log: Path) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while not file.exists():
        if process.poll() is not None or time.monotonic() > deadline:
            raise SystemExit(f"did not start: {log.read_text(errors='replace')[-500:]}")
        time.sleep(POLL_SECONDS)


@contextmanager
def devnet(tree: Tree, folder: Path) -> Iterator[Path]:
    """A devnet of this tree with its chain running, and no peer yet."""
    net = folder / "net"
    tree.run("devnet", "prepare", str(net), "--trainers", "3", "--validators", "3")
    log = folder / "chain.log"
    with running(tree.start(log, "chain", "run", "--home", str(net / "chain"), "--port", str(CHAIN_PORT))) as chain:
        wait_for(net / "chain" / "ready.json", chain, log)
        tree.run("devnet", "found", str(net), "--chain-url", f"http://127.0.0.1:{CHAIN_PORT}")
        yield net


def node_command(net: Path, name: str, role: str) -> list[str]:
    words = ["node", "run", "--home", str(net / name), "--network", str(net / "network.toml"), "--role", role]
    words += ["--password-file", str(net / "password")]
    if role != "seeder":
        words += ["--data", f"shard:{net / 'data' / 'peer0.safetensors'}"]
    return words


@contextmanager
def node(tree: Tree, net: Path, name: str, role: str) -> Iterator[psutil.Popen]:
    """A peer that is ready."""
    ready, log = net / name / "ready.json", net / f"{name}.log"
    ready.unlink(missing_ok=True)
    with running(tree.start(log, *node_command(net, name, role))) as process:
        wait_for(ready, process, log)
        yield process


DEVNET_STARTER = """
import sys, time, trio, psutil
from pathlib import Path
from derelayl_node.devnet import processes
from derelayl_node.demo.course import node_process
from derelayl_node.demo.request import DemoOptions
from derelayl_node.devnet.world import read_world

net = Path(sys.argv[1])
world = read_world(net)
children = [node_process(world, member, DemoOptions(out=net)) for member in world.members]

async def main():
    processes.preload()
    for child in children:
        child.start()
    for child in children:
        await child.ready()

trio.run(main)
print(len(children), flush=True)
sys.stdin.readline()
processes.stop_all(children)
"""
BASELINE_STARTER = (
    DEVNET_STARTER.replace("derelayl_node.devnet import processes", "derelayl_node.demo import processes")
    .replace("derelayl_node.demo.course", "derelayl_node.demo.story")
    .replace("derelayl_node.devnet.world", "derelayl_node.demo.world")
    .replace("derelayl_node.demo.request", "derelayl_node.demo.options")
    .replace("    processes.preload()\n", "")
)


def devnet_start(tree: Tree, net: Path) -> tuple[float, float]:
    """Processor and wall seconds until the seven peers of a devnet are ready."""
    for ready in net.glob("*/ready.json"):
        if ready.parent.name != "chain":
            ready.unlink()
    program = BASELINE_STARTER if tree.folder != ROOT else DEVNET_STARTER
    started = time.monotonic()
    process = psutil.Popen(
        [tree.command()[0], "-c", program, str(net)],
        env=tree.environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with running(process):
        process.stdout.readline()
        seconds = time.monotonic() - started
        used = processor_seconds(process)
        process.stdin.write("\n")
        process.stdin.flush()
        process.wait(60)
    return used, seconds


def node_start(tree: Tree) -> dict[str, float]:
    found: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder, devnet(tree, Path(folder)) as net:
        for name, role in (("bootstrap", "seeder"), ("trainer-1", "trainer")):
            with node(tree, net, name, role) as process:
                found[f"processor time of a {role} to ready.json"] = processor_seconds(process)
        used, seconds = devnet_start(tree, net)
        found["processor time of a devnet's seven peers to ready.json"] = used
        found["wall time of a devnet's seven peers to ready.json"] = seconds
    return found


def node_idle(tree: Tree) -> dict[str, float]:
    with (
        tempfile.TemporaryDirectory() as folder,
        devnet(tree, Path(folder)) as net,
        node(tree, net, "bootstrap", "seeder") as process,
    ):
        time.sleep(SETTLE_SECONDS)
        before = processor_seconds(process)
        time.sleep(IDLE_SECONDS)
        share = (processor_seconds(process) - before) / IDLE_SECONDS
        memory = process.memory_info().rss / 2**20
    return {"share of a core of an idle seeder": share, "memory of an idle seeder": memory}


def sim_start(tree: Tree) -> dict[str, float]:
    return {"processor time": _to_its_end(tree, "sim", "list")}


def api_start(tree: Tree) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder, devnet(tree, Path(folder)) as net:
        log = Path(folder) / "api.log"
        words = ["api", "--network", str(net / "network.toml"), "--port", str(API_PORT)]
        with running(tree.start(log, *words)) as process:
            deadline = time.monotonic() + READY_SECONDS
            while not _answers(f"http://127.0.0.1:{API_PORT}/v1/models"):
                if process.poll() is not None or time.monotonic() > deadline:
                    raise SystemExit(f"did not start: {log.read_text(errors='replace')[-500:]}")
                time.sleep(POLL_SECONDS)
            return {"processor time until it answers": processor_seconds(process)}


def demo(tree: Tree) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out"
        started = time.monotonic()
        tree.run("demo", "--out", str(out), "--seed", "1")
        seconds = time.monotonic() - started
        report = json.loads((out / "report.json").read_text())
        return {"wall time": seconds, "rounds": report["rounds"], "accuracy": report["accuracy"]["final"]}


CASES: Mapping[str, Callable[[Tree], dict[str, float]]] = {
    "node_start": node_start,
    "node_idle": node_idle,
    "sim_start": sim_start,
    "api_start": api_start,
    "demo": demo,
}
UNITS = {"share": "cores", "memory": "MiB", "rounds": "rounds", "accuracy": "share"}


def _to_its_end(tree: Tree, *words: str) -> float:
    with tempfile.TemporaryDirectory() as folder:
        process = tree.start(Path(folder) / "log", *words)
        _, status, usage = os.wait4(process.pid, 0)
        if status:
            raise SystemExit(f"{' '.join(words)} failed")
        return usage.ru_utime + usage.ru_stime


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=5).is_success
    except httpx.HTTPError:
        return False


def rows_of(case: str, ours: Sequence[Mapping[str, float]], theirs: Sequence[Mapping[str, float]]) -> list[Row]:
    rows = []
    for metric in ours[0]:
        unit = next((unit for start, unit in UNITS.items() if metric.startswith(start)), "s")
        values, beside = ([one[metric] for one in runs] for runs in (ours, theirs))
        rows.append(row(case, metric, unit, values, RIVAL, beside))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("cases", nargs="*", choices=[*CASES, []], help="which; all if none is named")
    parser.add_argument("--turns", type=int, default=TURNS)
    parser.add_argument("--quick", action="store_true", help="one turn without the demo; writes nothing")
    options = parser.parse_args()
    here, there = Tree(ROOT), baseline()
    cases = options.cases or [case for case in CASES if not (options.quick and case == "demo")]
    rows: list[Row] = []
    for case in cases:
        pairs = []
        for turn in range(1 if options.quick else options.turns):
            order = (here, there) if turn % 2 == 0 else (there, here)
            measured = {tree.folder: CASES[case](tree) for tree in order}
            pairs.append((measured[here.folder], measured[there.folder]))
            print(f"{case}, turn {turn + 1}: {pairs[-1]}", file=sys.stderr, flush=True)
        rows += rows_of(case, [own for own, _ in pairs], [other for _, other in pairs])
    if options.quick:
        print(json.dumps(rows, indent=1))
    else:
        kept = [one for one in _recorded() if one["case"] not in cases]
        write("start", kept + rows)


def _recorded() -> list[Row]:
    path = RESULTS / "start.json"
    return list(json.loads(path.read_text())) if path.exists() else []


if __name__ == "__main__":
    main()
