"""One leg, in this process: what it refuses, what it changes, what it repeats."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file

from derelayl_protocol.errors import LocalFault, PeerFault
from derelayl_training.architectures import build
from derelayl_training.data import Split
from derelayl_training.inputs import to_inputs
from derelayl_training.jobs import Architecture, LegJob
from derelayl_training.judge import gain_error, losses_of_files, mean_loss, share_correct
from derelayl_training.labels import label_shift, log_shares
from derelayl_training.recipe import parse_recipe
from derelayl_training.resources import CPU
from derelayl_training.train import check_child, open_leg, run_leg, write_genesis
from derelayl_training.weights import load_weights, save_weights

from .tiny import ARCHITECTURE, OTHER_ARCHITECTURE, SIDE, silent, tiny_images, tiny_leg

# --- refusals ---


def test_a_leg_without_training_samples_is_refused(tmp_path: Path, parent: Path, split: Split) -> None:
    empty = replace(split, train_x=split.train_x[:0], train_y=split.train_y[:0])
    with pytest.raises(LocalFault, match="no samples to train on"):
        run_leg(tiny_leg(parent, tmp_path / "child"), empty, silent)


def test_a_leg_on_images_of_another_size_is_refused(tmp_path: Path, parent: Path, split: Split) -> None:
    larger = replace(split, train_x=np.zeros((64, 1, SIDE, 2 * SIDE), np.uint8))
    with pytest.raises(LocalFault, match="the network takes"):
        run_leg(tiny_leg(parent, tmp_path / "child"), larger, silent)


def test_a_leg_on_labels_the_network_lacks_is_refused(tmp_path: Path, parent: Path, split: Split) -> None:
    with pytest.raises(LocalFault, match="labels up to 2"):
        run_leg(tiny_leg(parent, tmp_path / "child"), replace(split, train_y=np.full(64, 2)), silent)


def test_a_segment_that_does_not_exist_is_refused(tmp_path: Path, parent: Path, split: Split) -> None:
    with pytest.raises(LocalFault, match="segment 2 does not exist"):
        run_leg(tiny_leg(parent, tmp_path / "child", segment=2), split, silent)


def test_a_leg_whose_loss_explodes_fails_and_writes_nothing(tmp_path: Path, parent: Path, split: Split) -> None:
    with pytest.raises(LocalFault, match="a smaller learning rate"):
        run_leg(tiny_leg(parent, tmp_path / "child", rate=1e30), split, silent)
    assert not (tmp_path / "child").exists()


def test_a_child_with_a_change_outside_its_segment_is_refused() -> None:
    parent = {"stem": torch.zeros(2), "head": torch.zeros(2)}
    with pytest.raises(LocalFault, match="stem changed"):
        check_child(parent, {**parent, "stem": torch.tensor([0.0, -0.0])}, frozenset({"head"}))


def test_a_child_that_is_not_finite_is_our_own_fault() -> None:
    parent = {"head": torch.zeros(2)}
    with pytest.raises(LocalFault, match="made head not finite"):
        check_child(parent, {"head": torch.tensor([0.0, float("inf")])}, frozenset({"head"}))


def test_a_child_in_a_folder_that_does_not_exist_is_a_local_fault(tmp_path: Path, parent: Path, split: Split) -> None:
    with pytest.raises(LocalFault, match="cannot be written"):
        run_leg(tiny_leg(parent, tmp_path / "absent" / "child"), split, silent)


def damaged(parent: Path, damage: str) -> None:
    tensors = load_file(parent)
    name = "head.bias"
    match damage:
        case "lacks head.bias":
            del tensors[name]
        case "unknown to this network":
            tensors["stowaway"] = np.zeros(1, np.float32)
        case "head.bias is .'F64'":
            tensors[name] = tensors[name].astype(np.float64)
        case r"head.bias is .'F32', \(3,\)":
            tensors[name] = np.zeros(3, np.float32)
        case "head.bias holds numbers that are not finite":
            tensors[name][0] = np.inf
    save_file(tensors, parent)


@pytest.mark.parametrize(
    "damage",
    [
        "lacks head.bias",
        "unknown to this network",
        "head.bias is .'F64'",
        r"head.bias is .'F32', \(3,\)",
        "head.bias holds numbers that are not finite",
    ],
)
def test_a_damaged_parent_is_its_makers_fault(tmp_path: Path, parent: Path, split: Split, damage: str) -> None:
    damaged(parent, damage)
    with pytest.raises(PeerFault, match=damage):
        run_leg(tiny_leg(parent, tmp_path / "child"), split, silent)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"\xff" * 64], ids=["empty", "zip", "huge header"])
def test_a_parent_that_is_no_safetensors_file_is_refused(
    tmp_path: Path, parent: Path, split: Split, content: bytes
) -> None:
    parent.write_bytes(content)
    with pytest.raises(PeerFault, match="is not a weights file"):
        run_leg(tiny_leg(parent, tmp_path / "child"), split, silent)


def test_a_file_far_larger_than_the_network_is_refused_unread(parent: Path) -> None:
    os.truncate(parent, 2**31)  # sparse: costs no disk
    with pytest.raises(PeerFault, match="at most"):
        load_weights(build(ARCHITECTURE), parent)


def test_judging_without_samples_is_refused() -> None:
    images, labels = tiny_images(0)
    with pytest.raises(LocalFault, match="no samples"):
        mean_loss(build(ARCHITECTURE), images, labels)


# --- what a leg does ---


@pytest.mark.parametrize("segment", [0, 1])
def test_tensors_outside_the_segment_keep_their_bytes(tmp_path: Path, parent: Path, split: Split, segment: int) -> None:
    child = run_leg(tiny_leg(parent, tmp_path / "child", segment), split, silent).weights
    before, after = load_file(parent), load_file(child.path)
    changed = {name for name in before if before[name].tobytes() != after[name].tobytes()}
    assert changed == {name for name, of in child.segment_of.items() if of == segment}


def test_the_same_leg_gives_the_same_bytes_whatever_ran_before(tmp_path: Path, parent: Path, split: Split) -> None:
    first = run_leg(tiny_leg(parent, tmp_path / "a"), split, silent)
    torch.rand(5)
    second = run_leg(tiny_leg(parent, tmp_path / "b"), split, silent)
    assert first.weights.path.read_bytes() == second.weights.path.read_bytes()
    assert first.loss_after == second.loss_after


def test_progress_rises_to_one(tmp_path: Path, parent: Path, split: Split) -> None:
    heard: list[float] = []
    run_leg(tiny_leg(parent, tmp_path / "child", steps=120), split, heard.append)
    assert heard == sorted(heard)
    assert heard[-1] == 1.0
    assert len(heard) == 50


def test_a_batch_larger_than_the_data_is_all_of_it(tmp_path: Path, parent: Path, split: Split) -> None:
    job = LegJob(ARCHITECTURE, parent, tmp_path / "child", 255, 2, 1000, 0.01, seed=1)
    assert run_leg(job, split, silent).samples == 2 * 64


def test_a_class_the_peer_lacks_is_not_unlearnt(tmp_path: Path, split: Split) -> None:
    """A leg on class 0 alone must not turn every answer to class 0."""
    parent = write_genesis(ARCHITECTURE, 1, tmp_path / "g").path
    taught = run_leg(tiny_leg(parent, tmp_path / "taught"), split, silent).weights.path
    only = split.train_y == 0
    one_class = replace(split, train_x=split.train_x[only], train_y=split.train_y[only])
    child = run_leg(tiny_leg(taught, tmp_path / "child"), one_class, silent).weights.path
    model = build(ARCHITECTURE)
    load_weights(model, child)
    assert share_correct(model, split.held_x, split.held_y) > 0.9


def test_the_label_shift_is_the_logarithm_of_the_shares() -> None:
    shift = log_shares(np.array([0, 0, 0, 1]), 3)
    np.testing.assert_allclose(shift[:2], np.log([0.75, 0.25]), atol=1e-3)
    assert -10 < shift[2] < -5


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path, parent: Path) -> None:
    old = parent.read_bytes()
    (tmp_path / "parent.safetensors.partial").mkdir()
    with pytest.raises(LocalFault, match="cannot be written"):
        save_weights(build(ARCHITECTURE, seed=9), parent)
    assert parent.read_bytes() == old


# --- judging ---


def test_a_file_of_another_architecture_is_none_and_the_rest_is_judged(
    tmp_path: Path, parent: Path, split: Split
) -> None:
    other = write_genesis(OTHER_ARCHITECTURE, 1, tmp_path / "other").path
    losses = losses_of_files(build(ARCHITECTURE), [other, parent], split.held_x, split.held_y)
    assert losses[0] is None
    (alone,) = losses_of_files(build(ARCHITECTURE), [parent], split.held_x, split.held_y)
    assert losses[1] is not None
    assert alone is not None
    assert losses[1].mean == alone.mean
    assert (losses[1].error, alone.error) == (None, 0.0)


def test_weights_that_overflow_to_no_finite_loss_are_none(parent: Path, split: Split) -> None:
    tensors = load_file(parent)
    save_file({name: np.full_like(tensor, 1e38) for name, tensor in tensors.items()}, parent)
    assert losses_of_files(build(ARCHITECTURE), [parent], split.held_x, split.held_y) == (None,)


def test_the_error_of_a_gain_is_that_of_paired_losses() -> None:
    rng = np.random.default_rng(0)
    hard = rng.gamma(2.0, size=400)  # what both find hard must cancel
    child = hard * rng.normal(0.8, 0.05, 400)
    gains = [np.log(hard[drawn].mean() / child[drawn].mean()) for drawn in rng.integers(0, 400, (2000, 400))]
    assert gain_error(hard, child) == pytest.approx(np.std(gains), rel=0.1)  # against the bootstrap


@pytest.mark.parametrize(("parent", "error"), [(None, None), (np.zeros(3), 0.0), (np.arange(1.0, 4), 0.0)])
def test_an_error_without_a_comparison_is_none_and_of_a_copy_zero(parent: np.ndarray | None, error: float) -> None:
    assert gain_error(parent, np.arange(1.0, 4)) == error


def test_one_sample_tells_no_error() -> None:
    assert gain_error(np.ones(1), np.ones(1)) is None


def test_the_loss_of_a_network_without_an_opinion_is_the_logarithm_of_the_classes(parent: Path, split: Split) -> None:
    model = build(ARCHITECTURE)
    torch.nn.init.zeros_(model.get_parameter("head.weight"))
    torch.nn.init.zeros_(model.get_parameter("head.bias"))
    assert mean_loss(model, split.held_x, split.held_y) == pytest.approx(np.log(2), rel=1e-12)


def test_the_loss_does_not_depend_on_how_samples_fall_into_batches() -> None:
    images, labels = tiny_images(600)
    model = build(ARCHITECTURE, seed=1)
    halves = [mean_loss(model, images[part], labels[part]) for part in (slice(300), slice(300, None))]
    assert mean_loss(model, images, labels) == pytest.approx(np.mean(halves), rel=1e-9)


def test_pixels_are_mapped_to_minus_one_to_one() -> None:
    assert to_inputs(np.array([[[[0, 255]]]], np.uint8)).flatten().tolist() == [-1.0, 1.0]


@pytest.mark.parametrize(("balanced", "shifted"), [("auto", True), ("false", False), ("true", True)])
def test_images_are_balanced_unless_the_recipe_says_otherwise(
    tmp_path: Path, parent: Path, split: Split, balanced: str, shifted: bool
) -> None:
    job = replace(tiny_leg(parent, tmp_path / "child"), recipe=parse_recipe(f"balanced={balanced}"))
    assert bool(label_shift(open_leg(job, split, CPU)).any()) == shifted


def test_tables_are_not_balanced_by_default(tmp_path: Path) -> None:
    network = Architecture("mlp", {"features": 3, "classes": 2, "width": 8, "depth": 1, "segments": 1})
    parent = write_genesis(network, 1, tmp_path / "parent").path
    rows, labels = np.zeros((8, 3), np.float32), np.array([0, 0, 0, 0, 0, 0, 0, 1])
    job = LegJob(network, parent, tmp_path / "child", 255, 2, 4, 0.01, seed=1)
    assert not label_shift(open_leg(job, Split(rows, labels, rows, labels), CPU)).any()
