"""What keeps a leg from unlearning what earlier peers taught: terms of the loss, and memory that travels or stays.

Each is a dial of the recipe, off by default; docs/METHODS.md tells when they help. The proximal term is FedProx's (Li
et al., MLSys 2020); distillation from the parent follows Li and Hoiem (Learning without Forgetting, TPAMI 2018); the
sample-weighted merge is that of Relay Learning (Bo et al., npj Digital Medicine 2023); importance weights that decay
with every leg follow Cyclical Weight Consolidation (arXiv 2405.10647) over elastic weight consolidation (Kirkpatrick
et al., PNAS 2017).
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from derelayl_protocol.errors import LocalFault

from .architectures.segmented import importance_name
from .inputs import to_inputs
from .jobs import Record
from .leg import Leg
from .rehearsal import Rehearsal

IMPORTANCE_SAMPLES = 256
"""Samples, evenly spaced, on which a leg measures how much each weight matters to this peer's data."""

MOST_PARENT_SHARE = 0.9
"""The parent's share in a merge never exceeds it, so that late legs still teach something."""

SAMPLES_SO_FAR = "samples_so_far"
"""Entry of a manifest's record: the training samples of all legs up to it, the weight of a parent in a merge."""


class Anchors:
    """The recipe's terms against forgetting, for the parameters that one leg trains."""

    def __init__(self, leg: Leg, trained: Mapping[str, nn.Parameter]) -> None:
        self._leg = leg
        self._trained = trained
        self._recipe = leg.recipe
        self._start = {name: parameter.detach().clone() for name, parameter in trained.items()}
        self._importance = self._read_importance()
        self._rehearsal = Rehearsal.of(leg) if leg.recipe.rehearse else None
        self._teacher = deepcopy(leg.model).eval().requires_grad_(False) if leg.recipe.distil else None

    @property
    def changes(self) -> frozenset[str]:
        """The importance weights that the end of the leg updates."""
        return frozenset(importance_name(name) for name in self._importance)

    def with_rehearsal(self, inputs: Tensor, labels: Tensor, step: int) -> tuple[Tensor, Tensor]:
        """The batch with its last samples replaced by this peer's own past ones, at the recipe's share."""
        return (inputs, labels) if self._rehearsal is None else self._rehearsal.mixed(inputs, labels, step)

    def distillation(self, inputs: Tensor, logits: Tensor) -> Tensor:
        """The recipe's share of the divergence from the parent's softened answers, in nats; zero without a teacher."""
        if self._teacher is None:
            return logits.new_zeros(())
        with torch.no_grad():
            taught = self._teacher(inputs)
        temperature = self._recipe.temperature
        return self._recipe.distil * temperature**2 * _divergence(taught / temperature, logits / temperature)

    @torch.no_grad()
    def add_gradients(self) -> None:
        """Add the gradients of the proximal and of the consolidation term to those of the batch."""
        for name, parameter in self._trained.items():
            pull = torch.full_like(parameter, self._recipe.prox) if self._recipe.prox else None
            if name in self._importance and self._recipe.consolidate:
                weighted = self._stiffness(self._importance[name])
                pull = weighted if pull is None else pull + weighted
            if pull is not None and parameter.grad is not None:
                parameter.grad += pull * (parameter - self._start[name])

    def _stiffness(self, importance: Tensor) -> Tensor:
        """λ F, at least 0 and at most what takes a weight back to its start in one step: beyond that steps diverge."""
        return (self._recipe.consolidate * importance).clamp_(0.0, 1 / self._leg.learning_rate)

    def finish(self) -> Record:
        """Merge with the parent, renew the importance weights and the rehearsal memory, as the recipe asks."""
        record: dict[str, int | str | bool] = {}
        if self._recipe.merge:
            record[SAMPLES_SO_FAR] = self._merge()
        if self._recipe.consolidate:
            self._renew_importance()
        if self._rehearsal is not None:
            self._rehearsal.keep()
        return record

    @torch.no_grad()
    def _merge(self) -> int:
        before, own = samples_so_far(self._leg.history), len(self._leg.data.train_y)
        share = min(MOST_PARENT_SHARE, before / (before + own))
        for name, parameter in self._trained.items():
            parameter.lerp_(self._start[name], share)
        return before + own

    def _read_importance(self) -> dict[str, Tensor]:
        if not self._recipe.consolidate:
            return {}
        buffers = dict(self._leg.model.named_importance())
        if not buffers:
            raise LocalFault(
                "the recipe consolidates, but the architecture lacks importance weights: set importance=true"
            )
        return {name: buffers[name] for name in self._trained}

    def _renew_importance(self) -> None:
        """Mix the Fisher information's diagonal on this peer's data into the importance that came with the parent."""
        decay = self._recipe.consolidation_decay
        for name, fisher in self._fisher().items():
            self._importance[name].mul_(decay).add_(fisher, alpha=1 - decay)

    def _fisher(self) -> dict[str, Tensor]:
        """Mean squared gradient of the log-likelihood per sample, by parameter."""
        data, model = self._leg.data, self._leg.model
        total = {name: torch.zeros_like(parameter) for name, parameter in self._trained.items()}
        chosen = torch.linspace(0, len(data.train_y) - 1, min(IMPORTANCE_SAMPLES, len(data.train_y))).long().tolist()
        for index in chosen:
            model.zero_grad()
            logits = model(to_inputs(data.train_x[index : index + 1]).to(self._leg.device))
            labels = torch.from_numpy(data.train_y[index : index + 1]).to(self._leg.device)
            F.cross_entropy(logits, labels).backward()  # type: ignore[no-untyped-call]
            for name, parameter in self._trained.items():
                if parameter.grad is not None:
                    total[name] += parameter.grad.square() / len(chosen)
        return total


def samples_so_far(history: Record) -> int:
    """The parent's weight in a merge, as its manifest tells; 0 where it does not. Raises LocalFault for nonsense."""
    found = history.get(SAMPLES_SO_FAR, 0)
    if not isinstance(found, int) or isinstance(found, bool) or found < 0:
        raise LocalFault(f"the parent's {SAMPLES_SO_FAR} is {found!r}, but must be a count")
    return found


def _divergence(taught: Tensor, logits: Tensor) -> Tensor:
    """Mean over the samples of KL(taught ‖ own), in nats; logits (B, classes, …)."""
    pointwise = F.kl_div(F.log_softmax(logits, 1), F.log_softmax(taught, 1), reduction="none", log_target=True)
    return pointwise.sum(1).mean()
