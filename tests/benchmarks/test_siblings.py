"""What the tables of siblings are measured with: disguises that keep a function, rules on pairs, seats' shares."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from benchmarks.learning.averaging import ALL, TWO, WITH_PARENT, Line
from benchmarks.learning.duplicates import SAMPLES, Rule, permuted
from benchmarks.learning.judging import shares
from benchmarks.learning.legs import State
from benchmarks.learning.siblings import KINDS, TRAINERS, average

from derelayl_training.architectures import build
from derelayl_training.inputs import to_inputs
from derelayl_training.kinds import InputKind


def samples_for(kind: str) -> torch.Tensor:
    model = build(KINDS[kind].network)
    rng = np.random.default_rng(0)
    if model.input_kind is InputKind.TABLE:
        return to_inputs(rng.normal(size=(4, *model.input_shape)).astype(np.float32))
    return to_inputs(rng.integers(256, size=(4, *model.input_shape), dtype=np.uint8))


@pytest.mark.parametrize("kind", list(KINDS))
def test_permuted_units_change_the_weights_and_not_the_function(kind: str) -> None:
    model, inputs = build(KINDS[kind].network, 1), samples_for(kind)
    state = {name: tensor + 0.1 * torch.randn_like(tensor) for name, tensor in model.state_dict().items()}
    other = permuted(state, torch.Generator().manual_seed(0))
    answers = []
    for each in (state, other):
        model.load_state_dict(each)
        answers.append(model(inputs).detach())
    assert any(not torch.equal(state[name], other[name]) for name in state)
    torch.testing.assert_close(answers[0], answers[1], rtol=1e-3, atol=1e-4)


def found(value: float) -> dict[str, list[list[float]]]:
    return {"plain": [[value] * 3 for _ in SAMPLES], "excess": [[value] * 3 for _ in SAMPLES]}


def test_of_two_alike_legs_only_the_later_one_is_taken_for_a_copy() -> None:
    pairs = [found(0.5) for _ in range(TRAINERS * (TRAINERS - 1) // 2)]
    pairs[0] = found(0.96)  # legs 0 and 1
    assert Rule(0.95).taken({"pairs": pairs}, 0) == 1 / TRAINERS
    assert Rule(0.97).taken({"pairs": pairs}, 0) == 0


def test_the_guard_asks_for_more_where_samples_are_few() -> None:
    run = {"disguises": {"copy": [found(0.96)]}}
    assert Rule(0.95).caught(run, ("copy",), at=0) == 1
    assert Rule(0.95, guard=1).caught(run, ("copy",), at=0) == 0
    assert Rule(0.95, guard=1).caught(run, ("copy",), at=len(SAMPLES) - 1) == 1


def test_seats_that_agree_on_what_tells_legs_apart_share_and_one_that_does_not_is_charged() -> None:
    scores = np.array([[0, 200_000]] * 3 + [[200_000, 0]])
    assert shares(scores, 100_000) == [1, 1, 1, -1]
    assert shares(np.zeros((3, 4), dtype=np.int64), 100_000) == [0, 0, 0]


def test_averages_are_of_the_best_children_and_of_parent_and_tip() -> None:
    children: list[State] = [{"w": torch.tensor([value])} for value in (3.0, 1.0, 8.0)]
    line = Line(tip=children[0], parent={"w": torch.tensor([5.0])}, selected=children)
    made = line.averages()
    assert {name: float(made[name]["w"]) for name in (TWO, ALL, WITH_PARENT)} == {TWO: 2, ALL: 4, WITH_PARENT: 4}
    assert not Line(tip=children[0]).averages()
    assert float(average(children[:2])["w"]) == 2
