"""Composition: which two checkpoints go together, and that their child keeps the rules of a leg."""

from dataclasses import replace
from typing import Any

import pytest

from derelayl_protocol.checkpoint.composition import compose
from derelayl_protocol.checkpoint.manifest import Manifest, TensorSpec, check_child, chunk_digests, root_of
from derelayl_protocol.errors import LocalFault
from derelayl_protocol.types import WHOLE_MODEL, Root

from .test_manifest import TRAINER, checkpoint, child_of

GENESIS = checkpoint([3, 4, 5])


def leg_on(segment: int) -> Manifest:
    """A leg from GENESIS that changed the one tensor of its segment."""
    chunks = list(GENESIS.chunks)
    chunks[segment] = chunk_digests(bytes([segment + 1] * GENESIS.chunks[segment].length))[0]
    return replace(child_of(GENESIS, "", segment), chunks=tuple(chunks))


def changed(manifest: Manifest, **header: Any) -> Manifest:
    return replace(manifest, header=replace(manifest.header, **header))


@pytest.mark.parametrize(
    ("second", "reason"),
    [
        (GENESIS, "do not continue the same parent"),
        (changed(leg_on(1), parents=(Root(b"\x07" * 32),)), "do not continue the same parent"),
        (changed(leg_on(1), model=b"\x06" * 32), "do not continue the same parent"),
        (changed(leg_on(1), parameters={"width": 9}), "different architectures"),
        (changed(leg_on(1), tensors=(TensorSpec("t00", "U8", (3,), 1),)), "different architectures"),
        (leg_on(0), "two different segments"),
        (changed(leg_on(1), segment=WHOLE_MODEL), "two different segments"),
    ],
)
def test_checkpoints_that_do_not_go_together_are_refused(second: Manifest, reason: str) -> None:
    with pytest.raises(LocalFault, match=reason):
        compose(leg_on(0), second)


def test_a_genesis_has_nothing_to_compose() -> None:
    with pytest.raises(LocalFault, match="same parent"):
        compose(GENESIS, leg_on(1))


def test_the_composed_child_has_each_segment_from_the_leg_that_trained_it() -> None:
    first, second = leg_on(0), leg_on(1)
    assert compose(first, second) == (first.chunks[0], second.chunks[1], GENESIS.chunks[2])
    assert compose(second, first) == compose(first, second)


def test_it_is_acceptable_under_a_lease_of_the_first_on_the_seconds_segment() -> None:
    first, second = leg_on(0), leg_on(1)
    header = replace(first.header, parents=(root_of(first), root_of(second)), segment=1, round=2)
    child = Manifest(header, compose(first, second))
    check_child(child, first, model=first.header.model, round=2, segment=1, trainer=TRAINER, parent_root=root_of(first))
