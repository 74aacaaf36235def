"""Recipes: what is refused, and what a manifest tells of them."""

import pytest

from derelayl_plugins import resolve
from derelayl_protocol.encoding import encode
from derelayl_protocol.errors import LocalFault
from derelayl_training.dials import METHODS
from derelayl_training.methods import make_method
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


CHANGED = (
    "method=local,optimiser=adamw,momentum=0.8,weight_decay=0.001,warmup=0,schedule=cosine,clip=1,balanced=false,"
    "window=2,cascade=0.5,sgr=0.125,ema=0.9,prox=0.01,distil=0.5,temperature=4,merge=true,consolidate=3,"
    "consolidation_decay=0.5,rehearse=0.25,rehearsal_samples=10"
)


def test_a_manifest_has_the_bytes_that_it_always_had() -> None:
    assert encode(parse_recipe(CHANGED).record()) == (
        b'{"balanced":false,"cascade":"0.5","clip":"1.0","consolidate":"3.0",'
        b'"consolidation_decay":"0.5","distil":"0.5","ema":"0.9","merge":true,"method":"local","momentum":"0.8",'
        b'"optimiser":"adamw","prox":"0.01","rehearsal_samples":10,"rehearse":"0.25","schedule":"cosine","sgr":"0.125",'
        b'"temperature":"4.0","warmup":0,"weight_decay":"0.001","window":2}'
    )


def test_a_snapshot_knows_the_recipe_that_it_was_made_for_by_these_bytes() -> None:
    assert DEFAULT.model_dump_json() == (
        '{"method":"backprop","optimiser":"sgd","momentum":0.9,"weight_decay":0.0001,"warmup":5,"schedule":"constant",'
        '"clip":0.0,"balanced":"auto","supervision":0.0,"window":1,"cascade":0.999,"sgr":0.0,"ema":0.995,"meta":false,'
        '"keep":0.01,"forget":false,"ela_warmup":0.15,"ela_ramp":0.25,"ela_every":20,"ela_share":0.75,'
        '"ela_floor":0.05,"ela_memory":0.9,"prox":0.0,"distil":0.0,"temperature":2.0,"merge":false,"consolidate":0.0,'
        '"consolidation_decay":0.9,"rehearse":0.0,"rehearsal_samples":200,"privacy":"none","noise":1.0,"dp_clip":1.0,'
        '"delta":0.00001,"epsilon_limit":0.0}'
    )


@pytest.mark.parametrize("name", METHODS)
def test_a_method_is_where_the_registry_says_and_its_dials_are_a_recipes(name: str) -> None:
    assert type(make_method(Recipe(method=name))) is resolve(METHODS[name].place)
    assert all(issubclass(Recipe, own) for own in METHODS[name].dials)


def test_every_dial_says_what_it_does() -> None:
    assert all(field.description for name, field in Recipe.model_fields.items() if name != "method")


def test_a_recipe_can_be_read_back_from_its_record() -> None:
    recipe = parse_recipe("method=local,window=2,sgr=0.125,balanced=false")
    assert make_recipe(recipe.record()) == recipe
