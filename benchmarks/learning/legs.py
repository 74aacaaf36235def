"""Legs in memory: what `train.run_leg` does, without files between them and without its two losses for the manifest.

A relay of many short legs would spend most of its time on those; what is trained is the same, step for step.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from derelayl_protocol.types import WHOLE_MODEL
from derelayl_training.architectures import build
from derelayl_training.jobs import Architecture, Record
from derelayl_training.leg import Leg
from derelayl_training.methods import Method, make_method
from derelayl_training.recipe import Recipe
from derelayl_training.resources import CPU, Resources
from derelayl_training.split import Split
from derelayl_training.train import check_child, samples_of

State = Mapping[str, Tensor]


@dataclass(frozen=True)
class Plan:
    """One leg's dials. `private` is the peer's own folder, needed where the recipe rehearses."""

    recipe: Recipe
    steps: int
    batch: int
    learning_rate: float
    seed: int
    segment: int = WHOLE_MODEL
    device: torch.device = CPU.device
    private: Path | None = None
    history: Record = field(default_factory=dict)


@dataclass(frozen=True)
class Child:
    """What a leg hands on, what its method has to tell, and the processor seconds that its steps took."""

    state: State
    record: Record
    seconds: float


def open_leg(architecture: Architecture, parent: State | None, data: Split, plan: Plan) -> Leg:
    """Build the network, with the parent's weights or those of genesis, and set up a leg."""
    model = build(architecture, plan.seed)
    if parent is not None:
        model.load_state_dict(parent, strict=True)
    leased = model.names_of(plan.segment)
    return Leg(
        model=model.to(plan.device),
        start={name: tensor.cpu().clone() for name, tensor in model.state_dict().items()},
        leased=leased,
        segment=plan.segment,
        data=data,
        recipe=plan.recipe,
        resources=Resources(device=plan.device, private=plan.private),
        steps=plan.steps,
        batch=plan.batch,
        learning_rate=plan.learning_rate,
        seed=plan.seed,
        history=plan.history,
    )


def train(
    architecture: Architecture, parent: State | None, data: Split, plan: Plan, method: Method | None = None
) -> Child:
    """Train one leg and check that it changed nothing but what its method may. Raises LocalFault."""
    leg = open_leg(architecture, parent, data, plan)
    method = method or make_method(plan.recipe)
    batches = method.prepare(leg)
    started = time.process_time()
    for step in range(len(batches)):
        method.step(*samples_of(leg, batches[step]))
    record = method.finish()
    seconds = time.process_time() - started
    state = {name: tensor.detach().cpu().clone() for name, tensor in leg.model.state_dict().items()}
    check_child(leg.start, state, method.changes)
    return Child(state, {**plan.history, **record}, seconds)
