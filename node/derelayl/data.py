"""Samples for experiments: one set dealt out as if peers had never shared it."""

from __future__ import annotations

from derelayl_training import partition
from derelayl_training.data import load
from derelayl_training.dealing import parse_partition
from derelayl_training.split import Split


def deal(
    data: str | Split, parts: int, how: str = "iid", *, held: float = 0.2, test: int = 500, seed: int = 0
) -> tuple[tuple[Split, ...], Split]:
    """Deal a set out to `parts` peers; return their splits, and a test split of `test` samples that no peer has.

    `data` is a split or a data spec as `load` takes it. `how` is iid, dirichlet:ALPHA, by-label or by-site. Every peer
    holds out the share `held` of its samples. The same seed gives the same splits. Raises LocalFault.
    """
    whole = load(data) if isinstance(data, str) else data
    return partition.deal(whole, parts, parse_partition(how), held_fraction=held, test_size=test, seed=seed)
