"""Sums, and what is solved from them."""

import pytest
import torch
import torch.nn.functional as F

from derelayl_protocol.errors import LocalFault
from derelayl_training.pseudoinverse.solve import solve, solve_calibrated
from derelayl_training.pseudoinverse.sums import CHUNK, COLUMNS, Statistics, gram_of

CLASSES = 4


def samples(count: int, width: int, seed: int = 0, integers: bool = True) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    features = torch.randint(-127, 128, (count, width), generator=generator).float()
    if not integers:
        features = torch.randn(count, width, generator=generator)
    return features, torch.randint(0, CLASSES, (count,), generator=generator)


def sums(features: torch.Tensor, labels: torch.Tensor) -> Statistics:
    statistics = Statistics.empty(features.shape[1], CLASSES)
    statistics.add(features, labels)
    return statistics


def same(one: Statistics, other: Statistics) -> bool:
    return all(torch.equal(own, its) for own, its in zip(one.tensors, other.tensors, strict=True))


def test_taking_away_what_was_never_added_is_refused() -> None:
    features, labels = samples(20, 5)
    with pytest.raises(LocalFault, match="only data that was added can be taken away"):
        sums(features[:5], labels[:5]).plus(sums(features, labels), -1).check()


def test_a_gram_matrix_that_is_no_sum_of_squares_is_refused() -> None:
    statistics = sums(*samples(20, 5))
    statistics.gram[0, 1] = 1e9
    with pytest.raises(LocalFault, match="no sums of squares"):
        solve(statistics, 1e-4)


def test_the_sums_are_those_of_the_formula_in_whole_numbers() -> None:
    features, labels = samples(CHUNK + 300, COLUMNS + 40)
    statistics = sums(features, labels)
    exact = features.double()  # sums of whole numbers below 2⁵³ are exact in it
    onehot = F.one_hot(labels, CLASSES).double()
    assert torch.equal(statistics.gram, (exact.T @ exact).triu())
    assert torch.equal(statistics.cross, exact.T @ onehot)
    assert torch.equal(statistics.count, onehot.sum(0))
    assert torch.equal(gram_of(features), exact.T @ exact)


def test_the_largest_integers_allowed_are_still_summed_exactly() -> None:
    features = torch.full((CHUNK, 3), 127.0)
    assert sums(features, torch.zeros(CHUNK, dtype=torch.int64)).gram[0, 2] == CHUNK * 127**2


def test_shards_in_any_order_give_the_same_bytes_and_can_be_taken_away_again() -> None:
    features, labels = samples(2500, 30)
    pooled = sums(features, labels)
    shards = [sums(features[start::7], labels[start::7]) for start in range(7)]
    for order in ([0, 1, 2, 3, 4, 5, 6], [6, 2, 4, 0, 5, 1, 3]):
        total = Statistics.empty(30, CLASSES)
        for index in order:
            total = total.plus(shards[index])
        assert same(total, pooled)
    without = pooled.plus(shards[3], -1)
    rest = torch.ones(2500, dtype=torch.bool)
    rest[3::7] = False
    assert same(without, sums(features[rest], labels[rest]))


def test_sums_of_any_numbers_over_shards_give_the_weights_of_one_machine_to_1e_8() -> None:
    features, labels = samples(3000, 40, integers=False)
    total = Statistics.empty(40, CLASSES)
    for start in range(9):
        total = total.plus(sums(features[start::9], labels[start::9]))
    pooled = Statistics.empty(40, CLASSES)
    for one, truth in zip(features.split(1000), labels.split(1000), strict=True):
        pooled.gram += (one.double().T @ one.double()).triu()
        pooled.cross += one.double().T @ F.one_hot(truth, CLASSES).double()
        pooled.count += F.one_hot(truth, CLASSES).sum(0)
    own, other = solve(total, 1e-4), solve(pooled, 1e-4)
    # products are summed in float32 for at most CHUNK samples; both ways of cutting round alike within it
    assert ((own - other).norm() / other.norm()).item() < 1e-5
    exact = Statistics(*(tensor.clone() for tensor in pooled.tensors))
    exact.gram += 1e-16 * exact.gram.diagonal().mean()  # what another order of float64 sums may do
    assert ((solve(exact, 1e-4) - other).norm() / other.norm()).item() < 1e-8


def test_the_weights_are_those_of_ridge_regression() -> None:
    features, labels = samples(200, 12)
    weights = solve(sums(features, labels), 1e-2)
    design, onehot = features.double(), F.one_hot(labels, CLASSES).double()
    penalty = 1e-2 * design.square().sum(0).mean()
    padded = torch.cat([design, penalty.sqrt() * torch.eye(12, dtype=torch.float64)])
    expected = torch.linalg.lstsq(padded, torch.cat([onehot, torch.zeros(12, CLASSES, dtype=torch.float64)])).solution
    torch.testing.assert_close(weights, expected)


def test_without_samples_all_weights_are_zero() -> None:
    solution = solve_calibrated(Statistics.empty(5, CLASSES))
    assert not solution.weights.any()
    assert solution.scale == 0


def test_the_scale_falls_with_the_error_of_the_scores() -> None:
    features, labels = samples(600, 8)
    told = features.clone()
    told[:, :CLASSES] = 100 * F.one_hot(labels, CLASSES).float()
    assert solve_calibrated(sums(told, labels)).scale > 2 * solve_calibrated(sums(features, labels)).scale


@pytest.mark.parametrize("ridge", [1.0, 1e-2, 1e-6])
def test_the_estimated_error_is_that_on_samples_not_seen(ridge: float) -> None:
    """Of a regression with 60 weights on 300 noisy samples."""
    generator = torch.Generator().manual_seed(5)
    features = torch.randint(-127, 128, (4300, 60), generator=generator).float()
    labels = (features[:, :CLASSES] + 80 * torch.randn(4300, CLASSES, generator=generator)).argmax(1)
    solution = solve_calibrated(sums(features[:300], labels[:300]), [ridge])
    missed = features[300:].double() @ solution.weights - F.one_hot(labels[300:], CLASSES)
    assert solution.error == pytest.approx(missed.square().mean().item(), rel=0.1)


def test_where_samples_are_as_many_as_weights_a_greater_ridge_is_chosen() -> None:
    """There a small one fits every noisy label: the error has its peak (double descent)."""
    generator = torch.Generator().manual_seed(6)
    features = torch.randint(-127, 128, (2060, 60), generator=generator).float()
    labels = (features[:, :CLASSES] + 40 * torch.randn(2060, CLASSES, generator=generator)).argmax(1)

    def missed(ridges: list[float]) -> float:
        weights = solve_calibrated(sums(features[:60], labels[:60]), ridges).weights
        return (features[60:].double() @ weights - F.one_hot(labels[60:], CLASSES)).square().mean().item()

    assert missed([1.0, 1e-1, 1e-2, 1e-3, 1e-4]) < 0.5 * missed([1e-4])
