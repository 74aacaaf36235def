"""A peer's own samples in memory: a part to train on and a part held out to judge with, checked once, here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from derelayl_protocol.errors import LocalFault
from derelayl_protocol.limits import MIB

from .kinds import BYTE_VALUES, InputKind, kind_of

MAX_SHARD_BYTES = 2048 * MIB
"""One shard file, or the decoded samples of any other source; a peer holds it in memory."""

MAX_CLASSES = 1000
"""Labels are 0 … MAX_CLASSES - 1, the most that an architecture of the registry tells apart."""

Inputs = NDArray[Any]
"""Images uint8 (N, C, H, W), table rows float32 (N, F) or text uint8 (N, T)."""

Labels = NDArray[np.int64]
"""(N,); for text (N, T), the byte that follows each byte."""


@dataclass(frozen=True, slots=True)
class Sites:
    """Where the samples come from, such as hospitals: `names[train[i]]` is the site of training sample i."""

    train: NDArray[np.int64]
    held: NDArray[np.int64]
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Split:
    """Samples of one InputKind and their labels: a part to train on and a part held out to judge with.

    `sites` are there where the source names them; what a peer trains on never depends on them.
    """

    train_x: Inputs
    train_y: Labels
    held_x: Inputs
    held_y: Labels
    sites: Sites | None = None

    @property
    def kind(self) -> InputKind:
        """What the samples are. Raises LocalFault for arrays of no known kind."""
        return kind_of(self.held_x, self.held_y)

    def check_fits(self, input_shape: tuple[int, ...], classes: int, kind: InputKind) -> None:
        """Raise LocalFault when a network for samples of this kind, `input_shape` and `classes` cannot use these."""
        shape = self.train_x.shape[1:]
        highest = max(int(labels.max(initial=-1)) for labels in (self.train_y, self.held_y))
        if (self.kind, shape) != (kind, input_shape) or highest >= classes:
            raise LocalFault(
                f"the data are {self.kind} of shape {shape} with labels up to {highest}, the network takes {kind} of "
                f"shape {input_shape} with labels 0 … {classes - 1}: name data of that kind with --data"
            )

    def pooled(self) -> tuple[Inputs, Labels, NDArray[np.int64] | None]:
        """Join both parts: samples, labels, and the site of each where the source names sites."""
        return (
            np.concatenate([self.train_x, self.held_x]),
            np.concatenate([self.train_y, self.held_y]),
            None if self.sites is None else np.concatenate([self.sites.train, self.sites.held]),
        )

    def all_held_out(self) -> Split:
        """The same samples with all of them to judge with: what a peer that never trains has."""
        x, y, sites = self.pooled()
        own = None if self.sites is None or sites is None else Sites(sites[:0], sites, self.sites.names)
        return Split(x[:0], y[:0], x, y, own)


def check_split(source: str, split: Split) -> Split:
    """Return the split, or raise LocalFault naming `source` where its arrays contradict each other or hold no numbers.

    Only the part to train on may be empty.
    """
    kind = split.kind
    for part, inputs, labels in (("train", split.train_x, split.train_y), ("held-out", split.held_x, split.held_y)):
        if (own := kind_of(inputs, labels)) != kind:
            raise LocalFault(f"{source}: {part} samples are {own}, the held-out ones {kind}")
        _check_labels(source, part, kind, inputs, labels)
        if kind is InputKind.TABLE and not np.isfinite(inputs).all():
            raise LocalFault(f"{source}: {part} row {_first_not_finite(inputs)} holds NaN or an infinity")
    if not len(split.held_y):
        raise LocalFault(f"{source} is empty: it has no held-out samples")
    if split.train_x.shape[1:] != split.held_x.shape[1:]:
        raise LocalFault(
            f"{source}: train {kind} are {split.train_x.shape[1:]}, held-out {kind} {split.held_x.shape[1:]}"
        )
    if 0 in split.held_x.shape:
        raise LocalFault(f"{source}: {kind} of shape {split.held_x.shape[1:]} have no {_ATOMS[kind]}")
    if split.sites is not None:
        _check_sites(source, split, split.sites)
    return split


_ATOMS = {
    InputKind.IMAGE: "pixels",
    InputKind.TABLE: "columns",
    InputKind.TEXT: "bytes",
    InputKind.LABELLED_TEXT: "bytes",
}


def _check_labels(source: str, part: str, kind: InputKind, inputs: Inputs, labels: Labels) -> None:
    if len(inputs) != len(labels):
        raise LocalFault(f"{source} has {len(inputs)} {part} {kind} and {len(labels)} {part} labels")
    wanted = inputs.shape if kind is InputKind.TEXT else inputs.shape[:1]
    if labels.dtype != np.int64 or labels.shape != wanted:
        raise LocalFault(f"{source}: {part} labels are {labels.dtype} {labels.shape}, {kind} need int64 {wanted}")
    allowed = BYTE_VALUES if kind is InputKind.TEXT else MAX_CLASSES
    if labels.size and not 0 <= labels.min() <= labels.max() < allowed:
        raise LocalFault(f"{source} has {part} labels {labels.min()} … {labels.max()}, allowed are 0 … {allowed - 1}")


def _first_not_finite(rows: Inputs) -> int:
    return int(np.flatnonzero(~np.isfinite(rows).all(axis=1))[0])


def _check_sites(source: str, split: Split, sites: Sites) -> None:
    for part, found, labels in (("train", sites.train, split.train_y), ("held-out", sites.held, split.held_y)):
        if found.shape != labels.shape[:1]:
            raise LocalFault(f"{source} has {len(labels)} {part} samples and the sites of {len(found)}")
        if len(found) and not 0 <= found.min() <= found.max() < len(sites.names):
            raise LocalFault(f"{source}: {part} sites are {found.min()} … {found.max()} of {len(sites.names)} names")
