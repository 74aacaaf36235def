"""A hand-written relay whose checkpoints have real manifests, so that their roots can be proven."""

from __future__ import annotations

from dataclasses import dataclass, field

from derelayl_protocol.checkpoint.manifest import Chunk, Header, Manifest, TensorSpec, encode_manifest, root_of
from derelayl_protocol.types import WHOLE_MODEL, Address, Digest, ModelId, Root

from .history import Attempt, History, Relay, named, person

TENSORS = tuple(TensorSpec(name, "F32", (4,), 0) for name in ("bias", "scale", "weight"))
SIGNATURE = bytes(31) + b"\x01" + bytes(31) + b"\x01" + b"\x00"
"""Of the right form; nobody's signature."""


@dataclass(slots=True)
class ManifestedRelay(Relay):
    """Writes a model whose roots are those of `manifests` (wire bytes by root)."""

    manifests: dict[Root, bytes] = field(default_factory=dict)
    roots: dict[str, Root] = field(default_factory=dict)

    @property
    def genesis(self) -> Root:
        if "genesis" not in self.roots:
            self.add("genesis", None, person(self.creator), 0)
        return self.roots["genesis"]

    def root(self, child: str) -> Root:
        """Return the root of a child that was added."""
        return self.roots[child]

    def add(self, name: str, parent: Root | None, trainer: Address, number: int) -> Root:
        """Make the manifest of a checkpoint."""
        model = ModelId(bytes(32)) if parent is None else self.model
        parents = () if parent is None else (parent,)
        header = Header(model, parents, number, WHOLE_MODEL, trainer, "toy", {}, {"name": name}, TENSORS)
        chunks = tuple(Chunk(16, Digest(named(f"{name} {tensor.name}"))) for tensor in TENSORS)
        manifest = Manifest(header, chunks, SIGNATURE)
        root = root_of(manifest)
        self.manifests[root] = encode_manifest(manifest)
        self.roots[name] = root
        return root

    def step(self, name: str, parent: Root, trainer: str) -> Root:
        """Play a round of one selected leg from `parent`."""
        root = self.add(name, parent, person(trainer), self.round)
        self.play(Attempt(trainer, parent, name, 20_000, True))
        return root


def proven(rounds: int) -> tuple[History, ManifestedRelay]:
    """Return a line of selected legs, each with its manifest."""
    history = History()
    relay = ManifestedRelay(history)
    relay.create()
    tip = relay.genesis
    for number in range(1, rounds + 1):
        tip = relay.step(f"child {number}", tip, f"t{number % 2}")
    return history, relay
