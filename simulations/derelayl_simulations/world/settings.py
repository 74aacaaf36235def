"""The sections of a scenario that describe the world around the rules. Everything here is ours: the published mechanism
knows neither costs nor entry, exit, consumers, dishonesty or real training.

Units: coins are the ledger's tokens, money is what costs and consumers are counted in; `demand.coin_price` is money per
coin. Gains are nats, ln(parent's loss / child's loss), as the ledger scores them. A round is the unit of time.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, ValidationInfo, field_validator, model_validator

from derelayl_protocol.ledger.scoring import CAUTION

from .section import Section, Varying, each
from .strategies import ALONE_IN_VAIN, CONTROLS, JUDGES, TRAINERS, check_strategy

MAX_PARTICIPANTS = 100_000  # people in all relays; a round keeps some dozens of arrays of this length
MAX_RELAYS = 10_000
MAX_ACCOUNTS = 4_096  # accounts of one relay: a round looks at all of them to fill at most 32 places
MAX_GROUPS = 32
MAX_IDENTITIES = 64

NAME = r"^[a-z0-9][a-z0-9-]*$"

StrategyName = Annotated[str, Field(pattern=NAME, max_length=64)]
"""One of `strategies` or of a plug-in."""


class Group(Section):
    """People who are alike: how many, what they do, and what they bring."""

    name: str = Field(pattern=NAME, max_length=32)
    role: Literal["trainer", "validator"] = "trainer"  # trainers bid and become owners; validators stake and judge
    strategy: StrategyName = "honest"
    share: float = Field(default=0.0, ge=0, le=1)  # weight among groups without `count`; with `of`, share of that group
    count: int | None = Field(default=None, ge=0, le=MAX_ACCOUNTS)  # people in each relay; goes before shares
    of: str | None = None  # the people are taken out of this group, rounded to nearest
    present: float = Field(default=1.0, ge=0, le=1)  # share that is there at the start; the others may come
    identities: int = Field(default=1, ge=1, le=MAX_IDENTITIES)  # accounts a person has; capital and stake are split
    cost: Varying = each(1.0, 0.2)  # factor on the cost of everything this person does
    speed: Varying = each(1.0)  # of the hardware: energy and hours of a leg are divided by it
    quality: Varying = each(1.0, 0.05)  # of its data: what can be learnt from it, as a share of `learning.ceiling`
    skew: Varying = each(0.1)  # how far its data is from everybody's, 0 … 1: what its legs make a model forget
    skill: Varying = each(1.0, 0.1)  # factor on the rate at which its legs learn
    risk: Varying = each(0.1)  # aversion: standard deviations of its income taken off its mean before it decides
    patience: Varying = each(20.0, 0.3)  # rounds of loss in a row before it leaves
    stake: Varying = each(1.0)  # of a validator, in `ledger.validator_stake`
    capital: Varying = each(200.0)  # coins it brings, stake not counted
    boldness: Varying = each(1.0, 0.3)  # factor on its bids


class CostSettings(Section):
    """What work costs, in money. A leg at speed 1: leg_energy · energy_price + leg_hours · hour_price."""

    energy_price: float = Field(default=0.2, ge=0, le=1e6)  # money per kWh
    leg_energy: float = Field(default=1.0, ge=0, le=1e6)  # kWh of a leg at speed 1
    leg_hours: float = Field(default=1.0, ge=0, le=1e4)  # of a leg at speed 1
    hour_price: float = Field(default=0.3, ge=0, le=1e6)  # money per hour of hardware
    window_hours: float = Field(default=6.0, gt=0, le=1e4)  # a leg that takes longer is not submitted
    delay: float = Field(default=0.2, ge=0, le=3)  # relative standard deviation of the time a leg takes
    judging: float = Field(default=0.05, ge=0, le=10)  # cost of judging one leg, as a share of training one
    presence: float = Field(default=0.0, ge=0, le=1e6)  # money a round for being there


class LearningSettings(Section):
    """What a leg gains in truth, in nats.

    saturating: rate · skill · distance - forgetting · skew · level + (noise + roughness · |distance|) · normal, where
    distance = ceiling · quality - level. normal: Normal(gain_mean, gain_deviation) whatever the level, the published
    form.
    """

    model: Literal["saturating", "normal"] = "saturating"
    rate: float = Field(default=0.35, ge=0, le=1)  # share of the distance to the ceiling that a leg of skill 1 covers
    ceiling: float = Field(default=3.0, gt=0, le=20)  # nats between genesis and the best model there can be
    forgetting: float = Field(default=0.05, ge=0, le=1)  # share of the level lost by a leg on data of skew 1
    noise: float = Field(default=0.02, ge=0, le=10)  # nats of luck in a leg that had nothing to learn
    roughness: float = Field(default=0.1, ge=0, le=10)  # nats of luck per nat of distance to the ceiling
    start: Literal["tip", "average"] = "average"  # what an honest leg trains on from, as nodes do; or its leased tip
    averaging: float = Field(default=0.06, ge=-20, le=20)  # nats that an average of tips stands above the best of them
    drift: float = Field(default=0.02, ge=0, lt=1)  # share of every level lost in a round because the world moves on
    gain_mean: float = Field(default=0.1, ge=-20, le=20)  # nats
    gain_deviation: float = Field(default=0.1, ge=0, le=20)  # nats


class JudgingSettings(Section):
    """How well a validator sees the gain of a leg.

    The error about a leg has three parts: one about all legs of the round, as they are measured on the same samples;
    one of its own, which copies of one training share; and one that stays from round to round, as the data of this
    judge suit those of that trainer more or less. A judge knows the size of the first two together, `noise`.
    """

    noise: float = Field(default=0.02, ge=0, le=10)  # nats, standard error about a leg that was trained
    still_noise: float = Field(default=0.0005, ge=0, le=10)  # about a child that hardly differs from its base
    common: float = Field(default=0.4, ge=0, le=1)  # share of that error's variance that is about the whole round
    partiality: float = Field(default=0.02, ge=0, le=10)  # nats of further error per unit of the trainer's skew
    caution: float = Field(default=CAUTION, ge=0, le=10)  # standard errors that a score stays below the gain measured
    copy_found: float = Field(default=0.95, ge=0, le=1)  # chance that a copy is named one
    half_found: float = Field(default=0.2, ge=0, le=1)  # the same of a child that has half of its training of its own
    mistaken: float = Field(default=0.02, ge=0, le=1)  # chance that a leg is named a copy of one it has nothing from


class DemandSettings(Section):
    """Consumers and what a coin is worth.

    In each relay consumers · quality / (quality + half_quality) · half_price / (half_price + price) people a round buy
    access to the best tip, where price is `ledger.access_fee` in money. A coin is worth `coin_price` (fixed) or moves
    towards the price at which `horizon` rounds of fees are worth as much as all coins on the relay (demand).
    """

    consumers: float = Field(default=0.0, ge=0, le=1e6)  # buyers a round in each relay for a perfect free model
    half_quality: float = Field(default=1.0, gt=0, le=20)  # nats at which half of them would come
    half_price: float = Field(default=1.0, gt=0, le=1e9)  # money at which half of them would still come
    coin_price: float = Field(default=1.0, gt=0, le=1e9)  # money per coin; where it starts if valuation is by demand
    valuation: Literal["fixed", "demand"] = "fixed"
    horizon: float = Field(default=50.0, gt=0, le=1e6)  # rounds
    adjustment: float = Field(default=0.02, gt=0, le=0.5)  # share by which the price moves in a round at most
    usage: float = Field(default=0.0, ge=0, le=1e6)  # money a round and nat that a participant earns with its model
    leak: float = Field(default=0.0, ge=0, le=1)  # chance in a round that a free rider gets the newest model unpaid


class WorldSettings(Section):
    """Everybody in all relays, and how they decide."""

    participants: int = Field(default=256, ge=2, le=MAX_PARTICIPANTS)  # people in all relays
    relays: int = Field(default=1, ge=1, le=MAX_RELAYS)  # with a ledger, a token and people of their own
    window: int = Field(default=25, ge=1, le=10_000)  # rounds over which people average what they earn
    outside: float = Field(default=0.0, ge=-1e6, le=1e6)  # money a round that they could earn elsewhere
    look: float = Field(default=0.05, ge=0, le=1)  # chance in a round that an absent person considers coming
    curiosity: float = Field(default=0.1, ge=0, le=1)  # chance in a round that one tries what has not paid
    bid_share: float = Field(default=0.1, ge=0, le=10)  # of the usual reward of a selected leg that is bid at first
    bid_step: float = Field(default=0.05, ge=0, le=0.5)  # by which a bid rises after a round without a leg
    seeders: float = Field(default=1.0, ge=0, le=1)  # chance that others serve a tip whose owner does not
    churn: bool = True  # people come and go by what they earn
    dead_after: int = Field(default=20, ge=1, le=100_000)  # rounds without a selected leg at the end: extinct
    costs: CostSettings = CostSettings()
    learning: LearningSettings = LearningSettings()
    judging: JudgingSettings = JudgingSettings()
    demand: DemandSettings = DemandSettings()
    group: tuple[Group, ...] = Field(
        default=(Group(name="trainers", share=0.8), Group(name="validators", role="validator", share=0.2)),
        min_length=1,
        max_length=MAX_GROUPS,
    )

    @property
    def people(self) -> int:
        """People in each relay."""
        return self.participants // self.relays

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.participants % self.relays:
            raise ValueError(f"participants is {self.participants}, which {self.relays} relays cannot share out evenly")
        names = [group.name for group in self.group]
        if len(set(names)) < len(names):
            raise ValueError(f"two groups have one name in {', '.join(names)}")
        for group in self.group:
            self._check_group(group)
        counted = sum(group.count or 0 for group in self.group if group.of is None)
        if counted > self.people:
            raise ValueError(f"the groups count {counted} people, a relay has {self.people}")
        weights = sum(group.share for group in self.group if group.count is None and group.of is None)
        if counted < self.people and weights <= 0:
            raise ValueError(f"{self.people - counted} people of a relay belong to no group: one of them needs a share")
        return self

    def _check_group(self, group: Group) -> None:
        try:
            check_strategy(group.role, group.strategy)
        except ValueError as error:
            raise ValueError(f"group {group.name}: {error}") from None
        if group.of is None:
            return
        whole = next((each for each in self.group if each.name == group.of and each.of is None), None)
        if whole is None or whole.role != group.role:
            raise ValueError(f"group {group.name} is taken out of {group.of}, which is no group of {group.role}s")


class Event(Section):
    """Something that happens in all relays. `amount` is a factor for cost, demand and price, a share of people for
    enter, leave and crash, of reveals for partition, the share of the budget that is left for budget, and nats for
    quality. Price, enter, leave, budget and quality happen once, the others last."""

    round: int = Field(ge=1, le=100_000)
    kind: Literal["cost", "demand", "price", "enter", "leave", "crash", "partition", "quality", "budget"]
    amount: float = Field(ge=0, le=1e6)
    rounds: int = Field(default=0, ge=0, le=100_000)  # how long; 0 is for good (crash and partition: one round)
    role: Literal["trainer", "validator", "all"] = "all"  # whom enter, leave and crash meet
    group: str | None = None  # whom enter, leave and crash meet, by the name of their group

    @model_validator(mode="after")
    def _share_is_a_share(self) -> Self:
        if self.kind in ("enter", "leave", "crash", "partition", "budget") and self.amount > 1:
            raise ValueError(f"the amount of {self.kind} is {self.amount}, a share from 0 to 1 is needed")
        if self.kind == "price" and self.amount == 0:
            raise ValueError("the amount of price is 0, a coin that is worth nothing measures nothing")
        return self


class SearchSettings(Section):
    """Which deviations are tried, and how equilibria are looked for."""

    trainer: tuple[StrategyName, ...] = tuple(name for name in TRAINERS if name not in (*ALONE_IN_VAIN, *CONTROLS))
    validator: tuple[StrategyName, ...] = tuple(name for name in JUDGES if name not in ALONE_IN_VAIN)
    # trainers and validators together
    rings: tuple[Literal["ring", "nudging-ring", "whispering-ring"], ...] = ("ring", "nudging-ring")
    control: tuple[StrategyName, ...] = CONTROLS  # of trainers: played beside the deviations, and judged by nobody
    share: float = Field(default=0.1, gt=0, le=1)  # of the people of a role that deviate, at least one
    churn: bool = False  # people come and go by what they earn while strategies are compared
    rounds: int = Field(default=60, ge=1, le=100_000)  # of each tried world
    identities: int = Field(default=4, ge=2, le=MAX_IDENTITIES)  # accounts of a person that turns to many of them
    tolerance: float = Field(default=0.05, ge=0, le=1e9)  # money a round and person that a deviation must exceed
    agents: int = Field(default=6, ge=1, le=256)  # parts of each role that change strategy together
    steps: int = Field(default=40, ge=1, le=10_000)  # of best response, and of the replicator
    speed: float = Field(default=0.2, gt=0, le=1)  # of the replicator: most by which a share grows in a step
    floor: float = Field(default=0.02, ge=0, le=0.2)  # share that never dies out in the replicator, so it can return

    @field_validator("trainer", "validator", "control")
    @classmethod
    def _strategies_are_known(cls, names: tuple[str, ...], field: ValidationInfo) -> tuple[str, ...]:
        for name in names:
            check_strategy("validator" if field.field_name == "validator" else "trainer", name)
        return names
