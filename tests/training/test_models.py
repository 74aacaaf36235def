"""The registry of architectures."""

from typing import Any

import numpy as np
import pytest
import torch

from derelayl_protocol.errors import LocalFault
from derelayl_protocol.types import WHOLE_MODEL
from derelayl_training.architectures import build
from derelayl_training.jobs import Architecture
from derelayl_training.kinds import BYTE_VALUES, InputKind
from derelayl_training.registry import ARCHITECTURES

from .tiny import ARCHITECTURE

NETWORKS = {name: blueprint.example for name, blueprint in ARCHITECTURES.items() if blueprint.example is not None}
MNIST = NETWORKS["small-cnn"]


def test_an_unknown_architecture_is_refused_by_name() -> None:
    with pytest.raises(LocalFault, match=r"'torch\.nn\.Linear' is unknown"):
        build(Architecture("torch.nn.Linear", MNIST))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"stem": 0}, "stem is 0"),
        ({"stem": 132}, "stem is 132"),
        ({"stem": 6}, "multiple of 4"),
        ({"height": 7}, "height is 7"),
        ({"width": 257}, "width is 257"),
        ({"classes": 1}, "classes is 1"),
        ({"classes": True}, "classes is True"),
        ({"channels": "1"}, "channels is '1'"),
        ({"depth": 3}, "takes the parameters"),
    ],
)
def test_parameters_out_of_range_are_refused(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(LocalFault, match=reason):
        build(Architecture("small-cnn", {**MNIST, **changes}))


def test_a_missing_parameter_is_refused() -> None:
    with pytest.raises(LocalFault, match="takes the parameters"):
        build(Architecture("small-cnn", {"channels": 1}))


def test_a_segment_that_does_not_exist_is_refused() -> None:
    with pytest.raises(LocalFault, match="segment 2 does not exist"):
        build(ARCHITECTURE).names_of(2)


@pytest.mark.parametrize("name", NETWORKS)
def test_every_tensor_of_the_state_belongs_to_exactly_one_segment(name: str) -> None:
    model = build(Architecture(name, NETWORKS[name]))
    named = [tensor for segment in model.segments for tensor in segment]
    assert sorted(named) == sorted(model.state_dict())
    assert model.names_of(WHOLE_MODEL) == set(named)
    assert all(model.segments)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_sample_is_classified_alike_alone_and_in_a_batch(name: str) -> None:
    model = build(Architecture(name, NETWORKS[name])).train()
    inputs = torch.rand(4, *model.input_shape)
    if model.input_kind is InputKind.TEXT:
        inputs = (inputs * BYTE_VALUES).long()
    torch.testing.assert_close(model(inputs)[:1], model(inputs[:1]))


@pytest.mark.parametrize(("height", "width"), [(8, 8), (9, 31), (28, 28), (15, 64)])
def test_any_allowed_size_of_image_gives_one_logit_per_class(height: int, width: int) -> None:
    shape = {"channels": 3, "height": height, "width": width, "classes": 7, "stem": 4}
    assert build(Architecture("small-cnn", shape))(torch.zeros(2, 3, height, width)).shape == (2, 7)


def test_the_largest_allowed_network_is_bounded() -> None:
    largest = {"channels": 16, "height": 256, "width": 256, "classes": 1000, "stem": 128}
    with torch.device("meta"):
        weights = sum(tensor.numel() for tensor in build(Architecture("small-cnn", largest)).state_dict().values())
    assert weights < 600_000_000


def test_building_does_not_disturb_the_generator_of_the_caller() -> None:
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    build(ARCHITECTURE, seed=5)
    np.testing.assert_array_equal(torch.rand(3), expected)
