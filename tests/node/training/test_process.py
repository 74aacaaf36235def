"""The worker process: it can die, hang, babble or lose its parent, and the node goes on."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import trio

from derelayl_node.ports import TrainingFailed
from derelayl_node.training.process import OnProgress, SubprocessTrainer, open_trainer, public_part
from derelayl_training.compute import Compute
from derelayl_training.job_lines import ArchitectureLine, GenesisJob, LossesJob, TrainJob, encode
from derelayl_training.jobs import HeldOutLoss, LegJob
from derelayl_training.worker import NICENESS

from ...training.tiny import ARCHITECTURE, tiny_leg, tiny_shard

PATIENCE_SECONDS = 30.0
LONG = 10_000
"""Steps that take seconds and that no test waits for."""


def silent(_fraction: float) -> None:
    pass


def trainer_of(
    script: str, job_seconds: float = PATIENCE_SECONDS, on_progress: OnProgress = silent
) -> SubprocessTrainer:
    """A trainer whose worker is a small script instead of torch."""
    command = [sys.executable, "-c", textwrap.dedent(script)]
    return SubprocessTrainer(command, dict(os.environ), job_seconds, on_progress)


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


# --- workers that misbehave ---


async def test_a_worker_that_cannot_be_started_is_a_failure(tmp_path: Path) -> None:
    trainer = SubprocessTrainer([str(tmp_path / "absent")], {}, 5.0, silent)
    with pytest.raises(TrainingFailed, match="cannot be started"):
        await trainer.genesis(ARCHITECTURE, 1, tmp_path / "g")


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("import sys; sys.stdin.readline(); sys.exit('out of memory')", "status 1: out of memory"),
        ("import sys; sys.exit('no such module')", "status 1: no such module"),
        ("import sys; sys.stdin.readline(); print('hello', flush=True); sys.stdin.read()", "1 invalid fields"),
        ("import sys; sys.stdin.readline(); print('{}', flush=True); sys.stdin.read()", "1 invalid fields"),
        (
            "import sys; sys.stdin.readline(); print('{\"progress\": 2}', flush=True); sys.stdin.read()",
            "invalid fields",
        ),
        ("print('x' * (9 << 20), flush=True); input()", "status -9"),
    ],
    ids=["dies at work", "dies at start", "no json", "no answer", "progress above one", "endless line"],
)
async def test_a_worker_that_dies_or_babbles_is_a_failure(tmp_path: Path, script: str, reason: str) -> None:
    trainer = trainer_of(script)
    with pytest.raises(TrainingFailed, match=reason):
        await trainer.genesis(ARCHITECTURE, 1, tmp_path / "g")
    assert trainer.worker_pid is None


async def test_an_answer_to_another_question_is_a_failure(tmp_path: Path) -> None:
    answer = json.dumps({"done": {"kind": "accuracy", "accuracy": 1.0}})
    trainer = trainer_of(f"import sys; sys.stdin.readline(); print({answer!r}, flush=True); sys.stdin.read()")
    with pytest.raises(TrainingFailed, match="answered with a accuracy result"):
        await trainer.genesis(ARCHITECTURE, 1, tmp_path / "g")
    await trainer.close()


async def test_a_worker_that_hangs_is_killed_at_the_deadline(tmp_path: Path) -> None:
    trainer = trainer_of("import sys; sys.stdin.read()", job_seconds=0.2)
    with pytest.raises(TrainingFailed, match=r"no answer within 0\.2 s"):
        await trainer.genesis(ARCHITECTURE, 1, tmp_path / "g")
    assert trainer.worker_pid is None


async def test_cancelling_a_job_kills_the_worker(tmp_path: Path) -> None:
    scope = trio.CancelScope()
    trainer = trainer_of(
        "import sys; sys.stdin.readline(); print('{\"progress\": 0}', flush=True); sys.stdin.read()",
        on_progress=lambda _fraction: scope.cancel(),
    )
    with scope:
        await trainer.genesis(ARCHITECTURE, 1, tmp_path / "g")
    assert scope.cancelled_caught
    assert trainer.worker_pid is None


async def test_a_job_that_is_not_valid_starts_no_worker(tmp_path: Path) -> None:
    trainer = trainer_of("raise SystemExit('must not start')")
    with pytest.raises(TrainingFailed, match="learning_rate: Input should be a finite number"):
        await trainer.train(tiny_leg(tmp_path / "p", tmp_path / "c", rate=float("nan")))


async def test_jobs_of_two_tasks_are_done_one_after_the_other(tmp_path: Path) -> None:
    trainer = trainer_of(
        """
        import json, sys
        for number, line in enumerate(sys.stdin, 1):
            loss = {"mean": float(number), "error": None}
            print(json.dumps({"done": {"kind": "losses", "losses": [loss]}}), flush=True)
        """
    )
    found: list[HeldOutLoss | None] = []

    async def judge() -> None:
        found.extend(await trainer.losses(ARCHITECTURE, [tmp_path / "w"]))

    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(judge)
    await trainer.close()
    assert found == [HeldOutLoss(float(number), None) for number in (1, 2, 3)]


def test_the_worker_is_not_given_the_nodes_private_variables() -> None:
    assert public_part({"DERELAYL_KEY": "secret", "PATH": "/bin"}) == {"PATH": "/bin"}


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
def test_the_worker_answers_nonsense_with_a_failure_and_ends_in_mid_training_when_stdin_closes(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "derelayl_training.worker", "--data", "shard:" + str(tiny_shard(tmp_path))]
    network = ArchitectureLine.of(ARCHITECTURE)
    genesis = encode(GenesisJob(network=network, seed=1, out=str(tmp_path / "parent")))
    judging = encode(LossesJob(network=network, weights=[str(tmp_path / "parent")]))
    long_leg = TrainJob.of(LegJob(ARCHITECTURE, tmp_path / "parent", tmp_path / "x", 255, LONG, 16, 0.01, 1))
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as worker:
        assert worker.stdin is not None
        assert worker.stdout is not None
        for line, expected in [
            (b"not json\n", "the job is not valid"),
            (b'{"kind": "import", "module": "os"}\n', "the job is not valid"),
            (genesis.replace(b'"seed"', b'"data":"mnist-5k","seed"'), "the job is not valid"),
            (genesis, "segment_of"),
            (judging, "losses"),
        ]:
            worker.stdin.write(line)
            worker.stdin.flush()
            assert expected in worker.stdout.readline().decode()
        worker.stdin.write(encode(long_leg))
        worker.stdin.flush()
        assert b"progress" in worker.stdout.readline()
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
