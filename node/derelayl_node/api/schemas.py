"""What the API answers: pydantic models over the index's records, with units in the names and descriptions.

Hashes, roots and ids are ``0x`` and 64 lower-case hex digits, accounts ``0x`` and 40; wei are decimal strings, because
JSON readers lose digits beyond 2**53; scores are integers in ppm of a log-loss ratio; times are Unix seconds.
"""

from __future__ import annotations

import json
from enum import IntEnum
from typing import Annotated, Any, Self

from pydantic import AliasGenerator, BaseModel, BeforeValidator, ConfigDict, Field

from derelayl_protocol.types import NO_ROOT, TOKEN

from ..fields import Hex32, HexAddress, spelled
from ..lineage.records import CheckpointStatus, LegStatus, RoundOutcome


def _parent(value: Any) -> Any:
    return None if value == NO_ROOT else spelled(value)


def _word(value: Any) -> Any:
    return value.name.lower() if isinstance(value, IntEnum) else value


def _decimal(value: Any) -> Any:
    return str(value) if isinstance(value, int) else value


def _object(value: Any) -> Any:
    return json.loads(value) if isinstance(value, str) else value


Wei = Annotated[str, BeforeValidator(_decimal), Field(examples=[str(TOKEN)])]
Word = Annotated[str, BeforeValidator(_word)]


def _without_unit(field: str) -> str:
    return field.removesuffix("_wei")


class View(BaseModel):
    """Base of all answers; made from a record of the index by `of`. A record's amounts go without `_wei`."""

    model_config = ConfigDict(
        from_attributes=True, frozen=True, alias_generator=AliasGenerator(validation_alias=_without_unit)
    )

    @classmethod
    def of(cls, record: object) -> Self:
        """Show a record."""
        return cls.model_validate(record)


class EventPlace(View):
    """Where an event stands on the chain."""

    event: str = Field(description="Name of the ledger's event")
    block_number: int
    block_hash: Hex32
    block_time: int = Field(description="Unix seconds")
    transaction_hash: Hex32 = Field(validation_alias="transaction")
    log_index: int = Field(description="Index of the log in its block")


class RulesView(View):
    """The rules of a model, fixed at its creation; the names are those of the protocol."""

    legs_per_tip: int = Field(description="Trainers that may continue one tip in one round")
    selection_bps: int = Field(description="Share of a round's submitted legs that may be selected, basis points")
    segments: int
    bid_seconds: int
    train_seconds: int
    commit_seconds: int
    reveal_seconds: int
    committee_size: int = Field(description="Validators seated for a round")
    quorum: int = Field(description="Fewer answers than this void the round")
    margin_ppm: int = Field(description="A leg below this gain is never selected, ppm")
    agreement_ppm: int = Field(description="A score this far from the committee's, or farther, earns nothing, ppm")
    duplicate_bps: int = Field(
        description="From this correlation of changes on, two legs are one in function, basis points; 0: nobody asks"
    )
    gamma_bps: int = Field(description="Share of a royalty that climbs one step to the parent, basis points")
    trainer_bps: int = Field(description="Trainers' share of the pot, basis points")
    royalty_bps: int = Field(description="Royalties' share of the pot, basis points")
    validator_bps: int = Field(description="Validators' share of the pot, basis points")
    slash_bps: int = Field(description="Share of its stake that a silent seat loses, basis points")
    min_bid: Wei = Field(description="wei")
    offer_deposit: Wei = Field(description="wei for each leg that may continue an offered tip")
    validator_stake: Wei = Field(description="wei, the least to stake; below half of it a stake gets no seat")
    emission: Wei = Field(description="wei from the budget per settled round with a selected leg")
    halving_rounds: int = Field(description="Rounds after which the emission halves")
    unbonding_seconds: int = Field(description="From unstaking to release")
    reporter_bps: int = Field(description="Share of an equivocator's loss that its reporter gets, basis points")
    access_fee: Wei = Field(description="wei for one account's access to one checkpoint; 0: the model is open")
    access_pot_bps: int = Field(description="Share of the fee that goes to the pot, basis points")


class ModelView(View):
    """A relay: its rules, its running round and its totals."""

    model: Hex32 = Field(description="Id: SHA-256 of creator, genesis root and rules")
    creator: HexAddress
    genesis: Hex32 = Field(description="Root of the first checkpoint")
    round: int = Field(description="Number of the running round, starting at 1")
    phase: Word = Field(description="bid, train, commit, reveal or settle")
    deadline: int = Field(description="Unix seconds at which the phase may be ended; 0 if it has no deadline yet")
    settled_rounds: int
    voided_rounds: int
    submitted_legs: int = Field(validation_alias="submitted")
    selected_legs: int = Field(validation_alias="selected")
    budget_wei: Wei = Field(description="What is left for emission")
    carry_wei: Wei = Field(description="What goes into the next round's pot")
    rules: Annotated[RulesView, BeforeValidator(_object)]
    created: EventPlace


class CheckpointView(View):
    """A genesis or a submitted child."""

    model: Hex32
    root: Hex32 = Field(description="Merkle root of the manifest: the checkpoint's name")
    parent: Annotated[str | None, BeforeValidator(_parent)] = Field(
        description="Root of the parent; null for a genesis"
    )
    status: CheckpointStatus = Field(
        description="submitted waits for judgement; genesis and selected are accepted; else how its leg ended"
    )
    trainer: HexAddress = Field(validation_alias="owner", description="Who made it, and owns it once selected")
    round: int = Field(description="Round of its leg; 0 for a genesis")
    leg: int | None = Field(description="Number of the leg in its round; null for a genesis")
    segment: int = Field(description="Segment that the leg trained; 255 is the whole model")
    depth: int = Field(description="Legs between the genesis and this checkpoint")
    gain_ppm: int | None = Field(validation_alias="gain", description="Score against the parent; null if not judged")
    score_ppm: int | None = Field(validation_alias="score", description="Sum of the gains since genesis if accepted")
    reward_wei: Wei = Field(description="Paid to the trainer for the leg")
    royalty_wei: Wei = Field(description="Paid by the leg to the parent's royalty account")
    pending_wei: Wei = Field(description="Royalties and fees that wait here for collection")
    submitted: EventPlace = Field(description="The event that tied it to its parent")
    settled: EventPlace | None = Field(description="The event that decided on it; null while it waits")


class TipView(View):
    """A checkpoint that legs may continue from now."""

    position: int = Field(description="Rank in the settlement that made it a tip, from 0")
    since_round: int = Field(description="Round whose settlement made it a tip; 0 for the genesis")
    checkpoint: CheckpointView


class LegView(View):
    """A lease and what became of it."""

    model: Hex32
    round: int
    leg: int
    trainer: HexAddress
    parent: Hex32
    segment: int = Field(description="255 is the whole model")
    child: Hex32 | None = Field(description="Root of the child; null if none was submitted")
    status: LegStatus = Field(
        description="leased, submitted, or how it ended: "
        "expired, nothing was submitted before the deadline; voided with its round; equivocated, its trainer signed "
        "two children; unavailable to the committee; insufficient, under the margin; outranked by as many legs as may "
        "be selected; duplicate of a checkpoint"
    )
    score_ppm: int | None = Field(validation_alias="score", description="null if no validator could judge it")
    bid_wei: Wei
    reward_wei: Wei
    royalty_wei: Wei
    bid_returned_wei: Wei
    forfeited_wei: Wei = Field(description="Lost to the pot: bid and offer deposit")


class RoundView(View):
    """A round with its legs."""

    model: Hex32
    number: int
    outcome: RoundOutcome
    void_reason: Annotated[str | None, BeforeValidator(_word)] = Field(
        description="Why it was voided; null if it was not"
    )
    phase: Word = Field(description="Phase that it is in, or ended in")
    deadline: int = Field(description="Unix seconds; 0 if the phase has no deadline")
    bids: int
    submitted_legs: int = Field(validation_alias="submitted")
    selected_legs: int = Field(validation_alias="selected")
    pot_wei: Wei
    emission_wei: Wei = Field(description="Part of the pot that came from the budget")
    carry_wei: Wei = Field(description="Left over for the next round")
    forfeited_wei: Wei
    slashed_wei: Wei
    validators: tuple[HexAddress, ...] = Field(description="The committee, in the order of its seats")
    legs: tuple[LegView, ...]


class SeatView(View):
    """An account's standing as validator of one model."""

    model: Hex32
    stake_wei: Wei = Field(description="0: it has left, or has lost it")
    unbonding_wei: Wei = Field(description="On its way out; can still be lost")
    release_time: int = Field(description="Unix seconds from which on it can be released; 0 if nothing is unbonding")
    seats: int = Field(description="Rounds it was seated in")
    reveals: int = Field(description="Rounds it revealed scores in")
    agreement_ppm: int = Field(
        validation_alias="agreement",
        description="Sum, over its rounds, of what it earned as a share of the most it could have earned",
    )
    paid_wei: Wei
    charged_wei: Wei = Field(description="Taken from its stake for disagreeing")
    slashed_wei: Wei


class AccountView(View):
    """An account's totals, computed from the ledger's events alone."""

    account: HexAddress
    roles: list[str] = Field(description="Any of creator, trainer, validator, owner")
    free_wei: Wei = Field(description="Withdrawable balance in the ledger: what the lines of its statement add up to")
    deposited_wei: Wei
    withdrawn_wei: Wei
    trainer_reward_wei: Wei
    validator_reward_wei: Wei
    royalty_collected_wei: Wei
    royalty_pending_wei: Wei = Field(
        description="Waits at its checkpoints; collecting passes a share on to the parents"
    )
    slashed_wei: Wei = Field(description="Taken from stakes for silence")
    charged_wei: Wei = Field(description="Taken from stakes for disagreeing")
    access_paid_wei: Wei = Field(description="Fees paid for access to checkpoints")
    equivocation_lost_wei: Wei = Field(description="Bids and stakes lost for signing two contradicting messages")
    reporter_reward_wei: Wei = Field(description="Earned by proving others' equivocation")
    models_created: int = Field(validation_alias="models")
    bids: int
    legs: int
    selected_legs: int = Field(validation_alias="selected")
    seats: tuple[SeatView, ...] = Field(description="Where it is or was a validator, at most 200 models")
    tips: tuple[CheckpointView, ...] = Field(description="Tips it owns now, at most 200")


class RoyaltyView(View):
    """A checkpoint of the account that royalties reached."""

    model: Hex32
    root: Hex32
    pending_wei: Wei = Field(description="Waits to be collected by anyone for the owner")
    collected_wei: Wei = Field(description="Paid to the owner so far")


class HealthView(View):
    """The node follows the chain."""

    status: str = Field(description="ok")
    network: str
    chain_id: int
    ledger: HexAddress
    chain_reachable: bool
    stale: bool = Field(description="What answers is not the chain that the index was read from")
    head_block: int | None = Field(description="Newest block in the index")
    events: int = Field(description="Ledger events in the index")
    lag_seconds: float | None = Field(description="Since the index last held everything the chain had")
