"""Children that are one in function, by how their losses change."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from derelayl_protocol.limits import MAX_BIDS
from derelayl_training.likeness import originals, surely

ALIKE = 0.95


def noise(seed: int, samples: int = 64) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=samples)


def test_a_child_without_losses_is_its_own_and_nobody_s_original() -> None:
    change = noise(1)
    assert originals([None, change, change, None], [0] * 4, ALIKE) == (0, 1, 1, 3)


def test_changes_that_differ_by_a_factor_and_a_shift_are_one() -> None:
    assert originals([noise(1), 3 * noise(1) + 1, -noise(1)], [0] * 3, ALIKE) == (0, 0, 2)


def test_children_of_two_parents_are_never_one() -> None:
    assert originals([noise(1), noise(1)], [0, 1], ALIKE) == (0, 1)


def test_independent_changes_are_not_one() -> None:
    assert originals([noise(seed) for seed in range(8)], [0] * 8, ALIKE) == tuple(range(8))


def test_two_that_change_nothing_are_one_and_differ_from_what_changes() -> None:
    nothing = np.zeros(64)
    assert originals([noise(1), nothing, nothing], [0] * 3, ALIKE) == (0, 1, 1)


def test_of_a_chain_each_names_the_first_that_is_like_it() -> None:
    """a ~ b and b ~ c, but not a ~ c: classes are the ledger's affair."""
    a, b = noise(1, 10_000), noise(2, 10_000)
    halfway, far = a + 0.25 * b, a + 0.5 * b
    assert originals([a, halfway, far], [0] * 3, ALIKE) == (0, 0, 1)


@pytest.mark.parametrize("alike", [0.0, -1.0])
def test_with_0_nothing_is_compared(alike: float) -> None:
    assert originals([noise(1), noise(1)], [0, 0], alike) == (0, 1)


@given(seeds=st.lists(st.integers(0, 5), max_size=MAX_BIDS), alike=st.floats(0.01, 1))
def test_an_original_comes_first_and_copies_share_it(seeds: list[int], alike: float) -> None:
    named = originals([noise(seed, 16) for seed in seeds], [0] * len(seeds), alike)
    assert len(named) == len(seeds)
    for place, original in enumerate(named):
        assert original <= place
        assert original <= seeds.index(seeds[place])


@given(st.integers(2, 40), st.integers(0, 1000))
def test_it_is_pearson_s_correlation(samples: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    one, other = rng.normal(size=samples), rng.normal(size=samples)
    correlation = float(np.corrcoef(one, other)[0, 1])
    for alike in (0.01, 0.3, 0.6):
        if abs(correlation - surely(alike, samples)) > 1e-9:
            found = originals([one, other], [0, 0], alike) == (0, 0)
            assert found == (correlation > surely(alike, samples))


@pytest.mark.parametrize(("samples", "least"), [(20, 0.981), (100, 0.966), (500, 0.958)])
def test_with_few_samples_more_is_asked_of_a_correlation(samples: int, least: float) -> None:
    assert surely(ALIKE, samples) == pytest.approx(least, abs=5e-4)
    assert surely(ALIKE, 3) > 1
    assert surely(1.0, samples) == 1
