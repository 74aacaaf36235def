"""A checkpoint of a relay in memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from derelayl_protocol.checkpoint.manifest import Manifest
from derelayl_protocol.errors import LocalFault
from derelayl_protocol.ledger.state import CheckpointRecord
from derelayl_protocol.spelling import to_hex
from derelayl_protocol.statement.words import short
from derelayl_protocol.types import NO_ROOT, Root
from derelayl_training.architectures import SegmentedModel, build
from derelayl_training.judge import share_correct
from derelayl_training.split import Split
from derelayl_training.weights import load_weights

if TYPE_CHECKING:
    from .relay import Relay


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A checkpoint of a relay: a genesis, or the child of a leg."""

    relay: Relay
    root: Root

    @property
    def record(self) -> CheckpointRecord:
        """What the ledger has on record. Raises LocalFault for a child that was not selected, or not yet."""
        found = self.relay.state.checkpoints.get(self.root)
        if found is None:
            raise LocalFault(f"{to_hex(self.root)} is no accepted checkpoint of this relay")
        return found

    @property
    def trainer(self) -> str:
        """The name of the account that made it."""
        return self.relay.names[self.manifest.header.trainer]

    @property
    def manifest(self) -> Manifest:
        """Its signed manifest: who made it from what, how, and its chunks."""
        return self.relay.manifest(self.root)

    def network(self) -> SegmentedModel:
        """The network with these weights."""
        network = build(self.relay.architecture)
        load_weights(network, self.relay.weights(self.root))
        return network

    def accuracy(self, split: Split) -> float:
        """Share of a split's held-out samples that are classified correctly, in [0, 1]. Raises LocalFault."""
        network = self.network()
        split.check_fits(network.input_shape, network.classes, network.input_kind)
        return share_correct(network, split.held_x, split.held_y)

    def lineage(self) -> tuple[Checkpoint, ...]:
        """It and what it was made from, genesis last, by the ledger's records. Raises LocalFault as `record` does."""
        line = [self]
        while (parent := line[-1].record.parent) != NO_ROOT:
            line.append(Checkpoint(self.relay, parent))
        return tuple(line)

    def __str__(self) -> str:
        record = self.relay.state.checkpoints.get(self.root)
        score = "not accepted" if record is None else f"score {record.score / 1e6:+.3f}"
        return f"{short(self.root)} by {self.trainer} in round {self.manifest.header.round}, {score}"
