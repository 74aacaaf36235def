"""The worker process: it can die, hang, babble or lose its parent, and the node goes on."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from derelayl_node.ports import TrainingFailed
from derelayl_node.training import process, worker_process
from derelayl_node.training.process import SubprocessTrainer, open_trainer, public_part
from derelayl_node.training.worker_process import OnProgress
from derelayl_training.compute import Compute
from derelayl_training.job_lines import PING, PONG, ArchitectureLine, GenesisJob, JudgeJob, TrainJob, encode
from derelayl_training.jobs import LegJob, SampleCounts
from derelayl_training.worker import NICENESS

from ...training.tiny import ARCHITECTURE, judging, tiny_leg, tiny_shard

PATIENCE_SECONDS = 30.0
LONG = 10_000
"""Steps that take seconds and that no test waits for."""


def silent(_fraction: float) -> None:
    pass


@asynccontextmanager
async def open_scripted(
    script: str | list[str], job_seconds: float = PATIENCE_SECONDS, on_progress: OnProgress = silent
) -> AsyncIterator[SubprocessTrainer]:
    """A trainer whose worker is a small script instead of torch; `load()` answers the first line as the real one."""
    command = script if isinstance(script, list) else [sys.executable, "-c", PRELUDE + textwrap.dedent(script)]
    async with trio.open_nursery() as nursery:
        yield SubprocessTrainer(command, dict(os.environ), job_seconds, on_progress, nursery)
        nursery.cancel_scope.cancel()


PRELUDE = """
import json, os, sys, time
def say(**reply):
    print(json.dumps(reply), flush=True)
def load():
    assert "load" in sys.stdin.readline()
    say(done={"kind": "load"})
def first(been):
    if os.path.exists(been):
        return False
    open(been, "w").close()
    return True
def judge(number=1.0):
    bar = {"loss": 2.0, "tips": [0], "segment": 255}
    child = {"loss": float(number), "error": None, "original": 0}
    say(done={"kind": "judge", "samples": 16, "bar": bar, "children": [child], "left_out": 0})
"""


def gone(pid: int) -> bool:
    """True when no such process runs; an orphan that nobody has reaped yet does not run."""
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (ProcessLookupError, FileNotFoundError):
        return True


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


async def until(condition: Callable[[], bool]) -> None:
    with trio.fail_after(PATIENCE_SECONDS):
        while not condition():  # noqa: ASYNC110 - a process that ends or starts sets no event
            await trio.sleep(0.01)


async def judge(
    trainer: SubprocessTrainer, file: Path = Path("w"), *, seconds: float = PATIENCE_SECONDS
) -> float | None:
    judged = await trainer.judge(judging(file, file), seconds=seconds)
    (child,) = judged.children
    return None if child is None else child.loss


# --- workers that misbehave ---


async def test_a_worker_that_cannot_be_started_is_a_failure_and_an_obstacle(tmp_path: Path) -> None:
    async with open_scripted([str(tmp_path / "absent")]) as trainer:
        with pytest.raises(TrainingFailed, match="cannot be started"):
            await trainer.genesis(ARCHITECTURE, 1, tmp_path / "g")
        assert "cannot be started" in trainer.obstacle


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("sys.stdin.readline(); sys.exit('out of memory')", "status 1: out of memory"),
        ("load(); sys.stdin.readline(); sys.exit('out of memory')", "status 1: out of memory"),
        ("sys.exit('no such module')", "status 1: no such module"),
        ("load(); sys.stdin.readline(); print('hello', flush=True); sys.stdin.read()", "1 invalid fields"),
        ("load(); sys.stdin.readline(); print('{}', flush=True); sys.stdin.read()", "1 invalid fields"),
        ("load(); sys.stdin.readline(); say(progress=2); sys.stdin.read()", "invalid fields"),
        ("load(); sys.stdin.readline(); print('x' * (9 << 20), flush=True); input()", "status -9"),
    ],
    ids=["dies loading", "dies at work", "dies at start", "no json", "no answer", "progress above one", "endless line"],
)
async def test_a_worker_that_dies_or_babbles_is_a_failure(tmp_path: Path, script: str, reason: str) -> None:
    async with open_scripted(script) as trainer:
        with pytest.raises(TrainingFailed, match=reason):
            await trainer.genesis(ARCHITECTURE, 1, tmp_path / "g")
        assert trainer.worker_pid is None


async def test_an_answer_to_another_question_is_a_failure(tmp_path: Path) -> None:
    script = "load(); sys.stdin.readline(); say(done={'kind': 'accuracy', 'accuracy': 1.0}); sys.stdin.read()"
    async with open_scripted(script) as trainer:
        with pytest.raises(TrainingFailed, match="answered with a accuracy result"):
            await trainer.genesis(ARCHITECTURE, 1, tmp_path / "g")


async def test_a_worker_that_hangs_is_killed_at_the_deadline(tmp_path: Path) -> None:
    async with open_scripted("load(); sys.stdin.read()", job_seconds=0.2) as trainer:
        with pytest.raises(TrainingFailed, match=r"no answer within 0\.2 s"):
            await trainer.genesis(ARCHITECTURE, 1, tmp_path / "g")
        assert trainer.worker_pid is None


async def test_a_worker_that_is_stopped_at_work_is_replaced_long_before_the_deadline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_process, "PING_SECONDS", 0.4)
    monkeypatch.setattr(process, "FIRST_PAUSE_SECONDS", 0.0)
    been = tmp_path / "been"
    script = f"""
    load(); sys.stdin.readline()
    if first({str(been)!r}):
        os.kill(os.getpid(), 19)
    judge(); sys.stdin.read()
    """
    async with open_scripted(script) as trainer:
        with pytest.raises(TrainingFailed, match=r"does not answer for 2 s"):
            await judge(trainer)
        assert await judge(trainer) == 1.0


async def test_a_worker_that_answers_pings_may_take_its_time_and_answer_the_last_one_late(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    script = """
    load(); sys.stdin.readline()
    for _ in range(10):
        assert "ping" in sys.stdin.readline()
        say(alive=True)
    judge(1)
    say(alive=True)
    while "judge" not in sys.stdin.readline(): pass
    judge(2); sys.stdin.read()
    """
    monkeypatch.setattr(worker_process, "PING_SECONDS", 0.02)
    monkeypatch.setattr(worker_process, "UNANSWERED_PINGS", 500)
    async with open_scripted(script) as trainer:
        assert [await judge(trainer), await judge(trainer)] == [1.0, 2.0]


async def test_a_worker_that_loads_is_asked_for_no_sign_of_life(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_process, "PING_SECONDS", 0.5)
    monkeypatch.setattr(worker_process, "UNANSWERED_PINGS", 2)
    script = """
    time.sleep(2); load()
    assert "judge" in sys.stdin.readline(); judge(); sys.stdin.read()
    """
    async with open_scripted(script) as trainer:
        assert await judge(trainer) == 1.0


# --- a worker is kept ready ---


async def test_a_job_that_is_given_up_while_a_worker_loads_leaves_the_worker_alone(tmp_path: Path) -> None:
    go = tmp_path / "go"
    script = f"""
    while not os.path.exists({str(go)!r}):
        time.sleep(0.01)
    load(); sys.stdin.readline(); judge()
    sys.stdin.read()
    """
    async with open_scripted(script) as trainer:
        for _ in range(3):
            with trio.move_on_after(0.1):
                await judge(trainer)
        loading = trainer.worker_pid
        assert loading is not None
        go.touch()
        assert await judge(trainer) == 1.0
        assert trainer.worker_pid == loading


async def test_a_job_that_is_withdrawn_is_let_go_by_the_worker_which_takes_the_next(tmp_path: Path) -> None:
    scope = trio.CancelScope()
    script = """
    load(); sys.stdin.readline(); say(progress=0)
    assert "withdraw" in sys.stdin.readline()
    say(progress=0.5); say(failed="the job was withdrawn")
    sys.stdin.readline(); judge()
    sys.stdin.read()
    """
    async with open_scripted(script, on_progress=lambda _fraction: scope.cancel()) as trainer:
        with scope:
            await trainer.train(tiny_leg(tmp_path / "p", tmp_path / "c"))
        assert scope.cancelled_caught
        first = trainer.worker_pid
        assert await judge(trainer) == 1.0
        assert trainer.worker_pid == first is not None


async def test_a_worker_that_holds_on_to_a_withdrawn_job_is_killed_and_another_is_ready(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_process, "KILL_SECONDS", 0.1)
    monkeypatch.setattr(process, "FIRST_PAUSE_SECONDS", 0.0)
    been = tmp_path / "been"
    script = f"""
    load(); sys.stdin.readline()
    if first({str(been)!r}):
        time.sleep(1000)
    judge()
    sys.stdin.read()
    """
    async with open_scripted(script) as trainer:
        with trio.move_on_after(1) as patience:
            while not been.exists():
                await judge(trainer)
        assert patience.cancelled_caught
        assert await judge(trainer) == 1.0
        assert not trainer.obstacle


async def test_a_worker_that_dies_with_nothing_to_do_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "FIRST_PAUSE_SECONDS", 0.0)
    async with open_scripted("load()\nfor line in sys.stdin: judge()") as trainer:
        await judge(trainer)
        first = trainer.worker_pid
        assert first is not None
        os.kill(first, signal.SIGKILL)
        await until(lambda: trainer.worker_pid not in (first, None))
        assert await judge(trainer) == 1.0


async def test_loading_that_fails_again_and_again_is_tried_ever_more_rarely_and_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(process, "FIRST_PAUSE_SECONDS", 0.05)
    tries = tmp_path / "tries"
    script = f"""
    number = os.path.getsize({str(tries)!r})
    open({str(tries)!r}, "a").write("x")
    if number < 2: sys.exit("no device")
    load(); sys.stdin.readline(); judge(); sys.stdin.read()
    """
    tries.touch()
    async with open_scripted(script) as trainer:
        with pytest.raises(TrainingFailed, match="no device"):
            await judge(trainer)
        assert "no device" in trainer.obstacle
        await until(lambda: not trainer.obstacle)
        assert await judge(trainer) == 1.0
        assert tries.read_text() == "xxx"


async def test_what_a_judging_waits_for_its_worker_is_part_of_its_time() -> None:
    script = """
    time.sleep(0.5); load()
    seconds = json.loads(sys.stdin.readline())["seconds"]
    judge(seconds); sys.stdin.read()
    """
    async with open_scripted(script) as trainer:
        loss = await judge(trainer, seconds=100)
    assert loss is not None
    assert loss <= 99.5


async def test_samples_are_counted_before_the_worker_loads() -> None:
    script = """
    assert "samples" in sys.stdin.readline(); say(done={"kind": "samples", "train": 3, "held": 4})
    load(); sys.stdin.read()
    """
    async with open_scripted(script) as trainer:
        assert await trainer.samples() == SampleCounts(3, 4)


async def test_a_job_that_is_not_valid_starts_no_worker(tmp_path: Path) -> None:
    async with open_scripted("raise SystemExit('must not start')") as trainer:
        with pytest.raises(TrainingFailed, match="learning_rate: Input should be a finite number"):
            await trainer.train(tiny_leg(tmp_path / "p", tmp_path / "c", rate=float("nan")))
        assert trainer.worker_pid is None


async def test_jobs_of_two_tasks_are_done_one_after_the_other() -> None:
    found: list[float | None] = []

    async def ask(trainer: SubprocessTrainer) -> None:
        found.append(await judge(trainer))

    script = "load()\nfor number, line in enumerate(sys.stdin, 1): judge(number)"
    async with open_scripted(script) as trainer, trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(ask, trainer)
    assert found == [1.0, 2.0, 3.0]


async def test_a_failure_inside_comes_out_as_it_is() -> None:
    with pytest.raises(TrainingFailed, match="of the body"):
        async with open_trainer("mnist-5k"):
            raise TrainingFailed("of the body")


def test_the_worker_is_not_given_the_nodes_private_variables() -> None:
    assert public_part({"DERELAYL_KEY": "secret", "PATH": "/bin"}) == {"PATH": "/bin"}


async def test_a_peer_that_only_judges_has_all_of_its_samples_to_judge_with(tmp_path: Path) -> None:
    async with open_trainer(f"shard:{tiny_shard(tmp_path)}", judge_only=True) as trainer:
        assert await trainer.samples() == SampleCounts(train=0, held=96)


async def test_nothing_is_started_before_the_first_job() -> None:
    async with open_trainer("mnist-5k") as trainer:
        assert trainer.worker_pid is None


# --- the real worker ---


@pytest.mark.slow
async def test_a_device_that_is_not_here_is_refused_with_the_first_question_in_one_sentence(tmp_path: Path) -> None:
    async with open_trainer(f"shard:{tiny_shard(tmp_path)}", compute=Compute(device="cuda:63")) as trainer:
        with pytest.raises(TrainingFailed, match=r"^device 'cuda:63' is not on this machine; auto would take \w+$"):
            await trainer.samples()


@pytest.mark.slow
async def test_killing_the_worker_fails_its_job_and_the_next_starts_another(tmp_path: Path) -> None:
    victims: list[int] = []

    def kill_once(_fraction: float) -> None:
        if victims:
            os.kill(victims.pop(), signal.SIGKILL)

    async with open_trainer(f"shard:{tiny_shard(tmp_path)}", on_progress=kill_once) as trainer:
        parent = await trainer.genesis(ARCHITECTURE, 1, tmp_path / "parent")
        first = trainer.worker_pid
        assert first is not None
        assert os.getpriority(os.PRIO_PROCESS, first) >= min(19, os.getpriority(os.PRIO_PROCESS, 0) + NICENESS)
        victims.append(first)
        with pytest.raises(TrainingFailed, match="status -9"):
            await trainer.train(tiny_leg(parent.path, tmp_path / "child", steps=2000))
        assert not (tmp_path / "child").exists()
        result = await trainer.train(tiny_leg(parent.path, tmp_path / "child"))
        assert result.weights.path.exists()
        assert trainer.worker_pid != first
        last = trainer.worker_pid
    assert last is not None
    assert gone(last)


@pytest.mark.slow
async def test_the_worker_lets_go_of_a_leg_and_one_that_is_stopped_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_process, "KILL_SECONDS", 1.0)
    scope = trio.CancelScope()
    async with open_trainer(f"shard:{tiny_shard(tmp_path)}", on_progress=lambda _fraction: scope.cancel()) as trainer:
        parent = await trainer.genesis(ARCHITECTURE, 1, tmp_path / "parent")
        first = trainer.worker_pid
        with scope:
            await trainer.train(tiny_leg(parent.path, tmp_path / "child", steps=LONG))
        assert scope.cancelled_caught
        assert await judge(trainer, parent.path) is not None
        assert trainer.worker_pid == first is not None
        os.kill(first, signal.SIGSTOP)
        with trio.move_on_after(0.2):
            await judge(trainer, parent.path, seconds=0.2)
        assert await judge(trainer, parent.path) is not None
        assert trainer.worker_pid not in (first, None)


@pytest.mark.slow
def test_the_worker_answers_nonsense_with_a_failure_and_pings_and_ends_in_mid_training_when_stdin_closes(
    tmp_path: Path,
) -> None:
    command = [sys.executable, "-m", "derelayl_training.worker", "--data", "shard:" + str(tiny_shard(tmp_path))]
    network = ArchitectureLine.of(ARCHITECTURE)
    genesis = encode(GenesisJob(network=network, seed=1, out=str(tmp_path / "parent")))
    judge = encode(JudgeJob.of(judging(tmp_path / "parent", tmp_path / "parent"), 60))
    long_leg = TrainJob.of(LegJob(ARCHITECTURE, tmp_path / "parent", tmp_path / "x", 255, LONG, 16, 0.01, 1))
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as worker:
        assert worker.stdin is not None
        assert worker.stdout is not None
        for line, expected in [
            (b"not json\n", "the job is not valid"),
            (b'{"kind": "import", "module": "os"}\n', "the job is not valid"),
            (genesis.replace(b'"seed"', b'"data":"mnist-5k","seed"'), "the job is not valid"),
            (genesis, "segment_of"),
            (judge.replace(b"60.0", b"-1.0"), "the job is not valid"),
            (judge, "original"),
        ]:
            worker.stdin.write(line)
            worker.stdin.flush()
            assert expected in worker.stdout.readline().decode()
        worker.stdin.write(encode(long_leg))
        worker.stdin.flush()
        assert b"progress" in worker.stdout.readline()
        worker.stdin.write(PING)
        worker.stdin.flush()
        replies = iter(worker.stdout.readline, PONG)
        assert all(b'"progress":null' not in reply for reply in replies)
        worker.stdin.close()
        assert worker.wait(PATIENCE_SECONDS) == 0


PARENT = """
import sys, trio
from pathlib import Path
from derelayl_training.jobs import Architecture, LegJob
from derelayl_node.training.process import open_trainer

async def main(shard, folder):
    network = Architecture("small-cnn", {{"channels": 1, "height": 8, "width": 8, "classes": 2, "stem": 4}})
    async with open_trainer("shard:" + shard, on_progress=lambda _: print(trainer.worker_pid, flush=True)) as trainer:
        parent = await trainer.genesis(network, 1, Path(folder) / "parent")
        await trainer.train(LegJob(network, parent.path, Path(folder) / "child", 255, {steps}, 16, 0.01, 1))

trio.run(main, *sys.argv[1:])
"""


@pytest.mark.slow
def test_the_worker_ends_in_mid_training_when_its_parent_is_killed(tmp_path: Path) -> None:
    script = PARENT.format(steps=LONG)
    command = [sys.executable, "-c", script, str(tiny_shard(tmp_path)), str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        worker = int(parent.stdout.readline())  # the first progress: it trains
        parent.kill()
    wait_until(lambda: gone(worker))
    assert not (tmp_path / "child").exists()
