"""Auxiliary heads: which there are, where they sit, and what they leave alone."""

from collections.abc import Mapping
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from derelayl_protocol.errors import LocalFault
from derelayl_training.architectures import build
from derelayl_training.architectures.blocks import MAX_WEIGHTS, BlockModel, StandIn
from derelayl_training.architectures.heads import bridge_stops, mixed_logits, pyramid
from derelayl_training.architectures.leaps import LeapHead, leap_blocks
from derelayl_training.architectures.resnet import cell_means
from derelayl_training.jobs import Architecture

from .tiny import SIDE

IMAGES = {"channels": 1, "height": SIDE, "width": SIDE, "classes": 3}
RESNET = Architecture("resnet", {**IMAGES, "depth": 14, "base": 4, "segments": 4})
FAMILIES = [
    RESNET,
    Architecture("resnet", {**RESNET.parameters, "norm": "batch"}),
    Architecture("vit", {**IMAGES, "patch": 4, "dimension": 8, "depth": 4, "heads": 2, "segments": 3}),
    Architecture("gpt", {"length": 6, "dimension": 8, "depth": 4, "heads": 2, "segments": 3}),
    Architecture("mlp", {"features": 5, "classes": 3, "width": 8, "depth": 4, "segments": 3}),
]
EXITS = ["linear", "dgl", "auglocal-2", "mlaan"]
KINDS = [*EXITS, "meta"]
RESNET_32, RESNET_110 = (15, [5, 10]), (54, [18, 36])
"""Blocks, and those that change the shape."""


def by_name(architecture: Architecture) -> str:
    return architecture.name + str(architecture.parameters.get("norm", ""))


def with_heads(architecture: Architecture, kind: str) -> Architecture:
    parameters = dict(architecture.parameters)
    if "heads" in parameters:
        parameters["attention_heads"] = parameters.pop("heads")
    return Architecture(architecture.name, {**parameters, "heads": kind})


def built(architecture: Architecture, kind: str, seed: int = 0) -> BlockModel:
    model = build(with_heads(architecture, kind), seed)
    assert isinstance(model, BlockModel)
    return model


def some_inputs(model: BlockModel, samples: int = 2) -> torch.Tensor:
    random = torch.Generator().manual_seed(1)
    if len(model.input_shape) == 1 and model.classes == 256:
        return torch.randint(0, 256, (samples, *model.input_shape), generator=random)
    return torch.rand(samples, *model.input_shape, generator=random)


# --- refusals ---


@pytest.mark.parametrize("kind", ["", "deep", "auglocal", "auglocal-0", "auglocal-17", "auglocal-2 ", "Linear"])
@pytest.mark.parametrize("segments", [1, 4])
def test_heads_of_no_known_kind_are_refused(kind: str, segments: int) -> None:
    with pytest.raises(LocalFault, match="allowed are linear, dgl, auglocal-1 to auglocal-16, mlaan and meta"):
        built(Architecture("resnet", {**RESNET.parameters, "segments": segments}), kind)


@pytest.mark.parametrize("kind", [2, True])
def test_heads_that_are_no_text_are_refused(kind: int) -> None:
    with pytest.raises(LocalFault, match="takes the parameters"):
        build(Architecture("resnet", {**RESNET.parameters, "heads": kind}))


def test_a_network_without_blocks_has_no_place_for_heads() -> None:
    with pytest.raises(LocalFault, match="small-cnn has no blocks"):
        build(Architecture("small-cnn", {**IMAGES, "stem": 4, "heads": "linear"}))


def test_a_transformer_with_auxiliary_heads_still_needs_its_attention_heads() -> None:
    parameters = {**FAMILIES[2].parameters, "heads": "linear"}
    with pytest.raises(LocalFault, match="takes the parameters"):
        build(Architecture("vit", parameters))


def test_heads_that_weigh_too_much_are_refused_before_they_are_made(monkeypatch: pytest.MonkeyPatch) -> None:
    shape = {**IMAGES, "depth": 32, "base": 128, "segments": 15}
    made: list[int] = []
    draw = nn.init.kaiming_normal_

    def record(tensor: torch.Tensor, **settings: Any) -> torch.Tensor:
        if tensor.device.type != "meta":
            made.append(tensor.numel())
        return draw(tensor, **settings) if tensor.device.type == "meta" else tensor

    monkeypatch.setattr(nn.init, "kaiming_normal_", record)
    with pytest.raises(LocalFault, match=rf"weights, allowed are {MAX_WEIGHTS}"):
        built(Architecture("resnet", shape), "auglocal-6")
    assert len(made) == 31  # the network's own convolutions


def test_a_network_without_heads_has_no_exits() -> None:
    model = build(RESNET)
    assert isinstance(model, BlockModel)
    with pytest.raises(LocalFault, match="no auxiliary heads; its architecture must ask for them"):
        model.exit_logits(some_inputs(model))


def test_meta_blocks_are_no_exits() -> None:
    model = built(RESNET, "meta")
    with pytest.raises(LocalFault, match="heads=meta do not classify"):
        model.exit_logits(some_inputs(model))


@pytest.mark.parametrize("kind", ["", "linear"])
def test_a_network_without_meta_blocks_has_no_meta_model(kind: str) -> None:
    model = built(RESNET, kind) if kind else build(RESNET)
    assert isinstance(model, BlockModel)
    with pytest.raises(LocalFault, match="needs heads=meta"):
        mixed_logits(model, some_inputs(model), {0})


# --- what heads leave alone ---


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("network", FAMILIES, ids=by_name)
def test_the_network_has_the_same_weights_with_and_without_heads(network: Architecture, kind: str) -> None:
    plain, model = build(network, seed=4), built(network, kind, seed=4)
    ours, added = plain.state_dict(), model.state_dict()
    assert list(ours) == [name for name in added if not name.startswith("heads.")]
    assert all(torch.equal(ours[name], added[name]) for name in ours)
    for stand_in in (head for head in model.heads.values() if isinstance(head, StandIn)):
        stand_in.grown.fill_(1)
    inputs = some_inputs(model)
    assert torch.equal(plain.eval()(inputs), model.eval()(inputs))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("network", FAMILIES, ids=by_name)
def test_heads_belong_to_the_segment_they_sit_on(network: Architecture, kind: str) -> None:
    model = built(network, kind)
    places = model.segment_of()
    assert places.keys() == model.state_dict().keys()
    heads = {name: place for name, place in places.items() if name.startswith("heads.")}
    assert all(name.startswith(f"heads.{place}.") for name, place in heads.items())
    last = len(model.cuts) - 2
    assert set(heads.values()) == set(range(last + 1 if kind == "meta" else last))


@pytest.mark.parametrize("kind", KINDS)
def test_heads_follow_from_the_seed_alone(kind: str) -> None:
    first = built(RESNET, kind, seed=5).state_dict()
    torch.rand(3)
    again = built(RESNET, kind, seed=5).state_dict()
    assert all(torch.equal(first[name], again[name]) for name in first)


def test_importance_is_kept_for_heads_too() -> None:
    model = build(Architecture("resnet", {**RESNET.parameters, "heads": "mlaan", "importance": True}))
    places = model.segment_of()
    assert places["importance.heads/1/independent_classifier/linear/weight"] == 1
    assert not any("shadow" in name for name in places if name.startswith("importance."))


# --- exits ---


@pytest.mark.parametrize("kind", EXITS)
@pytest.mark.parametrize("network", FAMILIES, ids=by_name)
def test_every_segment_has_an_exit_and_the_last_is_the_network(network: Architecture, kind: str) -> None:
    model = built(network, kind).eval()
    inputs = some_inputs(model)
    logits = model.exit_logits(inputs)
    assert len(logits) == len(model.cuts) - 1
    assert {each.shape for each in logits} == {model(inputs).shape}
    assert torch.equal(logits[-1], model(inputs))


@pytest.mark.parametrize("kind", KINDS)
def test_a_network_of_one_segment_has_its_own_classifier_at_most(kind: str) -> None:
    model = built(Architecture("resnet", {**RESNET.parameters, "segments": 1}), kind)
    assert len(model.heads) == (1 if kind == "meta" else 0)
    if kind != "meta":
        assert torch.equal(model.exit_logits(some_inputs(model))[0], model(some_inputs(model)))


@pytest.mark.parametrize("kind", EXITS)
def test_no_exit_of_a_text_network_looks_ahead(kind: str) -> None:
    model = built(FAMILIES[3], kind).eval()
    text = some_inputs(model)
    changed = text.clone()
    changed[:, 4:] += 1
    for before, after in zip(model.exit_logits(text), model.exit_logits(changed % 256), strict=True):
        torch.testing.assert_close(before[:, :, :4], after[:, :, :4])
        assert not torch.allclose(before[:, :, 4:], after[:, :, 4:])


def test_a_linear_head_is_the_mean_over_pixels_and_a_linear_layer() -> None:
    model = built(RESNET, "linear")
    assert {name: tuple(tensor.shape) for name, tensor in model.heads.state_dict().items() if name[0] == "2"} == {
        "2.layers.0.linear.weight": (3, 8),
        "2.layers.0.linear.bias": (3,),
    }


@pytest.mark.parametrize(("height", "width"), [(1, 1), (2, 3), (7, 9), (8, 8)])
@pytest.mark.parametrize("cells", [1, 2, 3])
def test_cell_means_are_adaptive_average_pooling(height: int, width: int, cells: int) -> None:
    features = torch.rand(2, 3, height, width, generator=torch.Generator().manual_seed(0))
    pooled = F.adaptive_avg_pool2d(features, (cells, 2))
    torch.testing.assert_close(cell_means(features, cells, 2), pooled)


# --- AugLocal ---


@pytest.mark.parametrize(
    ("at", "count", "expected"),
    [(1, 2, [8, 15]), (5, 5, [7, 9, 11, 13, 15]), (13, 6, [14, 15]), (14, 3, [15])],
)
def test_auglocal_blocks_are_spread_evenly_over_what_is_left(at: int, count: int, expected: list[int]) -> None:
    assert bridge_stops(at, 15, count) == expected


def test_auglocal_heads_get_shallower_with_depth() -> None:
    assert [pyramid(6, segment, 16) for segment in (0, 7, 14)] == [6, 5, 4]
    assert pyramid(1, 3, 8) == 1
    assert pyramid(6, 0, 2) == 6


def test_an_auglocal_head_has_the_shapes_of_later_stages() -> None:
    head = built(RESNET, "auglocal-4").heads["0"]
    widths = [layer.weight.shape[0] for layer in head.modules() if isinstance(layer, nn.Conv2d)]
    assert widths == [4, 4, 8, 8, 16, 16, 16, 16]
    assert [layer.weight.shape for layer in head.modules() if isinstance(layer, nn.Linear)] == [(3, 16)]


# --- leaps ---


@pytest.mark.parametrize(("blocks", "reshaping"), [RESNET_32, RESNET_110, (12, []), (2, [1])])
def test_leaps_end_at_the_last_block_and_pass_every_change_of_shape(blocks: int, reshaping: list[int]) -> None:
    for at in range(1, blocks):
        leaps = leap_blocks(at, blocks, reshaping)
        assert leaps == sorted(set(leaps))
        assert leaps[0] >= at
        assert leaps[-1] == blocks - 1
        assert all(block in leaps for block in reshaping if block >= at)


def test_leaps_get_fewer_with_depth() -> None:
    assert [leap_blocks(at, *RESNET_32) for at in (1, 6, 11, 14)] == [
        [5, 8, 10, 14],
        [10, 12, 14],
        [14],
        [14],
    ]
    assert leap_blocks(1, *RESNET_110) == [18, 30, 36, 53]
    assert leap_blocks(1, 12, []) == [3, 6, 8, 11]


def test_leaps_and_shadow_start_as_the_backbone() -> None:
    model = built(RESNET, "mlaan")
    for segment, head in model.heads.items():
        assert isinstance(head, LeapHead)
        chosen = leap_blocks(model.cuts[int(segment) + 1], 6, [2, 4])
        assert head.mirrored == chosen[0]
        for block, copy in [*zip(chosen, head.leaps, strict=True), (chosen[0], head.shadow)]:
            state = model.blocks[block].state_dict()
            assert all(torch.equal(tensor, state[name]) for name, tensor in copy.state_dict().items())
        assert not list(head.shadow.parameters())
        features = torch.rand(2, *_shape(model, int(segment)))
        torch.testing.assert_close(
            head(features), head.cascaded_classifier(head.leaps[1:](2 * model.blocks[head.mirrored](features)))
        )


def _shape(model: BlockModel, segment: int) -> Mapping[int, int] | torch.Size:
    inputs = some_inputs(model)
    for each in range(segment + 1):
        inputs = model.run_segment(each, inputs)
    return inputs.shape[1:]


# --- meta blocks ---


@pytest.mark.parametrize("network", FAMILIES, ids=by_name)
def test_meta_blocks_stand_for_any_choice_of_segments(network: Architecture) -> None:
    model = built(network, "meta").eval()
    inputs = some_inputs(model)
    segments = range(len(model.cuts) - 1)
    torch.testing.assert_close(mixed_logits(model, inputs, set()), model(inputs))
    for segment in segments:
        model.heads[str(segment)].get_buffer("grown").fill_(1)
    torch.testing.assert_close(mixed_logits(model, inputs, set(segments)), model(inputs))
    logits = [mixed_logits(model, inputs, real) for real in ((), *({segment} for segment in segments))]
    assert {each.shape for each in logits} == {model(inputs).shape}
    assert not any(torch.equal(logits[0], each) for each in logits[1:])
