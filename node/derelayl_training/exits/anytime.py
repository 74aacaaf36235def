"""Dynamic routing at inference: a network whose prefix heads are exits, each sample leaving when it is clear enough.

Every head that local learning or intermediate supervision trains is an early exit for free. Confidence is the highest
probability after temperature scaling of each exit (Guo et al., ICML 2017); thresholds are set on labelled samples for a
compute budget (Huang et al., MSDNet, ICLR 2018).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import torch
from blake3 import blake3
from numpy.typing import NDArray
from torch import Tensor, nn

from derelayl_protocol.errors import LocalFault

from ..architectures import SegmentedModel, build
from ..inputs import to_inputs
from ..judge import EVAL_BATCH
from ..kinds import InputKind, kind_of
from ..split import Inputs, Labels
from ..weights import load_weights
from .pulled import Calibration, OperatingPoint, read_calibration, read_description, weights_file
from .stages import count_operations, stages_of
from .temperature import fit_temperature, probabilities_of
from .thresholds import Evidence, Thresholds, ThresholdSearch

BUDGETS = tuple(round(0.05 * step, 2) for step in range(1, 20))
"""Shares of the whole network's multiply-adds that a calibration sets the exits for, where they are enough."""

MIN_SAMPLES = 50
"""Fewer labelled samples say nothing of a threshold."""

MAX_SAMPLES = 10_000
"""More, and evenly spaced ones of them calibrate: bounds memory and time."""

SLACK = 1e-9
"""Budgets that differ by less are equal."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a network said of N samples: classes, calibrated confidences, the exit that each took, and its cost, (N,).

    A cost is a share of the whole network's multiply-adds, with the heads that were asked on the way.
    """

    labels: Labels
    confidence: NDArray[np.float64]
    exit: NDArray[np.int64]
    cost: NDArray[np.float64]

    @property
    def mean_cost(self) -> float:
        return float(self.cost.mean())


class AnytimeModel:
    """A network that answers within a compute budget. Without prefix heads it has one exit, its end."""

    def __init__(self, model: SegmentedModel, calibration: Calibration | None = None) -> None:
        """Raises LocalFault: a network that continues text, or a calibration of other weights."""
        if model.input_kind is InputKind.TEXT:
            raise LocalFault("predict works for networks that classify samples, not for networks that continue text")
        self.model = model.eval()
        self._device = next(iter(model.state_dict().values())).device
        self._stages = stages_of(model)
        self._trunk, self._heads = count_operations(self._stages, self._example())
        self.weights = digest_of_tensors(model)
        if calibration is not None and not self._fits(calibration):
            raise LocalFault("the calibration was made for other weights or another network; calibrate again")
        self.calibration = calibration

    @classmethod
    def load(cls, path: Path, keep_calibration: bool = True) -> Self:
        """Read a pulled checkpoint: its file or its folder. Raises LocalFault (files), PeerFault (the weights).

        Without `keep_calibration` the file beside the weights is not read: who calibrates anew needs none.
        """
        weights = weights_file(path)
        model = build(read_description(weights).network())
        load_weights(model, weights)
        return cls(model, read_calibration(weights) if keep_calibration else None)

    @property
    def exits(self) -> int:
        return len(self._stages)

    @property
    def whole(self) -> int:
        """Multiply-adds of the whole network for one sample, without early heads."""
        return sum(self._trunk) + self._heads[-1]

    def calibrate(self, x: Inputs, y: Labels, budgets: Sequence[float] = BUDGETS) -> Calibration:
        """Set the exits on labelled samples that neither trained the network nor are to test it.

        Deterministic. Raises LocalFault: too few samples, or they do not fit the network.
        """
        self._check(x)
        if len(x) != len(y) or (len(y) and not 0 <= y.min() <= y.max() < self.model.classes):
            raise LocalFault(f"{len(x)} samples need as many labels from 0 to {self.model.classes - 1}")
        if len(y) < MIN_SAMPLES:
            raise LocalFault(f"{len(y)} samples are too few to calibrate on, allowed are at least {MIN_SAMPLES}")
        some = np.unique(np.linspace(0, len(y) - 1, min(len(y), MAX_SAMPLES)).round().astype(np.int64))
        logits = self._all_logits(x[some])
        truth = torch.from_numpy(y[some])
        temperatures = tuple(fit_temperature(each, truth) for each in logits)
        search = ThresholdSearch(self._evidence(logits, temperatures, truth))
        self.calibration = Calibration(
            weights=self.weights,
            data=digest_of_samples(x),
            samples=len(some),
            temperatures=temperatures,
            trunk=self._trunk,
            heads=self._heads,
            points=_operating_points(search, budgets),
        )
        return self.calibration

    @torch.no_grad()
    def predict(self, x: Inputs, budget: float = 1.0) -> Prediction:
        """Classify samples at a mean cost of about `budget`, a share of the whole network's; 1 runs it whole.

        The budget holds for data like those that calibrated; it is no bound for each sample.
        Raises LocalFault: the samples do not fit, or this network cannot keep to the budget.
        """
        self._check(x)
        thresholds = self._thresholds(budget)
        labels, exits = np.empty(len(x), np.int64), np.empty(len(x), np.int64)
        confidence = np.empty(len(x), np.float64)
        for start in range(0, len(x), EVAL_BATCH):
            part = slice(start, start + EVAL_BATCH)
            labels[part], confidence[part], exits[part] = self._route(self._inputs(x[part]), thresholds)
        is_open = np.array([bar is not None for bar in thresholds], bool)
        return Prediction(labels, confidence, exits, self._costs().cost_at(is_open)[exits])

    def _route(self, features: Tensor, thresholds: Thresholds) -> tuple[Labels, NDArray[np.float64], NDArray[np.int64]]:
        """Run a batch from exit to exit with those samples that have not left."""
        size = len(features)
        labels, exits = np.empty(size, np.int64), np.empty(size, np.int64)
        confidence = np.empty(size, np.float64)
        inside = np.arange(size)
        for exit, (stage, bar) in enumerate(zip(self._stages, (*thresholds, 0.0), strict=True)):
            features = stage.run(features)
            if bar is None:
                continue
            probabilities = self._probabilities(stage.logits(features), exit)
            sure, found = (each.numpy() for each in probabilities.max(1))
            leaves = sure >= bar
            gone = inside[leaves]
            labels[gone], confidence[gone], exits[gone] = found[leaves], sure[leaves], exit
            inside = inside[~leaves]
            if not len(inside):
                break
            features = features[torch.from_numpy(~leaves).to(features.device)]
        return labels, confidence, exits

    @torch.no_grad()
    def _all_logits(self, x: Inputs) -> list[Tensor]:
        """What every exit says of every sample: of each exit (N, classes)."""
        found: list[list[Tensor]] = [[] for _ in self._stages]
        for start in range(0, len(x), EVAL_BATCH):
            features = self._inputs(x[start : start + EVAL_BATCH])
            for stage, parts in zip(self._stages, found, strict=True):
                features = stage.run(features)
                parts.append(stage.logits(features).float().cpu())
        return [finite(torch.cat(parts)) for parts in found]

    def _evidence(self, logits: Sequence[Tensor], temperatures: Sequence[float], truth: Tensor) -> Evidence:
        probabilities = [probabilities_of(each, warmth) for each, warmth in zip(logits, temperatures, strict=True)]
        sure, found = zip(*(each.max(1) for each in probabilities), strict=True)
        costs = self._costs()
        return Evidence(
            np.stack([each.numpy() for each in sure]),
            np.stack([(each == truth).numpy() for each in found]),
            costs.trunk,
            costs.heads,
        )

    def _costs(self) -> Evidence:
        """The costs of the exits as shares of the whole network's, with no sample."""
        nothing = np.empty((self.exits, 0))
        trunk, heads = (np.array(part, np.float64) / self.whole for part in (self._trunk, self._heads))
        return Evidence(nothing, nothing.astype(bool), trunk, heads)

    def _thresholds(self, budget: float) -> Thresholds:
        if not 0 < budget <= 1:
            raise LocalFault(
                f"the budget is {budget:g}, allowed is a share of the whole network's cost, above 0 up to 1"
            )
        if budget == 1:
            return (None,) * (self.exits - 1)
        if self.exits == 1:
            raise LocalFault(
                "this network has no prefix heads (its parameter `heads`), so it can only run whole: budget 1"
            )
        if self.calibration is None:
            raise LocalFault("the exits are not calibrated: give labelled samples by --calibrate first, or budget 1")
        within = [point for point in self.calibration.points if point.budget <= budget + SLACK]
        if not within:
            least = min(point.budget for point in self.calibration.points)
            raise LocalFault(f"a budget of {budget:g} is too small: the first exit alone costs {least:g}")
        return max(within, key=lambda point: point.budget).thresholds

    def _probabilities(self, logits: Tensor, exit: int) -> Tensor:
        logits = finite(logits.float().cpu())
        return probabilities_of(logits, self.calibration.temperatures[exit] if self.calibration else 1.0)

    def _inputs(self, x: Inputs) -> Tensor:
        return to_inputs(x).to(self._device)

    def _example(self) -> Tensor:
        """One sample to count operations with; a text is as long as the network takes it."""
        if self.model.input_kind is InputKind.TABLE:
            return self._inputs(np.zeros((1, *self.model.input_shape), np.float32))
        if self.model.input_kind is InputKind.LABELLED_TEXT:
            return self._inputs(np.resize(np.frombuffer(b"a ", np.uint8), (1, *self.model.input_shape)))
        return self._inputs(np.zeros((1, *self.model.input_shape), np.uint8))

    def _check(self, x: Inputs) -> None:
        wanted = self.model.input_kind
        alike = InputKind.TEXT if wanted is InputKind.LABELLED_TEXT else wanted  # told apart by labels only
        if (kind := kind_of(x)) is not alike or x.shape[1:] != self.model.input_shape:
            raise LocalFault(
                f"the samples are {kind} {x.shape[1:]}, the network takes {wanted} {self.model.input_shape}"
            )
        if not len(x):
            raise LocalFault("there are no samples to predict")

    def _fits(self, calibration: Calibration) -> bool:
        costs = (calibration.trunk, calibration.heads)
        return calibration.weights == self.weights and costs == (self._trunk, self._heads)


def finite(logits: Tensor) -> Tensor:
    """Return logits (N, classes), or raise LocalFault where some are NaN or infinite."""
    if not torch.isfinite(logits).all():
        raise LocalFault("the network's answer to some of these samples is not finite; their values may be too large")
    return logits


def digest_of_tensors(model: nn.Module) -> str:
    """BLAKE3-256 of all weights with their names, in hex."""
    hasher = blake3()
    for name, tensor in sorted(model.state_dict().items()):
        hasher.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        hasher.update(tensor.detach().cpu().flatten().view(torch.uint8).numpy().tobytes())
    return hasher.hexdigest()


def digest_of_samples(x: Inputs) -> str:
    """BLAKE3-256 of samples with their type and shape, in hex."""
    return blake3(f"{x.dtype} {x.shape}\n".encode() + np.ascontiguousarray(x).tobytes()).hexdigest()


def _operating_points(search: ThresholdSearch, budgets: Sequence[float]) -> tuple[OperatingPoint, ...]:
    """Set the exits for each budget that is enough, and for the least; more budget is never worse on the evidence."""
    least = min(1.0, math.ceil(search.least_budget * 1e6) / 1e6)
    points: list[OperatingPoint] = []
    best = None
    for budget in sorted({least, *(each for each in budgets if each > least)}):
        found = search.best(budget)
        best = found if best is None or found.worth > best.worth else best
        points.append(
            OperatingPoint(budget=budget, thresholds=best.thresholds, cost=min(best.cost, 1.0), accuracy=best.accuracy)
        )
    return tuple(points)
