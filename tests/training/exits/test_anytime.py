"""Early exits: supervision trains them, calibration sets them, prediction leaves by them."""

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from derelayl_protocol.errors import LocalFault
from derelayl_protocol.types import WHOLE_MODEL
from derelayl_training.architectures import build
from derelayl_training.architectures.blocks import BlockModel
from derelayl_training.architectures.pil import build_pil
from derelayl_training.exits.anytime import AnytimeModel, Prediction
from derelayl_training.exits.pulled import Description, description_file, read_calibration, write_document
from derelayl_training.exits.stages import count_operations, stages_of
from derelayl_training.exits.temperature import fit_temperature
from derelayl_training.inputs import to_inputs
from derelayl_training.jobs import Architecture, LegJob
from derelayl_training.judge import share_correct
from derelayl_training.recipe import Recipe
from derelayl_training.split import Split
from derelayl_training.train import run_leg, write_genesis
from derelayl_training.weights import load_weights, save_weights

from ..tiny import ARCHITECTURE, SIDE, tiny_images

SHAPE = {"channels": 1, "height": SIDE, "width": SIDE, "classes": 2, "depth": 8, "base": 4, "segments": 3}
PLAIN = Architecture("resnet", SHAPE)
NETWORK = Architecture("resnet", {**SHAPE, "heads": "linear"})
SUPERVISED = Recipe(supervision=0.5)


def hard_images(samples: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """The two classes of `tiny_images`, every third sample with half of its contrast lost in noise."""
    images, labels = tiny_images(samples, seed)
    rng = np.random.default_rng(seed)
    noise = rng.integers(0, 228, images.shape, dtype=np.uint8)
    faint = (np.arange(samples) % 3 == 0)[:, None, None, None]
    return np.where(faint & (rng.random(images.shape) < 0.8), noise, images).astype(np.uint8), labels


@pytest.fixture(scope="module")
def data() -> Split:
    return Split(*hard_images(256, 0), *hard_images(200, 1))


@pytest.fixture(scope="module")
def trained(data: Split, tmp_path_factory: pytest.TempPathFactory) -> BlockModel:
    folder = tmp_path_factory.mktemp("exits")
    return leg_of(NETWORK, data, folder, SUPERVISED, steps=60)


@pytest.fixture
def anytime(trained: BlockModel, data: Split) -> AnytimeModel:
    model = AnytimeModel(trained)
    model.calibrate(data.held_x, data.held_y)
    return model


def leg_of(
    architecture: Architecture, data: Split, folder: Path, recipe: Recipe, segment: int = WHOLE_MODEL, steps: int = 10
) -> BlockModel:
    genesis = write_genesis(architecture, 0, folder / "genesis").path
    job = LegJob(architecture, genesis, folder / "child", segment, steps, 32, 0.05, seed=0, recipe=recipe)
    run_leg(job, data, lambda _fraction: None)
    model = build(architecture)
    load_weights(model, folder / "child")
    assert isinstance(model, BlockModel)
    return model


# --- supervision in a leg -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("architecture", [ARCHITECTURE, PLAIN, Architecture("resnet", {**SHAPE, "heads": "meta"})])
def test_supervision_without_prefix_heads_is_refused_before_training(
    architecture: Architecture, data: Split, tmp_path: Path
) -> None:
    with pytest.raises(LocalFault, match="heads"):
        leg_of(architecture, data, tmp_path, SUPERVISED)
    assert not (tmp_path / "child").exists()


def test_supervision_trains_the_heads_and_none_leaves_them_as_they_were(data: Split, tmp_path: Path) -> None:
    genesis = build(NETWORK, 0).state_dict()
    heads = [name for name in genesis if name.startswith("heads.")]
    assert len(heads) == 4
    plain = leg_of(NETWORK, data, tmp_path, Recipe()).state_dict()
    assert all(torch.equal(plain[name], genesis[name]) for name in heads)
    supervised = leg_of(NETWORK, data, tmp_path, SUPERVISED).state_dict()
    assert not any(torch.equal(supervised[name], genesis[name]) for name in heads)


def test_a_leg_on_a_late_segment_leaves_earlier_heads_alone(data: Split, tmp_path: Path) -> None:
    genesis = build(NETWORK, 0).state_dict()
    child = leg_of(NETWORK, data, tmp_path, SUPERVISED, segment=1).state_dict()
    changed = {name for name in genesis if not torch.equal(child[name], genesis[name])}
    assert any(name.startswith("heads.1.") for name in changed)
    assert all(name.startswith(("heads.1.", "blocks.1.")) for name in changed)


def test_the_weight_of_supervision_falls_to_nothing_over_the_leg(data: Split, tmp_path: Path) -> None:
    first = leg_of(NETWORK, data, tmp_path, SUPERVISED, steps=1).state_dict()
    model = build(NETWORK, 0)
    assert isinstance(model, BlockModel)
    order = np.random.default_rng([0, 0]).permutation(len(data.train_y))[:32]
    inputs, labels = to_inputs(data.train_x[order]), torch.from_numpy(data.train_y[order])
    shift = torch.from_numpy(np.log(np.bincount(data.train_y) / len(data.train_y))).float()
    *early, last = (F.cross_entropy(logits + shift, labels) for logits in model.exit_logits(inputs))
    (last + 0.5 * sum(early)).backward()
    weight = dict(model.named_parameters())["heads.0.layers.0.linear.weight"]
    rate = 0.05 / (SUPERVISED.warmup + 1)
    assert weight.grad is not None
    step = (weight.grad + SUPERVISED.weight_decay * weight) * (1 + SUPERVISED.momentum)
    torch.testing.assert_close(first["heads.0.layers.0.linear.weight"], weight.detach() - rate * step)


# --- exits that cannot be ------------------------------------------------------------------------------------------


def test_a_network_without_heads_runs_whole_and_says_why_it_cannot_do_less(data: Split) -> None:
    model = AnytimeModel(build(PLAIN))
    found = model.predict(data.held_x)
    assert model.exits == 1
    assert found.mean_cost == pytest.approx(1.0)
    with pytest.raises(LocalFault, match="no prefix heads"):
        model.predict(data.held_x, 0.5)


def test_a_network_without_blocks_runs_whole(data: Split) -> None:
    model = build(ARCHITECTURE)
    found = AnytimeModel(model).predict(data.held_x)
    assert (found.labels == data.held_y).mean() == share_correct(model, data.held_x, data.held_y)


def test_a_network_without_parameters_runs_whole() -> None:
    shape = {"features": 4, "classes": 2, "neurons": 8, "subsystems": 1, "seed": 0, "ridge": -3}
    found = AnytimeModel(build_pil(shape)).predict(np.eye(4, dtype=np.float32))
    assert found.mean_cost == 1.0


def test_a_network_that_continues_text_is_refused() -> None:
    text = Architecture("gpt", {"length": 8, "dimension": 8, "depth": 1, "heads": 1, "segments": 1})
    with pytest.raises(LocalFault, match="not for networks that continue text"):
        AnytimeModel(build(text))


def test_exits_that_are_not_calibrated_are_refused_below_the_whole_budget(trained: BlockModel, data: Split) -> None:
    with pytest.raises(LocalFault, match="not calibrated"):
        AnytimeModel(trained).predict(data.held_x, 0.5)


@pytest.mark.parametrize("budget", [0.0, -1.0, 1.01, float("nan")])
def test_a_budget_that_is_no_share_is_refused(anytime: AnytimeModel, data: Split, budget: float) -> None:
    with pytest.raises(LocalFault, match="allowed is a share"):
        anytime.predict(data.held_x, budget)


def test_a_budget_below_the_first_exit_is_refused(anytime: AnytimeModel, data: Split) -> None:
    with pytest.raises(LocalFault, match="too small: the first exit alone costs"):
        anytime.predict(data.held_x, 0.01)


def test_samples_that_do_not_fit_are_refused(anytime: AnytimeModel, data: Split) -> None:
    with pytest.raises(LocalFault, match=r"the network takes images \(1, 8, 8\)"):
        anytime.predict(data.held_x[:, :, :4])
    with pytest.raises(LocalFault, match="no samples"):
        anytime.predict(data.held_x[:0])
    with pytest.raises(LocalFault, match="at least 50"):
        anytime.calibrate(data.held_x[:49], data.held_y[:49])
    with pytest.raises(LocalFault, match="labels from 0 to 1"):
        anytime.calibrate(data.held_x, data.held_y + 1)


def test_an_answer_that_is_not_finite_is_refused() -> None:
    shape: dict[str, int | str | bool] = {
        "features": 2,
        "classes": 2,
        "width": 4,
        "depth": 2,
        "segments": 2,
        "heads": "linear",
    }
    rows = np.full((60, 2), 3e38, np.float32)
    model = AnytimeModel(build(Architecture("mlp", shape)))
    with pytest.raises(LocalFault, match="not finite"):
        model.predict(rows)
    with pytest.raises(LocalFault, match="not finite"):
        model.calibrate(rows, np.zeros(60, np.int64))


def test_a_calibration_of_other_weights_is_refused(anytime: AnytimeModel) -> None:
    with pytest.raises(LocalFault, match="made for other weights"):
        AnytimeModel(build(NETWORK), anytime.calibration)


# --- exits that work ------------------------------------------------------------------------------------------------


def test_costs_are_counted_by_hand_for_a_small_network() -> None:
    model = build(NETWORK)
    assert isinstance(model, BlockModel)
    trunk, heads = count_operations(stages_of(model), torch.zeros(1, 1, SIDE, SIDE))
    assert trunk == (
        64 * 4 * 9 + 2 * 64 * 4 * 4 * 9,  # stem, and two convolutions of 4 channels at 8x8
        16 * 8 * 4 * 9 + 16 * 8 * 8 * 9,
        4 * 16 * 8 * 9 + 4 * 16 * 16 * 9,
    )
    assert heads == (4 * 2, 8 * 2, 16 * 2)


def test_attention_is_counted() -> None:
    shape = {
        "channels": 1,
        "height": 8,
        "width": 8,
        "classes": 2,
        "patch": 2,
        "dimension": 8,
        "depth": 1,
        "segments": 1,
    }
    trunk, _ = count_operations(stages_of(build(Architecture("vit", {**shape, "heads": 2}))), torch.zeros(1, 1, 8, 8))
    linear = 16 * (4 * 8 + 3 * 8 * 8 + 8 * 8 + 2 * 8 * 32)
    assert trunk == (linear + 2 * 16 * 16 * 8 + 8 * 2,)  # with one exit, its head is part of the way


def test_the_temperature_found_is_where_the_loss_is_least() -> None:
    rng = torch.Generator().manual_seed(0)
    logits = torch.randn(2000, 5, generator=rng)
    truth = torch.multinomial(logits.softmax(1), 1, generator=rng)[:, 0]
    assert fit_temperature(logits * 3, truth) == pytest.approx(3, rel=0.1)
    found = fit_temperature(logits, truth)
    losses = [F.cross_entropy(logits.double() / (found * factor), truth).item() for factor in (0.99, 1, 1.01)]
    assert min(losses) == losses[1]


def test_the_whole_budget_gives_what_the_network_gives(anytime: AnytimeModel, data: Split) -> None:
    found = anytime.predict(data.held_x)
    assert set(found.exit.tolist()) == {2}
    assert found.cost.tolist() == pytest.approx([1.0] * len(found.cost))
    assert (found.labels == data.held_y).mean() == share_correct(anytime.model, data.held_x, data.held_y)


@pytest.mark.parametrize("budget", [0.6, 0.75, 0.9])
def test_on_what_calibrated_it_a_budget_is_kept_and_the_accuracy_is_as_noted(
    anytime: AnytimeModel, data: Split, budget: float
) -> None:
    assert anytime.calibration is not None
    point = max((p for p in anytime.calibration.points if p.budget <= budget), key=lambda p: p.budget)
    found = anytime.predict(data.held_x, budget)
    assert found.mean_cost == pytest.approx(point.cost, abs=0.01)
    assert found.mean_cost <= budget + 0.01
    assert (found.labels == data.held_y).mean() == pytest.approx(point.accuracy, abs=0.01)


def test_a_sample_s_answer_does_not_depend_on_its_neighbours(anytime: AnytimeModel, data: Split) -> None:
    together = anytime.predict(data.held_x, 0.7)
    alone = [anytime.predict(data.held_x[i : i + 1], 0.7) for i in range(20)]
    assert [int(one.labels[0]) for one in alone] == together.labels[:20].tolist()
    assert [int(one.exit[0]) for one in alone] == together.exit[:20].tolist()
    assert [float(one.confidence[0]) for one in alone] == pytest.approx(together.confidence[:20].tolist(), abs=1e-5)


def test_samples_that_have_left_are_not_computed_any_further(anytime: AnytimeModel, data: Split) -> None:
    sizes: list[int] = []
    last = anytime.model.get_submodule("blocks.2")
    hook = last.register_forward_hook(lambda _module, inputs, _output: sizes.append(len(inputs[0])))
    found = anytime.predict(data.held_x, 0.7)
    hook.remove()
    stayed = int((found.exit == 2).sum())
    assert stayed < len(found.exit)
    assert sum(sizes) == stayed


def test_calibrating_twice_gives_the_same_and_more_budget_is_never_worse(trained: BlockModel, data: Split) -> None:
    first, second = (AnytimeModel(trained).calibrate(data.held_x, data.held_y) for _ in range(2))
    assert first == second
    accuracies = [point.accuracy for point in first.points]
    assert accuracies == sorted(accuracies)
    assert all(point.cost <= point.budget + 1e-6 for point in first.points)


def test_a_checkpoint_on_disk_is_loaded_with_its_calibration(
    anytime: AnytimeModel, data: Split, tmp_path: Path
) -> None:
    weights = tmp_path / "weights.safetensors"
    save_weights(anytime.model, weights)
    write_document(
        description_file(weights), Description(architecture=NETWORK.name, parameters=dict(NETWORK.parameters))
    )
    assert read_calibration(weights) is None
    assert anytime.calibration is not None
    write_document(tmp_path / "calibration.json", anytime.calibration)
    again = AnytimeModel.load(tmp_path)
    assert again.calibration == anytime.calibration
    assert same(again.predict(data.held_x, 0.7), anytime.predict(data.held_x, 0.7))


def same(one: Prediction, other: Prediction) -> bool:
    return all(
        np.array_equal(getattr(one, name), getattr(other, name)) for name in ("labels", "confidence", "exit", "cost")
    )
