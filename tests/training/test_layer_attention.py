"""The architecture mrla-resnet: layer attention within a stage, and blocks that skip it."""

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from safetensors.numpy import load_file
from torch import Tensor, nn

from derelayl_protocol.errors import LocalFault
from derelayl_training.architectures import build
from derelayl_training.architectures.layer_attention import (
    NEVER_MEASURED,
    AttentiveBlock,
    LayerAttention,
    LayerAttentionResNet,
    Memory,
    WeightedSum,
)
from derelayl_training.data import load
from derelayl_training.jobs import Architecture, LegJob
from derelayl_training.train import run_leg, write_genesis

from .tiny import SIDE, tiny_shard

NETWORK = {"channels": 1, "height": SIDE, "width": SIDE, "classes": 2, "depth": 26, "base": 4, "segments": 1}
"""Four blocks in each of the three stages."""


def network(seed: int = 0, **changes: int | str | bool) -> LayerAttentionResNet:
    model = build(Architecture("mrla-resnet", {**NETWORK, **changes}), seed)
    assert isinstance(model, LayerAttentionResNet)
    return model


def images(count: int = 3) -> Tensor:
    return torch.rand(count, 1, SIDE, SIDE, generator=torch.Generator().manual_seed(1)) * 2 - 1


def skip(model: LayerAttentionResNet, *blocks: int) -> LayerAttentionResNet:
    for block in blocks:
        model.attention_of(block).skips = True
    return model


# --- refusals ---


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"depth": 25}, r"depth is 25, allowed is 6n \+ 2"),
        ({"base": 6}, "base is 6, allowed is a multiple of 4"),
        ({"segments": 13}, "segments is 13, allowed are at most its 12 blocks"),
        ({"norm": "layer"}, "norm is 'layer', allowed are 'group' and 'batch'"),
        ({"head_channels": 0}, "head_channels is 0"),
        ({"head_channels": True}, "head_channels is True"),
        ({"base": 24}, "head_channels is 16, which must divide the 24 channels"),
        ({"heads": 2}, "takes the parameters"),
        ({"depth": 32, "base": 256}, "weights, allowed are"),
        ({"height": 256, "width": 256, "base": 16}, "numbers, allowed are"),
    ],
)
def test_a_network_that_cannot_be_is_refused(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(LocalFault, match=reason):
        network(**changes)


# --- what the paper says ---


def test_the_first_block_of_a_stage_gives_all_its_weight_to_itself() -> None:
    model = network()
    attention, features = model.attention_of(0), torch.rand(2, 4, SIDE, SIDE)
    expected = features + F.relu(attention.norm(attention.value(features)))
    torch.testing.assert_close(attention(features, Memory()), expected)


@pytest.mark.parametrize("heads", [1, 2, 4])
def test_retrieval_is_what_the_authors_compute(heads: int) -> None:
    """Keys and values stacked, one softmax over the blocks for each head, one matrix product."""
    torch.manual_seed(0)
    attentions = [LayerAttention(8, heads, "group") for _ in range(3)]
    features = [torch.rand(2, 8, 5, 4, requires_grad=True) for _ in attentions]
    memory = Memory()
    ours = [attention(each, memory) for attention, each in zip(attentions, features, strict=True)]

    pooled = [each.mean((2, 3)).unsqueeze(1) for each in features]
    keys = torch.cat([attention.key(each) for attention, each in zip(attentions, pooled, strict=True)], 1)
    values = torch.stack([attention.value(each) for attention, each in zip(attentions, features, strict=True)], 1)
    query = attentions[2].query(pooled[2]).view(2, heads, 1, 8 // heads)
    row = (query @ keys.view(2, 3, heads, -1).permute(0, 2, 3, 1) / (8 // heads) ** 0.5).softmax(-1)
    retrieved = (row @ values.view(2, 3, heads, -1).transpose(1, 2)).reshape(2, 8, 5, 4)
    theirs = features[2] + F.relu(attentions[2].norm(retrieved))
    torch.testing.assert_close(ours[2], theirs)
    gradients = [torch.autograd.grad(each.square().sum(), features) for each in (ours[2], theirs)]
    torch.testing.assert_close(*gradients)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_weighted_sum_has_the_gradient_of_its_formula(channels: int) -> None:
    draw = torch.Generator().manual_seed(0)
    weights = torch.rand(2, 2, channels, 1, 1, dtype=torch.float64, generator=draw, requires_grad=True)
    values = [torch.rand(2, 3, 2, 2, dtype=torch.float64, generator=draw, requires_grad=True) for _ in range(2)]
    assert torch.autograd.gradcheck(WeightedSum.apply, (weights, *values))


def test_every_row_sums_to_one_and_sees_one_block_more() -> None:
    model = network(base=8, head_channels=4)
    with model.watch() as pairs:
        model(images())
    assert list(pairs) == [1, 2, 3, 5, 6, 7, 9, 10, 11]
    for block, (row, before) in pairs.items():
        assert row.shape == (3, 2 << block // 4, block % 4 + 1)
        assert before.shape == (3, 2 << block // 4, block % 4)
        for each in (row, before):
            torch.testing.assert_close(each.sum(-1), torch.ones(each.shape[:2]))


def test_watching_changes_nothing() -> None:
    model = skip(network(), 6)
    plain = model(images())
    with model.watch():
        assert torch.equal(model(images()), plain)
    assert torch.equal(model(images()), plain)


# --- skipping ---


def test_a_block_that_skips_gives_its_body_alone_and_later_blocks_do_not_see_it() -> None:
    model = skip(network(), 2)
    block = model.blocks[2]
    assert isinstance(block, AttentiveBlock)
    features, memory = torch.rand(2, 4, SIDE, SIDE), Memory()
    for each in (model.blocks[0], model.blocks[1]):
        features = each(features, memory)
    assert torch.equal(block(features, memory), block.body(features))
    assert (len(memory.keys), len(memory.values)) == (2, 2)


def test_a_block_that_skips_has_no_gradient() -> None:
    model = skip(network(), 2, 6)
    model(images()).sum().backward()
    without = {name for name, parameter in model.named_parameters() if parameter.grad is None}
    assert {name.rpartition(".attention.")[0] for name in without} == {"blocks.2", "blocks.6"}
    assert all(".attention." in name for name in without)


def test_a_block_that_skips_is_asked_for_its_row_all_the_same() -> None:
    model = skip(network(), 2)
    with model.watch() as pairs:
        model(images())
    assert [pairs[block][0].shape[-1] for block in (1, 2, 3)] == [2, 3, 3]
    assert torch.equal(pairs[2][1], pairs[3][1])


def test_which_blocks_skip_travels_with_the_weights() -> None:
    model, child = skip(network(), 3, 10), network(seed=1)
    assert not child.attention_of(3).skips
    child.load_state_dict(model.state_dict())
    assert [block for block in range(12) if child.attention_of(block).skips] == [3, 10]
    assert torch.equal(child(images()), model(images()))


def test_a_new_network_skips_nothing_and_has_measured_nothing() -> None:
    state = network().state_dict()
    assert all(state[f"blocks.{block}.attention.skipped"].item() == 0 for block in range(12))
    assert all(state[f"blocks.{block}.attention.divergence"].item() == NEVER_MEASURED for block in range(12))


# --- segments ---


def test_stages_as_segments_are_the_network_uncut() -> None:
    assert torch.equal(network(segments=3)(images()), network(segments=1)(images()))


def test_blocks_do_not_look_back_across_the_border_of_a_segment() -> None:
    cut = network(segments=2)
    assert cut.runs(0) == [range(4), range(4, 6)]
    assert cut.runs(1) == [range(6, 8), range(8, 12)]
    assert not torch.allclose(cut(images()), network(segments=1)(images()))


@pytest.mark.parametrize("segments", [1, 2, 5, 12])
def test_segments_run_alone_one_after_another_are_the_network(segments: int) -> None:
    model = skip(network(segments=segments), 3)
    features = images()
    for segment in range(segments):
        features = model.run_segment(segment, features)
    assert torch.equal(model.head(features), model(images()))


@pytest.mark.parametrize("segments", [1, 2, 5])
def test_every_tensor_is_in_one_segment(segments: int) -> None:
    model = network(segments=segments)
    assert sorted(name for names in model.segments for name in names) == sorted(model.state_dict())


@pytest.mark.parametrize("norm", ["group", "batch"])
def test_a_leg_changes_the_weights_of_its_segment_and_no_other_byte(tmp_path: Path, norm: str) -> None:
    architecture = Architecture("mrla-resnet", {**NETWORK, "segments": 3, "norm": norm})
    parent = write_genesis(architecture, 1, tmp_path / "parent").path
    data = load(f"shard:{tiny_shard(tmp_path)}")
    job = LegJob(architecture, parent, tmp_path / "child", 1, 3, 16, 0.02, seed=3)
    child = run_leg(job, data, lambda _fraction: None).weights
    before, after = load_file(parent), load_file(child.path)
    changed = {name for name in before if before[name].tobytes() != after[name].tobytes()}
    travelling = {f"blocks.{block}.attention.{kind}" for block in range(4, 8) for kind in ("skipped", "divergence")}
    assert changed == {name for name, segment in child.segment_of.items() if segment == 1} - travelling


# --- forward and back ---


def test_no_sample_knows_of_another() -> None:
    model = network()
    torch.testing.assert_close(model(images())[1:2], model(images()[1:2]))


@pytest.mark.parametrize("head_channels", [2, 16])
def test_the_layout_of_the_features_in_memory_does_not_matter(head_channels: int) -> None:
    model = network(head_channels=head_channels)
    found = []
    for layout in (torch.contiguous_format, torch.channels_last):
        model.zero_grad()
        logits = model(images().contiguous(memory_format=layout))
        logits.square().sum().backward()
        found.append([logits.detach(), *(parameter.grad for parameter in model.parameters())])
    torch.testing.assert_close(found[0], found[1], rtol=1e-3, atol=1e-4)


def test_it_runs_in_bfloat16() -> None:
    model = network(head_channels=2)
    with torch.autocast("cpu", torch.bfloat16):
        loss = F.cross_entropy(model(images()).float(), torch.tensor([0, 1, 0]))
    loss.backward()
    assert all(parameter.grad is not None and parameter.grad.isfinite().all() for parameter in model.parameters())


def test_every_parameter_gets_the_same_gradient_each_time() -> None:
    runs: list[dict[str, Any]] = []
    for _ in range(2):
        model = network(seed=5).train()
        F.cross_entropy(model(images()), torch.tensor([0, 1, 0])).backward()
        runs.append({name: parameter.grad for name, parameter in model.named_parameters()})
    for name, gradient in runs[0].items():
        assert torch.equal(gradient, runs[1][name]), name
        firsts = ("blocks.0.", "blocks.4.", "blocks.8.")  # a row of one weight does not depend on query and key
        if not (name.startswith(firsts) and ".query." in name):
            assert gradient.abs().sum() > 0, name


def test_auxiliary_heads_fit() -> None:
    model = build(Architecture("mrla-resnet", {**NETWORK, "segments": 3, "heads": "mlaan"}))
    assert isinstance(model, LayerAttentionResNet)
    assert [logits.shape for logits in model.exit_logits(images())] == [(3, 2)] * 3
    assert isinstance(model.bridge(0, 12), nn.Module)
