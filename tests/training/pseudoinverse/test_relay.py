"""Legs of the method pseudoinverse: what peers add, in any order, is what one machine would have solved."""

import math
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from derelayl_protocol.errors import LocalFault
from derelayl_protocol.types import WHOLE_MODEL
from derelayl_training.architectures import build
from derelayl_training.architectures.pil import Pil
from derelayl_training.inputs import to_inputs
from derelayl_training.jobs import Architecture, LegJob
from derelayl_training.judge import mean_loss, share_correct
from derelayl_training.methods.port import Leg
from derelayl_training.methods.pseudoinverse import PseudoinverseMethod
from derelayl_training.recipe import Recipe, parse_recipe
from derelayl_training.resources import CPU
from derelayl_training.split import Split
from derelayl_training.train import run_leg, write_genesis
from derelayl_training.weights import load_weights

from ..tiny import ARCHITECTURE
from .tables import CLASSES, TABLE, split

ADD = Recipe(method="pseudoinverse")
FORGET = Recipe(method="pseudoinverse", forget=True)
IMAGES = {"channels": 1, "height": 14, "width": 14, "classes": 10}
LOCAL = Architecture("pil", {**IMAGES, "neurons": 144, "patch": 3, "subsystems": 1, "seed": 0})


def silent(_fraction: float) -> None:
    pass


def job(
    parent: Path, child: Path, network: Architecture = TABLE, recipe: Recipe = ADD, segment: int = WHOLE_MODEL
) -> LegJob:
    return LegJob(network, parent, child, segment, 7, 16, 0.05, seed=3, recipe=recipe)


def only(data: Split, *labels: int) -> Split:
    own = np.isin(data.train_y, labels)
    return replace(data, train_x=data.train_x[own], train_y=data.train_y[own])


def relay(folder: Path, network: Architecture, shards: list[Split]) -> Path:
    """Pass the network round; return the last child."""
    parent = write_genesis(network, 1, folder / "genesis").path
    for leg, data in enumerate(shards):
        parent = run_leg(job(parent, folder / f"leg{leg}", network), data, silent).weights.path
    return parent


def opened(network: Architecture, path: Path) -> Pil:
    model = build(network)
    load_weights(model, path)
    assert isinstance(model, Pil)
    return model


# --- refusals ---


def test_other_architectures_are_refused(tmp_path: Path) -> None:
    parent = write_genesis(ARCHITECTURE, 1, tmp_path / "parent").path
    images = np.zeros((4, 1, 8, 8), np.uint8)
    labels = np.zeros(4, np.int64)
    with pytest.raises(LocalFault, match="the architecture pil only"):
        run_leg(job(parent, tmp_path / "child", ARCHITECTURE), Split(images, labels, images, labels), silent)


@pytest.mark.parametrize("method", ["backprop", "sparse", "local"])
def test_methods_that_follow_a_gradient_refuse_it(tmp_path: Path, method: str) -> None:
    parent = write_genesis(TABLE, 1, tmp_path / "parent").path
    with pytest.raises(LocalFault):
        run_leg(job(parent, tmp_path / "child", recipe=parse_recipe(f"method={method}")), split(), silent)


@pytest.mark.parametrize("dial", ["prox=0.1", "distil=0.5", "merge=true", "rehearse=0.5", "consolidate=1"])
def test_dials_against_forgetting_are_refused(tmp_path: Path, dial: str) -> None:
    parent = write_genesis(TABLE, 1, tmp_path / "parent").path
    recipe = parse_recipe(f"method=pseudoinverse,{dial}")
    with pytest.raises(LocalFault, match=f"leave out {dial.partition('=')[0]}"):
        run_leg(job(parent, tmp_path / "child", recipe=recipe), split(), silent)


def test_forgetting_what_was_never_added_is_refused(tmp_path: Path) -> None:
    child = relay(tmp_path, TABLE, [only(split(), 0, 1)])
    with pytest.raises(LocalFault, match=r"holds 0 samples of class 2, this data has \d+: it was never added"):
        run_leg(job(child, tmp_path / "again", recipe=FORGET), split(), silent)


def test_forgetting_other_samples_of_the_same_classes_is_refused(tmp_path: Path) -> None:
    data = split(samples=40)
    child = relay(tmp_path, TABLE, [data])
    other = replace(data, train_x=split(samples=40, seed=9).train_x)
    with pytest.raises(LocalFault, match=r"that was added|had not been added"):
        run_leg(job(child, tmp_path / "again", recipe=FORGET), other, silent)


def test_statistics_that_a_peer_made_up_are_refused(tmp_path: Path) -> None:
    child = relay(tmp_path, TABLE, [split()])
    tensors = load_file(child)
    tensors["subsystems.0.gram"][0, 1] = 1e12
    save_file(tensors, child)
    with pytest.raises(LocalFault, match="no sums of squares"):
        run_leg(job(child, tmp_path / "next"), split(seed=4), silent)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"features": 0}, "features is 0"),
        ({"neurons": 0}, "neurons is 0"),
        ({"ridge": 1}, "ridge is 1, allowed are 'auto'"),
        ({"ridge": True}, "ridge is True"),
        ({"ridge": "tiny"}, "ridge is 'tiny'"),
        ({"seed": -1}, "seed is -1"),
        ({"subsystems": 65}, "subsystems is 65"),
        ({"patch": 3}, "takes the parameters"),
        ({"neurons": 8192, "features": 4000}, "numbers, allowed are"),
        ({"neurons": 2000, "subsystems": 64}, "numbers, allowed are"),
    ],
)
def test_a_network_for_rows_that_cannot_be_is_refused(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(LocalFault, match=reason):
        build(Architecture("pil", {**TABLE.parameters, **changes}))


@pytest.mark.parametrize(
    ("changes", "reason"), [({"patch": 1}, "patch is 1"), ({"patch": 10}, "patch is 10"), ({"neurons": 60}, "multiple")]
)
def test_a_network_for_images_that_cannot_be_is_refused(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(LocalFault, match=reason):
        build(Architecture("pil", {**LOCAL.parameters, **changes}))


# --- what a relay gives ---


def test_a_genesis_is_uniform(tmp_path: Path) -> None:
    model = opened(TABLE, write_genesis(TABLE, 1, tmp_path / "genesis").path)
    data = split()
    assert not model(to_inputs(data.held_x)).any()
    assert mean_loss(model, data.held_x, data.held_y) == pytest.approx(math.log(CLASSES))


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_label_disjoint_peers_in_any_order_give_the_bytes_of_pooled_training(tmp_path: Path, seed: int) -> None:
    data = split()
    peers = [only(data, label) for label in np.random.default_rng(seed).permutation(CLASSES)]
    child, pooled = relay(tmp_path, TABLE, peers), relay(tmp_path / "..", TABLE, [data])
    assert child.read_bytes() == pooled.read_bytes()


def test_ten_label_disjoint_peers_with_images_give_the_bytes_of_pooled_training(tmp_path: Path, digits: Split) -> None:
    halved = replace(digits, train_x=digits.train_x[:, :, ::2, ::2], held_x=digits.held_x[:, :, ::2, ::2])
    some = replace(halved, train_x=halved.train_x[::3], train_y=halved.train_y[::3])
    pooled = relay(tmp_path, LOCAL, [some])
    tensors = load_file(pooled)
    for seed in range(3):
        folder = tmp_path / str(seed)
        folder.mkdir()
        peers = [only(some, label) for label in np.random.default_rng(seed).permutation(10)]
        child = relay(folder, LOCAL, peers)
        assert all(torch.equal(tensor, tensors[name]) for name, tensor in load_file(child).items())
    model = opened(LOCAL, pooled)
    assert share_correct(model, halved.held_x, halved.held_y) > 0.9
    assert mean_loss(model, halved.held_x, halved.held_y) < 0.4


def test_forgetting_gives_the_bytes_of_a_relay_without_that_peer(tmp_path: Path) -> None:
    data = split()
    first, leaver, last = only(data, 0, 1), only(data, 2), only(data, 3, 4)
    child = relay(tmp_path, TABLE, [first, leaver, last])
    without = run_leg(job(child, tmp_path / "without", recipe=FORGET), leaver, silent).weights.path
    (tmp_path / "apart").mkdir()
    assert without.read_bytes() == relay(tmp_path / "apart", TABLE, [first, last]).read_bytes()


def test_forgetting_the_only_peer_gives_the_genesis(tmp_path: Path) -> None:
    child = relay(tmp_path, TABLE, [split()])
    back = run_leg(job(child, tmp_path / "back", recipe=FORGET), split(), silent).weights.path
    assert back.read_bytes() == (tmp_path / "genesis").read_bytes()


def test_every_class_that_a_peer_adds_lowers_the_loss(tmp_path: Path) -> None:
    data = split(2000, 500)
    parent = write_genesis(TABLE, 1, tmp_path / "genesis").path
    losses = [math.log(CLASSES)]
    for label in range(CLASSES):
        parent = run_leg(job(parent, tmp_path / f"{label}"), only(data, label), silent).weights.path
        losses.append(mean_loss(opened(TABLE, parent), data.held_x, data.held_y))
    assert losses[1] == pytest.approx(losses[0])  # one class alone cannot be told from the others
    assert all(after < before for before, after in pairwise(losses[1:]))


def test_probabilities_are_shared_with_classes_never_seen(tmp_path: Path) -> None:
    child = relay(tmp_path, TABLE, [only(split(), 1, 3)])
    probabilities = opened(TABLE, child)(to_inputs(split().held_x)).softmax(1)
    torch.testing.assert_close(probabilities.sum(1), torch.ones(100))
    torch.testing.assert_close(probabilities[:, [0, 2, 4]], torch.full((100, 3), 1 / CLASSES))
    torch.testing.assert_close(probabilities[:, [1, 3]].sum(1), torch.full((100,), 2 / CLASSES))


def test_no_scaling_of_the_logits_would_lower_the_loss_much(tmp_path: Path, digits: Split) -> None:
    """The closed-form calibration against the best factor found on the held-out samples themselves."""
    halved = replace(digits, train_x=digits.train_x[:, :, ::2, ::2], held_x=digits.held_x[:, :, ::2, ::2])
    logits = opened(LOCAL, relay(tmp_path, LOCAL, [halved]))(to_inputs(halved.held_x))
    labels = torch.from_numpy(halved.held_y)
    losses = [torch.nn.functional.cross_entropy(factor * logits, labels).item() for factor in (1.0, 0.5, 0.7, 1.4, 2.0)]
    assert losses[0] < 1.3 * min(losses)
    assert losses[0] < min(losses[1:3])  # rather too cautious than too sure


# --- legs ---


def leg_on(data: Split, recipe: Recipe = ADD) -> Leg:
    model = build(TABLE)
    return Leg(
        model=model,
        start={name: tensor.clone() for name, tensor in model.state_dict().items()},
        leased=model.names_of(WHOLE_MODEL),
        segment=WHOLE_MODEL,
        data=data,
        recipe=recipe,
        resources=CPU,
        steps=1,
        batch=8,
        learning_rate=0.1,
        seed=0,
        history={},
    )


def test_a_leg_goes_over_the_data_once_and_tells_what_is_held(tmp_path: Path) -> None:
    parent = write_genesis(TABLE, 1, tmp_path / "parent").path
    data = split(2500)
    result = run_leg(job(parent, tmp_path / "child"), data, silent)
    assert (result.steps, result.samples) == (3, 2500)
    assert result.record == {"samples_held": 2500, "classes_held": CLASSES}
    assert result.loss_after < result.loss_before == pytest.approx(math.log(CLASSES))


@pytest.mark.parametrize("segment", [0, 1])
def test_a_leg_on_a_segment_solves_that_subsystem_alone(tmp_path: Path, segment: int) -> None:
    parent = write_genesis(TABLE, 1, tmp_path / "parent").path
    child = run_leg(job(parent, tmp_path / "child", segment=segment), split(), silent).weights
    before, after = load_file(parent), load_file(child.path)
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed == {name for name, of in child.segment_of.items() if of == segment}
    assert {name.split(".")[2] for name in changed} == {"gram", "cross", "count", "output"}
    assert {tensor.dtype for tensor in after.values()} == {torch.float64}


def test_subsystems_are_averaged_so_that_together_they_lose_less_than_the_mean(tmp_path: Path) -> None:
    data = split()
    parent = write_genesis(TABLE, 1, tmp_path / "parent").path
    losses = []
    for segment in (0, 1, WHOLE_MODEL):
        child = run_leg(job(parent, tmp_path / f"{segment}", segment=segment), data, silent).weights.path
        losses.append(mean_loss(opened(TABLE, child), data.held_x, data.held_y))
    assert losses[2] < (losses[0] + losses[1]) / 2


def test_a_leg_that_goes_on_from_its_sums_gives_the_same_weights() -> None:
    data = split(2500)
    whole, broken, resumed = (PseudoinverseMethod() for _ in range(3))
    legs = [leg_on(data) for _ in range(3)]

    def walk(method: PseudoinverseMethod, steps: list[int]) -> None:
        for step in steps:
            rows = batches[step]
            method.step(to_inputs(data.train_x[rows]), torch.from_numpy(data.train_y[rows]))

    batches = whole.prepare(legs[0])
    broken.prepare(legs[1])
    resumed.prepare(legs[2])
    walk(whole, [0, 1, 2])
    walk(broken, [0])
    resumed.restore({name: tensor.clone() for name, tensor in broken.state().items()})
    walk(resumed, [1, 2])
    for method in (whole, resumed):
        method.finish()
    expected = legs[0].model.state_dict()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in legs[2].model.state_dict().items())


def test_a_snapshot_of_something_else_is_refused() -> None:
    method = PseudoinverseMethod()
    method.prepare(leg_on(split()))
    with pytest.raises(LocalFault, match="the snapshot holds"):
        method.restore({"0/gram": torch.zeros(3, 3)})
    with pytest.raises(IndexError):
        method.prepare(leg_on(split()))[1]


def test_a_process_without_samples_in_the_last_batch_adds_nothing() -> None:
    method = PseudoinverseMethod()
    method.prepare(leg_on(split()))
    assert method.step(torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64)) == 0
    assert not any(tensor.any() for tensor in method.state().values())
