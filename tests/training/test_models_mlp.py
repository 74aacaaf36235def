"""The network for table rows."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.numpy import load_file

from derelayl_protocol.errors import LocalFault
from derelayl_protocol.types import WHOLE_MODEL
from derelayl_training.architectures import build
from derelayl_training.architectures.blocks import MAX_WEIGHTS, BlockModel
from derelayl_training.data import Split
from derelayl_training.jobs import Architecture, LegJob
from derelayl_training.judge import share_correct
from derelayl_training.kinds import InputKind
from derelayl_training.train import run_leg, write_genesis
from derelayl_training.weights import load_weights

MLP = {"features": 6, "classes": 3, "width": 16, "depth": 4, "segments": 2}
NETWORK = Architecture("mlp", MLP)


def rows(samples: int = 200) -> Split:
    """Three classes, told apart by which of three features is largest."""
    rng = np.random.default_rng(0)
    values = rng.normal(size=(samples, 6)).astype(np.float32)
    labels = values[:, :3].argmax(1)
    half = samples // 2
    return Split(values[:half], labels[:half], values[half:], labels[half:])


def leg(parent: Path, child: Path, segment: int, steps: int = 3) -> LegJob:
    return LegJob(NETWORK, parent, child, segment, steps, 16, 0.05, seed=3)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"features": 0}, "features is 0"),
        ({"features": 65_537}, "features is 65537"),
        ({"classes": 1}, "classes is 1"),
        ({"width": 3}, "width is 3"),
        ({"depth": 0}, "depth is 0"),
        ({"segments": 5}, "segments is 5, allowed are at most its 4 blocks"),
        ({"width": True}, "width is True"),
        ({"heads": 2}, "takes the parameters"),
        ({"width": 4096, "depth": 64}, rf"weights, allowed are {MAX_WEIGHTS}"),
    ],
)
def test_an_mlp_that_cannot_be_is_refused(changes: Mapping[str, int | str | bool], reason: str) -> None:
    with pytest.raises(LocalFault, match=reason):
        build(Architecture("mlp", {**MLP, **changes}))


def test_rows_of_another_width_and_other_data_are_refused_before_training(tmp_path: Path) -> None:
    parent = write_genesis(NETWORK, 1, tmp_path / "parent").path
    inputs, labels = rows().train_x[:, :5], rows().train_y
    narrow = Split(inputs, labels, inputs, labels)
    images = Split(*(np.zeros((4, 1, 8, 8), np.uint8), np.zeros(4, np.int64)) * 2)
    with pytest.raises(LocalFault, match=r"table rows of shape \(5,\) .* table rows of shape \(6,\)"):
        run_leg(leg(parent, tmp_path / "child", 0), narrow, lambda _fraction: None)
    with pytest.raises(LocalFault, match=r"the data are images .* the network takes table rows"):
        run_leg(leg(parent, tmp_path / "child", 0), images, lambda _fraction: None)
    assert not (tmp_path / "child").exists()


def test_an_mlp_has_the_weights_that_can_be_counted_by_hand() -> None:
    block = 2 * 16 + (16 + 1) * 32 + (32 + 1) * 16
    expected = (6 + 1) * 16 + 4 * block + 2 * 16 + (16 + 1) * 3
    assert sum(tensor.numel() for tensor in build(NETWORK).state_dict().values()) == expected


def test_no_row_depends_on_the_others_of_its_batch() -> None:
    model, batch = build(NETWORK), torch.rand(8, 6, generator=torch.Generator().manual_seed(1))
    assert model.input_kind is InputKind.TABLE
    assert model.input_shape == (6,)
    torch.testing.assert_close(model(batch)[2:3], model(batch[2:3]))


def test_every_tensor_gets_a_gradient_and_belongs_to_one_segment() -> None:
    model = build(NETWORK, seed=5)
    F.cross_entropy(model(torch.rand(8, 6)), torch.arange(8) % 3).backward()
    assert all(parameter.grad is not None and parameter.grad.abs().sum() > 0 for parameter in model.parameters())
    assert [name for names in model.segments for name in names] == list(model.state_dict())


def test_bridges_and_classifiers_fit_between_blocks() -> None:
    model = build(NETWORK)
    assert isinstance(model, BlockModel)
    features = model.run_segment(0, torch.rand(2, 6))
    assert model.bridge(0, 3)(features).shape == features.shape
    assert model.classifier(2)(features).shape == (2, 3)


@pytest.mark.parametrize("segment", [0, 1])
def test_a_leg_changes_its_segment_and_no_other_byte(tmp_path: Path, segment: int) -> None:
    parent = write_genesis(NETWORK, 1, tmp_path / "parent").path
    child = run_leg(leg(parent, tmp_path / "child", segment), rows(), lambda _fraction: None).weights
    before, after = load_file(parent), load_file(child.path)
    changed = {name for name in before if before[name].tobytes() != after[name].tobytes()}
    assert changed == {name for name, of in child.segment_of.items() if of == segment}


def test_an_mlp_learns_a_rule_from_rows(tmp_path: Path) -> None:
    data = rows(600)
    parent = write_genesis(NETWORK, 1, tmp_path / "parent").path
    run_leg(leg(parent, tmp_path / "child", WHOLE_MODEL, steps=120), data, lambda _fraction: None)
    model = build(NETWORK)
    load_weights(model, tmp_path / "child")
    assert share_correct(model, data.held_x, data.held_y) > 0.85
