"""Random features: integers, the same everywhere."""

from collections.abc import Callable

import pytest
import torch

from derelayl_protocol.errors import LocalFault
from derelayl_training.inputs import to_inputs
from derelayl_training.pseudoinverse.random_features import (
    LEVELS,
    DenseProjection,
    PatchProjection,
    direct_links,
    pixels_of,
)

SHAPE = (2, 12, 13)
Make = Callable[[int], DenseProjection | PatchProjection]
PROJECTIONS: list[Make] = [
    lambda seed: DenseProjection(SHAPE, 24, seed),
    lambda seed: PatchProjection(SHAPE, 48, 3, seed),
]


def images(count: int = 70) -> torch.Tensor:
    pixels = torch.randint(0, 256, (count, *SHAPE), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    return to_inputs(pixels.numpy())


def test_a_patch_that_leaves_too_few_positions_is_refused() -> None:
    with pytest.raises(LocalFault, match="patch is 6, allowed is at most 5"):
        PatchProjection((1, 8, 8), 16, 6, 0)


def test_neurons_that_do_not_fill_the_grid_are_refused() -> None:
    with pytest.raises(LocalFault, match="neurons is 40, allowed is a multiple of the 16 cells"):
        PatchProjection((1, 28, 28), 40, 5, 0)


@pytest.mark.parametrize("make", PROJECTIONS)
def test_features_are_integers_of_seven_bits_and_end_with_a_constant(make: Make) -> None:
    projection = make(4)
    features = projection(images())
    assert features.shape == (70, projection.size)
    assert features.dtype == torch.float32
    assert torch.equal(features, features.round())
    assert features.abs().max() <= LEVELS
    assert (features[:, -1] == LEVELS).all()
    assert features[:, 312:-1].std(0).min() > 1  # every random feature tells images apart


@pytest.mark.parametrize("make", PROJECTIONS)
def test_features_follow_from_the_seed_and_do_not_travel(make: Make) -> None:
    torch.rand(5)
    first, again, other = make(4), make(4), make(5)
    inputs = images()
    assert torch.equal(first(inputs), again(inputs))
    assert not torch.equal(first(inputs), other(inputs))
    assert not first.state_dict()


@pytest.mark.parametrize("make", PROJECTIONS)
def test_a_sample_has_the_same_features_in_any_company(make: Make) -> None:
    projection, inputs = make(4), images()
    together = projection(inputs)
    assert torch.equal(together[5], projection(inputs[5:6])[0])
    assert torch.equal(together.flip(0), projection(inputs.flip(0)))


@pytest.mark.parametrize("make", PROJECTIONS)
def test_double_precision_gives_the_same_integers(make: Make) -> None:
    projection = make(4)
    assert projection.exact
    quick = projection(images())
    projection.exact = False
    projection.weights = projection.weights.double() if isinstance(projection, DenseProjection) else projection.weights
    assert torch.equal(projection(images()), quick)


def test_the_first_random_numbers_are_those_that_all_peers_draw() -> None:
    """A change here makes every network of this architecture that exists another network."""
    dense, local = DenseProjection((5,), 3, 7), PatchProjection((1, 8, 8), 16, 2, 7)
    assert dense.weights.int().tolist() == DENSE_WEIGHTS
    assert local.weights.int().tolist() == LOCAL_WEIGHTS


DENSE_WEIGHTS = [[-5, -7, 7], [1, 5, -2], [7, 0, -6], [-2, -2, -4], [4, 1, -5]]
LOCAL_WEIGHTS = [[0, 6, -2, -4]]


def test_a_filter_is_blind_to_plain_areas() -> None:
    weights = PatchProjection(SHAPE, 48, 4, 9).weights
    assert not weights.view(-1, 2, 16).sum(2).any()
    assert torch.equal(weights, weights.round())
    assert weights.abs().max() <= 14


def test_pixels_come_back_exactly() -> None:
    values = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16)
    assert torch.equal(pixels_of(to_inputs(values.numpy())), values.float())


def test_columns_are_cut_at_four_deviations() -> None:
    assert direct_links(torch.tensor([[0.0, 1.0, 4.0, -9.0]])).tolist() == [[0, 32, 127, -127]]
