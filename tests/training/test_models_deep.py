"""The architectures made of blocks: resnet and vit."""

from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from safetensors.numpy import load_file
from torch import nn

from derelayl_protocol.errors import LocalFault
from derelayl_training.architectures import build
from derelayl_training.architectures.blocks import MAX_ACTIVATIONS, MAX_WEIGHTS, cut_points
from derelayl_training.architectures.resnet import BatchNorm
from derelayl_training.data import Split, load
from derelayl_training.jobs import Architecture, LegJob
from derelayl_training.train import run_leg, write_genesis

from .tiny import SIDE, tiny_shard

CIFAR = {"channels": 3, "height": 32, "width": 32, "classes": 10}
TINY = {"channels": 1, "height": SIDE, "width": SIDE, "classes": 2}
RESNET = {**CIFAR, "depth": 20, "base": 16, "segments": 4}
VIT = {**CIFAR, "patch": 4, "dimension": 64, "depth": 6, "heads": 4, "segments": 3}
TINY_NETWORKS = [
    Architecture("resnet", {**TINY, "depth": 8, "base": 4, "segments": 3}),
    Architecture("vit", {**TINY, "patch": 4, "dimension": 8, "depth": 3, "heads": 2, "segments": 3}),
]
PUBLISHED_MILLIONS = {20: 0.27, 32: 0.46, 110: 1.7}
"""He et al. (CVPR 2016), table 6."""


def by_name(architecture: Architecture) -> str:
    return architecture.name


def weights_of(architecture: Architecture) -> int:
    return sum(tensor.numel() for tensor in build(architecture).state_dict().values())


@pytest.fixture
def split(tmp_path: Path) -> Split:
    return load(f"shard:{tiny_shard(tmp_path)}")


def leg(network: Architecture, parent: Path, child: Path, segment: int) -> LegJob:
    return LegJob(network, parent, child, segment, 3, 16, 0.05, seed=3)


# --- refusals ---


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"depth": 21}, r"depth is 21, allowed is 6n \+ 2"),
        ({"depth": 2}, "depth is 2,"),
        ({"depth": 1208}, "depth is 1208"),
        ({"base": 6}, "base is 6, allowed is a multiple of 4"),
        ({"base": 260}, "base is 260"),
        ({"height": 7}, "height is 7"),
        ({"segments": 0}, "segments is 0"),
        ({"segments": 10}, "segments is 10, allowed are at most its 9 blocks"),
        ({"segments": 65, "depth": 1202}, "segments is 65"),
        ({"segments": True}, "segments is True"),
        ({"classes": "10"}, "classes is '10'"),
        ({"stem": 16}, "takes the parameters"),
        ({"norm": "layer"}, "norm is 'layer', allowed are 'group' and 'batch'"),
        ({"norm": True}, "norm is True"),
        ({"depth": 32, "base": 256}, rf"weights, allowed are {MAX_WEIGHTS}"),
        ({"height": 256, "width": 256}, rf"numbers, allowed are {MAX_ACTIVATIONS}"),
    ],
)
def test_a_resnet_that_cannot_be_is_refused(changes: Mapping[str, int | str | bool], reason: str) -> None:
    with pytest.raises(LocalFault, match=reason):
        build(Architecture("resnet", {**RESNET, **changes}))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"patch": 5}, "height is 32, allowed is a multiple of patch, which is 5"),
        ({"patch": 8, "width": 36}, "width is 36, allowed is a multiple of patch, which is 8"),
        ({"patch": 64}, "height is 32, allowed is a multiple of patch"),
        ({"heads": 3}, "dimension is 64, allowed is a multiple of heads, which is 3"),
        ({"heads": 0}, "heads is 0"),
        ({"depth": 49}, "depth is 49"),
        ({"segments": 7}, "segments is 7, allowed are at most its 6 blocks"),
        ({"dimension": False}, "dimension is False"),
        ({"base": 16}, "takes the parameters"),
        ({"norm": "batch"}, "takes the parameters"),
        ({"dimension": 1024, "depth": 6}, rf"weights, allowed are {MAX_WEIGHTS}"),
        ({"patch": 1}, rf"numbers, allowed are {MAX_ACTIVATIONS}"),  # attention between 1,024 patches in 4 heads
        ({"patch": 2, "dimension": 1024, "depth": 1, "segments": 1}, rf"numbers, allowed are {MAX_ACTIVATIONS}"),
    ],
)
def test_a_vit_that_cannot_be_is_refused(changes: Mapping[str, int | str | bool], reason: str) -> None:
    with pytest.raises(LocalFault, match=reason):
        build(Architecture("vit", {**VIT, **changes}))


def test_a_network_with_too_many_weights_is_refused_before_any_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []

    def record(tensor: torch.Tensor, **_settings: Any) -> torch.Tensor:
        made.append(tensor.device.type)
        return tensor

    monkeypatch.setattr(nn.init, "kaiming_normal_", record)
    with pytest.raises(LocalFault, match="weights, allowed are"):
        build(Architecture("resnet", {**RESNET, "depth": 152, "base": 128}))
    assert set(made) == {"meta"}


# --- what the literature says ---


@pytest.mark.parametrize(("depth", "weights"), [(20, 269_722), (32, 464_154), (110, 1_727_962)])
def test_a_resnet_has_the_parameters_of_the_paper(depth: int, weights: int) -> None:
    """GroupNorm has BatchNorm's scale and shift, and no running statistics: the state holds these and no more."""
    assert weights_of(Architecture("resnet", {**RESNET, "depth": depth})) == weights
    assert weights / 1e6 == pytest.approx(PUBLISHED_MILLIONS[depth], rel=0.02)


def test_a_vit_has_the_weights_that_can_be_counted_by_hand() -> None:
    block = 2 * 2 * 64 + (64 + 1) * 3 * 64 + (64 + 1) * 64 + (64 + 1) * 256 + (256 + 1) * 64
    expected = (3 * 4 * 4 + 1) * 64 + 64 * 64 + 6 * block + 2 * 64 + (64 + 1) * 10
    assert weights_of(Architecture("vit", VIT)) == expected


def test_a_shortcut_keeps_every_second_pixel_and_adds_zero_channels() -> None:
    model = build(Architecture("resnet", {**RESNET, "depth": 8, "base": 4, "segments": 1}))
    block = model.get_submodule("blocks.1")
    nn.init.zeros_(model.get_parameter("blocks.1.second.1.weight"))  # silences what lies beside the shortcut
    features = torch.rand(2, 4, 9, 8)
    halved = block(features)
    torch.testing.assert_close(halved[:, 2:6], features[:, :, ::2, ::2])
    assert not halved[:, :2].any()
    assert not halved[:, 6:].any()


def test_a_vit_knows_where_a_patch_lies() -> None:
    model = build(Architecture("vit", VIT))
    images = torch.rand(1, 3, 32, 32)
    swapped = images.roll(16, dims=3)
    assert not torch.allclose(model(images), model(swapped))
    nn.init.zeros_(model.get_parameter("stem.positions"))
    torch.testing.assert_close(model(images), model(swapped))


# --- batch normalisation ---


def test_a_resnet_with_batch_norm_has_running_statistics_and_no_count_beside_the_parameters_of_the_paper() -> None:
    model = build(Architecture("resnet", {**RESNET, "norm": "batch"}))
    assert sum(parameter.numel() for parameter in model.parameters()) == 269_722
    buffers = {name.rpartition(".")[2]: buffer.dtype for name, buffer in model.named_buffers()}
    assert buffers == {"running_mean": torch.float32, "running_var": torch.float32}
    assert weights_of(Architecture("resnet", {**RESNET, "norm": "batch"})) == 269_722 + 2 * (7 * 16 + 6 * 32 + 6 * 64)


def test_group_norm_is_the_default() -> None:
    plain = build(Architecture("resnet", RESNET), seed=3)
    named = build(Architecture("resnet", {**RESNET, "norm": "group"}), seed=3)
    assert list(plain.state_dict()) == list(named.state_dict())
    assert all(torch.equal(tensor, named.state_dict()[name]) for name, tensor in plain.state_dict().items())


def test_batch_norm_agrees_with_torch() -> None:
    ours, theirs = BatchNorm(3), nn.BatchNorm2d(3)
    features = torch.rand(4, 3, 5, 5, generator=torch.Generator().manual_seed(0))
    for _ in range(2):
        assert torch.equal(ours(features), theirs(features))
    assert ours.running_var is not None
    assert theirs.running_var is not None
    assert torch.equal(ours.running_var, theirs.running_var)
    assert torch.equal(ours.eval()(features), theirs.eval()(features))


@pytest.mark.parametrize("segment", [0, 1, 2])
def test_a_leg_moves_the_running_statistics_of_its_segment_alone(tmp_path: Path, split: Split, segment: int) -> None:
    network = Architecture("resnet", {**TINY, "depth": 8, "base": 4, "segments": 3, "norm": "batch"})
    parent = write_genesis(network, 1, tmp_path / "parent").path
    child = run_leg(leg(network, parent, tmp_path / "child", segment), split, lambda _fraction: None).weights
    before, after = load_file(parent), load_file(child.path)
    changed = {name for name in before if before[name].tobytes() != after[name].tobytes()}
    assert changed == {name for name, of in child.segment_of.items() if of == segment}
    assert any(name.endswith("running_var") for name in changed)


# --- segments ---


@pytest.mark.parametrize(("blocks", "segments"), [(1, 1), (9, 4), (54, 54), (54, 4), (15, 2)])
def test_segments_differ_by_at_most_one_block(blocks: int, segments: int) -> None:
    cuts = cut_points(blocks, segments)
    sizes = [after - before for before, after in pairwise(cuts)]
    assert (len(sizes), sum(sizes)) == (segments, blocks)
    assert max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize("parts", [1, 2, 3, 5, 6])
@pytest.mark.parametrize(
    "network", [Architecture("resnet", {**RESNET, "depth": 14}), Architecture("vit", VIT)], ids=by_name
)
def test_segments_hold_every_tensor_once_in_order_of_depth(network: Architecture, parts: int) -> None:
    model = build(Architecture(network.name, {**network.parameters, "segments": parts}))
    assert len(model.segments) == parts
    assert [name for names in model.segments for name in names] == list(model.state_dict())
    assert model.segments[0][0].startswith("stem.")
    assert model.segments[-1][-1] == "head.linear.bias"
    assert all(any(name.startswith("blocks.") for name in names) for names in model.segments)


@pytest.mark.parametrize("network", TINY_NETWORKS, ids=by_name)
def test_the_cut_does_not_show_in_the_weights(network: Architecture) -> None:
    whole = build(Architecture(network.name, {**network.parameters, "segments": 1}), seed=4).state_dict()
    cut = build(network, seed=4).state_dict()
    assert list(whole) == list(cut)
    assert all(torch.equal(whole[name], cut[name]) for name in whole)


@pytest.mark.parametrize("segment", [0, 1, 2])
@pytest.mark.parametrize("network", TINY_NETWORKS, ids=by_name)
def test_a_leg_changes_its_segment_and_no_other_byte(
    tmp_path: Path, split: Split, network: Architecture, segment: int
) -> None:
    parent = write_genesis(network, 1, tmp_path / "parent").path
    child = run_leg(leg(network, parent, tmp_path / "child", segment), split, lambda _fraction: None).weights
    before, after = load_file(parent), load_file(child.path)
    changed = {name for name in before if before[name].tobytes() != after[name].tobytes()}
    assert changed == {name for name, of in child.segment_of.items() if of == segment}


# --- forward and back ---


@pytest.mark.parametrize(("height", "width"), [(8, 8), (9, 31), (28, 28)])
def test_a_resnet_takes_any_allowed_size(height: int, width: int) -> None:
    shape = {**RESNET, "height": height, "width": width, "classes": 7, "depth": 8, "base": 4, "segments": 1}
    assert build(Architecture("resnet", shape))(torch.zeros(2, 3, height, width)).shape == (2, 7)


@pytest.mark.parametrize(("height", "width", "patch"), [(8, 8, 1), (12, 24, 6), (28, 28, 28)])
def test_a_vit_takes_any_size_that_patches_divide(height: int, width: int, patch: int) -> None:
    shape = {**VIT, "height": height, "width": width, "patch": patch, "classes": 7}
    assert build(Architecture("vit", shape))(torch.zeros(2, 3, height, width)).shape == (2, 7)


@pytest.mark.parametrize("network", TINY_NETWORKS, ids=by_name)
def test_weights_follow_from_the_seed_alone(network: Architecture) -> None:
    first = build(network, seed=5).state_dict()
    torch.rand(3)
    again, other = build(network, seed=5).state_dict(), build(network, seed=6).state_dict()
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)


@pytest.mark.parametrize("network", TINY_NETWORKS, ids=by_name)
def test_every_tensor_gets_the_same_gradient_each_time(network: Architecture) -> None:
    assert torch.are_deterministic_algorithms_enabled()
    images = torch.rand(8, 1, SIDE, SIDE, generator=torch.Generator().manual_seed(2))
    runs: list[dict[str, Any]] = []
    for _ in range(2):
        model = build(network, seed=5).train()
        F.cross_entropy(model(images), torch.arange(8) % 2).backward()
        runs.append({name: parameter.grad for name, parameter in model.named_parameters()})
    for name, gradient in runs[0].items():
        assert gradient.abs().sum() > 0, name
        assert torch.equal(gradient, runs[1][name]), name


@pytest.mark.parametrize("network", TINY_NETWORKS, ids=by_name)
def test_the_same_leg_gives_the_same_bytes(tmp_path: Path, split: Split, network: Architecture) -> None:
    parent = write_genesis(network, 1, tmp_path / "parent").path
    for name in ("a", "b"):
        run_leg(leg(network, parent, tmp_path / name, 1), split, lambda _fraction: None)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
