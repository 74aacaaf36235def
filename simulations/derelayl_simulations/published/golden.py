"""What the authors' public script printed, and whether our runs agree with it.

The script was run once. So a published number is one draw, not an expectation: it is compared with the spread over our
seeds. That run had not died out, so only seeds still alive at the round are compared with it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

ALLOWED_ERRORS = 3.0  # combined standard errors between our mean and a published number
MINIMUM_SEEDS = 10  # the spread over fewer seeds is too uncertain to call a number off


class Verdict(StrEnum):
    """What a comparison says."""

    OK = "ok"
    OFF = "off"
    TOO_FEW_SEEDS = "too few seeds"


@dataclass(frozen=True, slots=True)
class Golden:
    """One published number."""

    value: float
    rounding: float  # half a unit of the last digit given

    def allowed(self, deviation: float, seeds: int) -> float:
        """Return how far the mean over `seeds` may lie away, given their standard deviation.

        The combined standard error is that of one more draw and of a mean: deviation · sqrt(1 + 1/seeds).
        """
        return ALLOWED_ERRORS * deviation * math.sqrt(1 + 1 / seeds) + self.rounding

    def judge(self, mean: float, deviation: float, seeds: int) -> Verdict:
        """Compare with the mean over seeds."""
        if seeds < MINIMUM_SEEDS:
            return Verdict.TOO_FEW_SEEDS
        return Verdict.OK if abs(mean - self.value) <= self.allowed(deviation, seeds) else Verdict.OFF


def _row(**published: str) -> Mapping[str, Golden]:
    return {name: parse_golden(text) for name, text in published.items()}


def parse_golden(text: str) -> Golden:
    """Read a decimal such as 20.3 or 1.97e7; the digits given say how it was rounded."""
    digits, _, exponent = text.partition("e")
    decimals = len(digits.partition(".")[2])
    return Golden(float(text), 0.5 * 10.0 ** (int(exponent or 0) - decimals))


GOLDEN: Mapping[int, Mapping[str, Golden]] = {
    1: _row(
        owners="1", trainers="127", models="4", latest="2.0", behind_1="0.4", none="97.7", coins="4.5", gini="0.995"
    ),
    5: _row(
        owners="14", trainers="114", models="51", latest="20.3", behind_1="10.9", behind_2="4.3", none="63.3",
        coins="279.6", gini="0.974",
    ),
    10: _row(
        owners="37", trainers="91", models="78", latest="30.9", behind_1="26.6", behind_2="16.0", none="5.9",
        coins="2037", gini="0.940",
    ),
    51: _row(
        owners="39", trainers="89", models="82", latest="32.4", behind_1="24.2", behind_2="15.6", none="0.0",
        coins="52333", gini="0.822",
    ),
    100: _row(
        owners="40", trainers="88", models="80", latest="31.6", behind_1="25.8", behind_2="15.2", none="0.0",
        coins="198934", gini="0.775",
    ),
    1000: _row(coins="1.97e7", gini="0.37"),
    5000: _row(coins="4.94e8", gini="0.15"),
}  # fmt: skip
