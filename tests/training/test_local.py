"""Local learning: what it refuses, what a leg may change, and that it repeats. test_fidelity.py checks its formulas."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from benchmarks.learning.fidelity_local import gradients, largest_difference, leg_on, network, samples, take_steps
from safetensors.numpy import load_file

from derelayl_protocol.errors import LocalFault
from derelayl_protocol.types import WHOLE_MODEL
from derelayl_training.architectures import build
from derelayl_training.architectures.blocks import BlockModel
from derelayl_training.jobs import Architecture, LegJob
from derelayl_training.methods import make_method
from derelayl_training.methods.local import LocalMethod, discord
from derelayl_training.recipe import Recipe
from derelayl_training.resources import Resources
from derelayl_training.split import Split
from derelayl_training.train import run_leg, samples_of, write_genesis

from .tiny import ARCHITECTURE, SIDE

LOCAL = Recipe(method="local")
MLAAN = Recipe(method="local", window=2, sgr=0.1)
IMAGES = {"channels": 1, "height": SIDE, "width": SIDE, "classes": 3}
SMALL = {**IMAGES, "depth": 8, "base": 4, "segments": 3}
KINDS = ["linear", "dgl", "auglocal-2", "mlaan"]


def small(kind: str, seed: int = 0, **parameters: int | str) -> BlockModel:
    return network(seed, depth=8, heads=kind, **parameters)


def changed_names(folder: Path, architecture: Architecture, recipe: Recipe, segment: int, steps: int = 3) -> set[str]:
    """Run a leg from a genesis and name the tensors whose bytes differ."""
    parent = write_genesis(architecture, 1, folder / "parent").path
    job = LegJob(architecture, parent, folder / "child", segment, steps, 16, 0.05, seed=3, recipe=recipe)
    run_leg(job, samples(0), lambda _fraction: None)
    before, after = load_file(parent), load_file(job.child)
    return {name for name in before if before[name].tobytes() != after[name].tobytes()}


# --- refusals ---


def test_a_network_without_blocks_is_refused() -> None:
    model = build(ARCHITECTURE)
    (train_x, train_y), (held_x, held_y) = _two_classes(), _two_classes()
    two_classes = Split(train_x, train_y, held_x, held_y)
    with pytest.raises(LocalFault, match="needs a network made of blocks"):
        LocalMethod().prepare(leg_on(model, LOCAL, data=two_classes))


def test_a_network_without_heads_is_refused() -> None:
    with pytest.raises(LocalFault, match="no auxiliary heads"):
        LocalMethod().prepare(leg_on(network(0), LOCAL))


def test_heads_that_do_not_classify_are_refused() -> None:
    with pytest.raises(LocalFault, match="heads=meta do not classify; allowed are linear, dgl, auglocal-D and mlaan"):
        LocalMethod().prepare(leg_on(small("meta"), LOCAL))


@pytest.mark.parametrize("segment", [1, WHOLE_MODEL])
def test_a_window_of_more_segments_than_there_are_is_refused(segment: int) -> None:
    recipe = Recipe(method="local", window=4)
    with pytest.raises(LocalFault, match="window is 4 segments, allowed are at most the network's 3"):
        LocalMethod().prepare(leg_on(small("mlaan"), recipe, segment))


def test_reconciliation_in_a_network_of_blocks_without_second_derivatives_is_refused() -> None:
    model = build(Architecture("mrla-resnet", {**SMALL, "heads": "linear"}))
    with pytest.raises(LocalFault, match="sgr needs a network that can be differentiated twice"):
        LocalMethod().prepare(leg_on(model, Recipe(method="local", sgr=0.1)))
    take_steps(leg_on(model, LOCAL))


def test_a_budget_below_one_sample_of_one_segment_is_refused() -> None:
    leg = replace(leg_on(small("mlaan"), LOCAL), resources=Resources(memory_bytes=100))
    with pytest.raises(LocalFault, match="one sample keeps"):
        LocalMethod().prepare(leg)


def test_a_loss_that_explodes_ends_the_leg() -> None:
    leg = replace(leg_on(small("linear"), LOCAL, steps=30), learning_rate=1e20)
    with pytest.raises(LocalFault, match="a smaller learning rate"):
        take_steps(leg)


@pytest.mark.parametrize("broken", ["discord is missing", "a stranger is there"])
def test_a_snapshot_of_another_leg_is_refused(broken: str) -> None:
    state = dict(take_steps(leg_on(small("mlaan"), MLAAN)).state())
    if broken == "discord is missing":
        del state["discord"]
    else:
        state["blocks.99.weight/momentum_buffer"] = torch.zeros(1)
    method = make_method(MLAAN)
    method.prepare(leg_on(small("mlaan"), MLAAN))
    with pytest.raises(LocalFault, match="snapshot"):
        method.restore(state)


# --- what a leg may change ---


@pytest.mark.parametrize("recipe", [LOCAL, MLAAN], ids=["plain", "windows"])
@pytest.mark.parametrize("segment", [0, 1, 2])
@pytest.mark.parametrize("kind", KINDS)
def test_a_leg_changes_its_segment_with_its_head_and_no_other_byte(
    tmp_path: Path, kind: str, segment: int, recipe: Recipe
) -> None:
    architecture = Architecture("resnet", {**SMALL, "heads": kind})
    changed = changed_names(tmp_path, architecture, recipe, segment)
    own = {name for name, place in build(architecture).segment_of().items() if place == segment}
    shadow = {name for name in own if ".shadow." in name}  # it mirrors a frozen block, which it equals at genesis
    assert changed - shadow == own - shadow


@pytest.mark.parametrize("norm", ["group", "batch"])
def test_a_leg_on_all_segments_changes_every_tensor(tmp_path: Path, norm: str) -> None:
    architecture = Architecture("resnet", {**SMALL, "heads": "mlaan", "norm": norm})
    assert changed_names(tmp_path, architecture, MLAAN, WHOLE_MODEL) == set(build(architecture).state_dict())


@pytest.mark.parametrize("segment", [0, 1])
def test_frozen_running_statistics_stay(tmp_path: Path, segment: int) -> None:
    architecture = Architecture("resnet", {**SMALL, "heads": "mlaan", "norm": "batch"})
    changed = changed_names(tmp_path, architecture, MLAAN, segment)
    places = build(architecture).segment_of()
    assert {places[name] for name in changed} == {segment}
    assert any(name.startswith("blocks.") and name.endswith("running_mean") for name in changed)


def test_without_a_cascade_the_leaps_learn_nothing(tmp_path: Path) -> None:
    architecture = Architecture("resnet", {**SMALL, "heads": "mlaan"})
    changed = changed_names(tmp_path, architecture, Recipe(method="local", cascade=0), WHOLE_MODEL)
    assert any(".independent_classifier." in name for name in changed)
    assert not any(".cascaded_classifier." in name or ".leaps." in name for name in changed)


def test_with_nothing_but_the_cascade_the_independent_classifier_learns_nothing(tmp_path: Path) -> None:
    architecture = Architecture("resnet", {**SMALL, "heads": "mlaan"})
    changed = changed_names(tmp_path, architecture, Recipe(method="local", cascade=1), WHOLE_MODEL)
    assert not any(".independent_classifier." in name for name in changed)
    assert any(".cascaded_classifier." in name for name in changed)


def test_every_shadow_follows_the_backbone() -> None:
    model = small("mlaan", norm="batch")
    before = {name: tensor.clone() for name, tensor in model.state_dict().items() if ".shadow." in name}
    take_steps(leg_on(model, Recipe(method="local", ema=0.0), steps=2))
    after = model.state_dict()
    assert {name.split(".")[1] for name in before} == {"0", "1"}
    for name, tensor in before.items():
        block = model.heads[name.split(".")[1]].mirrored
        assert not torch.equal(tensor, after[name])
        torch.testing.assert_close(after[name], after[f"blocks.{block}.{name.partition('.shadow.')[2]}"])


# --- losses ---


def test_gradients_that_agree_have_no_discord() -> None:
    gradient = torch.rand(4, 3, generator=torch.Generator().manual_seed(0))
    assert discord(gradient, gradient).item() == 0
    torch.testing.assert_close(discord(torch.zeros_like(gradient), gradient).item(), 2.0, atol=1e-4, rtol=0)
    torch.testing.assert_close(discord(gradient, torch.zeros_like(gradient)).item(), 2.0, atol=1e-4, rtol=0)
    torch.testing.assert_close(discord(-gradient, gradient).item(), 4.0, atol=1e-4, rtol=0)


@pytest.mark.parametrize("segment", [WHOLE_MODEL, 2])
def test_reconciliation_lowers_the_discord(segment: int) -> None:
    """Mean discord of the last of some legs on one batch, with the regulariser and with next to none of it."""
    found = []
    for weight in (1.0, 1e-9):
        model = small("auglocal-1", seed=1)
        recipe = Recipe(method="local", sgr=weight)
        for _ in range(4):
            method = take_steps(leg_on(model, recipe, segment, steps=8, data=samples(0, 16)))
        record = method.finish()
        found.append(float(str(record["discord"])))
    assert found[0] < found[1]


def test_the_record_tells_the_discord_as_text_and_only_where_it_was_reconciled() -> None:
    told = take_steps(leg_on(small("linear"), Recipe(method="local", sgr=0.1))).finish()
    assert isinstance(told["discord"], str)
    assert "discord" not in take_steps(leg_on(small("linear"), LOCAL)).finish()
    assert "discord" not in take_steps(leg_on(small("linear"), Recipe(method="local", sgr=0.1), segment=0)).finish()


def test_a_class_the_peer_lacks_gets_no_gradient_in_any_head() -> None:
    data = samples(0)
    only = data.train_y < 2
    lacking = replace(data, train_x=data.train_x[only], train_y=data.train_y[only])
    model = small("linear")
    take_steps(leg_on(model, LOCAL, data=lacking))
    for exit_head in (*model.heads.values(), model.head):
        gradient = next(p.grad for p in exit_head.parameters() if p.grad is not None and p.shape == (3,))
        assert abs(gradient[2]) < 1e-4 < abs(gradient[0])


def test_distillation_reaches_the_heads() -> None:
    found = []
    for share in (0.0, 0.5):
        model = small("linear")
        take_steps(leg_on(model, Recipe(method="local", distil=share)))
        found.append(gradients(model)["heads.0.layers.0.linear.weight"])
    assert not torch.allclose(found[0], found[1])


# --- pieces, snapshots, other families ---


@pytest.mark.parametrize("segment", [WHOLE_MODEL, 1])
def test_a_batch_in_pieces_has_the_gradient_of_the_whole(segment: int) -> None:
    recipe = Recipe(method="local", window=2)
    found = []
    for budget in (None, 150_000):
        model = small("mlaan")
        leg = replace(leg_on(model, recipe, segment), resources=Resources(memory_bytes=budget))
        method = take_steps(leg)
        found.append(gradients(model))
    assert isinstance(method, LocalMethod)
    assert 1 <= method._piece < 16
    assert largest_difference(*found) < 1e-6


def test_segments_side_by_side_keep_less_than_the_network_end_to_end() -> None:
    pieces = []
    for recipe in (LOCAL, Recipe()):
        leg = leg_on(network(0, depth=32, heads="linear", segments=5), recipe)
        method = make_method(recipe)
        method.prepare(replace(leg, batch=1000, data=samples(0, 1000), resources=Resources(memory_bytes=2**22)))
        pieces.append(method._piece)  # type: ignore[attr-defined]
    assert pieces[0] > 2 * pieces[1]


@pytest.mark.parametrize("segment", [WHOLE_MODEL, 1])
def test_a_leg_that_resumes_ends_in_the_same_bytes(segment: int) -> None:
    whole = small("mlaan")
    straight = take_steps(leg_on(whole, MLAAN, segment, steps=4))
    model = small("mlaan")
    leg = leg_on(model, MLAAN, segment, steps=4)
    first = make_method(MLAAN)
    batches = first.prepare(leg)
    for step in (0, 1):
        first.step(*samples_of(leg, batches[step]))
    state = {name: tensor.clone() for name, tensor in first.state().items()}
    second = make_method(MLAAN)
    batches = second.prepare(leg)
    second.restore(state)
    for step in (2, 3):
        second.step(*samples_of(leg, batches[step]))
    assert largest_difference(whole.state_dict(), model.state_dict()) == 0
    assert second.finish() == straight.finish()


@pytest.mark.parametrize("recipe", [LOCAL, MLAAN], ids=["plain", "windows"])
@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("vit", {**IMAGES, "patch": 4, "dimension": 8, "attention_heads": 2}),
        ("gpt", {"length": 8, "dimension": 8, "attention_heads": 2}),
        ("mlp", {"features": 8, "classes": 3, "width": 8}),
    ],
)
def test_every_family_learns_locally(name: str, parameters: dict[str, int], recipe: Recipe) -> None:
    shape: dict[str, int | str | bool] = {**parameters, "depth": 3, "segments": 3, "heads": "mlaan"}
    model = build(Architecture(name, shape), seed=1)
    data = {"vit": samples(0), "gpt": _text(), "mlp": _rows()}[name]
    adam = recipe.model_copy(update={"optimiser": "adamw", "warmup": 0})
    leg = replace(leg_on(model, adam, steps=30, data=data), learning_rate=0.01)
    method = make_method(adam)
    batches = method.prepare(leg)
    losses = [method.step(*samples_of(leg, batches[step])) for step in range(len(batches))]
    assert np.mean(losses[-5:]) < 0.9 * np.mean(losses[:3])


def _text() -> Split:
    windows = (np.arange(64)[:, None] + np.arange(9)) % 5 + 97
    text, following = windows[:, :-1].astype(np.uint8), windows[:, 1:].astype(np.int64)
    return Split(text, following, text, following)


def _rows() -> Split:
    rows = np.random.default_rng(0).standard_normal((64, 8)).astype(np.float32)
    labels = rows[:, :3].argmax(1).astype(np.int64)
    return Split(rows, labels, rows, labels)


def _two_classes() -> Sequence[np.ndarray]:
    data = samples(0)
    return data.train_x, data.train_y % 2
