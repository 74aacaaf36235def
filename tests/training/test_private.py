"""Private legs: what is refused, what bounds a sample's influence, what is told of it, and what is kept."""

import json
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from opacus.accountants import RDPAccountant  # type: ignore[import-untyped]
from torch import Tensor, nn

from derelayl_protocol.errors import LocalFault
from derelayl_protocol.types import WHOLE_MODEL
from derelayl_training import privacy
from derelayl_training.architectures import build
from derelayl_training.architectures.segmented import SegmentedModel
from derelayl_training.jobs import Architecture, LegJob
from derelayl_training.leg import Leg
from derelayl_training.methods import make_method
from derelayl_training.methods.backprop import BackpropMethod
from derelayl_training.methods.private import PrivateMethod
from derelayl_training.privacy import (
    PoissonBatches,
    Spending,
    SpentPrivacy,
    epsilon_of,
    epsilon_text,
    noise_like,
    secret_normals,
)
from derelayl_training.recipe import make_recipe, parse_recipe
from derelayl_training.resources import CPU, Resources
from derelayl_training.split import Split
from derelayl_training.train import report_loss, run_leg, samples_of, write_genesis

from .tiny import ARCHITECTURE, SIDE, tiny_images

SAMPLES = 48
FEATURES = SIDE * SIDE
PLAIN = {"privacy": "dp", "delta": "0.001", "momentum": "0", "weight_decay": "0", "warmup": "0"}
"""Gradient descent at a constant rate."""


def no_noise(count: int) -> np.ndarray:
    return np.zeros(count)


def seeded_noise(seed: int) -> Callable[[int], np.ndarray]:
    return np.random.default_rng(seed).standard_normal


def data() -> Split:
    images, labels = tiny_images(SAMPLES + 16)
    return Split(images[:SAMPLES], labels[:SAMPLES], images[SAMPLES:], labels[SAMPLES:])


class Tiny(SegmentedModel):
    """Images through whatever layers a test asks about, then a linear head; one segment each."""

    def __init__(self, body: nn.Module) -> None:
        super().__init__((1, SIDE, SIDE), 2)
        self.body = body
        self.head = nn.Linear(FEATURES, 2)

    @property
    def segments(self) -> list[list[str]]:
        names = list(self.state_dict())
        return [[name for name in names if name.startswith(part)] for part in ("body.", "head.")]

    def forward(self, inputs: Tensor) -> Tensor:
        logits: Tensor = self.head(self.body(inputs.flatten(1)))
        return logits


class LessTheMean(nn.Module):
    """Mixes the samples of a batch, and is no layer that Opacus has heard of."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(FEATURES, FEATURES)

    def forward(self, inputs: Tensor) -> Tensor:
        features: Tensor = self.linear(inputs)
        return features - features.mean(0)


class Borrowing(nn.Module):
    """Uses a layer's weight beside the layer, where no hook sees it."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(FEATURES, FEATURES)

    def forward(self, inputs: Tensor) -> Tensor:
        features: Tensor = self.linear(inputs)
        return features + F.linear(inputs, self.linear.weight)


class WithSpare(nn.Module):
    """Has a layer that the loss does not depend on, as a network with auxiliary heads has."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(FEATURES, FEATURES)
        self.spare = nn.Linear(FEATURES, 2)

    def forward(self, inputs: Tensor) -> Tensor:
        features: Tensor = self.linear(inputs)
        return features


def leg_of(
    model: SegmentedModel,
    recipe: str = "",
    *,
    split: Split | None = None,
    segment: int = WHOLE_MODEL,
    steps: int = 4,
    batch: int = 12,
    resources: Resources = CPU,
    rate: float = 0.1,
) -> Leg:
    return Leg(
        model=model,
        start={name: tensor.clone() for name, tensor in model.state_dict().items()},
        leased=model.names_of(segment),
        segment=segment,
        data=split or data(),
        recipe=make_recipe(PLAIN | dict(dial.split("=") for dial in recipe.split(",") if dial)),
        resources=resources,
        steps=steps,
        batch=batch,
        learning_rate=rate,
        seed=3,
        history={},
    )


def network() -> SegmentedModel:
    return build(ARCHITECTURE, 1)


def trained(leg: Leg, method: PrivateMethod) -> dict[str, int | str | bool]:
    batches = method.prepare(leg)
    for step in range(len(batches)):
        method.step(*samples_of(leg, batches[step]))
    return dict(method.finish())


def gradient_of(split: Split, recipe: str, model: SegmentedModel | None = None) -> Tensor:
    """The gradient of one step over all samples, without noise, as one vector; times the number of samples."""
    leg = leg_of(model or network(), recipe, split=split, steps=1, batch=1000)
    method = PrivateMethod(BackpropMethod(), no_noise)
    batches = method.prepare(leg)
    method.step(*samples_of(leg, batches[0]))
    gradients = [parameter.grad for parameter in leg.model.parameters() if parameter.grad is not None]
    return torch.cat([gradient.flatten() for gradient in gradients]) * len(split.train_y)


# --- refusals, all before a weight has moved ---


def refused(leg: Leg) -> str:
    before = {name: tensor.clone() for name, tensor in leg.model.state_dict().items()}
    with pytest.raises(LocalFault) as fault:
        make_method(leg.recipe).prepare(leg)
    assert all(torch.equal(tensor, before[name]) for name, tensor in leg.model.state_dict().items())
    return str(fault.value)


def test_batch_normalisation_is_refused_with_the_reason() -> None:
    reason = refused(leg_of(Tiny(nn.BatchNorm1d(FEATURES))))
    assert "body is a BatchNorm1d: BatchNorm cannot support training with differential privacy" in reason


def test_batch_normalisation_in_a_segment_that_is_frozen_does_no_harm() -> None:
    trained(leg_of(Tiny(nn.BatchNorm1d(FEATURES)), segment=1), PrivateMethod(BackpropMethod()))


def test_a_layer_that_mixes_samples_is_refused_though_opacus_does_not_know_it() -> None:
    assert "mixes the samples" in refused(leg_of(Tiny(LessTheMean())))


def test_a_layer_that_mixes_samples_is_refused_in_a_frozen_segment_too() -> None:
    assert "mixes the samples" in refused(leg_of(Tiny(LessTheMean()), segment=1))


def test_a_gradient_that_opacus_sees_in_part_only_is_refused() -> None:
    assert "not what autograd gives for body.linear.weight of Linear(in_features=" in refused(leg_of(Tiny(Borrowing())))


@pytest.mark.parametrize("padding", ["circular", "reflect", "replicate"])
def test_a_convolution_whose_gradients_opacus_gets_wrong_is_refused_by_its_name(
    padding: Literal["circular", "reflect", "replicate"],
) -> None:
    """Opacus pads with zeros whatever the mode: findings/opacus-conv-padding.sh."""
    ring = nn.Conv1d(1, 1, 3, padding=1, padding_mode=padding)
    reason = refused(leg_of(Tiny(nn.Sequential(nn.Unflatten(1, (1, -1)), ring, nn.Flatten()))))
    assert "not what autograd gives for body.1.weight of Conv1d(1, 1, " in reason
    assert f"padding_mode={padding})" in reason


def test_a_delta_that_would_let_one_sample_be_published_is_refused() -> None:
    careless = replace(leg_of(network()), recipe=parse_recipe("privacy=dp,delta=0.03"))
    assert "must be below 0.0208" in refused(careless)


def test_several_processes_are_refused() -> None:
    assert "one process" in refused(leg_of(network(), resources=Resources(world=2)))


def test_a_gradient_that_does_not_fit_into_the_memory_budget_is_refused() -> None:
    assert "a larger memory budget" in refused(
        leg_of(Tiny(nn.Linear(FEATURES, FEATURES)), resources=Resources(memory_bytes=9000))
    )


def test_a_method_that_follows_no_single_gradient_is_refused() -> None:
    with pytest.raises(LocalFault, match="privacy=dp goes with method=backprop or adapter"):
        parse_recipe("method=local,privacy=dp")


@pytest.mark.parametrize("dial", ["rehearse=0.5", "distil=0.5", "consolidate=1"])
def test_dials_that_are_not_accounted_for_are_refused(dial: str) -> None:
    with pytest.raises(LocalFault, match="not accounted for"):
        parse_recipe(f"privacy=dp,{dial}")


def test_without_opacus_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opacus", None)
    assert "pip install 'derelayl[privacy]'" in refused(leg_of(network()))


def test_a_limit_without_a_place_to_note_what_was_spent_is_refused() -> None:
    assert "needs a private folder" in refused(leg_of(network(), "epsilon_limit=5"))


def test_a_leg_that_would_pass_the_peers_limit_is_refused(tmp_path: Path) -> None:
    at_home = Resources(private=tmp_path)
    record = trained(leg_of(network(), "epsilon_limit=4", resources=at_home), PrivateMethod(BackpropMethod()))
    assert float(record["epsilon_total"]) <= 4
    reason = refused(leg_of(network(), "epsilon_limit=4", resources=at_home, steps=40))
    assert "epsilon_limit is 4, with this leg the peer would have spent" in reason


# --- what bounds a sample's influence ---


def test_without_noise_and_with_a_wide_clip_a_step_is_that_of_plain_gradient_descent() -> None:
    split, model = data(), network()
    leg = leg_of(model, split=split)
    inputs, labels = samples_of(leg, np.arange(SAMPLES))
    F.cross_entropy(model(inputs), labels, reduction="sum").backward()
    plain = torch.cat([parameter.grad.flatten() for parameter in model.parameters() if parameter.grad is not None])
    torch.testing.assert_close(gradient_of(split, "dp_clip=1000000"), plain, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("out", [0, 20])
def test_one_sample_more_or_less_moves_the_sum_by_the_clip_at_most(out: int) -> None:
    split, kept = data(), np.arange(SAMPLES) != out
    without = replace(split, train_x=split.train_x[kept], train_y=split.train_y[kept])
    clip = 0.05  # far below the gradients' norms
    moved = (gradient_of(split, f"dp_clip={clip}") - gradient_of(without, f"dp_clip={clip}")).norm()
    assert float(moved) == pytest.approx(clip, rel=1e-3)


def test_a_sample_that_would_pull_a_thousand_times_harder_is_clipped_like_the_others() -> None:
    split = data()
    louder = replace(split, train_y=split.train_y.copy())
    louder.train_y[0] = 1 - louder.train_y[0]
    model = network()
    with torch.no_grad():
        model.head.weight.mul_(1000)  # type: ignore[operator,union-attr]
    state = model.state_dict()

    def same() -> SegmentedModel:
        again = network()
        again.load_state_dict(state)
        return again

    moved = (gradient_of(split, "dp_clip=0.5", same()) - gradient_of(louder, "dp_clip=0.5", same())).norm()
    assert float(moved) <= 2 * 0.5 * 1.001  # one sample taken away and another added


def test_a_draw_cut_into_pieces_gives_the_gradient_of_the_whole() -> None:
    split = data()

    def gradient(resources: Resources) -> Tensor:
        leg = leg_of(Tiny(nn.Identity()), "dp_clip=0.3", split=split, steps=1, batch=1000, resources=resources)
        with torch.no_grad():
            leg.model.head.weight.fill_(0.01)  # type: ignore[operator,union-attr]
        method = PrivateMethod(BackpropMethod(), no_noise)
        method.step(*samples_of(leg, method.prepare(leg)[0]))
        found: Tensor = leg.model.head.weight.grad  # type: ignore[union-attr,assignment]
        return found

    torch.testing.assert_close(gradient(Resources(memory_bytes=6000)), gradient(CPU))


def test_an_empty_draw_moves_the_weights_by_noise_of_the_stated_size() -> None:
    leg = leg_of(Tiny(nn.Linear(FEATURES, FEATURES)), "noise=2,dp_clip=0.5", rate=1.0)
    method = PrivateMethod(BackpropMethod(), seeded_noise(7))
    method.prepare(leg)
    assert method.step(*samples_of(leg, np.empty(0, np.int64))) == 0.0
    moved = (leg.model.state_dict()["body.weight"] - leg.start["body.weight"]) * 12  # the expected batch
    assert float(moved.std()) == pytest.approx(2 * 0.5, rel=0.05)
    assert abs(float(moved.mean())) < 0.06


def test_a_parameter_that_the_loss_does_not_touch_gets_no_noise() -> None:
    leg = leg_of(Tiny(WithSpare()))
    method = PrivateMethod(BackpropMethod(), seeded_noise(7))
    trained(leg, method)
    assert torch.equal(leg.model.state_dict()["body.spare.weight"], leg.start["body.spare.weight"])
    assert "body.spare.weight" not in method.changes


def test_only_the_leased_segment_changes() -> None:
    leg = leg_of(network(), segment=1)
    method = PrivateMethod(BackpropMethod())
    trained(leg, method)
    changed = {name for name, tensor in leg.model.state_dict().items() if not torch.equal(tensor, leg.start[name])}
    assert changed == leg.leased == method.changes


IMAGES = {"channels": 1, "height": SIDE, "width": SIDE, "classes": 2}

NETWORKS = [
    Architecture("small-cnn", IMAGES | {"stem": 4}),
    Architecture("resnet", IMAGES | {"base": 4, "depth": 8, "segments": 1}),
    Architecture("vit", IMAGES | {"patch": 4, "dimension": 16, "depth": 2, "heads": 2, "segments": 2}),
    Architecture("mlp", {"features": 5, "classes": 2, "width": 8, "depth": 2, "segments": 1}),
    Architecture("gpt", {"length": 12, "dimension": 16, "depth": 2, "heads": 2, "segments": 2}),
]


@pytest.mark.parametrize("architecture", NETWORKS, ids=lambda architecture: architecture.name)
def test_the_registrys_networks_can_be_trained_privately(architecture: Architecture) -> None:
    rng = np.random.default_rng(0)
    split = data()
    if architecture.name == "mlp":
        rows = rng.standard_normal((SAMPLES, 5), dtype=np.float32)
        split = Split(rows, split.train_y, rows[:9], split.train_y[:9])
    if architecture.name == "gpt":
        text, following = rng.integers(0, 256, (SAMPLES, 12), np.uint8), rng.integers(0, 256, (SAMPLES, 12))
        split = Split(text, following, text[:9], following[:9])
    leg = leg_of(build(architecture, 1), split=split, steps=2)
    method = PrivateMethod(BackpropMethod())
    assert trained(leg, method)["private_steps"] == 2
    changed = {name for name, tensor in leg.model.state_dict().items() if not torch.equal(tensor, leg.start[name])}
    assert changed == method.changes


def test_a_private_network_still_learns() -> None:
    images, labels = tiny_images(1050)
    split = Split(images[:1000], labels[:1000], images[1000:], labels[1000:])
    leg = leg_of(network(), "noise=0.6,momentum=0.5,delta=0.0005", split=split, steps=40, batch=100, rate=0.5)
    before = report_loss(leg)
    trained(leg, PrivateMethod(BackpropMethod(), seeded_noise(1), sampling_seed=2))
    assert report_loss(leg) < 0.6 * before


def test_a_leg_run_as_a_job_is_private_and_tells_no_losses(tmp_path: Path) -> None:
    parent = write_genesis(ARCHITECTURE, 1, tmp_path / "parent").path
    recipe = parse_recipe("privacy=dp,delta=0.001")
    job = LegJob(ARCHITECTURE, parent, tmp_path / "child", WHOLE_MODEL, 3, 12, 0.1, 3, recipe)
    result = run_leg(job, data(), lambda _fraction: None, Resources(private=tmp_path / "own"))
    assert result.record["epsilon_total"] == result.record["epsilon"]
    assert not [name for name in result.record if "loss" in name]
    assert SpentPrivacy(tmp_path / "own").read() == (Spending(1.0, 0.25, 3),)


# --- secret randomness ---


def test_the_same_leg_gives_another_child_each_time() -> None:
    first, second = leg_of(network()), leg_of(network())
    for leg in (first, second):
        trained(leg, PrivateMethod(BackpropMethod()))
    assert not torch.equal(first.model.state_dict()["head.weight"], second.model.state_dict()["head.weight"])


def test_the_same_secrets_give_the_same_child() -> None:
    first, second = leg_of(network()), leg_of(network())
    for leg in (first, second):
        trained(leg, PrivateMethod(BackpropMethod(), seeded_noise(1), sampling_seed=2))
    assert torch.equal(first.model.state_dict()["head.weight"], second.model.state_dict()["head.weight"])


def test_a_leg_that_goes_on_from_a_snapshot_ends_where_it_would_have() -> None:
    recipe = "momentum=0.9"
    whole = leg_of(network(), recipe)
    trained(whole, PrivateMethod(BackpropMethod(), no_noise, sampling_seed=2))

    halved = leg_of(network(), recipe)
    first = PrivateMethod(BackpropMethod(), no_noise, sampling_seed=2)
    batches = first.prepare(halved)
    for step in range(2):
        first.step(*samples_of(halved, batches[step]))
    state = {name: tensor.clone() for name, tensor in first.state().items()}
    weights = {name: tensor.clone() for name, tensor in halved.model.state_dict().items()}

    again = leg_of(network(), recipe)
    second = PrivateMethod(BackpropMethod(), no_noise, sampling_seed=2)
    batches = second.prepare(again)
    again.model.load_state_dict(weights)
    second.restore(state)
    for step in range(2, 4):
        second.step(*samples_of(again, batches[step]))
    assert second.finish()["private_steps"] == 4
    assert torch.equal(whole.model.state_dict()["head.weight"], again.model.state_dict()["head.weight"])


def test_every_sample_is_drawn_by_itself_at_the_stated_rate() -> None:
    batches = PoissonBatches(samples=50, steps=2000, rate=0.1, seed=1)
    drawn = np.zeros((2000, 50), bool)
    for step in range(2000):
        drawn[step, batches[step]] = True
    sizes = drawn.sum(1)
    assert np.abs(drawn.mean(0) - 0.1).max() < 0.03
    assert sizes.var() == pytest.approx(50 * 0.1 * 0.9, rel=0.15)  # binomial: the draws do not depend on each other
    assert 0 in sizes
    np.testing.assert_array_equal(batches[7], batches[7])


def test_draws_are_secret_unless_a_test_wants_otherwise() -> None:
    first, second = (PoissonBatches(samples=1000, steps=1, rate=0.5) for _ in range(2))
    assert first[0].tolist() != second[0].tolist()


def test_secret_normals_are_normal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "urandom", np.random.default_rng(5).bytes)
    drawn = np.sort(secret_normals(20_001))
    assert len(drawn) == 20_001
    moments = [np.mean(drawn**power) for power in (1, 2, 3, 4)]
    np.testing.assert_allclose(moments, [0, 1, 0, 3], atol=0.1)


def test_noise_is_the_sum_of_several_normals_at_the_asked_deviation() -> None:
    noise = noise_like((100, 200), 3.0, seeded_noise(2))
    assert noise.shape == (100, 200)
    assert noise.std() == pytest.approx(3.0, rel=0.02)


# --- what is told, and what is kept ---


def test_the_record_tells_what_was_spent_and_nothing_of_labels_or_losses(tmp_path: Path) -> None:
    leg = leg_of(network(), "balanced=true,noise=1.5", resources=Resources(private=tmp_path))
    record = trained(leg, PrivateMethod(BackpropMethod()))
    spent = epsilon_text(epsilon_of([Spending(1.5, 0.25, 4)], 0.001))
    assert record == {
        "accountant": "rdp",
        "epsilon": spent,
        "epsilon_total": spent,
        "delta": "0.001",
        "noise": "1.5",
        "dp_clip": "1.0",
        "sampling_rate": "0.25",
        "private_steps": 4,
        "samples": 48,  # 4 steps of 12 on average; the draws themselves stay secret
        "balanced": False,
    }


def test_label_shares_do_not_enter_the_loss() -> None:
    split = replace(data(), train_y=np.repeat([0, 1], [SAMPLES - 1, 1]))
    leg = leg_of(network(), "balanced=true", split=split)
    method = BackpropMethod()
    PrivateMethod(method).prepare(leg)
    assert not method.shift.any()


def test_legs_of_one_peer_add_up(tmp_path: Path) -> None:
    records = [
        trained(leg_of(network(), noise, resources=Resources(private=tmp_path)), PrivateMethod(BackpropMethod()))
        for noise in ("noise=1", "noise=1", "noise=2")
    ]
    totals = [float(record["epsilon_total"]) for record in records]
    assert totals[0] < totals[1] < totals[2]
    whole = [Spending(1.0, 0.25, 8), Spending(2.0, 0.25, 4)]
    assert records[-1]["epsilon_total"] == epsilon_text(epsilon_of(whole, 0.001))
    assert SpentPrivacy(tmp_path).read() == tuple(whole)


def test_a_damaged_account_is_refused_rather_than_taken_for_empty(tmp_path: Path) -> None:
    path = tmp_path / privacy.SPENT_NAME
    entry = {"noise": 1.0, "rate": 0.1, "steps": 3}
    for text in (
        "{",
        "[]",
        json.dumps({"spent": [{"noise": 1.0}]}),
        json.dumps({"spent": [entry | {"steps": -3}]}),
        json.dumps({"spent": [entry | {"rate": 2.0}]}),
        json.dumps({"spent": [entry | {"noise": float("inf")}]}),
        json.dumps({"spent": [entry | {"steps": True}]}),
    ):
        path.write_text(text)
        assert "restore it from a copy" in refused(leg_of(network(), resources=Resources(private=tmp_path)))


def test_an_account_that_cannot_be_written_fails_the_leg(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(LocalFault, match="must be accounted for"):
        SpentPrivacy(tmp_path / "file").add(Spending(1.0, 0.1, 3))


def test_only_the_peer_may_read_its_account(tmp_path: Path) -> None:
    SpentPrivacy(tmp_path).add(Spending(1.0, 0.1, 3))
    assert (tmp_path / privacy.SPENT_NAME).stat().st_mode & 0o077 == 0


def test_epsilon_without_sampling_is_that_of_composed_gaussians() -> None:
    noise, steps, delta = 2.0, 10, 1e-5
    orders = np.array(privacy.ORDERS)
    divergence = steps * orders / (2 * noise**2)  # Mironov, CSF 2017, corollary 3
    bound = divergence - (np.log(delta) + np.log(orders)) / (orders - 1) + np.log((orders - 1) / orders)
    assert epsilon_of([Spending(noise, 1.0, steps)], delta) == pytest.approx(bound.min(), rel=1e-6)


def test_epsilon_falls_with_noise_and_rises_with_steps_and_rate() -> None:
    base = epsilon_of([Spending(1.0, 0.01, 100)], 1e-5)
    accountant = RDPAccountant()
    accountant.history = [(1.0, 0.01, 100)]
    assert accountant.get_epsilon(1e-5) == pytest.approx(base, rel=1e-6)
    assert epsilon_of([Spending(2.0, 0.01, 100)], 1e-5) < base
    assert epsilon_of([Spending(1.0, 0.01, 200)], 1e-5) > base
    assert epsilon_of([Spending(1.0, 0.02, 100)], 1e-5) > base


def test_an_epsilon_is_written_with_few_digits_and_never_below_the_truth() -> None:
    assert [epsilon_text(value) for value in (1.2101, 12345.0, 0.00837123)] == ["1.22", "12400", "0.00838"]
