"""The Merkle tree of RFC 9162 over SHA-256: roots, audit paths and their verification.

Source: RFC 9162 sections 2.1.1, 2.1.3.1 and 2.1.3.2. The contract repeats `verify`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from ..errors import LocalFault
from ..types import HASH_BYTES

EMPTY_ROOT = hashlib.sha256().digest()
"""The root of no leaves."""


@dataclass(frozen=True, slots=True)
class MembershipProof:
    """What shows that `leaf` (its bytes, not hashed) is the leaf number `index` of `count` under a root."""

    leaf: bytes
    index: int
    count: int
    path: tuple[bytes, ...]

    def holds(self, root: bytes) -> bool:
        """Tell whether the leaf belongs to `root`."""
        return verify(root, leaf_hash(self.leaf), self.index, self.count, self.path)


def leaf_hash(data: bytes) -> bytes:
    """Hash a leaf's bytes: SHA-256(0x00 ‖ data)."""
    return hashlib.sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Hash two children: SHA-256(0x01 ‖ left ‖ right)."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def root(leaves: Sequence[bytes]) -> bytes:
    """Return the tree's root from its leaf hashes; O(n) time."""
    level = list(leaves) or [EMPTY_ROOT]
    while len(level) > 1:
        level = _level_above(level)
    return level[0]


def audit_path(leaves: Sequence[bytes], index: int) -> tuple[bytes, ...]:
    """Return the siblings on the way from leaf `index` to the root; O(n) time. Raises LocalFault for no such leaf."""
    if not 0 <= index < len(leaves):
        raise LocalFault(f"leaf {index} of {len(leaves)}")
    path, level = [], list(leaves)
    while len(level) > 1:
        sibling = index ^ 1
        if sibling < len(level):  # the last of an odd level has none and moves up as it is
            path.append(level[sibling])
        level, index = _level_above(level), index >> 1
    return tuple(path)


def verify(root: bytes, leaf: bytes, index: int, count: int, path: Sequence[bytes]) -> bool:
    """Tell whether the leaf hash `leaf` is number `index` of `count` under `root` (RFC 9162 section 2.1.3.2)."""
    if not 0 <= index < count:
        return False
    at, last, seen = index, count - 1, leaf
    for sibling in path:
        if last == 0 or len(sibling) != HASH_BYTES:
            return False
        if at & 1 or at == last:
            seen = node_hash(sibling, seen)
            while at and not at & 1:  # skip the levels on which this node moved up as it was
                at, last = at >> 1, last >> 1
        else:
            seen = node_hash(seen, sibling)
        at, last = at >> 1, last >> 1
    return last == 0 and seen == root


def _level_above(level: list[bytes]) -> list[bytes]:
    """Pair neighbours; the last of an odd number moves up as it is."""
    pairs = [node_hash(left, right) for left, right in zip(level[::2], level[1::2], strict=False)]
    return pairs + level[len(pairs) * 2 :]
