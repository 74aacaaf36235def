"""private: DP-SGD (Abadi et al., CCS 2016) for a leg whose method follows one gradient, by Opacus.

Opacus gives the gradient of every sample, clips each to the norm `dp_clip` and sums them, and accounts for what was
spent. The noise and the draws come from a secret of this leg and not from its seed: whoever knew them could subtract
the one and see through the other. So the same seed and data do NOT give the same child here; nothing else of a leg
depends on chance.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from derelayl_protocol.errors import LocalFault
from derelayl_protocol.limits import MIB

from ..batches import Batches
from ..inputs import to_inputs
from ..memory import samples_within
from ..privacy import (
    Normals,
    PoissonBatches,
    Spending,
    SpentPrivacy,
    epsilon_of,
    epsilon_text,
    noise_like,
    require_opacus,
    secret_normals,
)
from .gradient import GradientMethod
from .port import Leg, Record

SAMPLE_GRADIENT_BYTES = 512 * MIB
"""What the gradients of the samples of one piece may take where the leg has no memory budget."""

FLOAT_BYTES = 4

TOLERANCE = 1e-3
"""Relative difference that the probes forgive: single precision, and texts padded to another length."""


class PrivateMethod:
    """Trains by another method's loss, with differential privacy at the level of one training sample.

    `normals` and `sampling_seed` are for tests; by default both are secret.
    """

    def __init__(
        self, method: GradientMethod, normals: Normals = secret_normals, sampling_seed: int | None = None
    ) -> None:
        self._method = method
        self._normals = normals
        self._sampling_seed = sampling_seed

    @property
    def changes(self) -> frozenset[str]:
        """See Method."""
        return self._method.changes

    def prepare(self, leg: Leg) -> Batches:
        """See Method. Raises LocalFault for what cannot be made private, and when the peer's limit would be passed."""
        samples = len(leg.data.train_y)
        self._leg, self._rate = leg, min(1.0, leg.batch / samples)
        self._expected = self._rate * samples
        self._account = None if leg.resources.private is None else SpentPrivacy(leg.resources.private)
        _check_leg(leg)
        self._check_budget()
        self._method.prepare(_without_leaks(leg))
        opacus = require_opacus()
        _check_layers(opacus, leg.model)
        self._piece = self._samples_at_once()  # before Opacus' hooks, which count forward passes
        with _explained():
            self._wrapped = opacus.GradSampleModule(leg.model, strict=False, loss_reduction="mean")
            self._probe()
        # noise_multiplier 0: Opacus clips, sums and divides; the noise is added in `step`, from our own secret
        self._clipper = opacus.optimizers.DPOptimizer(
            self._method.optimiser,
            noise_multiplier=0.0,
            max_grad_norm=leg.recipe.dp_clip,
            expected_batch_size=self._expected,
        )
        return PoissonBatches(samples, leg.steps, self._rate, self._sampling_seed)

    def step(self, inputs: Tensor, labels: Tensor) -> float:
        """See Method; also for an empty draw, which changes the weights by noise alone and has the loss 0."""
        method = self._method
        for group in method.optimiser.param_groups:
            group["lr"] = method.learning_rate()
        loss = self._clipped_gradient(inputs, labels)
        if not math.isfinite(loss):
            raise LocalFault(
                f"the loss is {loss} at step {method.taken}; a smaller learning rate than {self._leg.learning_rate} "
                f"may help"
            )
        self._add_noise()
        method.anchors.add_gradients()  # what follows looks at no sample, so it costs no privacy
        if self._leg.recipe.clip:
            nn.utils.clip_grad_norm_(method.trained.values(), self._leg.recipe.clip)
        method.optimiser.step()
        method.taken += 1
        method.after_step()
        return loss

    def finish(self) -> Record:
        """See Method: what was spent, by this leg and by all legs of the peer, with the dials it follows from.

        `samples` is what the draws hold on average: how many they held in fact depends on who is among the data.
        """
        record = self._method.finish()
        self._wrapped.to_standard_module()
        spent, recipe = self._spending(self._method.taken), self._leg.recipe
        told: dict[str, int | str | bool] = {
            "accountant": "rdp",
            "epsilon": epsilon_text(epsilon_of([spent], recipe.delta)),
            "delta": repr(recipe.delta),
            "noise": repr(recipe.noise),
            "dp_clip": repr(recipe.dp_clip),
            "sampling_rate": f"{self._rate:.6g}",
            "private_steps": spent.steps,
            "samples": round(self._expected * spent.steps),
            "balanced": False,
        }
        if self._account is not None:
            self._account.add(spent)
            told["epsilon_total"] = epsilon_text(epsilon_of(self._account.read(), recipe.delta))
        return {**record, **told}

    def state(self) -> Mapping[str, Tensor]:
        """See Method. The secret is not part of it: a leg that goes on after a crash draws new numbers."""
        return self._method.state()

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """See Method."""
        self._method.restore(state)

    def _spending(self, steps: int) -> Spending:
        return Spending(self._leg.recipe.noise, self._rate, steps)

    def _check_budget(self) -> None:
        """Raise LocalFault when this leg would spend without bound, or more than the recipe allows in all."""
        recipe, leg = self._leg.recipe, self._spending(self._leg.steps)
        before = () if self._account is None else self._account.read()
        total = epsilon_of([*before, leg], recipe.delta)
        if not math.isfinite(total):
            raise LocalFault(f"noise {recipe.noise} gives no privacy: epsilon is {total}; more noise may help")
        if recipe.epsilon_limit and self._account is None:
            raise LocalFault("epsilon_limit needs a private folder of the peer, where the spent privacy is noted")
        if recipe.epsilon_limit and total > recipe.epsilon_limit:
            raise LocalFault(
                f"epsilon_limit is {recipe.epsilon_limit:g}, with this leg the peer would have spent "
                f"{epsilon_text(total)} at delta {recipe.delta:g}; more noise or fewer steps spend less"
            )

    def _clipped_gradient(self, inputs: Tensor, labels: Tensor) -> float:
        """Leave the sum of the samples' clipped gradients over the expected batch in `grad`; return the mean loss."""
        self._clipper.zero_grad(set_to_none=True)
        pieces = (
            list(zip(torch.split(inputs, self._piece), torch.split(labels, self._piece), strict=True))
            if len(inputs)
            else []
        )
        loss = 0.0
        for place, (some, truth) in enumerate(pieces):
            if place:
                self._clipper.zero_grad(set_to_none=True)  # keeps what the pieces before have added up
            self._clipper.signal_skip_step(place + 1 < len(pieces))
            loss += self._backward(some, truth) * len(truth) / len(labels)
            self._clipper.pre_step()
        if not pieces:
            for parameter in self._clipper.params:
                parameter.grad_sample = parameter.new_zeros((0, *parameter.shape))
            self._clipper.pre_step()
        return loss

    def _backward(self, inputs: Tensor, labels: Tensor) -> float:
        """Give each parameter the gradients of the samples. In single precision: norms must be what they are."""
        with _without_hook_warnings():
            loss = self._method.loss(inputs, labels)
            loss.backward()  # type: ignore[no-untyped-call]
        return loss.item()

    def _add_noise(self) -> None:
        deviation = self._leg.recipe.noise * self._leg.recipe.dp_clip / self._expected
        for parameter in self._clipper.params:
            noise = torch.from_numpy(noise_like(parameter.shape, deviation, self._normals))
            parameter.grad += noise.to(parameter.device, parameter.dtype)

    def _probe(self) -> None:
        """Try two samples: refuse layers that mix them, or whose gradients Opacus gets wrong or sees in part only.

        Parameters that the loss does not touch are left as they are, without noise.
        """
        method, model = self._method, self._leg.model
        first = to_inputs(self._leg.data.train_x[:1]).to(self._leg.device)
        labels = torch.from_numpy(self._leg.data.train_y[[0, 0]]).to(self._leg.device)
        other = 1 - first if first.is_floating_point() else 255 - first
        pair = torch.cat([first, other])
        with torch.no_grad():
            beside_other, beside_itself = model(pair)[0], model(torch.cat([first, first]))[0]
        if not _alike(beside_other, beside_itself):
            raise LocalFault(
                "privacy=dp: this network mixes the samples of a batch (its answer to one changes with another beside "
                "it), so no sample's influence can be bounded; use an architecture without such layers"
            )
        self._backward(pair, labels)
        for name, parameter in list(method.trained.items()):
            per_sample: Any = parameter.grad_sample  # type: ignore[attr-defined]  # Opacus puts it there
            if parameter.grad is None and per_sample is None:
                parameter.requires_grad_(False)
                del method.trained[name]
            elif not isinstance(per_sample, Tensor) or not _alike(per_sample.mean(0), parameter.grad):
                layer = model.get_submodule(name.rpartition(".")[0])
                raise LocalFault(
                    f"privacy=dp: the gradients by sample that Opacus finds are not what autograd gives for {name} of "
                    f"{type(layer).__name__}({layer.extra_repr()}), so they cannot be clipped; use an architecture "
                    f"without such layers"
                )
        if not method.trained:
            raise LocalFault(f"privacy=dp: the loss depends on no parameter of segment {self._leg.segment}")
        self._wrapped.zero_grad(set_to_none=True)

    def _samples_at_once(self) -> int:
        """Samples of a piece: each has a gradient of its own, beside what the backward pass keeps."""
        per_sample = FLOAT_BYTES * sum(parameter.numel() for parameter in self._method.trained.values())
        budget = self._leg.resources.memory_bytes or SAMPLE_GRADIENT_BYTES
        if per_sample > budget:
            raise LocalFault(
                f"privacy=dp: the gradient of one sample takes {per_sample / MIB:.1f} MiB, allowed are "
                f"{budget / MIB:.1f} MiB; a smaller segment or a larger memory budget may help"
            )
        at_once = samples_within(self._method.leg, self._method.loss, self._method.leg.batch)
        return max(1, min(at_once, budget // (2 * per_sample)))


def _check_leg(leg: Leg) -> None:
    """Raise LocalFault for what no accountant could account for."""
    samples = len(leg.data.train_y)
    if leg.resources.world > 1:
        raise LocalFault("privacy=dp trains in one process: the others would need the secret draws")
    if leg.recipe.delta >= 1 / samples:
        raise LocalFault(
            f"delta is {leg.recipe.delta:g}, with {samples} training samples it must be below {1 / samples:g}: else "
            f"publishing somebody's sample outright would count as private"
        )


def _without_leaks(leg: Leg) -> Leg:
    """The leg without label shares (counts of the peer's labels, not accounted for) and in single precision."""
    recipe = leg.recipe.model_copy(update={"balanced": False})
    return replace(leg, recipe=recipe, resources=replace(leg.resources, bfloat16=False))


def _check_layers(opacus: Any, model: nn.Module) -> None:
    """Raise LocalFault naming the first layer that Opacus refuses, such as BatchNorm."""
    for name, module in model.named_modules():
        own = [each for each in module.parameters(recurse=False) if each.requires_grad]
        validator = opacus.validators.ModuleValidator.VALIDATORS.get(type(module))
        if own and validator is not None and (errors := validator(module)):
            reason = str(errors[0]).split(". ")[0]
            raise LocalFault(f"privacy=dp: {name} is a {type(module).__name__}: {reason}; GroupNorm and LayerNorm can")


def _alike(one: Tensor, other: Tensor | None) -> bool:
    """Whether two tensors agree up to TOLERANCE of the largest number."""
    if other is None:
        return False
    scale = float(other.abs().max())
    return torch.allclose(one, other, rtol=TOLERANCE, atol=TOLERANCE * scale + torch.finfo(other.dtype).tiny)


@contextmanager
def _explained() -> Iterator[None]:
    """Turn what Opacus raises for a network that it cannot follow into a LocalFault."""
    try:
        yield
    except (RuntimeError, ValueError, TypeError, NotImplementedError) as error:
        raise LocalFault(f"privacy=dp: Opacus cannot take this network's gradients by sample: {error}") from error


@contextmanager
def _without_hook_warnings() -> Iterator[None]:
    """Torch warns of hooks on a first layer, whose inputs need no gradient, and of bytes taken for half precision."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Full backward hook is firing")
        warnings.filterwarnings("ignore", "In .* autocast, but the target dtype is not supported")
        yield
