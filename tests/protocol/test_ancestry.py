"""Lineage: chains, branches and joins, whatever their length, and money along a path."""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from derelayl_protocol.checkpoint.ancestry import (
    Edge,
    EdgeMap,
    ancestors,
    common_ancestor,
    depth,
    descendants,
    edge_map,
    lineage_digest,
    royalty_split,
)
from derelayl_protocol.errors import LocalFault
from derelayl_protocol.types import UNAVAILABLE, Root, Wei


def root(name: object) -> Root:
    return Root(hashlib.sha256(str(name).encode()).digest())


def edge(parent: object, child: object, leg: int = 0, **changes: Any) -> Edge:
    fields: dict[str, Any] = {"trainer": "0x" + "01" * 20, "round": 1, "segment": 255, "score": 1000, "selected": True}
    return Edge(root(child), root(parent), leg=leg, **fields | changes)


def graph(*pairs: Sequence[object]) -> EdgeMap:
    return edge_map(edge(pair[0], pair[1]) for pair in pairs)


def names(roots: Iterable[Root], among: str) -> str:
    known = {root(name): name for name in among}
    return "".join(known[found] for found in roots)


BRANCHES = graph("ab", "bc", "bd", "ce", "cf", "fg", "dg")
"""g was composed of f and d: a → b → c → {e, f}, b → d, f → g ← d."""


@pytest.mark.parametrize("pairs", [["aa"], ["ab", "ba"], ["ab", "bc", "cb"]])
@pytest.mark.parametrize("walk", [ancestors, descendants, depth])
def test_a_cycle_is_our_own_fault(pairs: list[str], walk: Callable[[EdgeMap, Root], object]) -> None:
    with pytest.raises(LocalFault, match="cycle"):
        walk(graph(*pairs), root("b" if "b" in "".join(pairs) else "a"))


def test_a_path_without_a_checkpoint_cannot_share_a_royalty() -> None:
    with pytest.raises(LocalFault, match="path of 0 checkpoints"):
        royalty_split(Wei(100), 0, 5000)


def test_a_checkpoint_without_edges_is_alone() -> None:
    assert ancestors({}, root("x")) == ()
    assert descendants({}, root("x")) == ()
    assert depth({}, root("x")) == 0
    assert common_ancestor({}, root("x"), root("x")) == root("x")
    assert common_ancestor({}, root("x"), root("y")) is None


@pytest.mark.parametrize(("start", "found"), [("a", ""), ("b", "a"), ("e", "cba"), ("g", "fdcba")])
def test_ancestors_come_nearest_first_and_once(start: str, found: str) -> None:
    assert names(ancestors(BRANCHES, root(start)), "abcdefg") == found


@pytest.mark.parametrize(("start", "found"), [("a", "bcdefg"), ("c", "efg"), ("d", "g"), ("g", "")])
def test_descendants_come_nearest_first_and_once(start: str, found: str) -> None:
    assert names(descendants(BRANCHES, root(start)), "abcdefg") == found


@pytest.mark.parametrize(("start", "legs"), [("a", 0), ("b", 1), ("d", 2), ("e", 3), ("g", 4)])
def test_depth_counts_the_legs_of_the_longest_way(start: str, legs: int) -> None:
    assert depth(BRANCHES, root(start)) == legs


@pytest.mark.parametrize(
    ("first", "second", "shared"), [("e", "f", "c"), ("e", "d", "b"), ("g", "d", "d"), ("e", "g", "c")]
)
def test_the_common_ancestor_is_the_deepest(first: str, second: str, shared: str) -> None:
    assert common_ancestor(BRANCHES, root(first), root(second)) == root(shared)
    assert common_ancestor(BRANCHES, root(second), root(first)) == root(shared)


def test_of_equally_deep_common_ancestors_the_smallest_root_is_taken() -> None:
    edges = graph("ac", "bc", "ad", "bd")
    assert common_ancestor(edges, root("c"), root("d")) == min(root("a"), root("b"))


def test_two_legs_that_name_one_child_are_both_kept() -> None:
    edges = edge_map([edge("a", "c", leg=0), edge("b", "c", leg=1), edge("a", "c", leg=2)])
    assert [found.leg for found in edges[root("c")]] == [0, 1, 2]
    assert names(ancestors(edges, root("c")), "ab") == "ab"


def test_a_lineage_longer_than_pythons_stack_is_walked() -> None:
    edges = graph(*((number, number + 1) for number in range(5000)))
    assert depth(edges, root(5000)) == 5000
    assert ancestors(edges, root(5000))[-1] == root(0)
    assert len(descendants(edges, root(0))) == 5000


def test_a_lattice_with_many_paths_is_walked_in_time_of_its_edges() -> None:
    pairs = [((row, one), (row + 1, other)) for row in range(60) for one in "ab" for other in "ab"]
    edges = graph(*pairs)
    assert depth(edges, root((60, "a"))) == 60
    assert len(ancestors(edges, root((60, "a")))) == 120


# --- Digest -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        {"child": root("z")},
        {"parent": root("z")},
        {"trainer": "0x" + "02" * 20},
        {"round": 2},
        {"leg": 1},
        {"segment": 0},
        {"score": 1001},
        {"score": UNAVAILABLE},
        {"selected": False},
    ],
    ids=lambda change: next(iter(change)),
)
def test_every_field_of_an_edge_counts_in_the_digest(change: dict[str, Any]) -> None:
    assert lineage_digest([edge("a", "b")]) != lineage_digest([replace(edge("a", "b"), **change)])


def test_an_edge_more_or_twice_changes_the_digest() -> None:
    one, other = edge("a", "b"), edge("b", "c")
    assert len({lineage_digest(edges) for edges in ([], [one], [one, other], [one, one])}) == 4


def test_the_digest_is_the_same_in_whatever_order() -> None:
    edges = [edge("a", name, leg=leg, score=UNAVAILABLE if leg % 2 else leg) for leg, name in enumerate("bcdef")]
    assert lineage_digest(edges) == lineage_digest(edges[::-1])


def test_the_digest_is_that_of_the_specification() -> None:
    line = f'["{root("b").hex()}","{root("a").hex()}","0x{"01" * 20}",1,0,255,null,true]'
    expected = hashlib.sha256(f"derelayl/lineage/1\n{line}\n".encode()).digest()
    assert lineage_digest([edge("a", "b", score=UNAVAILABLE)]) == expected


# --- Royalties --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("amount", "length", "gamma", "shares"),
    [
        (100, 1, 5000, (100,)),
        (100, 3, 5000, (50, 25, 25)),
        (101, 3, 5000, (51, 25, 25)),
        (100, 3, 0, (100, 0, 0)),
        (100, 3, 10_000, (0, 0, 100)),
        (0, 2, 5000, (0, 0)),
    ],
)
def test_each_owner_keeps_its_share_and_passes_the_rest(
    amount: int, length: int, gamma: int, shares: tuple[int, ...]
) -> None:
    assert royalty_split(Wei(amount), length, gamma) == shares


@given(st.integers(0, 2**96), st.integers(1, 40), st.integers(0, 10_000))
def test_royalty_shares_add_up_to_the_amount(amount: int, length: int, gamma: int) -> None:
    shares = royalty_split(Wei(amount), length, gamma)
    assert sum(shares) == amount
    assert len(shares) == length
    assert min(shares) >= 0
