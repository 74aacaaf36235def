"""Cut one labelled set into shards, as peers who never shared data would hold them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file

from derelayl_protocol.errors import LocalFault

from .data import load_shard
from .dealing import MIN_SHARD_SAMPLES, Partition

TEST_SHARD = "test.safetensors"


@dataclass(frozen=True, slots=True)
class Shards:
    """The files written: one for each peer, and one that no peer holds (all of it held out)."""

    peers: tuple[Path, ...]
    test: Path


def write_shards(
    images: NDArray[np.uint8],
    labels: NDArray[np.int64],
    out_dir: Path,
    *,
    parts: int,
    partition: Partition,
    held_fraction: float,
    test_size: int,
    seed: int,
) -> Shards:
    """Write `parts` disjoint shards and a test shard; the same arguments give the same bytes.

    images (N, C, H, W), labels (N,). The test shard is a random sample; `partition` deals out the rest. Each shard
    holds out `held_fraction` of its samples. Raises LocalFault, before anything is written.
    """
    _check(images, labels, parts, held_fraction, test_size)
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(labels))
    test, rest = order[:test_size], order[test_size:]
    dealt = partition.deal(labels, rest, parts, rng)
    out_dir.mkdir(parents=True, exist_ok=True)
    peers = []
    for index, part in enumerate(dealt):
        held = max(1, round(len(part) * held_fraction))
        peers.append(out_dir / f"peer{index}.safetensors")
        _write(peers[-1], images, labels, part[held:], part[:held])
    _write(out_dir / TEST_SHARD, images, labels, test[:0], test)
    return Shards(tuple(peers), out_dir / TEST_SHARD)


def write_union(shards: Sequence[Path], out: Path) -> None:
    """Join shards, training parts and held-out parts each: what a central trainer would have. Raises LocalFault."""
    splits = [load_shard(path) for path in shards]
    images = np.concatenate([part for split in splits for part in (split.train_x, split.held_x)])
    labels = np.concatenate([part for split in splits for part in (split.train_y, split.held_y)])
    sizes = [size for split in splits for size in (len(split.train_y), len(split.held_y))]
    parts = np.split(np.arange(len(labels)), np.cumsum(sizes)[:-1])
    _write(out, images, labels, np.concatenate(parts[0::2]), np.concatenate(parts[1::2]))


def _check(
    images: NDArray[np.uint8],
    labels: NDArray[np.int64],
    parts: int,
    held_fraction: float,
    test_size: int,
) -> None:
    if images.ndim != 4 or labels.shape != images.shape[:1]:
        raise LocalFault(f"images {images.shape} and labels {labels.shape} are not (N, C, H, W) and (N,)")
    if parts < 1 or test_size < 1 or not 0 < held_fraction < 1:
        raise LocalFault(
            f"parts {parts} and test_size {test_size} must be positive, held_fraction {held_fraction} within (0, 1)"
        )
    needed = test_size + parts * MIN_SHARD_SAMPLES
    if len(labels) < needed:
        raise LocalFault(
            f"{parts} shards and {test_size} test samples need {needed} samples, the set has {len(labels)}"
        )


def _write(
    path: Path,
    images: NDArray[np.uint8],
    labels: NDArray[np.int64],
    train: NDArray[np.int64],
    held: NDArray[np.int64],
) -> None:
    tensors = {
        "train_images": images[train],
        "train_labels": labels[train].astype(np.int64),
        "held_images": images[held],
        "held_labels": labels[held].astype(np.int64),
    }
    save_file({name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}, path)
