"""The rules of a relay as a scenario writes them: coins, shares and nats instead of wei, basis points and ppm."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from derelayl_protocol.errors import LocalFault
from derelayl_protocol.ledger.presets import STANDARD
from derelayl_protocol.ledger.rules import Rules
from derelayl_protocol.ledger.scoring import PPM
from derelayl_protocol.limits import BPS, MAX_BIDS, MAX_COMMITTEE, MAX_REPORTER_BPS, MAX_SCORE_PPM
from derelayl_protocol.types import TOKEN

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

COUNTS = ("legs_per_tip", "committee_size", "quorum", "halving_rounds")
"""Settings that are a rule as it is."""

SHARES: Mapping[str, str] = {
    "selected_share": "selection_bps",
    "duplicate": "duplicate_bps",
    "gamma": "gamma_bps",
    "trainer_share": "trainer_bps",
    "royalty_share": "royalty_bps",
    "validator_share": "validator_bps",
    "slash_share": "slash_bps",
    "reporter_share": "reporter_bps",
    "access_pot_share": "access_pot_bps",
}
"""Settings that are a rule in basis points."""

NATS: Mapping[str, str] = {"margin": "margin_ppm", "agreement": "agreement_ppm"}
"""Settings that are a rule in millionths."""

AMOUNTS = ("min_bid", "offer_deposit", "validator_stake", "emission", "access_fee")
"""Settings that are a rule in wei; a coin is a token."""

NOT_PLAYED = ("segments", "bid_seconds", "train_seconds", "commit_seconds", "reveal_seconds")
"""Rules that no setting stands for: a leg trains the whole model, a phase lasts one second."""


def settings_of(rules: Rules) -> dict[str, Any]:
    """Return what a scenario's [ledger] says for a model's rules.

    Time is counted in rounds that use up all their phases, rounded up. See `not_played` for what is left out.
    """
    values: dict[str, Any] = {name: getattr(rules, name) for name in COUNTS}
    values |= {name: getattr(rules, rule) / BPS for name, rule in SHARES.items()}
    values |= {name: getattr(rules, rule) / PPM for name, rule in NATS.items()}
    values |= {name: getattr(rules, name) / TOKEN for name in AMOUNTS}
    values["unbonding_rounds"] = _unbonding_rounds(rules)
    return values


def not_played(rules: Rules) -> str:
    """Say what of a model's rules has no effect, or another, in a simulation."""
    return (
        f"the simulator has neither segments nor a clock: {', '.join(NOT_PLAYED)} have no effect, and "
        f"unbonding_seconds is {_unbonding_rounds(rules)} in rounds of {_round_seconds(rules)} s"
    )


def _round_seconds(rules: Rules) -> int:
    return rules.bid_seconds + rules.train_seconds + rules.commit_seconds + rules.reveal_seconds


def _unbonding_rounds(rules: Rules) -> int:
    return -(-rules.unbonding_seconds // _round_seconds(rules))


OURS = settings_of(STANDARD)
"""What a scenario plays unless it says otherwise."""


class LedgerSettings(BaseModel):
    """Rules of every relay of a scenario, and how finely coins are divided. The defaults are the preset STANDARD's.

    Shares are rounded to a basis point, nats to a millionth, coins to a wei.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    wei_per_coin: int = Field(default=10**9, ge=1, le=10**12)  # a real token has 10**18, which 64 bits do not hold
    budget: Coins = 100_000.0  # coins behind the emission of each relay
    # k, trainers that may continue a tip in a round
    legs_per_tip: int = Field(default=OURS["legs_per_tip"], ge=1, le=MAX_BIDS)
    # s, most of a round's submitted legs
    selected_share: float = Field(default=OURS["selected_share"], ge=1 / BPS, le=1.0)
    committee_size: int = Field(default=OURS["committee_size"], ge=1, le=MAX_COMMITTEE)  # seats
    # fewer commits or reveals than this void the round
    quorum: int = Field(default=OURS["quorum"], ge=1, le=MAX_COMMITTEE)
    margin: Nats = OURS["margin"]  # a leg that gains less is never selected
    agreement: Nats = OURS["agreement"]  # from this distance on, a score is of no worth to the committee
    # correlation of two legs' changes of loss from which on the later is a copy; 0 lets copies be
    duplicate: Share = OURS["duplicate"]
    gamma: Share = OURS["gamma"]  # share of a royalty that climbs one step to the parent
    trainer_share: Share = OURS["trainer_share"]  # of the pot; the three add up to 1
    royalty_share: Share = OURS["royalty_share"]
    validator_share: Share = OURS["validator_share"]
    slash_share: Share = OURS["slash_share"]  # of its stake, lost by a seat that does not reveal
    min_bid: PositiveCoins = OURS["min_bid"]
    offer_deposit: Coins = OURS["offer_deposit"]  # for each leg that may continue an offered tip
    validator_stake: PositiveCoins = OURS["validator_stake"]  # the least to stake
    emission: Coins = OURS["emission"]  # coins from the budget for each settled round with a selected leg
    # rounds after which the emission halves
    halving_rounds: int = Field(default=OURS["halving_rounds"], ge=1, le=2**32 - 1)
    unbonding_rounds: int = Field(default=OURS["unbonding_rounds"], ge=0, le=100_000)  # from unstaking to release
    # of an equivocator's loss
    reporter_share: float = Field(default=OURS["reporter_share"], ge=0.0, le=MAX_REPORTER_BPS / BPS)
    access_fee: Coins = OURS["access_fee"]  # for one account's access to one checkpoint; 0 makes the model open
    access_pot_share: Share = OURS["access_pot_share"]  # of that fee, to the pot

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if abs(self.trainer_share + self.royalty_share + self.validator_share - 1) > ROUNDING:
            total = self.trainer_share + self.royalty_share + self.validator_share
            raise ValueError(f"trainer_share + royalty_share + validator_share is {total}, allowed is 1")
        if self.quorum > self.committee_size:
            raise ValueError(f"quorum is {self.quorum}, allowed is 1 … {self.committee_size} (committee_size)")
        for name in ("budget", *AMOUNTS):
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
        values: dict[str, Any] = {name: getattr(self, name) for name in COUNTS}
        values |= {rule: round(getattr(self, name) * BPS) for name, rule in SHARES.items()}
        values |= {rule: round(getattr(self, name) * PPM) for name, rule in NATS.items()}
        values |= {name: self.wei(getattr(self, name)) for name in AMOUNTS}
        values["validator_bps"] = BPS - values["trainer_bps"] - values["royalty_bps"]
        values["unbonding_seconds"] = self.unbonding_rounds * ROUND_SECONDS
        values |= dict.fromkeys(NOT_PLAYED, 1)
        return Rules(**values)

    def check_exact(self, rules: Rules) -> None:
        """Raise LocalFault for the first amount of a model's rules that is no whole number of simulated wei."""
        for name in AMOUNTS:
            amount = getattr(rules, name)
            if self.wei(amount / TOKEN) * TOKEN != amount * self.wei_per_coin:
                raise LocalFault(
                    f"{name} is {amount} wei, which simulated coins of {self.wei_per_coin} wei do not hold exactly: "
                    "round it, or set ledger.wei_per_coin"
                )
