"""Where a network is cut: evenly, or so that no segment keeps more in memory than it must."""

from itertools import combinations, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from derelayl_protocol.errors import LocalFault
from derelayl_training.architectures import build
from derelayl_training.architectures.blocks import BlockModel, balanced_cuts
from derelayl_training.jobs import Architecture

RESNET: dict[str, int | str] = {
    "channels": 1,
    "height": 28,
    "width": 28,
    "classes": 10,
    "depth": 32,
    "base": 4,
    "segments": 4,
}
MLP = {"features": 3, "classes": 2, "width": 8, "depth": 5, "segments": 2}
CNN = {"channels": 1, "height": 28, "width": 28, "classes": 10, "stem": 4}


def cuts_of(name: str, parameters: dict[str, int | str]) -> list[int]:
    model = build(Architecture(name, parameters))
    assert isinstance(model, BlockModel)
    return model.cuts


@pytest.mark.parametrize("cuts", ["early", True])
def test_other_ways_to_cut_are_refused(cuts: str | bool) -> None:
    with pytest.raises(LocalFault, match="allowed are even and balanced"):
        build(Architecture("resnet", {**RESNET, "cuts": cuts}))


def test_a_network_without_blocks_cannot_be_cut_anew() -> None:
    with pytest.raises(LocalFault, match="small-cnn has no blocks to cut"):
        build(Architecture("small-cnn", {**CNN, "cuts": "balanced"}))


@given(st.data())
def test_no_other_cuts_have_a_smaller_largest_segment(data: st.DataObject) -> None:
    sizes = data.draw(st.lists(st.integers(1, 9), min_size=1, max_size=8))
    segments = data.draw(st.integers(1, len(sizes)))
    cuts = balanced_cuts(sizes, segments)
    assert (cuts[0], cuts[-1], len(cuts)) == (0, len(sizes), segments + 1)
    assert all(start < stop for start, stop in pairwise(cuts))
    others = ([0, *inner, len(sizes)] for inner in combinations(range(1, len(sizes)), segments - 1))
    assert largest(sizes, cuts) == min(largest(sizes, other) for other in others)


def largest(sizes: list[int], cuts: list[int]) -> int:
    return max(sum(sizes[start:stop]) for start, stop in pairwise(cuts))


def test_a_resnet_is_cut_early_for_its_early_blocks_keep_the_most() -> None:
    assert cuts_of("resnet", RESNET) == [0, 3, 7, 11, 15]
    assert cuts_of("resnet", {**RESNET, "cuts": "even"}) == [0, 3, 7, 11, 15]
    assert cuts_of("resnet", {**RESNET, "cuts": "balanced"}) == [0, 2, 4, 8, 15]


def test_equal_blocks_are_cut_in_equal_parts() -> None:
    assert cuts_of("mlp", {**MLP, "cuts": "balanced"}) == [0, 3, 5]


def test_heads_sit_where_the_balanced_cuts_are() -> None:
    parameters: dict[str, int | str | bool] = {**RESNET, "cuts": "balanced", "heads": "linear"}
    model = build(Architecture("resnet", parameters))
    assert isinstance(model, BlockModel)
    widths = [model.heads[str(segment)].get_parameter("layers.0.linear.weight").shape[1] for segment in range(3)]
    assert widths == [4, 4, 8]
