"""Recipes: what is refused, and what a manifest tells of them."""

import pytest

from derelayl_protocol.errors import LocalFault
from derelayl_training.recipe import DEFAULT, Recipe, make_recipe, parse_recipe


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("prox", "not key=value"),
        ("prox=1,prox=2", "given twice"),
        ("proxy=1", "proxy is unknown; there are method"),
        ("method=magic", "method: Input should be 'backprop'"),
        ("momentum=1", "momentum: Input should be less than 1"),
        ("prox=nan", "prox: Input should be"),
        ("keep=0", "keep: Input should be greater than 0"),
        ("method=local,privacy=dp", "privacy=dp goes with method=backprop or adapter"),
        ("privacy=dp,distil=0.5", "does not go with rehearse, distil or consolidate"),
        ("x" * 5000, "at most 4096 characters"),
    ],
)
def test_a_recipe_that_cannot_be_is_refused_with_the_reason(text: str, reason: str) -> None:
    with pytest.raises(LocalFault, match=reason):
        parse_recipe(text)


def test_an_empty_recipe_is_the_default() -> None:
    assert parse_recipe("") == DEFAULT == Recipe()


def test_spaces_around_pairs_are_allowed() -> None:
    assert parse_recipe(" method=sparse , keep=0.05 ") == make_recipe({"method": "sparse", "keep": 0.05})


def test_the_record_is_the_method_and_what_differs_with_fractions_as_text() -> None:
    record = parse_recipe("optimiser=adamw,merge=true,prox=0.001,warmup=0").record()
    assert record == {"method": "backprop", "optimiser": "adamw", "merge": True, "prox": "0.001", "warmup": 0}


def test_a_recipe_can_be_read_back_from_its_record() -> None:
    recipe = parse_recipe("method=local,window=2,sgr=0.125,balanced=false")
    assert make_recipe(recipe.record()) == recipe
