"""The allocation profiler against a chain whose activations can be counted by hand, and against the process's size."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from benchmarks.learning.peak import greatest_sum, peak_bytes

ROOT = Path(__file__).parents[2]
CPU = torch.device("cpu")
FLOATS = 1 << 16
FLOAT_BYTES = 4
SLACK = 4096
"""Bytes of scalars."""

RESIDENT = """
from pathlib import Path
import torch
from benchmarks.learning.peak import peak_bytes

torch.set_num_threads(1)
start = torch.ones(1 << 22, requires_grad=True)  # 16 MiB

def chain(links):
    features = start
    for _ in range(links):
        features = torch.sigmoid(features)
    features.sum().backward()
    start.grad = None

def most_resident():
    # not ru_maxrss: that starts with the size of the process which started this one
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))

peak_bytes(lambda: chain(3), torch.device("cpu"))  # the profiler's own memory is there from now on
before = most_resident()
counted = [peak_bytes(lambda: chain(links), torch.device("cpu")) for links in (3, 12)]
print(counted[1] - counted[0], most_resident() - before)
"""


def chain(links: int) -> None:
    """Sigmoid keeps its output for the backward pass, and nothing else."""
    start = torch.ones(FLOATS, requires_grad=True)
    features = start
    for _ in range(links):
        features = torch.sigmoid(features)
    features.sum().backward()


def test_nothing_allocated_is_a_peak_of_zero() -> None:
    assert peak_bytes(lambda: None, CPU) == 0


def test_releases_of_older_memory_do_not_count_as_less_than_nothing() -> None:
    assert greatest_sum([-100, 40, -40]) == 0


def test_the_peak_is_the_greatest_sum_and_not_the_last() -> None:
    assert greatest_sum([10, 20, -25, 15]) == 30


@pytest.mark.parametrize("links", [2, 5, 9])
def test_a_chain_holds_its_input_each_links_output_and_two_gradients(links: int) -> None:
    counted = peak_bytes(lambda: chain(links), CPU)
    by_hand = (1 + links + 2) * FLOATS * FLOAT_BYTES
    assert by_hand <= counted <= by_hand + SLACK


def test_the_peak_is_released_again() -> None:
    def twice() -> None:
        chain(3)
        chain(3)

    assert peak_bytes(twice, CPU) == peak_bytes(lambda: chain(3), CPU)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_the_process_grows_by_what_is_counted() -> None:
    # glibc's heap does not reuse aligned blocks well: let every large one be a mapping of its own
    environment = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "1048576"}
    done = subprocess.run(
        [sys.executable, "-c", RESIDENT], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    counted, grown = map(int, done.stdout.split()[-2:])
    assert grown == pytest.approx(counted, rel=0.1)
