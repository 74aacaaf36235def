"""Dealing in memory: the very shards that `write_shards` writes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import derelayl
from derelayl_protocol.errors import LocalFault
from derelayl_training.dealing import Dirichlet
from derelayl_training.partition import write_shards

from ..training.tiny import tiny_images


def split(samples: int = 600) -> derelayl.Split:
    images, labels = tiny_images(samples)
    return derelayl.Split(images[:-100], labels[:-100], images[-100:], labels[-100:])


def test_what_cannot_be_dealt_is_refused() -> None:
    with pytest.raises(LocalFault, match="partition 'fairly' is unknown"):
        derelayl.deal(split(), 2, "fairly")
    with pytest.raises(LocalFault, match="need 756 samples, the set has 600"):
        derelayl.deal(split(), 4)
    with pytest.raises(LocalFault, match="data spec 'nothing' is unknown"):
        derelayl.deal("nothing", 2)


def test_splits_in_memory_are_those_on_disk(tmp_path: Path) -> None:
    whole = split()
    peers, test = derelayl.deal(whole, 3, "dirichlet:0.5", held=0.25, test=200, seed=3)
    x, y, _ = whole.pooled()
    shards = write_shards(x, y, tmp_path, parts=3, partition=Dirichlet(0.5), held_fraction=0.25, test_size=200, seed=3)
    for ours, path in zip((*peers, test), (*shards.peers, shards.test), strict=True):
        theirs = derelayl.load(f"shard:{path}")
        for field in ("train_x", "train_y", "held_x", "held_y"):
            assert np.array_equal(getattr(ours, field), getattr(theirs, field))
