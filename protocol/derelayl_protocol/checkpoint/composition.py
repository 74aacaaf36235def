"""Composition: two legs that trained different segments of one parent become one child, by their manifests alone.

Source: docs/PROTOCOL.md section 2 (Composition).
"""

from __future__ import annotations

from ..errors import LocalFault
from ..types import WHOLE_MODEL
from .manifest import Chunk, Manifest, chunks_of, has_same_tensors


def compose(first: Manifest, second: Manifest) -> tuple[Chunk, ...]:
    """Return the chunk table of `first` with the tensors of `second`'s segment put in its place.

    The table's tensors are those of `first`. A child with it is acceptable under a lease of `first` on that segment.
    Raises LocalFault unless both continue one parent of one model, each on a segment of its own.
    """
    ours, theirs = first.header, second.header
    if not ours.parents or ours.model != theirs.model or ours.parents[:1] != theirs.parents[:1]:
        raise LocalFault("the two checkpoints do not continue the same parent")
    if not has_same_tensors(first, second):
        raise LocalFault("the two checkpoints are of different architectures")
    if WHOLE_MODEL in (ours.segment, theirs.segment) or ours.segment == theirs.segment:
        raise LocalFault(
            f"segments {ours.segment} and {theirs.segment}: composing takes two different segments, and not "
            f"{WHOLE_MODEL}, which is the whole model"
        )
    pairs = zip(chunks_of(first), chunks_of(second), strict=True)
    return tuple(
        other if ours.tensors[index].segment == theirs.segment else own for (index, _, own), (_, _, other) in pairs
    )
