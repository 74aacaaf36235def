"""The dials against forgetting: what each does to a leg, and what it refuses."""

import stat
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file

from derelayl_protocol.errors import LocalFault
from derelayl_training.architectures import build
from derelayl_training.data import Split
from derelayl_training.forgetting import MOST_PARENT_SHARE, SAMPLES_SO_FAR
from derelayl_training.jobs import Architecture, LegJob, Record
from derelayl_training.methods.sparse import keep_largest
from derelayl_training.recipe import parse_recipe
from derelayl_training.rehearsal import FILE_NAME
from derelayl_training.resources import Resources
from derelayl_training.train import run_leg, write_genesis

from .tiny import ARCHITECTURE, SIDE, silent, tiny_leg

WITH_IMPORTANCE = Architecture(ARCHITECTURE.name, {**ARCHITECTURE.parameters, "importance": True})


def leg(parent: Path, child: Path, recipe: str, history: Record | None = None, segment: int = 255) -> LegJob:
    return replace(tiny_leg(parent, child, segment), recipe=parse_recipe(recipe), history=history or {})


def distance(a: Path, b: Path) -> float:
    first, second = load_file(a), load_file(b)
    return float(sum(np.square(first[name] - second[name]).sum() for name in first))


# --- refusals ---


def test_consolidation_without_importance_weights_is_refused(tmp_path: Path, parent: Path, split: Split) -> None:
    with pytest.raises(LocalFault, match="set importance=true"):
        run_leg(leg(parent, tmp_path / "child", "consolidate=1"), split, silent)


def test_an_importance_that_is_no_truth_value_is_refused() -> None:
    with pytest.raises(LocalFault, match="importance is 1, allowed are true and false"):
        build(Architecture(ARCHITECTURE.name, {**ARCHITECTURE.parameters, "importance": 1}))


@pytest.mark.parametrize("count", [-1, "many", True])
def test_a_parents_nonsense_about_its_samples_is_refused(
    tmp_path: Path, parent: Path, split: Split, count: int | str
) -> None:
    with pytest.raises(LocalFault, match="must be a count"):
        run_leg(leg(parent, tmp_path / "child", "merge=true", {SAMPLES_SO_FAR: count}), split, silent)


def test_rehearsing_without_a_folder_of_its_own_is_refused(tmp_path: Path, parent: Path, split: Split) -> None:
    with pytest.raises(LocalFault, match="no folder for what it remembers"):
        run_leg(leg(parent, tmp_path / "child", "rehearse=0.5"), split, silent)


@pytest.mark.parametrize("content", ["garbage", "other shape"])
def test_a_memory_that_cannot_be_used_is_named_with_the_remedy(
    tmp_path: Path, parent: Path, split: Split, content: str
) -> None:
    path = tmp_path / FILE_NAME
    if content == "garbage":
        path.write_bytes(b"\xff" * 64)
    else:
        save_file({"x": np.zeros((2, 1, 4, 4), np.uint8), "y": np.zeros(2, np.int64), "seen": np.array(2)}, path)
    with pytest.raises(LocalFault, match="delete it to start anew"):
        run_leg(leg(parent, tmp_path / "child", "rehearse=0.5"), split, silent, Resources(private=tmp_path))


# --- what they do ---


def test_a_proximal_term_keeps_the_child_nearer_to_its_parent(tmp_path: Path, parent: Path, split: Split) -> None:
    free = run_leg(leg(parent, tmp_path / "free", ""), split, silent).weights.path
    held = run_leg(leg(parent, tmp_path / "held", "prox=5"), split, silent).weights.path
    assert 0 < distance(parent, held) < 0.2 * distance(parent, free)


def test_distillation_keeps_the_answers_nearer_to_the_parents(tmp_path: Path, parent: Path, split: Split) -> None:
    free = run_leg(leg(parent, tmp_path / "free", ""), split, silent)
    taught = run_leg(leg(parent, tmp_path / "taught", "distil=1"), split, silent)
    assert free.loss_after < taught.loss_after < taught.loss_before


def test_distillation_from_a_parent_with_the_same_answers_is_zero(tmp_path: Path, parent: Path, split: Split) -> None:
    still = replace(leg(parent, tmp_path / "child", "distil=1,warmup=0"), learning_rate=1e-30)
    assert run_leg(still, split, silent).loss_after == pytest.approx(run_leg(still, split, silent).loss_before)


def test_a_merge_weighs_parent_and_child_by_their_samples(tmp_path: Path, parent: Path, split: Split) -> None:
    free = load_file(run_leg(leg(parent, tmp_path / "free", ""), split, silent).weights.path)
    result = run_leg(leg(parent, tmp_path / "merged", "merge=true", {SAMPLES_SO_FAR: 64}), split, silent)
    merged, start = load_file(result.weights.path), load_file(parent)
    for name in free:
        np.testing.assert_allclose(merged[name], (start[name] + free[name]) / 2, rtol=1e-5, atol=1e-6)
    assert result.record == {SAMPLES_SO_FAR: 128}


def test_a_long_history_never_silences_a_leg(tmp_path: Path, parent: Path, split: Split) -> None:
    free = run_leg(leg(parent, tmp_path / "free", ""), split, silent).weights.path
    merged = run_leg(leg(parent, tmp_path / "m", "merge=true", {SAMPLES_SO_FAR: 10**9}), split, silent).weights.path
    share = distance(parent, merged) / distance(parent, free)
    assert share == pytest.approx((1 - MOST_PARENT_SHARE) ** 2, rel=1e-3)


def test_importance_weights_travel_decay_and_hold_what_matters(tmp_path: Path, split: Split) -> None:
    genesis = write_genesis(WITH_IMPORTANCE, 1, tmp_path / "genesis").path
    first = replace(leg(genesis, tmp_path / "a", "consolidate=100"), architecture=WITH_IMPORTANCE)
    child = run_leg(first, split, silent).weights.path
    importance = {name: tensor for name, tensor in load_file(child).items() if name.startswith("importance.")}
    assert len(importance) == len(load_file(child)) / 2
    assert all((tensor >= 0).all() for tensor in importance.values())
    assert sum(float(tensor.sum()) for tensor in importance.values()) > 0
    free = replace(first, parent=child, child=tmp_path / "free", recipe=parse_recipe(""))
    held = replace(first, parent=child, child=tmp_path / "held", recipe=parse_recipe("consolidate=1000"))
    moved = [weight_distance(child, run_leg(job, split, silent).weights.path) for job in (free, held)]
    assert moved[1] < moved[0]


@pytest.mark.parametrize(("importance", "moves"), [(1e30, False), (-1e30, True)])
def test_absurd_importance_from_a_parent_neither_breaks_a_leg_nor_drives_it_away(
    tmp_path: Path, split: Split, importance: float, moves: bool
) -> None:
    tensors = load_file(write_genesis(WITH_IMPORTANCE, 1, tmp_path / "genesis").path)
    absurd = {name: np.full_like(tensor, importance) for name, tensor in tensors.items() if "importance." in name}
    save_file(tensors | absurd, tmp_path / "parent")
    free = replace(leg(tmp_path / "parent", tmp_path / "free", ""), architecture=WITH_IMPORTANCE)
    held = replace(free, child=tmp_path / "held", recipe=parse_recipe("consolidate=100"))
    moved = [weight_distance(tmp_path / "parent", run_leg(job, split, silent).weights.path) for job in (free, held)]
    assert moved[1] == moved[0] if moves else 0 < moved[1] < 0.5 * moved[0]


def weight_distance(a: Path, b: Path) -> float:
    first, second = load_file(a), load_file(b)
    return float(sum(np.square(first[n] - second[n]).sum() for n in first if not n.startswith("importance.")))


def test_a_leg_on_one_segment_leaves_the_importance_of_the_other(tmp_path: Path, split: Split) -> None:
    genesis = write_genesis(WITH_IMPORTANCE, 1, tmp_path / "genesis").path
    job = replace(leg(genesis, tmp_path / "a", "consolidate=1", segment=1), architecture=WITH_IMPORTANCE)
    result = run_leg(job, split, silent)
    before, after = load_file(genesis), load_file(job.child)
    changed = {name for name in before if before[name].tobytes() != after[name].tobytes()}
    assert changed <= {name for name, segment in result.weights.segment_of.items() if segment == 1}
    assert any(name.startswith("importance.") for name in changed)


def test_a_peer_rehearses_its_own_past_data_which_stays_on_its_disk(tmp_path: Path, parent: Path, split: Split) -> None:
    """A leg on class 1 after one on class 0, unbalanced: without memory everything becomes class 1."""
    private = Resources(private=tmp_path)
    zeros, ones = (only(split, label) for label in (0, 1))
    recipe = "rehearse=0.5,rehearsal_samples=16,balanced=false"
    first = run_leg(leg(parent, tmp_path / "a", recipe), zeros, silent, private).weights.path
    assert load_file(tmp_path / FILE_NAME)["x"].shape == (16, 1, SIDE, SIDE)
    for child, dials in (("with", recipe), ("without", "balanced=false")):
        run_leg(leg(first, tmp_path / child, dials), ones, silent, private)
    assert correct(tmp_path / "with", zeros) > 0.9
    assert correct(tmp_path / "without", zeros) < 0.1
    remembered = load_file(tmp_path / FILE_NAME)
    assert set(remembered["y"].tolist()) == {0, 1}
    assert stat.S_IMODE((tmp_path / FILE_NAME).stat().st_mode) == 0o600
    assert int(remembered["seen"]) == len(zeros.train_y) + len(ones.train_y)


def only(split: Split, label: int) -> Split:
    chosen = split.train_y == label
    return replace(split, train_x=split.train_x[chosen], train_y=split.train_y[chosen])


def correct(weights: Path, split: Split) -> float:
    from derelayl_training.judge import share_correct
    from derelayl_training.weights import load_weights

    model = build(ARCHITECTURE)
    load_weights(model, weights)
    return share_correct(model, split.train_x, split.train_y)


# --- sparse ---


def test_only_the_largest_changes_are_kept() -> None:
    parent, child = torch.tensor([[1.0, 2.0], [3.0, 4.0]]), torch.tensor([[1.1, 2.0], [0.0, 4.5]])
    assert keep_largest(parent, child, 0.5).tolist() == [[1.0, 2.0], [0.0, 4.5]]


def test_of_equal_changes_the_first_are_kept() -> None:
    assert keep_largest(torch.zeros(4), torch.ones(4), 0.5).tolist() == [1.0, 1.0, 0.0, 0.0]


def test_a_sparse_leg_changes_that_share_of_every_tensor_and_says_how_many(
    tmp_path: Path, parent: Path, split: Split
) -> None:
    result = run_leg(leg(parent, tmp_path / "child", "method=sparse,keep=0.1"), split, silent)
    before, after = load_file(parent), load_file(result.weights.path)
    changed = {name: int((before[name] != after[name]).sum()) for name in before}
    assert all(count <= np.ceil(0.1 * before[name].size) for name, count in changed.items())
    assert result.record == {"changed": sum(changed.values())}
