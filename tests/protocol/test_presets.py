"""Presets of rules, and rules as a file."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest

from derelayl_protocol.errors import LocalFault, ProtocolError
from derelayl_protocol.ledger.presets import DEVNET, MINIMAL, PRESETS, SHARED, STANDARD, STRICT, WINNER
from derelayl_protocol.ledger.rules import BOUNDS, Rules, model_id
from derelayl_protocol.ledger.rules_file import find_rules, format_rules, parse_rules
from derelayl_protocol.types import Wei

from .relay import GENESIS, OWNER


def never(name: str) -> str:
    raise AssertionError(f"{name} is read")


def refused(text: str) -> str:
    with pytest.raises(ProtocolError) as refusal:
        parse_rules(text)
    return str(refusal.value)


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_is_within_the_bounds_and_found_by_its_name(name: str) -> None:
    PRESETS[name].check()
    assert find_rules(name, never) is PRESETS[name]


def test_the_presets_have_names() -> None:
    own = {"minimal": MINIMAL, "devnet": DEVNET, "standard": STANDARD}
    tastes = {"shared": SHARED, "winner": WINNER, "strict": STRICT}
    assert {**own, **tastes} == PRESETS


def test_a_preset_of_a_taste_departs_from_the_standard_in_one_rule() -> None:
    assert replace(SHARED, selection_bps=STANDARD.selection_bps) == STANDARD
    assert replace(WINNER, selection_bps=STANDARD.selection_bps) == STANDARD
    assert replace(STRICT, agreement_ppm=STANDARD.agreement_ppm) == STANDARD


@pytest.mark.parametrize("rules", PRESETS.values())
def test_what_is_written_is_read_back(rules: Rules) -> None:
    text = format_rules(rules)
    assert parse_rules(text) == rules
    assert [line.partition(" ")[0] for line in text.splitlines()] == [field.name for field in fields(Rules)]


def test_a_file_may_say_only_what_departs_from_a_preset() -> None:
    rules = parse_rules('preset = "standard"\nsegments = 4\naccess_fee = 5_000_000_000_000_000_000\n')
    assert rules == replace(STANDARD, segments=4, access_fee=Wei(5 * 10**18))
    whole = parse_rules(format_rules(rules))
    assert model_id(OWNER, GENESIS, whole) == model_id(OWNER, GENESIS, rules)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("segments = ", "not TOML: "),
        ("segments = " + 5_000 * "9", "not TOML: "),
        ('preset = "standart"', "preset is 'standart', allowed is minimal, devnet, standard, shared"),
        ("preset = ['minimal']", "preset is ['minimal'], allowed is minimal, devnet, standard, shared"),
        ('preset = "minimal"\nquorun = 2', "quorun is no rule, did you mean quorum?"),
        ('preset = "minimal"\nx = 2', f"x is no rule; the rules are {', '.join(BOUNDS)}"),
        ('preset = "minimal"\n[rules]\nquorum = 2', "rules is no rule"),
        ('preset = "minimal"\nquorum = 2.0', "quorum is 2.0, allowed is a whole number"),
        ('preset = "minimal"\nquorum = true', "quorum is True, allowed is a whole number"),
        ('preset = "minimal"\nmin_bid = "10"', "min_bid is '10', allowed is a whole number"),
        ('preset = "minimal"\nmin_bid = 0', f"BadRules: min_bid is 0, allowed is 1 … {2**96 - 1}"),
        ('preset = "minimal"\nquorum = 4', "BadRules: quorum 4 exceeds committee_size 3"),
        (format_rules(MINIMAL).replace("quorum = 2\n", ""), "quorum missing: give a value, or a preset"),
    ],
)
def test_what_is_wrong_in_a_file_is_refused_by_name(text: str, sentence: str) -> None:
    assert refused(text).startswith(sentence)


def test_the_file_is_named_by_what_is_wrong_in_it() -> None:
    with pytest.raises(
        LocalFault, match=r"^mine\.toml does not hold a model's rules: quorum is 2\.5, allowed is a whole"
    ):
        find_rules("mine.toml", lambda name: "quorum = 2.5")
    with pytest.raises(LocalFault, match="mine does not hold a model's rules: 'utf-8' codec"):
        find_rules("mine", lambda name: b"\xff".decode("utf-8"))


def test_neither_a_preset_nor_a_file_is_refused_with_the_presets() -> None:
    def absent(name: str) -> str:
        raise FileNotFoundError(2, "No such file or directory", name)

    known = "minimal, devnet, standard, shared, winner, strict"
    sentence = rf"standart is no preset \({known}\) and cannot be read as a file: No such file"
    with pytest.raises(LocalFault, match=sentence):
        find_rules("standart", absent)
