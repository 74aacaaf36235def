"""A relay of peers that have one class each, against pooled training."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

import numpy as np
from torch import Tensor

from derelayl_training.architectures.pil import Pil

from .harness import Measured
from .pseudoinverse_images import images
from .pseudoinverse_learners import Size, answers, on_images, pil_network, share, sums

PEERS = 10
"""One a class."""


def relay(name: str, seed: int, size: Size) -> Measured:
    """Ten peers with one class each, in three random orders, against all samples at once; then one peer forgets."""
    data = images(name, seed, size)
    parameters = on_images(16 * size.few_filters, 5, seed)
    pooled = pil_network(parameters)
    pooled.subsystem(0).take(sums(pooled, 0, data.train_x, data.train_y), pooled.ridges)
    expected = answers(pooled, data.test_x)
    shards = []
    for label in range(PEERS):
        own = data.train_y == label
        shards.append((data.train_x[own.numpy()], data.train_y[own]))
    differences, agreements, leg_seconds = [], [], []
    model = pooled
    for order in range(size.orders):
        model = pil_network(parameters)
        for peer in np.random.default_rng([seed, order]).permutation(PEERS):
            started = time.process_time()
            subsystem = model.subsystem(0)
            subsystem.take(subsystem.statistics.plus(sums(model, 0, *shards[peer])), model.ridges)
            leg_seconds.append(time.process_time() - started)
        differences.append(_relative(model.subsystem(0).output, pooled.subsystem(0).output))
        agreements.append(float((answers(model, data.test_x).argmax(1) == expected.argmax(1)).double().mean()))
    return {
        "difference": max(differences),
        "identical": min(agreements),
        "accuracy": share(expected, data.test_y),
        "seconds": float(np.mean(leg_seconds)),
        "forgotten": _forgotten(model, parameters, shards),
    }


def _forgotten(model: Pil, parameters: Mapping[str, int], shards: Sequence[tuple[np.ndarray, Tensor]]) -> float:
    """Relative difference of the weights: all peers' less the last, against a relay that never had the last."""
    without = pil_network(parameters)
    statistics = without.subsystem(0).statistics
    for samples, labels in shards[:-1]:
        statistics = statistics.plus(sums(without, 0, samples, labels))
    without.subsystem(0).take(statistics, without.ridges)
    subsystem = model.subsystem(0)
    subsystem.take(subsystem.statistics.plus(sums(model, 0, *shards[-1]), -1), model.ridges)
    return _relative(subsystem.output, without.subsystem(0).output)


def _relative(own: Tensor, expected: Tensor) -> float:
    return float((own - expected).norm() / expected.norm())
