"""A lease of a relay in memory: train by our methods, or by a loop of your own."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from derelayl_node.handoff import make_checkpoint
from derelayl_node.roles.duties import tips_beside
from derelayl_protocol.checkpoint.manifest import Header
from derelayl_protocol.ledger.commands import SubmitLeg
from derelayl_protocol.ledger.state import LegEntry
from derelayl_training.architectures import SegmentedModel, build
from derelayl_training.inputs import to_inputs
from derelayl_training.jobs import LegJob, Record, TipFile, WeightsFile
from derelayl_training.recipe import parse_recipe
from derelayl_training.resources import CPU
from derelayl_training.split import Split
from derelayl_training.start import choose_start, forget_start, load_start
from derelayl_training.train import check_child, run_leg
from derelayl_training.weights import load_weights, save_weights

from .checkpoint import Checkpoint

if TYPE_CHECKING:
    from .relay import Relay


@dataclass(frozen=True, slots=True)
class Lease:
    """The right, and the duty, to train a leg in a running round: one segment of `entry.parent`, once."""

    relay: Relay
    round: int
    number: int
    entry: LegEntry

    @property
    def trainer(self) -> str:
        """The name of the account that leased it."""
        return self.relay.names[self.entry.trainer]

    @property
    def data(self) -> Split:
        """The trainer's own data."""
        return self.relay.data[self.trainer]

    def network(self) -> SegmentedModel:
        """The network with the weights that a leg of `train` starts from, for a loop of your own.

        Only the leased segment's weights are trained: the others ask for no gradient, and `submit` refuses a child in
        which they differ from the parent's.
        """
        network, job = build(self.relay.architecture), self.job()
        load_weights(network, job.parent)
        choose_start(job, self.data, CPU.device)
        load_start(job, network)
        forget_start(job)
        leased = network.names_of(self.entry.segment)
        for name, parameter in network.named_parameters():
            parameter.requires_grad_(name in leased)
        return network

    def samples(self) -> tuple[Tensor, Tensor]:
        """The trainer's training samples as the network takes them, (N, …), and their labels, (N,) or (N, T)."""
        return to_inputs(self.data.train_x), torch.from_numpy(self.data.train_y)

    def submit(self, network: SegmentedModel, **record: int | str | bool) -> Checkpoint:
        """Hand the trained network in as the leg's child; `record` goes into its manifest, for whoever continues it.

        Raises LocalFault for weights that are not finite or changed outside the leased segment, RuleViolation when the
        leg was submitted already or its time is over.
        """
        parent = build(self.relay.architecture)
        load_weights(parent, self.relay.weights(self.entry.parent))
        check_child(parent.state_dict(), network.state_dict(), network.names_of(self.entry.segment))
        path = self._file()
        save_weights(network, path)
        return self._hand_in(WeightsFile(path, network.segment_of()), record)

    def train(self, steps: int = 20, *, batch: int = 32, learning_rate: float = 0.01, recipe: str = "") -> Checkpoint:
        """Train the leg on the trainer's data as a node would, and submit the child.

        `recipe` is as on the command line, e.g. `method=local,sgr=0.1` (docs/METHODS.md). Raises LocalFault.
        """
        job = self.job(steps, batch, learning_rate, recipe)
        choose_start(job, self.data, CPU.device)
        result = run_leg(job, self.data, lambda _fraction: None)
        record: Record = {**job.recipe.record(), "steps": result.steps, "samples": result.samples, **result.record}
        return self._hand_in(result.weights, record)

    def job(self, steps: int = 1, batch: int = 1, learning_rate: float = 1.0, recipe: str = "") -> LegJob:
        """The job that a node would give its worker, but that it may take any time to compare starts."""
        relay, parent = self.relay, self.entry.parent
        return LegJob(
            architecture=relay.architecture,
            parent=relay.weights(parent),
            child=self._file(),
            segment=self.entry.segment,
            steps=steps,
            batch=batch,
            learning_rate=learning_rate,
            seed=int.from_bytes(relay.draw("leg", f"{self.round} {self.number}")[:4], "big"),
            recipe=parse_recipe(recipe),
            history=relay.manifest(parent).header.training,
            tips=[
                TipFile(relay.weights(tip.root), relay.manifest(tip.root).header.segment)
                for tip in tips_beside(relay.round, parent)
            ],
            choosing_seconds=math.inf,
        )

    def _file(self) -> Path:
        return self.relay.folder / f"child-{self.round}-{self.number}.safetensors"

    def _hand_in(self, weights: WeightsFile, record: Record) -> Checkpoint:
        relay = self.relay
        header = partial(
            Header,
            model=relay.model,
            parents=(self.entry.parent,),
            round=self.round,
            segment=self.entry.segment,
            trainer=self.entry.trainer,
            architecture=relay.architecture.name,
            parameters=relay.architecture.parameters,
            training=record,
        )
        child = make_checkpoint(relay.store, relay.keys[self.trainer], relay.ledger, header, weights)
        relay.store.put_manifest(child.root, child.manifest)
        relay.chain.execute(self.entry.trainer, SubmitLeg(relay.model, self.round, self.number, child.root))
        weights.path.unlink()
        return Checkpoint(relay, child.root)
