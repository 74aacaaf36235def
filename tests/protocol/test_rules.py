"""Bounds of a model's rules, and its id."""

from __future__ import annotations

import hashlib
from dataclasses import astuple, fields

import pytest

from derelayl_protocol.encoding import word
from derelayl_protocol.errors import Reason, RuleViolation
from derelayl_protocol.ledger.rules import BOUNDS, Rules, is_id_of, model_id
from derelayl_protocol.types import Address, ModelId

from .relay import GENESIS, OWNER, RULES, address, root, with_rules


def refused(rules: Rules) -> str:
    with pytest.raises(RuleViolation) as refusal:
        rules.check()
    assert refusal.value.reason == Reason.BAD_RULES
    return str(refusal.value)


@pytest.mark.parametrize("name", BOUNDS)
@pytest.mark.parametrize("side", [0, 1])
def test_a_rule_outside_its_bounds_is_named(name: str, side: int) -> None:
    outside = BOUNDS[name][side] + (-1, 1)[side]
    assert refused(with_rules(**{name: outside})).startswith(f"BadRules: {name} is {outside}")


def test_shares_that_do_not_add_up_are_refused() -> None:
    assert "must be 10000" in refused(with_rules(trainer_bps=RULES.trainer_bps + 1))


def test_a_quorum_larger_than_the_committee_is_refused() -> None:
    assert "quorum 4 exceeds committee_size 3" in refused(with_rules(quorum=4))


def test_rules_within_their_bounds_pass() -> None:
    RULES.check()


def test_every_rule_has_bounds_in_the_order_of_the_struct() -> None:
    assert list(BOUNDS) == [field.name for field in fields(Rules)]


def test_words_are_the_evms() -> None:
    assert word(1) == bytes(31) + b"\x01"
    assert word(-1) == b"\xff" * 32
    assert word(-(2**63)) == b"\xff" * 24 + b"\x80" + bytes(7)


def test_the_id_hashes_creator_genesis_and_every_rule() -> None:
    encoded = b"".join([bytes(12), bytes.fromhex(OWNER[2:]), GENESIS, *(word(value) for value in astuple(RULES))])
    assert model_id(OWNER, GENESIS, RULES) == hashlib.sha256(encoded).digest()


def test_an_id_of_the_first_version_leaves_out_what_was_no_rule_then() -> None:
    rules = with_rules(duplicate_bps=0)
    words = [word(value) for name, value in zip(BOUNDS, astuple(rules), strict=True) if name != "duplicate_bps"]
    first = ModelId(hashlib.sha256(b"".join([bytes(12), bytes.fromhex(OWNER[2:]), GENESIS, *words])).digest())
    assert is_id_of(first, OWNER, GENESIS, rules)
    assert is_id_of(model_id(OWNER, GENESIS, rules), OWNER, GENESIS, rules)
    assert not is_id_of(first, address(2), GENESIS, rules)
    assert not is_id_of(first, OWNER, GENESIS, RULES)


def test_another_creator_genesis_or_rule_gives_another_id() -> None:
    ids = {
        model_id(OWNER, GENESIS, RULES),
        model_id(address(2), GENESIS, RULES),
        model_id(OWNER, root("other"), RULES),
        *(model_id(OWNER, GENESIS, with_rules(**{name: getattr(RULES, name) + 1})) for name in BOUNDS),
    }
    assert len(ids) == 3 + len(BOUNDS)


def test_a_high_address_keeps_its_bytes() -> None:
    high = Address("0x" + "ff" * 20)
    assert model_id(high, GENESIS, RULES) != model_id(OWNER, GENESIS, RULES)
