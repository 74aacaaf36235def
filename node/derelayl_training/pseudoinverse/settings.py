"""The dials of the two-way system."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from derelayl_protocol.errors import LocalFault

from .classifier import Classifier


@dataclass(frozen=True, slots=True)
class PilsSettings:
    """Widths are neurons. Ridges and the sparsity are relative to the mean diagonal of a Gram matrix.

    The authors' widths are (1500, 1000, 600, 500) with 10,000 fused neurons for Fashion-MNIST, and ridges of 2⁻³⁰ in
    float64; here sums of float32 products allow no less than about 1e-6.
    """

    widths: tuple[int, ...] = (1000, 600, 400)
    probe_neurons: int = 1000
    fusion_neurons: int = 4000
    reach: float = 1.0
    ridges: tuple[float, ...] = (1e-2, 1e-3, 1e-4, 1e-5)  # falling; generalised cross-validation chooses
    backward_ridge: float = 1e-3
    sparsity: float = 1e-4
    fista_steps: int = 50
    probe_rows: int = 20_000  # training samples that a pair of features is tried on
    max_subsystems: int = 2
    least_gain: float = 0.0  # a further subsystem must raise validation accuracy by more than that
    share: float = 0.8  # of the training samples that a subsystem sees,
    share_deviation: float = 0.02  # drawn from a normal law of this deviation

    def __post_init__(self) -> None:
        numbers = (*self.widths, self.probe_neurons, self.fusion_neurons, self.fista_steps, self.max_subsystems)
        if not self.widths or min(numbers) < 1:
            raise LocalFault(f"widths, neurons, steps and subsystems must be at least 1, not {min(numbers, default=0)}")
        if min(*self.ridges, self.backward_ridge, self.reach) <= 0 or not self.ridges or not 0 < self.share <= 1:
            raise LocalFault("ridges and reach must be above 0, the share from above 0 to 1")

    def classifier(self, inputs: Tensor, labels: Tensor, classes: int, neurons: int, seed: int) -> Classifier:
        """Fit a classifier of this many neurons with these dials."""
        return Classifier.fit(inputs, labels, classes, neurons, self.reach, self.ridges, seed)
