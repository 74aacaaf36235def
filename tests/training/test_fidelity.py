"""The methods are what they say: every figure of the benchmark `fidelity` is where its formula puts it."""

import pytest
import torch
from benchmarks.learning.fidelity import FIGURES, TABLE
from benchmarks.learning.fidelity_local import LinearNet, leg_on, linear_samples, local, take_steps
from benchmarks.learning.figure import LARGEST, OVER, RELATIVE, Figure

BOUNDS = {LARGEST: 0.0, RELATIVE: 5e-6}

BIASED = "ELA, equal rows have no divergence"
"""Where a small number is added before the logarithm."""


@pytest.mark.parametrize("figure", FIGURES.values(), ids=lambda figure: figure.claim)
def test_a_figure_is_where_its_formula_puts_it(figure: Figure) -> None:
    measured = figure.measure(3, 2)
    if figure.metric == OVER:
        assert measured == pytest.approx(1, abs=1e-6)
    else:
        assert measured <= (1e-6 if figure.claim == BIASED else BOUNDS[figure.metric])


def test_heads_that_do_not_agree_have_a_discord_and_other_gradients() -> None:
    model = LinearNet(0)
    with torch.no_grad():
        model.heads["1"].get_parameter("layers.0.weight").neg_()
    record = take_steps(leg_on(model, local(sgr=1.0), data=linear_samples(0))).finish()
    assert float(str(record["discord"])) > 0.1


def test_each_figure_is_a_row_of_as_many_values_as_seeds() -> None:
    heard: list[str] = []
    claim = TABLE.cases(quick=True)[-1]
    rows = TABLE.rows({claim: [TABLE.measure(claim, seed, True, heard.append) for seed in (0, 1)]})
    assert [(one["case"], one["n"]) for one in rows] == [(f"fidelity: {claim}", 2)]
    assert len(heard) == 2
