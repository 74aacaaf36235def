"""A devnet's processes: they run the ordinary commands and never outlive who started them."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from derelayl_node.devnet.processes import Child, ChildFailed, stop_all
from derelayl_node.keys import NodeKey

DEADLINE_S = 60.0

PARENT = """
import sys, trio
from pathlib import Path
from derelayl_node.devnet.processes import Child
home = Path(sys.argv[1])
child = Child("chain", ["chain", "run", "--home", str(home), "--port", "0"], home)
child.start()
trio.run(child.ready)
print(child.process.pid, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    genesis = {"chain_id": 31337, "balances": {NodeKey(bytes([1]) * 32).address: 10**18}}
    (tmp_path / "genesis.json").write_text(json.dumps(genesis))
    return tmp_path


@pytest.fixture
def chain(home: Path) -> Iterator[Child]:
    child = Child("chain", ["chain", "run", "--home", str(home), "--port", "0"], home)
    yield child
    stop_all([child])


async def test_a_command_that_fails_shows_the_end_of_its_log(home: Path, chain: Child) -> None:
    (home / "genesis.json").unlink()
    chain.start()
    with pytest.raises(ChildFailed, match="devnet prepare"):
        await chain.ready()


async def test_a_killed_child_can_be_started_again(chain: Child) -> None:
    chain.start()
    await chain.ready()
    chain.kill()
    assert chain.process is None
    chain.start()
    assert (await chain.ready())["url"].startswith("http://127.0.0.1:")
    chain.check()


async def test_a_child_stops_when_it_is_asked_to(chain: Child) -> None:
    chain.start()
    await chain.ready()
    process = chain.process
    stop_all([chain])
    assert process is not None
    assert process.exitcode == 0


def test_no_child_outlives_a_parent_that_was_killed(home: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, str(home)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        child = psutil.Process(int(parent.stdout.readline()))
        parent.kill()
    gone, alive = psutil.wait_procs([child], timeout=DEADLINE_S)
    assert (gone, alive) == ([child], [])
