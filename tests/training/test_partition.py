"""Cutting a set into shards."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from derelayl_protocol.errors import LocalFault
from derelayl_training.data import load_shard
from derelayl_training.dealing import MIN_SHARD_SAMPLES, ByLabel, BySite, Dirichlet, Iid
from derelayl_training.kinds import InputKind
from derelayl_training.partition import Shards, write_shards, write_union

SAMPLES = 1200


def numbered_set() -> tuple[np.ndarray, np.ndarray]:
    """Images that carry their own number in the first two pixels, ten classes."""
    numbers = np.arange(SAMPLES)
    images = np.zeros((SAMPLES, 1, 2, 2), np.uint8)
    images[:, 0, 0, 0], images[:, 0, 0, 1] = numbers // 256, numbers % 256
    return images, (numbers % 10).astype(np.int64)


def cut(folder: Path, **changes: Any) -> Shards:
    arguments = {"parts": 5, "partition": Dirichlet(0.5), "held_fraction": 0.25, "test_size": 200, "seed": 1}
    return write_shards(*numbered_set(), folder, **{**arguments, **changes})


def numbers(images: np.ndarray) -> list[int]:
    return (images[:, 0, 0, 0].astype(int) * 256 + images[:, 0, 0, 1]).tolist()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"parts": 0}, "must be positive"),
        ({"test_size": 0}, "must be positive"),
        ({"held_fraction": 1.0}, "within"),
        ({"parts": 11, "partition": ByLabel()}, "10 classes cannot be dealt to 11 peers by by label"),
        ({"parts": 16}, "need 1224 samples, the set has 1200"),
    ],
)
def test_a_cut_that_cannot_be_made_is_refused(tmp_path: Path, changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(LocalFault, match=reason):
        cut(tmp_path / "out", **changes)
    assert not (tmp_path / "out").exists()


def test_images_without_a_channel_axis_are_refused(tmp_path: Path) -> None:
    images, labels = numbered_set()
    with pytest.raises(LocalFault, match="of an unknown kind"):
        write_shards(images[:, 0], labels, tmp_path, parts=2, partition=Iid(), held_fraction=0.5, test_size=1, seed=0)


def test_sets_without_sites_or_labels_are_refused_where_the_rule_needs_them(tmp_path: Path) -> None:
    text = np.zeros((SAMPLES, 4), np.uint8)
    following = np.zeros((SAMPLES, 4), np.int64)
    size: dict[str, Any] = {"parts": 2, "held_fraction": 0.5, "test_size": 1, "seed": 0}
    with pytest.raises(LocalFault, match="names no sites, so it cannot be dealt by site"):
        cut(tmp_path / "out", partition=BySite())
    with pytest.raises(LocalFault, match="1200 samples have the sites of 3"):
        cut(tmp_path / "out", partition=BySite(), sites=np.zeros(3, np.int64))
    with pytest.raises(LocalFault, match="text has no labels to deal by"):
        write_shards(text, following, tmp_path / "out", partition=ByLabel(), **size)
    with pytest.raises(LocalFault, match=r"text windows \(1200, 4\) need labels \(1200, 4\)"):
        write_shards(text, following[:, :3], tmp_path / "out", partition=Iid(), **size)
    assert not (tmp_path / "out").exists()


def test_a_site_lies_whole_in_one_shard(tmp_path: Path) -> None:
    sites = np.arange(SAMPLES) // 150  # eight sites that have nothing to do with the labels
    shards = cut(tmp_path, partition=BySite(), parts=3, sites=sites)
    splits = [load_shard(path) for path in shards.peers]
    held = [{number // 150 for number in numbers(split.train_x) + numbers(split.held_x)} for split in splits]
    assert sorted(site for each in held for site in each) == list(range(8))


@pytest.mark.parametrize("kind", [InputKind.TABLE, InputKind.TEXT])
def test_tables_and_text_are_cut_like_images(tmp_path: Path, kind: InputKind) -> None:
    places = np.arange(SAMPLES)
    if kind is InputKind.TABLE:
        inputs, labels = np.repeat(places[:, None], 3, axis=1).astype(np.float32), (places % 10).astype(np.int64)
    else:
        inputs = np.stack([places // 256, places % 256], axis=1).astype(np.uint8)
        labels = inputs.astype(np.int64)
    settings: dict[str, Any] = {"parts": 4, "partition": Iid(), "held_fraction": 0.25, "test_size": 100, "seed": 3}
    shards = write_shards(inputs, labels, tmp_path, **settings)
    splits = [load_shard(path) for path in (*shards.peers, shards.test)]
    assert {split.kind for split in splits} == {kind}
    found = np.concatenate([part for split in splits for part in (split.train_x, split.held_x)])
    assert sorted(map(tuple, found.tolist())) == sorted(map(tuple, inputs.tolist()))


def test_every_sample_goes_to_exactly_one_file(tmp_path: Path) -> None:
    shards = cut(tmp_path)
    splits = [load_shard(path) for path in (*shards.peers, shards.test)]
    found = [number for split in splits for number in numbers(split.train_x) + numbers(split.held_x)]
    assert sorted(found) == list(range(SAMPLES))


def test_images_keep_their_labels(tmp_path: Path) -> None:
    for path in cut(tmp_path).peers:
        split = load_shard(path)
        assert [number % 10 for number in numbers(split.train_x)] == split.train_y.tolist()
        assert [number % 10 for number in numbers(split.held_x)] == split.held_y.tolist()


def test_the_test_shard_is_all_held_out(tmp_path: Path) -> None:
    test = load_shard(cut(tmp_path).test)
    assert (len(test.train_y), len(test.held_y)) == (0, 200)


def test_the_union_of_shards_keeps_training_and_held_out_samples_apart(tmp_path: Path) -> None:
    peers = cut(tmp_path).peers
    write_union(peers, tmp_path / "union")
    union, splits = load_shard(tmp_path / "union"), [load_shard(path) for path in peers]
    assert numbers(union.train_x) == [number for split in splits for number in numbers(split.train_x)]
    assert numbers(union.held_x) == [number for split in splits for number in numbers(split.held_x)]
    assert [number % 10 for number in numbers(union.train_x)] == union.train_y.tolist()


@pytest.mark.parametrize("seed", range(5))
def test_even_the_unluckiest_peer_gets_the_minimum(tmp_path: Path, seed: int) -> None:
    splits = [load_shard(path) for path in cut(tmp_path, partition=Dirichlet(0.01), parts=12, seed=seed).peers]
    assert min(len(split.train_y) + len(split.held_y) for split in splits) == MIN_SHARD_SAMPLES


def test_the_same_seed_gives_the_same_bytes_and_another_does_not(tmp_path: Path) -> None:
    first, same, other = (cut(tmp_path / name, seed=seed) for name, seed in (("a", 1), ("b", 1), ("c", 2)))
    assert [path.read_bytes() for path in first.peers] == [path.read_bytes() for path in same.peers]
    assert first.peers[0].read_bytes() != other.peers[0].read_bytes()


def test_a_small_alpha_skews_the_labels_and_a_large_one_does_not(tmp_path: Path) -> None:
    def largest_share(alpha: float) -> float:
        splits = [load_shard(path) for path in cut(tmp_path, partition=Dirichlet(alpha)).peers]
        return float(np.mean([np.bincount(split.train_y).max() / len(split.train_y) for split in splits]))

    assert largest_share(100.0) < 0.2 < 0.3 < largest_share(0.1)
