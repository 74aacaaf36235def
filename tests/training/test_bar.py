"""What the bar is made of: bounded, the leased tips first, each thing once."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from derelayl_protocol.limits import MAX_TIPS
from derelayl_protocol.types import WHOLE_MODEL
from derelayl_training.bar import MAX_BAR_TIPS, MAX_CANDIDATES, Candidate, candidates


@given(
    segments=st.lists(st.sampled_from([0, 1, WHOLE_MODEL]), min_size=1, max_size=MAX_TIPS),
    data=st.data(),
)
def test_it_is_bounded_and_names_each_thing_once_the_leased_tips_first(
    segments: list[int], data: st.DataObject
) -> None:
    leased = sorted(data.draw(st.sets(st.integers(0, len(segments) - 1), min_size=1)))
    made = candidates(segments, leased)
    assert made[: len(leased)] == tuple(Candidate((place,)) for place in leased)
    assert len(made) == len(set(made)) <= len(leased) + MAX_CANDIDATES
    assert all(each.base in leased for each in made)


def test_one_leased_tip_has_all_that_it_can_have() -> None:
    made = candidates([0, 1, 1, 1, 1, 1, 1], [0])
    assert len(made) == 1 + MAX_CANDIDATES
    assert {len(each.tips) for each in made} == set(range(1, MAX_BAR_TIPS + 1))


def test_many_tips_give_pairs_with_the_leased_one_and_means_of_the_first_ones() -> None:
    made = {each.tips for each in candidates([WHOLE_MODEL] * 6, [2])}
    assert {(0, 2), (1, 2), (2, 3), (0, 1, 2), (0, 1, 2, 3), (0, 1, 2, 3, 4), (0, 1, 2, 3, 4, 5)} <= made
    assert (0, 1) not in made


@pytest.mark.parametrize(
    ("segments", "expected"),
    [([WHOLE_MODEL, 1], {1}), ([0, 1], {1}), ([1, 1], set()), ([0, WHOLE_MODEL], set())],
)
def test_a_composition_takes_the_segment_that_the_other_tip_has_trained(
    segments: list[int], expected: set[int]
) -> None:
    assert {each.segment for each in candidates(segments, [0])} - {WHOLE_MODEL} == expected
