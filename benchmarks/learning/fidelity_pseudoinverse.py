"""Figures of the pseudoinverse method: a relay of peers against all data in one place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from benchmarks.learning.fidelity_local import CLASSES, largest_difference, leg_on, linear_samples, relative_difference
from benchmarks.learning.figure import LARGEST, RELATIVE, Figure
from derelayl_training.architectures.pil import Pil, build_pil
from derelayl_training.inputs import to_inputs
from derelayl_training.methods.pseudoinverse import PseudoinverseMethod
from derelayl_training.recipe import Recipe
from derelayl_training.split import Split
from derelayl_training.train import samples_of

ADD = Recipe(method="pseudoinverse")
RIDGE_POWER = -3

FORGET = Recipe(method="pseudoinverse", forget=True)


def relay_against_pooled(seed: int, steps: int) -> float:
    """Relative difference of the output weights: a peer for each class, in random order, against the pooled data."""
    data = linear_samples(seed)
    pooled, relayed = _network(data, seed), _network(data, seed)
    _leg(pooled, data)
    for label in np.random.default_rng(seed).permutation(CLASSES):
        _leg(relayed, _only(data, data.train_y == label))
    return relative_difference(_weights(relayed), _weights(pooled))


def written_out_against_pooled(seed: int, steps: int) -> float:
    """Share of the samples on which ridge regression written out answers otherwise."""
    data = linear_samples(seed)
    model = _network(data, seed)
    _leg(model, data)
    inputs = to_inputs(data.train_x)
    features = model.features(0, inputs).double()
    onehot = torch.nn.functional.one_hot(torch.from_numpy(data.train_y), CLASSES).double()
    gram = features.T @ features
    solved = torch.linalg.solve(
        gram + model.ridges[0] * gram.diagonal().mean() * torch.eye(len(gram)), features.T @ onehot
    )
    return float(((features @ solved).argmax(1) != model(inputs).argmax(1)).double().mean())


def forgetting_undoes(seed: int, steps: int) -> float:
    """Largest difference of the whole state: before a leg, and after it was added and forgotten again."""
    data = linear_samples(seed)
    half = np.arange(len(data.train_y)) % 2 == 0
    model = _network(data, seed)
    _leg(model, _only(data, half))
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    for recipe in (ADD, FORGET):
        _leg(model, _only(data, ~half), recipe)
    return largest_difference(before, model.state_dict())


def _network(data: Split, seed: int) -> Pil:
    features = data.train_x.shape[1]
    parameters = {
        "features": features,
        "classes": CLASSES,
        "neurons": 16,
        "subsystems": 1,
        "seed": seed,
        "ridge": RIDGE_POWER,
    }
    return build_pil(parameters)


def _leg(model: Pil, data: Split, recipe: Recipe = ADD) -> None:
    leg = leg_on(model, recipe, data=data)
    method = PseudoinverseMethod()
    batches = method.prepare(leg)
    for step in range(len(batches)):
        method.step(*samples_of(leg, batches[step]))
    method.finish()


def _only(data: Split, chosen: Sequence[bool] | np.ndarray) -> Split:
    return replace(data, train_x=data.train_x[chosen], train_y=data.train_y[chosen])


def _weights(model: Pil) -> dict[str, Tensor]:
    return {name: tensor for name, tensor in model.state_dict().items() if name.endswith("output")}


FIGURES = (
    Figure("pseudoinverse, a relay of one-class peers is pooled training, weights", RELATIVE, relay_against_pooled),
    Figure("pseudoinverse, ridge regression written out, share of other answers", LARGEST, written_out_against_pooled),
    Figure("pseudoinverse, a leg added and forgotten leaves no trace, state", LARGEST, forgetting_undoes),
)
