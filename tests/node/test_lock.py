"""A home has one node at a time: the second is told whose turn it is, and a killed one leaves nothing in the way."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from derelayl_node.keys import NodeKey
from derelayl_node.lock import alone_in, only_node
from derelayl_node.peer import run_peer
from derelayl_node.settings import Network, node_settings
from derelayl_protocol.errors import LocalFault

HOLDER = """
import subprocess, sys
from pathlib import Path
from derelayl_node.lock import only_node
with only_node(Path(sys.argv[1])):
    worker = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=int(sys.argv[2]))
    print(worker.pid, flush=True)
    sys.stdin.read()
"""


def test_a_second_node_is_told_the_first_one_s_process_and_the_remedy_however_often_it_tries(tmp_path: Path) -> None:
    with only_node(tmp_path):
        for _ in range(2):
            with (
                pytest.raises(LocalFault, match=f"process {os.getpid()}: stop it first, or .* --home"),
                only_node(tmp_path),
            ):
                pass


async def test_a_second_node_is_refused_before_it_opens_or_sends_anything(tmp_path: Path) -> None:
    home, zeros = tmp_path / "home", "0x" + "00" * 20
    network = Network(
        name="net", chain_url="http://127.0.0.1:1", chain_id=1, token=zeros, ledger=zeros, model="0x" + "11" * 32
    )
    settings = node_settings({"home": home, "network": tmp_path / "network.toml", "roles": "seeder"})
    with only_node(home):
        with pytest.raises(LocalFault, match="already"):
            await run_peer(settings, network, NodeKey(b"k" * 32), say=print)
        assert [path.name for path in home.iterdir()] == ["lock"]


def test_a_killed_node_leaves_its_home_free_also_while_its_worker_lives(tmp_path: Path) -> None:
    worker_lives, at_its_end = os.pipe()
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path), str(worker_lives)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        pass_fds=[worker_lives],
    )
    with holder:
        assert holder.stdout is not None
        worker = int(holder.stdout.readline())
        with pytest.raises(LocalFault, match=f"process {holder.pid}:"), only_node(tmp_path):
            pass
        holder.kill()
        holder.wait()
        os.kill(worker, 0)
        with only_node(tmp_path):
            pass
        os.close(at_its_end)
    os.close(worker_lives)


def test_homes_of_one_process_do_not_hinder_each_other(tmp_path: Path) -> None:
    with only_node(tmp_path / "ann"), only_node(tmp_path / "bob"):
        pass
    with only_node(tmp_path / "ann"), alone_in(tmp_path / "bob") as alone:
        assert alone


def test_a_home_that_cannot_be_locked_is_named_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("a file")
    with pytest.raises(LocalFault, match=r"home .* cannot be locked: .*exist"), only_node(tmp_path / "home"):
        pass
