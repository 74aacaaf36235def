"""Who gets which samples: promises of every rule, and of each."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from derelayl_protocol.errors import LocalFault
from derelayl_training.dealing import (
    MIN_SHARD_SAMPLES,
    ByLabel,
    BySite,
    Dirichlet,
    Iid,
    Partition,
    parse_partition,
)

RULES = ["iid", "dirichlet:0.001", "dirichlet:0.5", "dirichlet:1e6", "by-label", "by-site"]


def deal(rule: Partition, labels: np.ndarray, parts: int, seed: int = 0) -> list[np.ndarray]:
    """Deal every second sample, to notice a rule that looks at positions instead of indices."""
    return rule.deal(labels, np.arange(0, len(labels), 2), parts, np.random.default_rng(seed))


def ten_classes(samples: int) -> np.ndarray:
    return np.arange(samples) // 2 % 10


@pytest.mark.parametrize(
    "name", ["", "IID", "iid:", "by-label:2", "by-site:1", "dirichlet", "dirichlet:", "dirichlet:x", "site"]
)
def test_an_unknown_rule_is_refused(name: str) -> None:
    with pytest.raises(LocalFault, match=r"allowed are iid, dirichlet:ALPHA, by-label or by-site|is not a number"):
        parse_partition(name)


@pytest.mark.parametrize("alpha", ["0", "-1", "nan", "inf", "1e-9", "1e300"])
def test_an_alpha_that_cannot_be_drawn_from_is_refused(alpha: str) -> None:
    with pytest.raises(LocalFault, match="must be within"):
        parse_partition(f"dirichlet:{alpha}")


def test_more_peers_than_classes_are_refused_by_label() -> None:
    with pytest.raises(LocalFault, match="10 classes cannot be dealt to 11 peers by by label"):
        deal(ByLabel(), ten_classes(4000), 11)


def test_fewer_sites_than_peers_are_refused() -> None:
    with pytest.raises(LocalFault, match="4 sites cannot be dealt to 5 peers by by site"):
        deal(BySite(), np.arange(2000) // 2 % 4, 5)


def test_sites_too_small_for_a_peer_of_their_own_are_refused() -> None:
    with pytest.raises(LocalFault, match="by site, one of 3 peers gets 30 samples, needed are 64: its sites are too"):
        deal(BySite(), np.repeat([0, 1, 2], [1000, 800, 60]), 3)


def test_a_site_is_with_one_peer_and_the_largest_are_dealt_first() -> None:
    sites = np.repeat([7, 3, 5, 9], [1000, 800, 500, 400])
    dealt = deal(BySite(), sites, 2)
    assert sorted(sorted(set(sites[part].tolist())) for part in dealt) == [[3, 5], [7, 9]]


def test_classes_too_small_for_a_peer_of_their_own_are_refused_by_label() -> None:
    labels = np.repeat([0, 1], [1000, 100])
    with pytest.raises(LocalFault, match="one of 2 peers gets 50 samples, needed are 64"):
        deal(ByLabel(), labels, 2)


@given(
    rule=st.sampled_from(RULES),
    parts=st.integers(1, 6),
    classes=st.integers(1, 8),
    samples=st.integers(2 * 6 * MIN_SHARD_SAMPLES, 2000),
    seed=st.integers(0, 2**32),
)
@settings(max_examples=60, deadline=None, derandomize=True)
def test_every_sample_goes_to_one_peer_and_every_peer_gets_enough(
    rule: str, parts: int, classes: int, samples: int, seed: int
) -> None:
    labels = np.random.default_rng(seed).integers(0, classes, samples)
    try:
        dealt, again = (deal(parse_partition(rule), labels, parts, seed) for _ in range(2))
    except LocalFault:
        assert rule in ("by-label", "by-site")
        return
    assert len(dealt) == parts
    assert sorted(np.concatenate(dealt).tolist()) == list(range(0, samples, 2))
    assert min(map(len, dealt)) >= MIN_SHARD_SAMPLES
    assert [part.tolist() for part in dealt] == [part.tolist() for part in again]


@pytest.mark.parametrize("rule", RULES)
def test_another_seed_deals_otherwise(rule: str) -> None:
    labels = ten_classes(4000)
    first, other = (deal(parse_partition(rule), labels, 5, seed) for seed in (1, 2))
    assert [part.tolist() for part in first] != [part.tolist() for part in other]


def test_iid_peers_differ_by_one_sample_at_most_and_have_all_labels() -> None:
    labels = ten_classes(4002)
    dealt = deal(Iid(), labels, 4)
    assert sorted(map(len, dealt)) == [500, 500, 500, 501]
    assert all(np.bincount(labels[part], minlength=10).min() > 25 for part in dealt)


@pytest.mark.parametrize("parts", [1, 3, 6, 10])
def test_no_label_is_with_two_peers_by_label(parts: int) -> None:
    labels = ten_classes(4000)
    held = [set(labels[part].tolist()) for part in deal(ByLabel(), labels, parts)]
    assert sorted(label for labels_of_one in held for label in labels_of_one) == list(range(10))
    assert max(map(len, held)) - min(map(len, held)) <= 1


def test_by_label_keeps_peers_even_when_classes_are_not() -> None:
    labels = np.repeat([0, 1, 2, 3], [1200, 400, 400, 400])
    assert sorted(map(len, deal(ByLabel(), labels, 2))) == [600, 600]


def test_which_peer_gets_a_class_depends_on_the_seed() -> None:
    labels = ten_classes(4000)
    assert len({labels[deal(ByLabel(), labels, 10, seed)[0][0]] for seed in range(10)}) > 3


def test_the_names_give_the_rules() -> None:
    assert parse_partition("iid") == Iid()
    assert parse_partition("dirichlet:0.5") == Dirichlet(0.5)
    assert parse_partition("by-label") == ByLabel()
    assert parse_partition("by-site") == BySite()
