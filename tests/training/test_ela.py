"""ELA: how redundant a retrieval is, which retrievals are skipped, and legs that skip."""

from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from torch import Tensor

from derelayl_protocol.errors import LocalFault
from derelayl_protocol.types import WHOLE_MODEL
from derelayl_training import snapshot
from derelayl_training.data import Split
from derelayl_training.jobs import Architecture, LegJob, LegResult
from derelayl_training.methods.ela import (
    RETURN_ABOVE,
    SKIP_BELOW,
    KumaraswamyLaw,
    choose_skips,
    law_at,
    row_divergence,
    scores_of,
)
from derelayl_training.recipe import parse_recipe
from derelayl_training.train import run_leg, write_genesis

from .tiny import ARCHITECTURE, SIDE, Crash, crash_at

SHAPE = {"channels": 1, "height": SIDE, "width": SIDE, "classes": 2, "base": 4}
NETWORK = Architecture("mrla-resnet", {**SHAPE, "depth": 26, "segments": 1})
"""Four blocks in each of the three stages."""
STAGES = Architecture("mrla-resnet", {**SHAPE, "depth": 26, "segments": 3})

EAGER = "method=ela,ela_warmup=0,ela_ramp=0,ela_every=2,ela_floor=1000000"
"""Evaluates early, with the decisive law, and finds everything redundant enough."""

DECISIVE = law_at(1.0, 0.75)
NO_FLOOR = float("inf")


def genesis(network: Architecture, folder: Path) -> Path:
    return write_genesis(network, 1, folder / "genesis").path


def leg(
    parent: Path, child: Path, recipe: str, network: Architecture = NETWORK, segment: int = WHOLE_MODEL, steps: int = 6
) -> LegJob:
    return LegJob(network, parent, child, segment, steps, 16, 0.01, seed=3, recipe=parse_recipe(recipe))


def train(job: LegJob, split: Split) -> LegResult:
    return run_leg(job, split, lambda _fraction: None)


def skipping(path: Path) -> list[int]:
    state = load_file(path)
    return [block for block in range(12) if state[f"blocks.{block}.attention.skipped"][0]]


# --- refusals ---


def test_a_network_without_layer_attention_is_refused(tmp_path: Path, split: Split) -> None:
    job = leg(genesis(ARCHITECTURE, tmp_path), tmp_path / "child", EAGER, ARCHITECTURE)
    with pytest.raises(LocalFault, match="needs layer attention; the architecture must be mrla-resnet"):
        train(job, split)


@pytest.mark.parametrize(("depth", "segments", "segment"), [(14, 1, WHOLE_MODEL), (26, 6, 2)])
def test_a_leg_on_which_nothing_can_skip_is_refused(
    tmp_path: Path, split: Split, depth: int, segments: int, segment: int
) -> None:
    network = Architecture("mrla-resnet", {**SHAPE, "depth": depth, "segments": segments})
    with pytest.raises(LocalFault, match="no block can skip"):
        train(leg(genesis(network, tmp_path), tmp_path / "child", EAGER, network, segment), split)


@pytest.mark.parametrize("dial", ["ela_share=0", "ela_share=1", "ela_every=0", "ela_floor=-1", "ela_warmup=1.1"])
def test_a_dial_out_of_range_is_refused(dial: str) -> None:
    with pytest.raises(LocalFault, match=dial.partition("=")[0]):
        parse_recipe(f"method=ela,{dial}")


# --- divergence ---


def rows(*weights: list[float]) -> list[Tensor]:
    return [torch.tensor(each).expand(2, 3, -1) for each in weights]


@pytest.mark.parametrize("own", [0.0, 0.25, 0.99])
def test_a_row_that_repeats_the_row_before_has_no_divergence(own: float) -> None:
    row, before = rows([0.5 * (1 - own), 0.3 * (1 - own), 0.2 * (1 - own), own], [0.5, 0.3, 0.2])
    assert row_divergence(row, before).item() == pytest.approx(0, abs=1e-7)


def test_the_divergence_is_that_of_the_formula() -> None:
    row, before = rows([0.2, 0.2, 0.6], [0.25, 0.75])
    assert row_divergence(row, before).item() == pytest.approx(0.5 * np.log(0.5 / 0.25) + 0.5 * np.log(0.5 / 0.75))


def test_the_divergence_is_the_mean_over_samples_and_heads() -> None:
    row, before = torch.rand(4, 2, 3).softmax(-1), torch.rand(4, 2, 2).softmax(-1)
    each = [row_divergence(row[i : i + 1, j : j + 1], before[i : i + 1, j : j + 1]) for i in range(4) for j in range(2)]
    assert row_divergence(row, before).item() == pytest.approx(torch.stack(each).mean().item(), rel=1e-5)


@pytest.mark.parametrize("row", [[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
def test_weights_of_zero_leave_the_divergence_finite(row: list[float]) -> None:
    assert row_divergence(*rows(row, [0.0, 1.0])).isfinite()


# --- quantile mapping ---


@pytest.mark.parametrize("law", [KumaraswamyLaw(2, 3), KumaraswamyLaw(0.5, 0.5), law_at(0, 0.75), DECISIVE])
def test_the_quantile_undoes_the_distribution(law: KumaraswamyLaw) -> None:
    for share in np.linspace(0.05, 0.95, 7):
        assert law.share_below(law.quantile(share)) == pytest.approx(share)


def test_the_law_of_two_ones_is_uniform() -> None:
    assert KumaraswamyLaw(1, 1).quantile(0.3) == pytest.approx(0.3)


@pytest.mark.parametrize("redundant", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("progress", [0.0, 0.3, 1.0])
def test_the_redundant_share_has_scores_below_one_half_throughout(progress: float, redundant: float) -> None:
    assert law_at(progress, redundant).share_below(0.5) == pytest.approx(redundant)


def test_the_law_goes_from_cautious_to_decisive() -> None:
    between = [
        law_at(progress, 0.5).share_below(RETURN_ABOVE) - law_at(progress, 0.5).share_below(SKIP_BELOW)
        for progress in (0.0, 0.25, 0.5, 0.75, 1.0)
    ]
    assert between == sorted(between, reverse=True)
    assert between[0] > 0.8
    assert between[-1] < 0.2


def test_permuted_divergences_have_permuted_scores_and_equal_ones_equal_scores() -> None:
    values = [0.5, 0.1, 0.1, 2.0]
    scores = dict(zip(values, scores_of(values, DECISIVE), strict=True))
    for order in permutations(values):
        assert scores_of(order, DECISIVE) == [scores[value] for value in order]
    assert scores[0.1] < scores[0.5] < scores[2.0]


# --- which blocks skip ---


def chosen(
    divergences: list[float], law: KumaraswamyLaw = DECISIVE, floor: float = NO_FLOOR, *before: int
) -> list[int]:
    skips = choose_skips(divergences, [block in before for block in range(len(divergences))], law, floor)
    return [block for block, skip in enumerate(skips) if skip]


def test_nothing_is_skipped_at_or_above_the_floor() -> None:
    assert chosen([-1, -1, 0.3, 0.2, 0.4, 0.2], floor=0.2) == []
    assert chosen([-1, -1, 0.3, 0.1, 0.4, 0.2], floor=0.2) == [3]


def test_nothing_is_skipped_that_was_not_measured() -> None:
    assert chosen([-1] * 6) == []


def test_the_first_two_never_skip() -> None:
    assert not {0, 1} & set(chosen([0.0] * 8))
    assert chosen([0.0, 0.0]) == []


def test_of_two_neighbours_only_the_more_redundant_skips() -> None:
    assert chosen([-1, -1, 0.3, 0.2, 0.1, 5, 6, 7]) == [2, 4]


def test_a_block_that_skips_is_no_neighbour() -> None:
    assert chosen([-1, -1, 0.1, 0.2, 0.15, 5, 6, 7], DECISIVE, NO_FLOOR, 3) == [2, 3, 5]


def test_permuting_the_divergences_permutes_the_mask() -> None:
    """Of blocks 2, 4, 6 and 8, which are no neighbours; those between them stay above the floor."""
    places, values = (2, 4, 6, 8), (0.1, 0.2, 0.3, 0.4)
    law = law_at(1.0, 0.3)
    for order in permutations(range(4)):
        divergences = [9.0] * 9
        for place, index in zip(places, order, strict=True):
            divergences[place] = values[index]
        expected = [place for place, index in zip(places, order, strict=True) if index < 2]
        assert chosen(divergences, law, 1.0) == expected


def test_a_block_comes_back_when_it_tells_something_new() -> None:
    assert 3 not in chosen([-1, -1, 0.1, 9.0, 0.2, 0.3, 0.4, 0.5], DECISIVE, NO_FLOOR, 3)
    assert 3 not in chosen([-1, -1, 0.4, 0.2, 0.4], DECISIVE, 0.2, 3)


def test_between_the_thresholds_a_block_stays_as_it_is() -> None:
    divergences = [-1, -1, 0.2, 0.1, 0.3]  # the second of three has a score of 1/2
    cautious = law_at(0.0, 0.5)
    assert 2 not in chosen(divergences, cautious)
    assert 2 in chosen(divergences, cautious, NO_FLOOR, 2)


# --- legs ---


def test_a_leg_that_may_not_skip_is_backprop_to_the_bit(tmp_path: Path, split: Split) -> None:
    parent = genesis(NETWORK, tmp_path)
    ours = load_file(train(leg(parent, tmp_path / "ela", "method=ela,ela_warmup=1"), split).weights.path)
    plain = load_file(train(leg(parent, tmp_path / "plain", ""), split).weights.path)
    assert {name for name in ours if ours[name].tobytes() != plain[name].tobytes()} == {
        f"blocks.{block}.attention.divergence" for block in (2, 3, 6, 7, 10, 11)
    }
    assert all(ours[f"blocks.{block}.attention.divergence"] >= 0 for block in (2, 3, 6, 7, 10, 11))


def test_a_leg_skips_and_tells_so(tmp_path: Path, split: Split) -> None:
    result = train(leg(genesis(NETWORK, tmp_path), tmp_path / "child", EAGER), split)
    skipped = skipping(result.weights.path)
    assert skipped
    assert {block % 4 for block in skipped} <= {2, 3}
    assert result.record["ela_blocks"] == 12
    assert result.record["ela_retrieving"] == 12 - len(skipped)


def test_above_the_floor_a_leg_skips_nothing(tmp_path: Path, split: Split) -> None:
    job = leg(genesis(NETWORK, tmp_path), tmp_path / "child", EAGER.replace("1000000", "0"))
    assert skipping(train(job, split).weights.path) == []


def test_nothing_skips_during_the_warm_up(tmp_path: Path, split: Split) -> None:
    job = leg(genesis(NETWORK, tmp_path), tmp_path / "child", EAGER.replace("ela_warmup=0", "ela_warmup=0.8"))
    assert skipping(train(job, split).weights.path) == []


@pytest.mark.parametrize("segment", [0, 1, 2])
def test_a_leg_on_one_segment_skips_there_alone(tmp_path: Path, split: Split, segment: int) -> None:
    parent = genesis(STAGES, tmp_path)
    child = train(leg(parent, tmp_path / "child", EAGER, STAGES, segment), split).weights
    before, after = load_file(parent), load_file(child.path)
    changed = {name for name in before if before[name].tobytes() != after[name].tobytes()}
    assert {child.segment_of[name] for name in changed} == {segment}
    assert {block // 4 for block in skipping(child.path)} == {segment}


def test_the_next_leg_goes_on_skipping_without_a_warm_up(tmp_path: Path, split: Split) -> None:
    parent = train(leg(genesis(NETWORK, tmp_path), tmp_path / "first", EAGER), split).weights.path
    eager = EAGER.replace("ela_warmup=0", "ela_warmup=1")
    unevaluated = train(leg(parent, tmp_path / "next", eager.replace("ela_every=2", "ela_every=100")), split)
    assert skipping(unevaluated.weights.path) == skipping(parent)
    further = train(leg(parent, tmp_path / "later", eager + ",ela_share=0.9"), split)
    assert len(skipping(further.weights.path)) > len(skipping(parent))


def test_backprop_keeps_what_skips(tmp_path: Path, split: Split) -> None:
    parent = train(leg(genesis(NETWORK, tmp_path), tmp_path / "first", EAGER), split).weights.path
    child = train(leg(parent, tmp_path / "next", ""), split).weights.path
    assert skipping(child) == skipping(parent) != []


def test_an_interrupted_leg_goes_on_to_the_same_bytes(
    tmp_path: Path, split: Split, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshot.Snapshots.__init__, "__defaults__", (0.0, lambda: 0.0))
    parent = genesis(NETWORK, tmp_path)
    straight = train(leg(parent, tmp_path / "straight", EAGER, steps=7), split).weights.path
    job = leg(parent, tmp_path / "child", EAGER, steps=7)
    with pytest.raises(Crash):
        run_leg(job, split, crash_at(0.5))
    assert train(job, split).weights.path.read_bytes() == straight.read_bytes()
