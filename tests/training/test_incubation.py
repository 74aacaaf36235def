"""Deep Incubation: a meta model, segments that grow in it at peers that never talk, and the network put together."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest
import torch
from benchmarks.learning.fidelity_local import largest_difference, leg_on, network, samples, take_steps
from torch import Tensor

from derelayl_protocol.errors import LocalFault
from derelayl_protocol.types import WHOLE_MODEL
from derelayl_training.architectures import build
from derelayl_training.architectures.blocks import BlockModel
from derelayl_training.architectures.heads import MetaSegment, mixed_logits
from derelayl_training.jobs import Architecture
from derelayl_training.judge import mean_loss
from derelayl_training.methods import make_method
from derelayl_training.methods.incubation import IncubationMethod
from derelayl_training.recipe import Recipe
from derelayl_training.split import Split
from derelayl_training.train import samples_of

from .tiny import ARCHITECTURE, tiny_images

META = Recipe(method="incubation", meta=True)
GROW = Recipe(method="incubation")
State = dict[str, Tensor]


def small(**parameters: int | str | bool) -> BlockModel:
    return network(0, **{"depth": 8, "heads": "meta", **parameters})


def state_of(model: BlockModel) -> State:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def after(state: State, recipe: Recipe, segment: int = WHOLE_MODEL, steps: int = 3, **parameters: int | str) -> State:
    """The child of a leg from these weights."""
    model = small(**parameters)
    model.load_state_dict(state)
    take_steps(leg_on(model, recipe, segment, steps)).finish()
    return state_of(model)


def changed(parent: State, child: State) -> set[str]:
    return {name for name in parent if not torch.equal(parent[name], child[name])}


def compose(parent: State, children: Iterable[State]) -> State:
    """Take each tensor from the child that changed it, as a composed manifest does by chunks."""
    composed = dict(parent)
    for child in children:
        composed |= {name: child[name] for name in changed(parent, child)}
    return composed


@pytest.fixture(params=["group", "batch"])
def norm(request: pytest.FixtureRequest) -> str:
    return str(request.param)


# --- refusals ---


@pytest.mark.parametrize("kind", [None, "linear", "mlaan"])
def test_a_network_without_meta_blocks_is_refused(kind: str | None) -> None:
    model = network(0, depth=8, **({"heads": kind} if kind else {}))
    with pytest.raises(LocalFault, match=f"needs a network with heads=meta; this one has heads={kind or 'none'}"):
        IncubationMethod().prepare(leg_on(model, META))


def test_a_network_without_blocks_is_refused() -> None:
    images, labels = tiny_images(32)
    leg = leg_on(build(ARCHITECTURE), META, data=Split(images, labels, images, labels))
    with pytest.raises(LocalFault, match="needs a network with heads=meta; this one has heads=none"):
        IncubationMethod().prepare(leg)


def test_all_segments_at_once_are_refused() -> None:
    with pytest.raises(LocalFault, match="one segment at a time, or the meta model with meta=true"):
        IncubationMethod().prepare(leg_on(small(), GROW))


@pytest.mark.parametrize("dial", [{"distil": 0.5}, {"consolidate": 1.0}])
@pytest.mark.parametrize("recipe", [META, GROW])
def test_what_asks_the_unfinished_network_is_refused(recipe: Recipe, dial: dict[str, float]) -> None:
    with pytest.raises(LocalFault, match="does not go with distil or consolidate"):
        IncubationMethod().prepare(leg_on(small(), recipe.model_copy(update=dial), segment=0))


# --- the meta model ---


def test_a_leg_on_the_meta_model_leaves_all_real_blocks_alone(norm: str) -> None:
    genesis = state_of(small(norm=norm))
    child = after(genesis, META, norm=norm)
    assert changed(genesis, child) == {
        name for name in genesis if not name.startswith("blocks.") and not name.endswith(".grown")
    }


def test_the_stem_and_the_classifier_follow_those_of_the_meta_model(norm: str) -> None:
    child = after(state_of(small(norm=norm)), META, norm=norm)
    for own, meta in (("stem.", "heads.0.stem."), ("head.", "heads.2.classifier.")):
        names = [name for name in child if name.startswith(own)]
        assert names
        assert all(torch.equal(child[name], child[meta + name.removeprefix(own)]) for name in names)


def test_a_stem_that_has_grown_follows_no_more() -> None:
    grown = after(after(state_of(small()), META), GROW, segment=0)
    again = after(grown, META)
    assert not any(name.startswith("stem.") for name in changed(grown, again))
    assert any(name.startswith("head.") for name in changed(grown, again))


def test_the_meta_model_can_be_trained_segment_by_segment() -> None:
    genesis = state_of(small())
    assert changed(genesis, after(genesis, META, segment=1)) == {
        name for name in genesis if name.startswith("heads.1.") and not name.endswith(".grown")
    }
    first = changed(genesis, after(genesis, META, segment=0))
    assert first == {name for name in genesis if name.startswith(("heads.0.", "stem."))} - {"heads.0.grown"}


def test_the_meta_model_learns() -> None:
    leg = replace(leg_on(small(), META, steps=40), learning_rate=0.05)
    method = make_method(META)
    batches = method.prepare(leg)
    losses = [method.step(*samples_of(leg, batches[step])) for step in range(len(batches))]
    assert sum(losses[-5:]) < 0.7 * sum(losses[:5])


# --- segments that grow ---


@pytest.mark.parametrize("segment", [0, 1, 2])
def test_a_leg_changes_the_real_tensors_of_its_segment_alone(segment: int, norm: str) -> None:
    parent = after(state_of(small(norm=norm)), META, norm=norm)
    child = after(parent, GROW, segment, norm=norm)
    own = small(norm=norm).names_of(segment)
    grown = f"heads.{segment}.grown"
    assert changed(parent, child) == {name for name in own if not name.startswith("heads.")} | {grown}
    ends = {name.partition(".")[0] for name in changed(parent, child)} - {"blocks", "heads"}
    assert ends == {0: {"stem"}, 2: {"head"}}.get(segment, set())


def test_legs_at_the_same_time_compose_to_what_legs_in_any_order_give(norm: str) -> None:
    parent = after(state_of(small(norm=norm)), META, norm=norm)
    composed = compose(parent, [after(parent, GROW, segment, norm=norm) for segment in (0, 1, 2)])
    relayed = parent
    for segment in (2, 0, 1):
        relayed = after(relayed, GROW, segment, norm=norm)
    assert largest_difference(composed, relayed) == 0


def test_the_composed_network_answers_better_than_its_genesis() -> None:
    data = samples(0)
    shape: dict[str, Any] = {"depth": 14, "heads": "meta"}
    model = network(0, **shape)
    genesis = state_of(model)
    before = mean_loss(model, data.held_x, data.held_y)
    take_steps(replace(leg_on(model, META, steps=40, data=data), learning_rate=0.05)).finish()
    parent = state_of(model)
    children = []
    for segment in (0, 1, 2):
        model.load_state_dict(parent)
        take_steps(replace(leg_on(model, GROW, segment, steps=40, data=data), learning_rate=0.05)).finish()
        children.append(state_of(model))
    model.load_state_dict(compose(parent, children))
    assert mean_loss(model, data.held_x, data.held_y) < 0.7 * before
    model.load_state_dict(genesis)
    assert mean_loss(model, data.held_x, data.held_y) == before


def test_the_network_answers_by_what_has_grown_so_far() -> None:
    model = small().eval()
    inputs = torch.rand(4, *model.input_shape)
    torch.testing.assert_close(model(inputs), mixed_logits(model, inputs, set()))
    model.load_state_dict(after(after(state_of(model), GROW, segment=2), GROW, segment=0))
    torch.testing.assert_close(model(inputs), mixed_logits(model, inputs, {0, 2}))


def test_the_last_meta_segment_has_the_classifier_and_the_first_the_stem() -> None:
    segments = [head for head in small().heads.values() if isinstance(head, MetaSegment)]
    assert [(head.stem is not None, head.classifier is not None) for head in segments] == [
        (True, False),
        (False, False),
        (False, True),
    ]


@pytest.mark.parametrize("segment", [0, 1, 2])
@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("gpt", {"length": 8, "dimension": 8, "attention_heads": 2}),
        ("mlp", {"features": 8, "classes": 3, "width": 8}),
    ],
)
def test_other_families_grow_too(name: str, parameters: dict[str, int], segment: int) -> None:
    model = build(Architecture(name, {**parameters, "depth": 3, "segments": 3, "heads": "meta"}))
    random = torch.Generator().manual_seed(0)
    if name == "gpt":
        windows = torch.randint(0, 256, (32, 8), generator=random)
        data = Split(*2 * (windows.numpy().astype("uint8"), windows.roll(-1, 1).numpy()))
    else:
        data = Split(*2 * (torch.randn(32, 8, generator=random).numpy(), torch.arange(32).numpy() % 3))
    before = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    take_steps(leg_on(model, GROW, segment, data=data))
    touched = {key for key, tensor in model.state_dict().items() if not torch.equal(tensor, before[key])}
    assert touched
    assert touched <= {key for key in model.names_of(segment) if not key.startswith("heads.")}
