"""Cut one set into shards, as peers who never shared data would hold them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from derelayl_protocol.errors import LocalFault

from .dealing import MIN_SHARD_SAMPLES, Indices, Partition
from .kinds import InputKind, kind_of
from .shard import load_shard, write_shard
from .split import Inputs, Labels, Split

TEST_SHARD = "test.safetensors"


@dataclass(frozen=True, slots=True)
class Shards:
    """The files written: one for each peer, and one that no peer holds (all of it held out)."""

    peers: tuple[Path, ...]
    test: Path


def write_shards(
    inputs: Inputs,
    labels: Labels,
    out_dir: Path,
    *,
    parts: int,
    partition: Partition,
    held_fraction: float,
    test_size: int,
    seed: int,
    sites: NDArray[np.int64] | None = None,
) -> Shards:
    """Write `parts` disjoint shards and a test shard; the same arguments give the same bytes.

    `inputs` and `labels` are of any kind that `Split` holds, `sites` (N,) where samples come from, None if unknown.
    The test shard is a random sample; `partition` deals out the rest. Each shard holds out `held_fraction` of its
    samples. Raises LocalFault, before anything is written.
    """
    dealt = _deal(inputs, labels, parts, partition, held_fraction, test_size, seed, sites)
    out_dir.mkdir(parents=True, exist_ok=True)
    paths = [out_dir / f"peer{index}.safetensors" for index in range(parts)] + [out_dir / TEST_SHARD]
    for path, (train, held) in zip(paths, dealt, strict=True):
        write_shard(path, Split(inputs[train], labels[train], inputs[held], labels[held]))
    return Shards(tuple(paths[:-1]), paths[-1])


def deal(
    split: Split, parts: int, partition: Partition, *, held_fraction: float = 0.2, test_size: int = 500, seed: int = 0
) -> tuple[tuple[Split, ...], Split]:
    """Deal a set out in memory: one split for each peer, and one that no peer has (all of it held out).

    The very shards that `write_shards` would write of all its samples. Raises LocalFault.
    """
    inputs, labels, sites = split.pooled()
    dealt = _deal(inputs, labels, parts, partition, held_fraction, test_size, seed, sites)
    *peers, test = (Split(inputs[train], labels[train], inputs[held], labels[held]) for train, held in dealt)
    return tuple(peers), test


def write_union(shards: Sequence[Path], out: Path) -> None:
    """Join shards, training parts and held-out parts each: what a central trainer would have. Raises LocalFault."""
    splits = [load_shard(path) for path in shards]
    write_shard(
        out,
        Split(
            np.concatenate([split.train_x for split in splits]),
            np.concatenate([split.train_y for split in splits]),
            np.concatenate([split.held_x for split in splits]),
            np.concatenate([split.held_y for split in splits]),
        ),
    )


def _deal(
    inputs: Inputs,
    labels: Labels,
    parts: int,
    partition: Partition,
    held_fraction: float,
    test_size: int,
    seed: int,
    sites: NDArray[np.int64] | None,
) -> list[tuple[Indices, Indices]]:
    """Choose each part's samples to train on and to hold out, those of the test last. Raises LocalFault."""
    _check(inputs, labels, parts, held_fraction, test_size)
    traits = _traits(inputs, labels, sites, partition)
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(labels))
    test, rest = order[:test_size], order[test_size:]
    dealt = []
    for part in partition.deal(traits, rest, parts, rng):
        held = max(1, round(len(part) * held_fraction))
        dealt.append((part[held:], part[:held]))
    return [*dealt, (test[:0], test)]


def _check(inputs: Inputs, labels: Labels, parts: int, held_fraction: float, test_size: int) -> None:
    kind = kind_of(inputs, labels)
    wanted = inputs.shape if kind is InputKind.TEXT else inputs.shape[:1]
    if labels.shape != wanted:
        raise LocalFault(f"{kind} {inputs.shape} need labels {wanted}, not {labels.shape}")
    if parts < 1 or test_size < 1 or not 0 < held_fraction < 1:
        raise LocalFault(
            f"parts {parts} and test_size {test_size} must be positive, held_fraction {held_fraction} within (0, 1)"
        )
    needed = test_size + parts * MIN_SHARD_SAMPLES
    if len(labels) < needed:
        raise LocalFault(
            f"{parts} shards and {test_size} test samples need {needed} samples, the set has {len(labels)}"
        )


def _traits(inputs: Inputs, labels: Labels, sites: NDArray[np.int64] | None, partition: Partition) -> NDArray[np.int64]:
    """Give what the partition deals by, of each sample. Raises LocalFault where the data does not tell."""
    match partition.deals_by:
        case "sites" if sites is None:
            raise LocalFault("the data names no sites, so it cannot be dealt by site; name them in the data spec")
        case "sites":
            assert sites is not None
            if sites.shape != labels.shape[:1]:
                raise LocalFault(f"{len(labels)} samples have the sites of {len(sites)}")
            return sites
        case "labels" if kind_of(inputs, labels) is InputKind.TEXT:
            raise LocalFault("text has no labels to deal by; allowed are iid and by-site")
        case "labels":
            return labels
    return np.zeros(len(labels), np.int64)
