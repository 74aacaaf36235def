"""The rules of a relay as a scenario writes them: coins, shares and nats instead of wei, basis points and ppm."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from derelayl_protocol.ledger.rules import Rules
from derelayl_protocol.ledger.scoring import PPM
from derelayl_protocol.limits import BPS, MAX_COMMITTEE, MAX_LEGS_PER_TIP, MAX_REPORTER_BPS, MAX_SCORE_PPM
from derelayl_protocol.types import Ppm, Wei

MAX_MONEY_WEI = 2**60
"""Wei in all relays of a run together. Sums of any four such amounts still fit 64 bits, so no addition is checked."""

MAX_COINS = 1e9
"""Coins in one setting."""

PHASES = 4
"""Phases with a deadline: bidding, training, commits, reveals. A simulated phase lasts one second."""

ROUND_SECONDS = PHASES
"""Seconds that a simulated round takes."""

MOST_NATS = MAX_SCORE_PPM / PPM
ROUNDING = 1e-9  # shares are written in decimals

Share = Annotated[float, Field(ge=0.0, le=1.0)]
Coins = Annotated[float, Field(ge=0.0, le=MAX_COINS)]
PositiveCoins = Annotated[float, Field(gt=0.0, le=MAX_COINS)]
Nats = Annotated[float, Field(ge=1 / PPM, le=MOST_NATS)]


class LedgerSettings(BaseModel):
    """Rules of every relay of a scenario, and how finely coins are divided. The defaults are ours.

    Shares are rounded to a basis point, nats to a millionth, coins to a wei.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    wei_per_coin: int = Field(default=10**9, ge=1, le=10**12)  # a real token has 10**18, which 64 bits do not hold
    budget: Coins = 100_000.0  # coins behind the emission of each relay
    legs_per_tip: int = Field(default=3, ge=1, le=MAX_LEGS_PER_TIP)  # k, trainers that may continue a tip in a round
    selected_share: float = Field(default=0.67, ge=1 / BPS, le=1.0)  # s, most of a round's submitted legs
    committee_size: int = Field(default=5, ge=1, le=MAX_COMMITTEE)  # seats
    quorum: int = Field(default=3, ge=1, le=MAX_COMMITTEE)  # fewer commits or reveals than this void the round
    margin: Nats = 0.001  # a leg that gains less is never selected
    agreement: Nats = 0.3  # from this distance on, a score is of no worth to the committee
    gamma: Share = 0.5  # share of a royalty that climbs one step to the parent
    trainer_share: Share = 0.6  # of the pot; the three add up to 1
    royalty_share: Share = 0.2
    validator_share: Share = 0.2
    slash_share: Share = 0.05  # of its stake, lost by a seat that does not reveal
    min_bid: PositiveCoins = 0.1
    offer_deposit: Coins = 0.01  # for each leg that may continue an offered tip
    validator_stake: PositiveCoins = 50.0  # the least to stake
    emission: Coins = 100.0  # coins from the budget for each settled round with a selected leg
    halving_rounds: int = Field(default=10_000, ge=1, le=2**32 - 1)  # rounds after which the emission halves
    unbonding_rounds: int = Field(default=4, ge=0, le=100_000)  # from unstaking to release
    reporter_share: float = Field(default=0.2, ge=0.0, le=MAX_REPORTER_BPS / BPS)  # of an equivocator's loss
    access_fee: Coins = 0.0  # for one account's access to one checkpoint; 0 makes the model open
    access_pot_share: Share = 0.1  # of that fee, to the pot

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if abs(self.trainer_share + self.royalty_share + self.validator_share - 1) > ROUNDING:
            total = self.trainer_share + self.royalty_share + self.validator_share
            raise ValueError(f"trainer_share + royalty_share + validator_share is {total}, allowed is 1")
        if self.quorum > self.committee_size:
            raise ValueError(f"quorum is {self.quorum}, allowed is 1 … {self.committee_size} (committee_size)")
        for name in ("budget", "min_bid", "offer_deposit", "validator_stake", "emission", "access_fee"):
            amount = getattr(self, name)
            if amount * self.wei_per_coin > MAX_MONEY_WEI:
                most = MAX_MONEY_WEI / self.wei_per_coin
                raise ValueError(f"{name} is {amount} coins of {self.wei_per_coin} wei, allowed is 0 … {most:g} coins")
        for name in ("min_bid", "validator_stake"):
            if self.wei(getattr(self, name)) < 1:
                raise ValueError(f"{name} is {getattr(self, name)} coins, which is less than a wei")
        return self

    def wei(self, coins: float) -> int:
        """Return that many coins in wei, to nearest."""
        return round(coins * self.wei_per_coin)

    def rules(self) -> Rules:
        """Return the rules as the ledger has them, in wei, basis points and ppm."""
        trainer, royalty = _bps(self.trainer_share), _bps(self.royalty_share)
        return Rules(
            legs_per_tip=self.legs_per_tip,
            selection_bps=_bps(self.selected_share),
            segments=1,
            bid_seconds=1,
            train_seconds=1,
            commit_seconds=1,
            reveal_seconds=1,
            committee_size=self.committee_size,
            quorum=self.quorum,
            margin_ppm=_ppm(self.margin),
            agreement_ppm=_ppm(self.agreement),
            gamma_bps=_bps(self.gamma),
            trainer_bps=trainer,
            royalty_bps=royalty,
            validator_bps=BPS - trainer - royalty,
            slash_bps=_bps(self.slash_share),
            min_bid=Wei(self.wei(self.min_bid)),
            offer_deposit=Wei(self.wei(self.offer_deposit)),
            validator_stake=Wei(self.wei(self.validator_stake)),
            emission=Wei(self.wei(self.emission)),
            halving_rounds=self.halving_rounds,
            unbonding_seconds=self.unbonding_rounds * ROUND_SECONDS,
            reporter_bps=_bps(self.reporter_share),
            access_fee=Wei(self.wei(self.access_fee)),
            access_pot_bps=_bps(self.access_pot_share),
        )


def _bps(share: float) -> int:
    return round(share * BPS)


def _ppm(nats: float) -> Ppm:
    return Ppm(round(nats * PPM))
