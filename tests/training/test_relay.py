"""The point of it all: a network passed round peers with different digits learns all digits."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from derelayl_protocol.types import WHOLE_MODEL
from derelayl_training.architectures import build
from derelayl_training.data import Split, load_shard
from derelayl_training.dealing import Dirichlet
from derelayl_training.jobs import Architecture, LegJob
from derelayl_training.judge import share_correct
from derelayl_training.partition import write_shards
from derelayl_training.train import run_leg, write_genesis
from derelayl_training.weights import load_weights

NETWORK = Architecture("small-cnn", {"channels": 1, "height": 28, "width": 28, "classes": 10, "stem": 8})


@pytest.mark.slow
@pytest.mark.parametrize("segments", [[WHOLE_MODEL] * 5, [0, 1, 0, 1, 0]], ids=["whole model", "segments in turn"])
def test_a_relay_over_skewed_shards_learns_all_digits(tmp_path: Path, digits: Split, segments: list[int]) -> None:
    images, labels = digits.train_x, digits.train_y
    cut: dict[str, Any] = {"parts": 5, "partition": Dirichlet(0.5), "held_fraction": 0.2, "test_size": 500, "seed": 0}
    shards = write_shards(images, labels, tmp_path, **cut)
    parent = write_genesis(NETWORK, 1, tmp_path / "genesis").path
    for leg, (path, segment) in enumerate(zip(shards.peers, segments, strict=True)):
        child = tmp_path / f"leg{leg}"
        run_leg(LegJob(NETWORK, parent, child, segment, 60, 32, 0.01, leg), load_shard(path), lambda _fraction: None)
        parent = child
    model, test = build(NETWORK), load_shard(shards.test)
    load_weights(model, parent)
    assert len(np.unique(test.held_y)) == 10
    assert share_correct(model, test.held_x, test.held_y) > 0.8
