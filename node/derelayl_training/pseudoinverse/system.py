"""SST-PILS on one machine: a semi-adaptive synergetic two-way pseudoinverse learning system.

Liu, Zhao, Li and Wang, arXiv 2406.18931. Written anew after the paper and the authors' published script. The defects of
that script are repaired where they are, each named there: test samples that choose the pair of features (`subsystem`),
validation samples inside the training range (`system`), a range fitted on test samples (`forward`, `classifier`), a
stale classifier at the greatest depth (`forward`), three activations for one (`backward`), a step at the limit of
stability (`sparse`), and ridges that need more than float32 (`settings`; sums are float64 here).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from derelayl_protocol.errors import LocalFault

from .classifier import accuracy
from .settings import PilsSettings
from .subsystem import Subsystem

SEEDS_OF_SUBSYSTEM = 10_000
"""Seeds that one subsystem may use."""

LEAST_SHARE = 0.5
"""Of the training samples, however the draw falls."""


@dataclass(frozen=True, slots=True)
class SstPils:
    """Trained subsystems, whose scores add up, and the validation accuracy after each."""

    subsystems: tuple[Subsystem, ...]
    accuracies: tuple[float, ...]

    @classmethod
    def fit(
        cls,
        inputs: Tensor,
        labels: Tensor,
        held_inputs: Tensor,
        held_labels: Tensor,
        settings: PilsSettings,
        seed: int,
    ) -> Self:
        """Train on inputs (N, d) float32 and labels (N,) int64; all choices are by the held samples.

        The held samples must not be among the training samples: in the authors' script they are, so that depth is
        chosen by what was learnt by heart. Each subsystem sees a random share of the training samples and has random
        layers of its own. Subsystems are added until one does not raise the validation accuracy of the sum; that one is
        left out. The paper has such a rule too, the script does not use it. Raises LocalFault: no samples, labels
        that only the held samples have, numbers that are not finite.
        """
        _check(inputs, labels, held_inputs, held_labels)
        held = (held_inputs, held_labels)
        kept: list[Subsystem] = []
        accuracies: list[float] = []
        classes = int(labels.max()) + 1
        total = torch.zeros(len(held_labels), classes)
        for index in range(settings.max_subsystems):
            own = seed * settings.max_subsystems * SEEDS_OF_SUBSYSTEM + index * SEEDS_OF_SUBSYSTEM
            rows = _draw_rows(len(labels), settings, torch.Generator().manual_seed(own))
            subsystem = Subsystem.fit(inputs[rows], labels[rows], held, classes, settings, own + 1)
            raised = total + subsystem.scores(held_inputs)
            reached = accuracy(raised, held_labels)
            if accuracies and reached <= accuracies[-1] + settings.least_gain:
                break
            total = raised
            kept.append(subsystem)
            accuracies.append(reached)
        return cls(tuple(kept), tuple(accuracies))

    def scores(self, inputs: Tensor) -> Tensor:
        """(N, d) -> (N, classes), the sum over the subsystems."""
        return torch.stack([subsystem.scores(inputs) for subsystem in self.subsystems]).sum(0)

    def predict(self, inputs: Tensor) -> Tensor:
        """(N, d) -> the class of each sample, (N,) int64."""
        return self.scores(inputs).argmax(1)


def _draw_rows(samples: int, settings: PilsSettings, generator: torch.Generator) -> Tensor:
    """The rows of a random share of the samples, in random order."""
    drawn = settings.share + settings.share_deviation * torch.randn((), generator=generator).item()
    count = max(1, round(samples * min(max(drawn, LEAST_SHARE), 1.0)))
    return torch.randperm(samples, generator=generator)[:count]


def _check(inputs: Tensor, labels: Tensor, held_inputs: Tensor, held_labels: Tensor) -> None:
    if not len(labels) or not len(held_labels):
        raise LocalFault("the two-way system needs training samples, and validation samples that are not among them")
    if len(inputs) != len(labels) or len(held_inputs) != len(held_labels) or inputs.shape[1:] != held_inputs.shape[1:]:
        raise LocalFault(
            f"inputs {tuple(inputs.shape)} and {tuple(held_inputs.shape)} do not go with {len(labels)} and "
            f"{len(held_labels)} labels"
        )
    if labels.min() < 0 or held_labels.min() < 0 or held_labels.max() > labels.max():
        raise LocalFault(
            f"validation labels are {int(held_labels.min())} … {int(held_labels.max())}, training labels "
            f"{int(labels.min())} … {int(labels.max())}: they must be among these and not negative"
        )
    if not (torch.isfinite(inputs).all() and torch.isfinite(held_inputs).all()):
        raise LocalFault("the inputs hold NaN or an infinity")
