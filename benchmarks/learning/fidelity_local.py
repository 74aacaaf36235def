"""Figures of local learning and of incubation, and the tiny legs that the figures are measured on.

What compares with a reference compares with the formula written out plainly here, never with the method itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.learning.figure import LARGEST, OVER, RELATIVE, Figure
from derelayl_protocol.types import WHOLE_MODEL
from derelayl_training.architectures import SegmentedModel, build
from derelayl_training.architectures.blocks import BlockModel, ExitHead
from derelayl_training.architectures.heads import add_heads
from derelayl_training.architectures.leaps import LeapHead
from derelayl_training.jobs import Architecture
from derelayl_training.leg import Leg
from derelayl_training.methods import make_method
from derelayl_training.methods.gradient import GradientMethod
from derelayl_training.methods.local import LocalMethod
from derelayl_training.recipe import Recipe
from derelayl_training.resources import CPU
from derelayl_training.split import Split
from derelayl_training.train import samples_of

SIDE, CLASSES, BATCH = 8, 3, 16

RESNET: Mapping[str, int | str | bool] = {
    "channels": 1,
    "height": SIDE,
    "width": SIDE,
    "classes": CLASSES,
    "depth": 14,
    "base": 4,
    "segments": 3,
}

LOCAL = Recipe(method="local")

TINY_WEIGHT = 1e-30
"""A weight of reconciliation that computes all of it and moves no bit of a gradient that is not itself as small."""


# --- networks and legs ------------------------------------------------------------------------------------------------


def network(seed: int, **parameters: int | str | bool) -> BlockModel:
    """A ResNet-14 of 4 channels, with changed parameters."""
    model = build(Architecture("resnet", {**RESNET, **parameters}), seed)
    assert isinstance(model, BlockModel)
    return model


def samples(seed: int, count: int = 4 * BATCH) -> Split:
    """Noise with a brighter third of the rows, by class."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, CLASSES, count)
    images = rng.integers(0, 128, (count, 1, SIDE, SIDE), dtype=np.uint8)
    for image, label in zip(images, labels, strict=True):
        image[:, 3 * label : 3 * label + 2] += 100
    return Split(images, labels, images, labels)


def leg_on(
    model: SegmentedModel, recipe: Recipe, segment: int = WHOLE_MODEL, steps: int = 1, data: Split | None = None
) -> Leg:
    """A leg on this very network, at a small rate."""
    return Leg(
        model=model,
        start={name: tensor.clone() for name, tensor in model.state_dict().items()},
        leased=model.names_of(segment),
        segment=segment,
        data=data or samples(0),
        recipe=recipe,
        resources=CPU,
        steps=steps,
        batch=BATCH,
        learning_rate=0.02,
        seed=0,
        history={},
    )


def take_steps(leg: Leg, method: GradientMethod | None = None) -> GradientMethod:
    """Take all steps of the leg; the gradients of the last one stay on the parameters."""
    if method is None:
        made = make_method(leg.recipe)
        assert isinstance(made, GradientMethod)
        method = made
    batches = method.prepare(leg)
    for step in range(len(batches)):
        method.step(*samples_of(leg, batches[step]))
    return method


def gradients(model: nn.Module) -> dict[str, Tensor]:
    """The gradients that are there, by parameter."""
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def largest_difference(ours: Mapping[str, Tensor], theirs: Mapping[str, Tensor]) -> float:
    """Largest absolute difference between tensors of the same names; a tensor that is missing counts as zeros."""
    none = torch.zeros(())
    names = ours.keys() | theirs.keys()
    return max((float((ours.get(name, none) - theirs.get(name, none)).abs().max()) for name in names), default=0.0)


def relative_difference(ours: Mapping[str, Tensor], theirs: Mapping[str, Tensor]) -> float:
    """The same as a share of the largest number in `theirs`."""
    return largest_difference(ours, theirs) / max(float(tensor.abs().max()) for tensor in theirs.values())


# --- local learning ---------------------------------------------------------------------------------------------------


def one_segment_against_backprop(seed: int, steps: int) -> float:
    """Largest difference of weights after a leg on a network of one segment: local against end to end."""
    children = []
    for recipe in (LOCAL, Recipe()):
        model = network(seed, segments=1, heads="linear")
        take_steps(leg_on(model, recipe, steps=steps, data=samples(seed)))
        children.append(model.state_dict())
    return largest_difference(*children)


def local_against_written_out(seed: int, steps: int) -> float:
    """Largest difference of gradients: plain local learning against detached segments written out."""
    model = network(seed, heads="auglocal-2")
    leg = leg_on(model, LOCAL, data=samples(seed))
    expected = _windowed(model, leg, window=1, cascade=0)
    take_steps(leg)
    return largest_difference(gradients(model), expected)


def windows_against_written_out(seed: int, steps: int) -> float:
    """Relative difference of gradients: windows of two segments in one pass against one pass for each window."""
    model = network(seed, heads="mlaan")
    leg = leg_on(model, local(window=2, cascade=0.9), data=samples(seed))
    expected = _windowed(model, leg, window=2, cascade=0.9)
    take_steps(leg)
    return relative_difference(gradients(model), expected)


def weightless_reconciliation(seed: int, steps: int) -> float:
    """Relative difference of weights after a leg: reconciliation at next to no weight against none."""
    children = []
    for weight in (TINY_WEIGHT, 0.0):
        model = network(seed, heads="auglocal-2")
        take_steps(leg_on(model, local(sgr=weight), steps=steps, data=samples(seed)))
        children.append(model.state_dict())
    return relative_difference(*children)


def weightless_cascade(seed: int, steps: int) -> float:
    """Largest difference of the backbone's weights: MLAAN's heads with cascade=0 against linear heads and no window."""
    plain, mlaan = network(seed, heads="linear"), network(seed, heads="mlaan")
    for segment, head in mlaan.heads.items():
        assert isinstance(head, LeapHead)
        head.independent_classifier.load_state_dict(plain.heads[segment].get_submodule("layers.0").state_dict())
    take_steps(leg_on(plain, LOCAL, steps=steps, data=samples(seed)))
    take_steps(leg_on(mlaan, local(window=2, cascade=0.0), steps=steps, data=samples(seed)))
    return largest_difference(_backbone(plain), _backbone(mlaan))


def alone_against_together(seed: int, steps: int) -> float:
    """Relative difference of a segment's gradient: a leg on it alone against a leg on all; the worst segment."""
    recipe = local(window=2, cascade=0.9, sgr=0.3)
    together = network(seed, heads="mlaan")
    take_steps(leg_on(together, recipe, data=samples(seed)))
    expected = gradients(together)
    worst = 0.0
    for segment in range(len(together.cuts) - 1):
        model = network(seed, heads="mlaan")
        take_steps(leg_on(model, recipe, segment, data=samples(seed)))
        own = {name: expected[name] for name in expected if name in model.names_of(segment)}
        worst = max(worst, relative_difference(gradients(model), own))
    return worst


class OneLoss(LocalMethod):
    """Local learning in which one segment's heads alone have a loss."""

    def __init__(self, only: int) -> None:
        self.only = only

    def _losses(self, segment: int, features: Tensor, criterion: Callable[[Tensor], Tensor]) -> tuple[Tensor, Tensor]:
        own, cascaded = super()._losses(segment, features, criterion)
        kept = float(segment == self.only)
        return kept * own, kept * cascaded


def gradient_outside(window: int) -> Callable[[int, int], float]:
    """Largest gradient that a segment's loss gives outside its window; the worst segment."""

    def measure(seed: int, steps: int) -> float:
        worst = 0.0
        for segment in range(int(RESNET["segments"])):
            model = network(seed, heads="mlaan")
            take_steps(leg_on(model, local(window=window), data=samples(seed)), OneLoss(segment))
            inside = set().union(*(model.names_of(each) for each in range(max(0, segment - window + 1), segment + 1)))
            outside = {name: found for name, found in gradients(model).items() if name not in inside}
            worst = max(worst, largest_difference(outside, {}))
        return worst

    return measure


def shadow_shrinks(seed: int, steps: int) -> float:
    """Distance of a shadow from its frozen block after n steps, as a multiple of momentum**n times the first."""
    model = network(seed, heads="mlaan")
    head = model.heads["0"]
    assert isinstance(head, LeapHead)
    for tensor in head.shadow.state_dict().values():
        tensor += 1.0
    first = _distance(head, model)
    recipe = local(ema=0.9)
    take_steps(leg_on(model, recipe, segment=0, steps=steps, data=samples(seed)))
    return _distance(head, model) / first / recipe.ema**steps


def agreement_gives_backprop(seed: int, steps: int) -> float:
    """Relative difference of gradients where heads are the rest of a linear network: local against end to end."""
    model = LinearNet(seed)
    leg = leg_on(model, local(sgr=1.0), data=linear_samples(seed))
    method = LocalMethod()
    batches = method.prepare(leg)
    inputs, labels = samples_of(leg, batches[0])
    F.cross_entropy(model(inputs) + method.shift, labels).backward()
    expected = {name: found for name, found in gradients(model).items() if name in _backbone(model)}
    method.step(inputs, labels)
    return relative_difference({name: gradients(model)[name] for name in expected}, expected)


def agreement_has_no_discord(seed: int, steps: int) -> float:
    """Mean discord of that network."""
    method = take_steps(leg_on(LinearNet(seed), local(sgr=1.0), data=linear_samples(seed)))
    return float(method.finish()["discord"])


def incubation_commutes(seed: int, steps: int) -> float:
    """Largest difference of weights: segments grown one after another against each from the meta model, composed."""
    grow = Recipe(method="incubation")
    started = network(seed, heads="meta")
    take_steps(leg_on(started, grow.model_copy(update={"meta": True}), steps=steps, data=samples(seed))).finish()
    genesis = {name: tensor.clone() for name, tensor in started.state_dict().items()}
    composed = dict(genesis)
    relayed = started
    for segment in range(len(started.cuts) - 1):
        take_steps(leg_on(relayed, grow, segment, steps, samples(seed)))
        apart = network(seed, heads="meta")
        apart.load_state_dict(genesis)
        take_steps(leg_on(apart, grow, segment, steps, samples(seed)))
        composed |= {name: apart.state_dict()[name] for name in apart.names_of(segment)}
    return largest_difference(relayed.state_dict(), composed)


class LinearNet(BlockModel):
    """Three bias-free linear layers; the heads that `add_heads` gives are set to the very layers that follow."""

    WIDTH = 6

    def __init__(self, seed: int) -> None:
        torch.manual_seed(seed)
        layers = [nn.Linear(self.WIDTH, self.WIDTH, bias=False) for _ in range(3)]
        head = nn.Linear(self.WIDTH, CLASSES, bias=False)
        super().__init__((self.WIDTH,), CLASSES, stem=nn.Identity(), blocks=layers, head=head, segments=3)
        add_heads(self, "auglocal-2")
        for segment, exit_head in self.heads.items():
            rest = [*layers[int(segment) + 1 :], head]
            for layer, copy in zip(rest, exit_head.get_submodule("layers").children(), strict=True):
                copy.load_state_dict(layer.state_dict())

    def bridge(self, start: int, stop: int) -> nn.Module:
        """See BlockModel."""
        return nn.Linear(self.WIDTH, self.WIDTH, bias=False)

    def classifier(self, at: int) -> nn.Module:
        """See BlockModel."""
        return nn.Linear(self.WIDTH, CLASSES, bias=False)


def linear_samples(seed: int) -> Split:
    """Table rows whose label is the largest of their first numbers."""
    rows = np.random.default_rng(seed).standard_normal((4 * BATCH, LinearNet.WIDTH)).astype(np.float32)
    labels = rows[:, :CLASSES].argmax(1).astype(np.int64)
    return Split(rows, labels, rows, labels)


def local(**dials: float) -> Recipe:
    """Local learning with some dials set."""
    return LOCAL.model_copy(update=dials)


def _windowed(model: BlockModel, leg: Leg, window: int, cascade: float) -> dict[str, Tensor]:
    """Gradients of every window's losses, each by a forward and a backward pass of its own, as MLAAN's paper has it."""
    method = LocalMethod()
    inputs, labels = samples_of(leg, method.prepare(leg)[0])
    model.zero_grad()
    for last in range(len(model.cuts) - 1):
        independent, cascaded = inputs, inputs
        for segment in range(last + 1):
            independent = model.run_segment(segment, independent.detach())
            cascaded = model.run_segment(segment, cascaded if segment > last - window + 1 else cascaded.detach())
        head = model.exit_head(last)
        alone = head.independent(independent) if isinstance(head, ExitHead) else head(independent)
        loss = (1 - cascade) * F.cross_entropy(alone + method.shift, labels)
        if cascade:
            loss = loss + cascade * F.cross_entropy(head(cascaded) + method.shift, labels)
        loss.backward()
    found = gradients(model)
    model.zero_grad()
    return found


def _backbone(model: BlockModel) -> dict[str, Tensor]:
    return {name: tensor for name, tensor in model.state_dict().items() if not name.startswith("heads.")}


def _distance(head: LeapHead, model: BlockModel) -> float:
    live = model.blocks[head.mirrored].state_dict()
    return (
        float(sum((t.double() - live[name].double()).norm() ** 2 for name, t in head.shadow.state_dict().items()))
        ** 0.5
    )


FIGURES = (
    Figure("one segment is end to end, weights after a leg", LARGEST, one_segment_against_backprop),
    Figure("local learning is detached segments, gradients", LARGEST, local_against_written_out),
    Figure("without a cascade it is plain local learning, weights", LARGEST, weightless_cascade),
    Figure("reconciliation at weight 1e-30 is none, weights", RELATIVE, weightless_reconciliation),
    Figure("windows of two segments as in the paper, gradients", RELATIVE, windows_against_written_out),
    Figure("a segment alone learns as among all, gradients", RELATIVE, alone_against_together),
    Figure("no gradient outside a window of one", LARGEST, gradient_outside(1)),
    Figure("no gradient outside a window of two", LARGEST, gradient_outside(2)),
    Figure("a shadow nears a frozen block by momentum**n", OVER, shadow_shrinks),
    Figure("agreeing heads in a linear network give backprop, gradients", RELATIVE, agreement_gives_backprop),
    Figure("agreeing heads in a linear network have no discord", LARGEST, agreement_has_no_discord),
    Figure("legs of incubation commute, weights of the composed child", LARGEST, incubation_commutes),
)
