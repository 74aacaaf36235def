"""Table 2: peak memory, time and accuracy of training in segments, beside end to end with and without checkpointing.

Peak: what one optimiser step holds at most beyond what is there before it (weights, momenta, the batch), measured by
`peak` after a warm-up step, at batch 128 and 1024. For ResNet-110 on a processor the peak at batch 1024 is that of the
straight line through batch 64 and 128, for a step of 1024 takes minutes; the same line is checked against the measured
peak at 1024 for ResNet-32. A leg on one segment alone is what a peer of a relay trains: its peak is the greatest over
the segments (with one block a segment: over the first two, the middle one and the last).

Accuracy: ResNet-32 after EPOCHS epochs over TRAIN_IMAGES images of Fashion-MNIST in batches of 32, tested on the first
TEST_IMAGES of its official test set, last epoch. One rate for all methods; SGR and MLAAN over segments of a block
each take three to eleven times end to end's time, so they are trained with the first seed only. Gradient checkpointing
computes the same gradients as end to end, so its accuracy is that of end to end.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median

import numpy as np
import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from benchmarks.rows import Row, row
from derelayl_protocol.types import WHOLE_MODEL
from derelayl_training.architectures import build
from derelayl_training.architectures.blocks import BlockModel
from derelayl_training.jobs import Architecture
from derelayl_training.judge import share_correct
from derelayl_training.methods import GradientMethod, Method, make_method
from derelayl_training.recipe import Recipe
from derelayl_training.split import Split
from derelayl_training.train import samples_of

from .harness import Log, Measured
from .images import whole_images
from .legs import Plan, open_leg, train
from .peak import peak_bytes

MIB = 2**20
EPOCH_IMAGES = 60_000

TRAIN_IMAGES, TEST_IMAGES, EPOCHS = 4000, 4000, 2
ACCURACY_BATCH, ACCURACY_RATE = 32, 0.05

WARM_UP_SAMPLES = 2
"""Of the step before the measured one, which makes the momenta."""

LARGE_BATCH = 1024

END_TO_END, CHECKPOINTED, FROZEN = "end to end", "end to end, checkpointed", "end to end, rest frozen"


@dataclass(frozen=True)
class Variant:
    """A method of the table: its auxiliary heads, its recipe, what it is measured for."""

    name: str
    heads: str
    recipe: Recipe
    whole: bool = True  # all segments in one step
    alone: bool = True  # legs on one segment
    accuracy: bool = True


PLAIN = Recipe(balanced=False)
VARIANTS = (
    Variant(CHECKPOINTED, "", PLAIN, alone=False, accuracy=False),
    Variant(FROZEN, "", PLAIN, whole=False, accuracy=False),
    Variant("DGL", "dgl", Recipe(method="local", balanced=False)),
    Variant("AugLocal", "auglocal-2", Recipe(method="local", balanced=False)),
    Variant("MLAAN, window 1", "mlaan", Recipe(method="local", window=1, balanced=False)),
    Variant("MLAAN", "mlaan", Recipe(method="local", window=2, balanced=False)),
    Variant("MLAAN + SGR", "mlaan", Recipe(method="local", window=2, sgr=0.1, balanced=False)),
)
WHOLE = Variant(END_TO_END, "", PLAIN, alone=False)


@dataclass(frozen=True)
class Network:
    """A network of the table and how it is measured on a processor: batches of the peaks, steps that are timed."""

    name: str
    depth: int
    batches: tuple[int, ...]
    timed_batch: int
    timed_steps: int
    base: int = 16

    def architecture(self, segments: int, heads: str) -> Architecture:
        shape: dict[str, int | str | bool] = {"channels": 1, "height": 28, "width": 28, "classes": 10}
        parameters = {**shape, "depth": self.depth, "base": self.base, "segments": segments, "cuts": "balanced"}
        return Architecture("resnet", {**parameters, "heads": heads} if heads else parameters)

    @property
    def blocks(self) -> int:
        return (self.depth - 2) // 2


NETWORKS = (
    Network("ResNet-32", 32, (64, 128, LARGE_BATCH), 128, 3),
    Network("ResNet-110", 110, (64, 128), 128, 1),
)
QUICK_NETWORKS = (Network("ResNet-14", 14, (2, 4, 16), 4, 1, base=4),)


class CheckpointedBackprop(GradientMethod):
    """The rival for memory: end to end, keeping only what crosses the cuts and computing the rest a second time."""

    def loss(self, inputs: Tensor, labels: Tensor) -> Tensor:
        """See GradientMethod."""
        model = self.leg.model
        assert isinstance(model, BlockModel)
        features = inputs
        for segment in range(len(model.cuts) - 1):
            features = checkpoint(model.run_segment, segment, features, use_reentrant=False)
        return self.cross_entropy(model.head(features), labels)


@dataclass(frozen=True)
class Case:
    """A line of the table; `part` is memory or accuracy."""

    part: str
    network: Network
    segments: int
    variant: Variant

    @property
    def name(self) -> str:
        cut = "a block each" if self.segments == self.network.blocks else str(self.segments)
        line = f"{self.network.name}, {self.variant.name}"
        return line if self.segments == 1 else f"{line}, K = {cut}"

    @property
    def key(self) -> str:
        return f"{self.part}: {self.name}"

    @property
    def costly(self) -> bool:
        """Training takes three to eleven times end to end's: SGR, and MLAAN's heads after every block."""
        return self.variant.recipe.sgr > 0 or (self.variant.heads == "mlaan" and self.segments == self.network.blocks)


def all_cases(quick: bool) -> list[Case]:
    found = []
    for network in QUICK_NETWORKS if quick else NETWORKS:
        cuts = (network.blocks,) if quick else (2, 4, network.blocks)
        lines = [(1, WHOLE), *((segments, variant) for segments in cuts for variant in VARIANTS)]
        found += [Case("memory", network, segments, variant) for segments, variant in lines]
        if network in (NETWORKS[0], *QUICK_NETWORKS):
            found += [Case("accuracy", network, segments, variant) for segments, variant in lines if variant.accuracy]
    return found


EVERY_CASE = [*all_cases(quick=False), *all_cases(quick=True)]


class MemoryTable:
    """Table 2."""

    name = "memory"

    def cases(self, quick: bool) -> Sequence[str]:
        """See Table."""
        return [case.key for case in all_cases(quick)]

    def seeds(self, case: str, seeds: int) -> int:
        """See Table; the same step holds the same memory, whatever the seed, and costly cases are trained once."""
        found = _find(case)
        return 1 if found.part == "memory" or found.costly else seeds

    def measure(self, case: str, seed: int, quick: bool, log: Log) -> Measured:
        """See Table."""
        found = _find(case)
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        if found.part == "memory":
            return measure_memory(found, device)
        return measure_accuracy(found, seed, quick, device)

    def rows(self, measured: Mapping[str, Sequence[Measured]]) -> list[Row]:
        """See Table."""
        lines = {case.name: case for case in EVERY_CASE}
        return [one for line in lines.values() for one in _rows(line, measured)]


TABLE = MemoryTable()


def _find(key: str) -> Case:
    return next(case for case in EVERY_CASE if case.key == key)


def measure_memory(case: Case, device: torch.device) -> Measured:
    """Peaks in bytes by batch, the greatest peak of a leg on one segment, seconds of an epoch, bytes of the baton."""
    network, variant = case.network, case.variant
    batches = network.batches if device.type == "cpu" else (128, LARGE_BATCH)
    found: Measured = {"device": str(device)}
    if variant.whole:
        found["peaks"] = {str(batch): _peak(case, WHOLE_MODEL, batch, device) for batch in batches}
        found["epoch_seconds"] = _epoch_seconds(case, device)
    if variant.alone:
        alone = network.timed_batch
        found["alone"] = max(_peak(case, segment, alone, device) for segment in _measured_segments(case.segments))
    state = build(network.architecture(case.segments, variant.heads)).state_dict()
    found["baton_bytes"] = sum(tensor.nbytes for tensor in state.values())
    return found


def measure_accuracy(case: Case, seed: int, quick: bool, device: torch.device) -> Measured:
    """Test accuracy in [0, 1] after a fixed number of epochs, and the seconds that the steps took."""
    split = _digits(seed) if quick else _fashion(seed)
    steps = 3 if quick else EPOCHS * len(split.train_y) // ACCURACY_BATCH
    recipe = case.variant.recipe.model_copy(update={"schedule": "cosine", "warmup": 2 if quick else 10})
    plan = Plan(recipe, steps, ACCURACY_BATCH, ACCURACY_RATE, seed, device=device)
    architecture = case.network.architecture(case.segments, case.variant.heads)
    child = train(architecture, None, split, plan)
    model = build(architecture)
    model.load_state_dict(child.state)
    return {"accuracy": share_correct(model, split.held_x, split.held_y), "seconds": child.seconds}


def _peak(case: Case, segment: int, batch: int, device: torch.device) -> int:
    """The peak of a step on `segment`, in bytes."""
    plan = Plan(case.variant.recipe, 2, batch, 0.01, seed=0, segment=segment, device=device)
    leg = open_leg(case.network.architecture(case.segments, case.variant.heads), None, _noise(batch), plan)
    method = _method(case.variant)
    method.prepare(leg)
    method.step(*samples_of(leg, np.arange(WARM_UP_SAMPLES)))
    leg.model.zero_grad(set_to_none=True)  # the old gradients are released within a step: they would hide as much of it
    inputs, labels = samples_of(leg, np.arange(batch))
    return peak_bytes(lambda: method.step(inputs, labels), device)


def _epoch_seconds(case: Case, device: torch.device) -> float:
    """Processor seconds (CUDA: seconds) of EPOCH_IMAGES images, from the median of a few steps after a warm-up."""
    network = case.network
    plan = Plan(case.variant.recipe, network.timed_steps, network.timed_batch, 0.01, seed=0, device=device)
    data_ = _noise(network.timed_batch)
    leg = open_leg(network.architecture(case.segments, case.variant.heads), None, data_, plan)
    method = _method(case.variant)
    method.prepare(leg)
    method.step(*samples_of(leg, np.arange(WARM_UP_SAMPLES)))
    inputs, labels = samples_of(leg, np.arange(network.timed_batch))
    clock = time.process_time if device.type == "cpu" else time.perf_counter
    seconds = []
    for _ in range(network.timed_steps):
        started = clock()
        method.step(inputs, labels)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        seconds.append(clock() - started)
    return median(seconds) * EPOCH_IMAGES / network.timed_batch


def _method(variant: Variant) -> Method:
    return CheckpointedBackprop() if variant.name == CHECKPOINTED else make_method(variant.recipe)


def _measured_segments(segments: int) -> list[int]:
    return list(range(segments)) if segments <= 4 else [0, 1, segments // 2, segments - 1]


def _noise(samples: int) -> Split:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (samples, 1, 28, 28), dtype=np.uint8)
    labels = rng.integers(0, 10, samples)
    return Split(images, labels, images[:1], labels[:1])


def _fashion(seed: int) -> Split:
    whole = whole_images(quick=False)
    chosen = np.random.default_rng(seed).permutation(len(whole.train_y))[:TRAIN_IMAGES]
    return replace(
        whole,
        train_x=whole.train_x[chosen],
        train_y=whole.train_y[chosen],
        held_x=whole.held_x[:TEST_IMAGES],
        held_y=whole.held_y[:TEST_IMAGES],
    )


def _digits(seed: int) -> Split:
    whole = whole_images(quick=True)
    chosen = np.random.default_rng(seed).permutation(len(whole.train_y))[:96]
    return Split(whole.train_x[chosen], whole.train_y[chosen], whole.held_x[::10], whole.held_y[::10])


def _rows(case: Case, measured: Mapping[str, Sequence[Measured]]) -> list[Row]:
    """The rows of a line, each beside end to end of the same network."""
    base = replace(case, segments=1, variant=WHOLE)
    own, beside = measured.get(replace(case, part="memory").key), measured.get(replace(base, part="memory").key)
    rows = []
    if own and beside:
        rows += _memory_rows(case, own[0], beside[0])
    accuracy = [each["accuracy"] for each in measured.get(replace(case, part="accuracy").key, ())]
    rival = [each["accuracy"] for each in measured.get(replace(base, part="accuracy").key, ())]
    if accuracy and len(accuracy) <= len(rival):
        points = [100 * (mine - other) for mine, other in zip(accuracy, rival, strict=False)]
        rows.append(row(case.name, "test accuracy", "share", accuracy))
        rows.append(row(case.name, "accuracy above end to end", "points", points))
    return rows


def _memory_rows(case: Case, own: Measured, whole: Measured) -> list[Row]:
    def beside(metric: str, unit: str, value: float, other: float) -> Row:
        return row(case.name, metric, unit, [value], END_TO_END, [other])

    small = str(case.network.timed_batch)
    rows = []
    if "peaks" in own:
        large = str(max(LARGE_BATCH if case.network in NETWORKS else 0, *map(int, own["peaks"])))
        mine, other = own["peaks"], whole["peaks"]
        rows.append(beside(f"peak, batch {small}", "MiB", mine[small] / MIB, other[small] / MIB))
        rows.append(beside(f"peak, batch {large}", "MiB", _at(mine, large) / MIB, _at(other, large) / MIB))
    if "alone" in own:
        peak = whole["peaks"][small]
        rows.append(beside(f"peak of a leg on one segment, batch {small}", "MiB", own["alone"] / MIB, peak / MIB))
    if "peaks" in own:
        seconds, rival = own["epoch_seconds"], whole["epoch_seconds"]
        rows.append(beside("an epoch of 60,000 images", "s", seconds, rival))
    rows.append(beside("weights of the baton", "MiB", own["baton_bytes"] / MIB, whole["baton_bytes"] / MIB))
    if "peaks" in own and len(own["peaks"]) > 2:
        least, middle, most = sorted(map(int, own["peaks"]))
        line = _line({str(size): own["peaks"][str(size)] for size in (least, middle)}, most)
        rows.append(
            row(case.name, "error of the line at the largest batch", "%", [100 * (line / own["peaks"][str(most)] - 1)])
        )
    return rows


def _at(peaks: Mapping[str, int], batch: str) -> float:
    return peaks[batch] if batch in peaks else _line(peaks, int(batch))


def _line(peaks: Mapping[str, int], batch: int) -> float:
    """The peak at a batch by the straight line through two measured ones."""
    (low, below), (high, above) = sorted((int(size), peak) for size, peak in peaks.items())
    return below + (above - below) / (high - low) * (batch - low)
