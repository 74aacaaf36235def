"""Lineage: where a checkpoint came from and what came of it, as pure functions over the legs of one model.

An edge is a leg that was submitted. Callers that ask for accepted checkpoints only pass the selected edges.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from ..encoding import encode
from ..errors import LocalFault
from ..limits import BPS
from ..types import UNAVAILABLE, Address, Ppm, Root, Wei


@dataclass(frozen=True, slots=True)
class Edge:
    """One leg: `trainer` continued `parent` to `child`; `score` is UNAVAILABLE where no validator could judge it."""

    child: Root
    parent: Root
    trainer: Address
    round: int
    leg: int
    segment: int
    score: Ppm
    selected: bool


EdgeMap: TypeAlias = Mapping[Root, tuple[Edge, ...]]
"""The edges by child, in the order in which they were given; several legs may name one child."""


def edge_map(edges: Iterable[Edge]) -> EdgeMap:
    """Group edges by child."""
    grouped = defaultdict[Root, list[Edge]](list)
    for edge in edges:
        grouped[edge.child].append(edge)
    return {child: tuple(group) for child, group in grouped.items()}


def ancestors(edges: EdgeMap, root: Root) -> tuple[Root, ...]:
    """Return what `root` was made from, the nearest first; without `root`. Raises LocalFault in a cycle."""
    return _reachable(_parents(edges), root)


def descendants(edges: EdgeMap, root: Root) -> tuple[Root, ...]:
    """Return what was made from `root`, the nearest first; without `root`. Raises LocalFault in a cycle."""
    parents, children = _parents(edges), defaultdict[Root, list[Root]](list)
    for child in edges:
        for parent in parents(child):
            children[parent].append(child)
    return _reachable(lambda at: children.get(at, ()), root)


def depth(edges: EdgeMap, root: Root) -> int:
    """Return the legs on the longest way from `root` to a genesis. Raises LocalFault in a cycle."""
    return _depths(_parents(edges), root)[root]


def common_ancestor(edges: EdgeMap, first: Root, second: Root) -> Root | None:
    """Return the deepest checkpoint that both were made from (or are), None if there is none.

    Of equally deep ones the smallest root. Raises LocalFault in a cycle.
    """
    parents = _parents(edges)
    depths = _depths(parents, first)
    shared = depths.keys() & _depths(parents, second).keys()
    return min(shared, key=lambda root: (-depths[root], root), default=None)


def lineage_digest(edges: Iterable[Edge]) -> bytes:
    """Return 32 bytes that are the same for two nodes exactly if all their edges are, in whatever order.

    SHA-256 over ``derelayl/lineage/1`` and then, sorted, for each edge the canonical JSON list of child, parent,
    trainer, round, leg, segment, score (null for UNAVAILABLE) and selected; a line feed after each of them.
    """
    lines = sorted(
        encode(
            [
                edge.child.hex(),
                edge.parent.hex(),
                edge.trainer,
                edge.round,
                edge.leg,
                edge.segment,
                None if edge.score == UNAVAILABLE else edge.score,
                edge.selected,
            ]
        )
        for edge in edges
    )
    return hashlib.sha256(b"".join(line + b"\n" for line in (b"derelayl/lineage/1", *lines))).digest()


def royalty_split(amount: Wei, path_length: int, gamma_bps: int) -> tuple[Wei, ...]:
    """Return what each owner keeps when `amount` is collected along `path_length` checkpoints, genesis last.

    Each passes floor(what came in · gamma_bps / 10000) on, genesis nothing; the shares add up to `amount`. Source:
    docs/PROTOCOL.md section 4, royalties. Raises LocalFault for a path without a checkpoint.
    """
    if path_length < 1:
        raise LocalFault(f"path of {path_length} checkpoints")
    shares, coming = [], amount
    for _ in range(path_length - 1):
        passed = Wei(coming * gamma_bps // BPS)
        shares.append(Wei(coming - passed))
        coming = passed
    return (*shares, coming)


Links: TypeAlias = Callable[[Root], Iterable[Root]]
"""One step: from a checkpoint to its parents, or to its children."""


def _parents(edges: EdgeMap) -> Links:
    """Return the step from a child to its distinct parents, in the order of its edges."""
    return lambda child: dict.fromkeys(edge.parent for edge in edges.get(child, ()))


def _reachable(links: Links, start: Root) -> tuple[Root, ...]:
    """Return what the links lead to from `start`, breadth first; each once, so it ends."""
    _depths(links, start)  # refuses a cycle
    found = {start: None}
    level = [start]
    while level:
        level = [end for end in dict.fromkeys(end for at in level for end in links(at)) if end not in found]
        found.update(dict.fromkeys(level))
    return tuple(found)[1:]


def _depths(links: Links, start: Root) -> dict[Root, int]:
    """Return, for everything that the links lead to from `start` and itself, the longest way to an end.

    Depth first with a stack of its own, since a lineage is longer than Python's. Raises LocalFault in a cycle.
    """
    depths: dict[Root, int] = {}
    entered: set[Root] = set()  # on the way from `start` to where we are
    stack = [start]
    while stack:
        at = stack[-1]
        if at in depths:  # met again on another way
            stack.pop()
        elif at in entered:  # all its ends are known now
            depths[at] = max((1 + depths[end] for end in links(at)), default=0)
            entered.remove(at)
        else:
            entered.add(at)
            unknown = [end for end in links(at) if end not in depths]
            if not entered.isdisjoint(unknown):
                raise LocalFault(f"lineage with a cycle through {at.hex()}")
            stack.extend(unknown)
    return depths
