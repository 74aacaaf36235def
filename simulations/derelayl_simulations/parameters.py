"""Parameters of the published mechanism."""

from __future__ import annotations

import math
from dataclasses import dataclass

from derelayl_protocol.errors import LocalFault

MAX_PARTICIPANTS = 100_000  # a round keeps a few arrays of this length; more would be a slip of the pen
ROUNDING = 1e-9  # 0.29 * 100 is 28.999…: shares of whole numbers are meant exactly


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedParameters:
    """What the published simulation fixes; the defaults are its values.

    Coins are floating point, as published. Raises LocalFault naming the first field outside its bounds.
    Source: the public simulation of DeRelayL (arXiv:2605.02935).
    """

    participants: int = 256  # N, people
    active_share: float = 0.5  # q, share of all participants who own or train in a round
    trainers_per_owner: int = 4  # k, most trainers that one owner takes in a round
    selected_share: float = 0.5  # s, share of a round's models that is selected, rounded down
    success_probability: float = 0.9  # p, that a matched trainer ends up with a model
    gain_mean: float = 1.0  # performance points that one training adds on average
    gain_deviation: float = 1.0  # performance points, standard deviation of that gain
    owner_deposit: float = 0.001  # B, coins an owner puts up in a round, split over its k places
    deposit_fee: float = 0.001  # coins per deposit record (one per matched pair)
    hash_fee: float = 0.001  # coins per model hash, in the encryption block and again in the testing block
    test_fee: float = 0.001  # coins per test case in the testing block
    ranking_fee: float = 0.001  # coins per model, and per model and test case, in the settlement block
    test_cases: int = 100  # test cases per testing block

    def __post_init__(self) -> None:
        for name, (low, high) in BOUNDS.items():
            value = getattr(self, name)
            if not (math.isfinite(value) and low <= value <= high):
                raise LocalFault(f"{name} is {value}, allowed is {low} … {high}")
            if name in WHOLE_NUMBERS and value != int(value):
                raise LocalFault(f"{name} is {value}, a whole number is needed")
        if not 1 <= self.active < self.participants:
            raise LocalFault(
                f"active_share {self.active_share} of {self.participants} participants leaves {self.active} active: "
                "at least one must be active and one must mine"
            )

    @property
    def active(self) -> int:
        """Return q·N, how many participants own or train in a round, rounded down."""
        return whole_part(self.active_share, self.participants)


BOUNDS: dict[str, tuple[float, float]] = {
    "participants": (2, MAX_PARTICIPANTS),
    "active_share": (0.0, 1.0),
    "trainers_per_owner": (1, MAX_PARTICIPANTS),
    "selected_share": (0.0, 1.0),
    "success_probability": (0.0, 1.0),
    "gain_mean": (-1e6, 1e6),
    "gain_deviation": (0.0, 1e6),
    "owner_deposit": (0.0, 1e6),
    "deposit_fee": (0.0, 1e6),
    "hash_fee": (0.0, 1e6),
    "test_fee": (0.0, 1e6),
    "ranking_fee": (0.0, 1e6),
    "test_cases": (0, 1_000_000),
}

WHOLE_NUMBERS = frozenset({"participants", "trainers_per_owner", "test_cases"})


def whole_part(share: float, count: int) -> int:
    """Return floor(share · count), forgiving the rounding error of a share written in decimals."""
    return math.floor(share * count + ROUNDING)
