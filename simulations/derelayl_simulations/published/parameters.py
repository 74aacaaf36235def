"""Parameters of the published mechanism."""

from __future__ import annotations

import math
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

MAX_PARTICIPANTS = 100_000  # a round keeps a few arrays of this length; more would be a slip of the pen

Share = Annotated[float, Field(ge=0.0, le=1.0)]
Coins = Annotated[float, Field(ge=0.0, le=1e6)]


class PublishedParameters(BaseModel):
    """What the published simulation fixes; the defaults are its values.

    Coins are floating point, as published. Raises pydantic's ValidationError naming each field outside its bounds.
    Source: the public simulation of DeRelayL (arXiv:2605.02935).
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    participants: int = Field(default=256, ge=2, le=MAX_PARTICIPANTS)  # N, people
    active_share: Share = 0.5  # q, share of all participants who own or train in a round
    trainers_per_owner: int = Field(default=4, ge=1, le=MAX_PARTICIPANTS)  # k, most trainers of one owner in a round
    selected_share: Share = 0.5  # s, share of a round's models that is selected, rounded down
    success_probability: Share = 0.9  # p, that a matched trainer ends up with a model
    gain_mean: float = Field(default=1.0, ge=-1e6, le=1e6)  # performance points that one training adds on average
    gain_deviation: float = Field(default=1.0, ge=0.0, le=1e6)  # performance points, standard deviation of that gain
    owner_deposit: Coins = 0.001  # B, coins an owner puts up in a round, split over its k places
    deposit_fee: Coins = 0.001  # coins per deposit record (one per matched pair)
    hash_fee: Coins = 0.001  # coins per model hash, in the encryption block and again in the testing block
    test_fee: Coins = 0.001  # coins per test case in the testing block
    ranking_fee: Coins = 0.001  # coins per model, and per model and test case, in the settlement block
    test_cases: int = Field(default=100, ge=0, le=1_000_000)  # test cases per testing block

    @model_validator(mode="after")
    def _leaves_somebody_active_and_somebody_mining(self) -> Self:
        if not 1 <= self.active < self.participants:
            raise ValueError(
                f"active_share {self.active_share} of {self.participants} participants leaves {self.active} active: "
                "at least one must be active and one must mine"
            )
        return self

    @property
    def active(self) -> int:
        """Return q·N, how many participants own or train in a round, rounded down.

        Here and where models are selected, the product is rounded down as it is in floating point, as published.
        """
        return math.floor(self.active_share * self.participants)
