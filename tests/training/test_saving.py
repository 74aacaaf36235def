"""What a safetensors file holds is what was handed over, and who may read it is decided here and not by the library."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from derelayl_protocol.errors import LocalFault
from derelayl_training.partition import write_union
from derelayl_training.saving import save_arrays, save_tensors
from derelayl_training.shard import load_shard, write_shard
from derelayl_training.split import Split


@pytest.fixture(params=[0o022, 0o077])
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def images(count: int, label: int) -> tuple[np.ndarray, np.ndarray]:
    """Images (count, 3, 4, 5) as a transpose of (count, 4, 5, 3), which is how image libraries hand them over."""
    pixels = np.random.default_rng(label).integers(0, 256, (count, 4, 5, 3), dtype=np.uint8)
    return pixels.transpose(0, 3, 1, 2), np.full(count, label)


def test_a_disk_that_refuses_is_a_local_fault_that_names_the_file(tmp_path: Path) -> None:
    with pytest.raises(LocalFault, match=r"nowhere/file cannot be written"):
        save_arrays(tmp_path / "nowhere" / "file", {"a": np.zeros(1)})
    with pytest.raises(LocalFault, match=r"nowhere/shard cannot be written"):
        write_shard(tmp_path / "nowhere" / "shard", Split(*images(2, 1), *images(1, 2)))


def test_a_transposed_split_comes_back_with_the_same_numbers(tmp_path: Path) -> None:
    split = Split(*images(6, 1), *images(2, 2))
    assert not split.train_x.flags.c_contiguous
    write_shard(tmp_path / "shard", split)
    write_union([tmp_path / "shard"], tmp_path / "union")
    for name in ("shard", "union"):
        found = load_shard(tmp_path / name)
        np.testing.assert_array_equal(found.train_x, split.train_x)
        np.testing.assert_array_equal(found.held_x, split.held_x)


@pytest.mark.parametrize("order", ["C", "F"])
def test_arrays_keep_their_numbers_and_shapes_whatever_their_order_in_memory(tmp_path: Path, order: str) -> None:
    there = {
        "matrix": np.asarray(np.arange(6.0).reshape(2, 3), order=order),  # type: ignore[call-overload]
        "every second": np.arange(8)[::2],
        "single": np.array(7),
    }
    save_arrays(tmp_path / "file", there)
    found = load_file(tmp_path / "file")
    assert {name: (array.shape, array.tolist()) for name, array in found.items()} == {
        name: (array.shape, array.tolist()) for name, array in there.items()
    }


def test_a_tensor_that_is_a_transpose_is_saved_as_it_reads(tmp_path: Path) -> None:
    save_tensors(tmp_path / "file", {"a": torch.arange(6).reshape(2, 3).T})
    assert load_file(tmp_path / "file")["a"].tolist() == [[0, 3], [1, 4], [2, 5]]


def test_a_file_is_shared_as_the_umask_says_unless_it_is_private(tmp_path: Path, umask: int) -> None:
    save_arrays(tmp_path / "shared arrays", {"a": np.zeros(1)})
    save_tensors(tmp_path / "shared tensors", {"a": torch.zeros(1)})
    save_arrays(tmp_path / "private arrays", {"a": np.zeros(1)}, private=True)
    save_tensors(tmp_path / "private tensors", {"a": torch.zeros(1)}, private=True)
    assert {path.name: mode_of(path) for path in tmp_path.iterdir()} == {
        "shared arrays": 0o666 & ~umask,
        "shared tensors": 0o666 & ~umask,
        "private arrays": 0o600,
        "private tensors": 0o600,
    }


def test_shards_may_be_read_by_whom_the_umask_lets(tmp_path: Path, umask: int) -> None:
    write_shard(tmp_path / "shard", Split(*images(2, 1), *images(1, 2)))
    assert mode_of(tmp_path / "shard") == 0o666 & ~umask


def test_a_file_takes_the_mode_that_is_right_now_and_not_that_of_the_one_before(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.touch(0o644)
    save_arrays(path, {"a": np.zeros(1)}, private=True)
    assert (mode_of(path), list(tmp_path.iterdir())) == (0o600, [path])
