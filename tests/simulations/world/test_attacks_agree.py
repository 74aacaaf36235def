"""The same attacks earn about the same here as on the reference: docs/SECURITY.md, measured by tests/attacks.

The relay of tests/attacks/world.py (ten trainers, twenty validators, six rounds, legs that gain a Normal whatever the
level, work that costs nothing) as a scenario, two hundred times side by side; honest bids lie between two and five
coins there, and near that here. There twenty seeds were played, here the mean must lie in the range that they span.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest
from tests.simulations.world.builders import scenario

from derelayl_simulations.search.arena import Arena, Change, arena, chosen, mean_of

SECURITY = (Path(__file__).parents[3] / "docs" / "SECURITY.md").read_text(encoding="utf-8")
ROUNDS = 6
RELAYS = 200
ROUNDING = 0.05
"""The table has one decimal."""
RULES = {
    "selected_share": 0.5, "legs_per_tip": 32, "committee_size": 11, "quorum": 6, "margin": 0.005, "agreement": 0.2,
    "gamma": 0.5, "trainer_share": 0.5, "royalty_share": 0.15, "validator_share": 0.35, "slash_share": 0.1,
    "min_bid": 2.0, "offer_deposit": 0.5, "validator_stake": 100.0, "emission": 20.0, "halving_rounds": 1000,
    "budget": 1500.0,
}  # fmt: skip
PEOPLE = (
    {"name": "trainers", "count": 10, "capital": 2000, "boldness": 1},
    {"name": "validators", "role": "validator", "count": 20, "capital": 1900},
)
ROW = re.compile(
    r"\| (?P<gain>[+−\d.]+) \[(?P<low>[+−\d.]+), (?P<high>[+−\d.]+)\] \|"
)  # the first one is the attacker's


@cache
def field() -> Arena:
    given = scenario(
        people=30,
        relays=RELAYS,
        rounds=ROUNDS,
        groups=PEOPLE,
        ledger=RULES,
        seeders=0.0,
        bid_share=0.5,
        curiosity=1.0,
        learning={
            "model": "normal",
            "gain_mean": 0.1,
            "gain_deviation": 0.06,
            "drift": 0.0,
            "averaging": 0.02,
            "start": "tip",
        },
        judging={"noise": 0.02, "common": 0.0, "partiality": 0.0, "caution": 0.0, "mistaken": 0.0},
        costs={"energy_price": 0.0, "hour_price": 0.0},
        search={"rounds": ROUNDS},
    )
    return arena(given, [1])


def one_trainer(strategy: str) -> Change:
    return {strategy: chosen(field().honest("trainer"), 1)}


def one_validator(strategy: str) -> Change:
    return {strategy: chosen(field().honest("validator"), 1)}


def ring(strategy: str, validators: int) -> Change:
    return {strategy: chosen(field().honest("trainer"), 2) | chosen(field().honest("validator"), validators)}


ATTACKS = {
    "LazyLeg": lambda: one_trainer("lazy"),
    "PoisonedLeg": lambda: one_trainer("poisoner"),
    "BetterTipUnderOwnName": lambda: one_trainer("copier"),
    "BetterTipTrainedOn": lambda: one_trainer("hopper"),
    "ConstantAnswer": lambda: one_validator("constant"),
    "RandomAnswer": lambda: one_validator("guesser"),
    "Exaggeration": lambda: one_validator("exaggerator"),
    "CommitWithoutReveal": lambda: one_validator("silent"),
    "Averager": lambda: one_trainer("averager"),
    "SecretRunner": lambda: one_trainer("secret-runner"),
    "Hoarder": lambda: one_trainer("hoarder"),
    "OwnerWithholdsAlone": lambda: one_trainer("hostage"),
    "BrazenRingOfFive": lambda: ring("ring", 5),
    "BrazenRingOfEight": lambda: ring("ring", 8),
    "BrazenRingOfNine": lambda: ring("ring", 9),
    "BrazenRingOfEleven": lambda: ring("ring", 11),
    "NudgingRingOfTwo": lambda: ring("nudging-ring", 2),
    "NudgingRingOfEight": lambda: ring("nudging-ring", 8),
}
"""Class in tests/attacks → who does what here."""


def measured(attack: str) -> tuple[float, float, float]:
    """Return mean, least and greatest gain of the attackers over the seeds, in coins, as docs/SECURITY.md has them."""
    line = next(line for line in SECURITY.splitlines() if f"[`{attack}`]" in line)
    found = ROW.search(line)
    assert found, line
    gain, low, high = (float(found[name].replace("−", "-")) for name in ("gain", "low", "high"))
    return gain, low, high


@cache
def gains() -> dict[str, float]:
    """Return what each attack brings all its people together over the history, in coins."""
    changes = {name: attack() for name, attack in ATTACKS.items()}
    payoffs = field().payoffs([{}, *changes.values()])
    found = {}
    for number, (name, change) in enumerate(changes.items(), start=1):
        (who,) = change.values()
        more = mean_of(payoffs[number], who) - mean_of(payoffs[0], who)
        found[name] = more * int(who.sum()) * ROUNDS
    return found


@pytest.mark.parametrize("attack", ATTACKS)
def test_an_attack_earns_here_what_it_earned_on_the_reference(attack: str) -> None:
    mean, low, high = measured(attack)
    found = gains()[attack]
    assert low - ROUNDING <= found <= high + ROUNDING
    if abs(mean) > 2:
        assert found * mean > 0
        assert 0.4 < found / mean < 2.5
