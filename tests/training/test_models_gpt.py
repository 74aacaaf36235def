"""The network for text."""

import math
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
from derelayl_training.architectures.blocks import MAX_ACTIVATIONS, MAX_WEIGHTS, BlockModel
from derelayl_training.data import Split
from derelayl_training.jobs import Architecture, LegJob
from derelayl_training.judge import mean_loss, share_correct
from derelayl_training.kinds import InputKind
from derelayl_training.train import run_leg, write_genesis
from derelayl_training.weights import load_weights

LENGTH = 12
GPT = {"length": LENGTH, "dimension": 16, "depth": 3, "heads": 2, "segments": 3}
NETWORK = Architecture("gpt", GPT)


def text(windows: int = 40) -> Split:
    """The alphabet again and again: each byte tells the next."""
    letters = np.frombuffer(b"abcdefghijklmnopqrstuvwxyz " * 100, np.uint8)
    cut = letters[: windows * (LENGTH + 1)].reshape(windows, LENGTH + 1)
    inputs, following, half = cut[:, :-1].copy(), cut[:, 1:].astype(np.int64), windows // 2
    return Split(inputs[:half], following[:half], inputs[half:], following[half:])


def leg(parent: Path, child: Path, segment: int, steps: int = 3, rate: float = 0.05) -> LegJob:
    return LegJob(NETWORK, parent, child, segment, steps, 16, rate, seed=3)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"length": 1}, "length is 1"),
        ({"length": 1025}, "length is 1025"),
        ({"heads": 3}, "dimension is 16, allowed is a multiple of heads, which is 3"),
        ({"depth": 49}, "depth is 49"),
        ({"segments": 4}, "segments is 4, allowed are at most its 3 blocks"),
        ({"dimension": "16"}, "dimension is '16'"),
        ({"classes": 256}, "takes the parameters"),
        ({"dimension": 1024, "depth": 48}, rf"weights, allowed are {MAX_WEIGHTS}"),
        ({"length": 1024}, rf"numbers, allowed are {MAX_ACTIVATIONS}"),
    ],
)
def test_a_gpt_that_cannot_be_is_refused(changes: Mapping[str, int | str | bool], reason: str) -> None:
    with pytest.raises(LocalFault, match=reason):
        build(Architecture("gpt", {**GPT, **changes}))


def test_windows_of_another_length_are_refused_before_training(tmp_path: Path) -> None:
    parent = write_genesis(NETWORK, 1, tmp_path / "parent").path
    windows, following = text().train_x[:, :5], text().train_y[:, :5]
    short = Split(windows, following, windows, following)
    with pytest.raises(LocalFault, match=r"text windows of shape \(5,\) .* text windows of shape \(12,\)"):
        run_leg(leg(parent, tmp_path / "child", 0), short, lambda _fraction: None)


def test_a_gpt_has_the_weights_that_can_be_counted_by_hand() -> None:
    block = 2 * 2 * 16 + (16 + 1) * 3 * 16 + (16 + 1) * 16 + (16 + 1) * 64 + (64 + 1) * 16
    expected = 256 * 16 + LENGTH * 16 + 3 * block + 2 * 16 + (16 + 1) * 256
    assert sum(tensor.numel() for tensor in build(NETWORK).state_dict().values()) == expected


@pytest.mark.parametrize("place", [1, 6, LENGTH - 1])
def test_a_byte_changes_no_logit_before_it(place: int) -> None:
    model = build(NETWORK, seed=2).eval()
    windows = torch.randint(0, 256, (4, LENGTH), generator=torch.Generator().manual_seed(1))
    changed = windows.clone()
    changed[:, place] = (changed[:, place] + 1) % 256
    before, after = model(windows), model(changed)
    assert torch.equal(before[:, :, :place], after[:, :, :place])
    assert not torch.equal(before[:, :, place], after[:, :, place])


@pytest.mark.parametrize("place", [1, 7])
def test_what_methods_add_looks_not_ahead_either(place: int) -> None:
    model = build(NETWORK)
    assert isinstance(model, BlockModel)
    features = torch.rand(2, LENGTH, 16, generator=torch.Generator().manual_seed(1))
    changed = features.clone()
    changed[:, place:] += 1
    for added in (model.bridge(0, 2), model.classifier(1)):
        before, after = added(features), added(changed)
        places = 1 if before.shape[1] == LENGTH else 2
        assert torch.equal(before.narrow(places, 0, place), after.narrow(places, 0, place))
    assert model.classifier(1)(features).shape == (2, 256, LENGTH)


def test_a_gpt_gives_logits_of_every_next_byte() -> None:
    model = build(NETWORK)
    assert (model.input_kind, model.input_shape, model.classes) == (InputKind.TEXT, (LENGTH,), 256)
    assert model(torch.zeros(2, LENGTH, dtype=torch.int64)).shape == (2, 256, LENGTH)


def test_every_tensor_gets_a_gradient_and_belongs_to_one_segment() -> None:
    model = build(NETWORK, seed=5)
    windows = torch.randint(0, 256, (8, LENGTH), generator=torch.Generator().manual_seed(1))
    F.cross_entropy(model(windows), windows).backward()
    assert all(parameter.grad is not None and parameter.grad.abs().sum() > 0 for parameter in model.parameters())
    assert [name for names in model.segments for name in names] == list(model.state_dict())


def test_a_new_gpt_knows_nothing_and_is_judged_by_the_byte() -> None:
    data = text()
    assert mean_loss(build(NETWORK, seed=1), data.held_x, data.held_y) == pytest.approx(math.log(256), abs=0.1)


@pytest.mark.parametrize("segment", [0, 1, 2])
def test_a_leg_changes_its_segment_and_no_other_byte(tmp_path: Path, segment: int) -> None:
    parent = write_genesis(NETWORK, 1, tmp_path / "parent").path
    child = run_leg(leg(parent, tmp_path / "child", segment), text(), lambda _fraction: None).weights
    before, after = load_file(parent), load_file(child.path)
    changed = {name for name in before if before[name].tobytes() != after[name].tobytes()}
    assert changed == {name for name, of in child.segment_of.items() if of == segment}


def test_a_gpt_learns_the_alphabet(tmp_path: Path) -> None:
    data = text()
    parent = write_genesis(NETWORK, 1, tmp_path / "parent").path
    run_leg(leg(parent, tmp_path / "child", WHOLE_MODEL, steps=150, rate=0.1), data, lambda _fraction: None)
    model = build(NETWORK)
    load_weights(model, tmp_path / "child")
    assert share_correct(model, data.held_x, data.held_y) > 0.9
