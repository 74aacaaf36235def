"""The rules of one model: fixed when it is created, part of its id, the same in contract and reference."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import astuple, dataclass, fields

from .. import limits
from ..encoding import word
from ..errors import Reason, RuleViolation
from ..spelling import from_hex
from ..types import HASH_BYTES, Address, ModelId, Ppm, Root, Wei


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """Rules of a model. The order of the fields is the order of the Solidity struct."""

    legs_per_tip: int  # k: trainers that may continue one tip in one round; MAX_BIDS: all continue the first in order
    selection_bps: int  # s: share of a round's classes of legs that may be selected
    segments: int  # segments a bid may name: 0 … segments-1, or WHOLE_MODEL
    bid_seconds: int  # from the first bid to the earliest matching
    train_seconds: int
    commit_seconds: int
    reveal_seconds: int
    committee_size: int  # seats drawn for a round
    quorum: int  # fewer answers than this void the round
    margin_ppm: Ppm  # a leg below this gain is never selected
    agreement_ppm: Ppm  # from this distance on, a score is of no worth to the committee
    duplicate_bps: int  # from this correlation of changes on, two legs are one in function; 0: nobody asks
    gamma_bps: int  # share of a royalty that climbs one step to the parent
    trainer_bps: int  # shares of the pot; the three add up to 10,000
    royalty_bps: int
    validator_bps: int
    slash_bps: int  # share of its stake a seat loses that does not reveal
    min_bid: Wei
    offer_deposit: Wei  # per leg that may continue an offered tip
    validator_stake: Wei  # the least to stake; down to half of it, a stake keeps its chance of a seat
    emission: Wei  # from the model's budget per settled round with a selected leg
    halving_rounds: int  # rounds after which the emission halves
    unbonding_seconds: int  # from unstaking to release: as long a stake can be lost for an equivocation
    reporter_bps: int  # share of an equivocator's loss that goes to its reporter, the rest goes to the pot
    access_fee: Wei  # for one account's access to one checkpoint; 0 makes the model open
    access_pot_bps: int  # share of the fee that goes to the pot, the rest goes to the checkpoint and its lineage

    def check(self) -> None:
        """Raise RuleViolation(BAD_RULES) naming the first field outside its bounds."""
        for name, (low, high) in BOUNDS.items():
            value = getattr(self, name)
            if not low <= value <= high:
                raise RuleViolation(Reason.BAD_RULES, f"{name} is {value}, allowed is {low} … {high}")
        if self.trainer_bps + self.royalty_bps + self.validator_bps != limits.BPS:
            raise RuleViolation(Reason.BAD_RULES, "trainer_bps + royalty_bps + validator_bps must be 10000")
        if self.quorum > self.committee_size:
            raise RuleViolation(Reason.BAD_RULES, f"quorum {self.quorum} exceeds committee_size {self.committee_size}")


BOUNDS: dict[str, tuple[int, int]] = {
    "legs_per_tip": (1, limits.MAX_BIDS),
    "selection_bps": (1, limits.BPS),
    "segments": (1, limits.MAX_SEGMENTS),
    "bid_seconds": (1, limits.MAX_PHASE_SECONDS),
    "train_seconds": (1, limits.MAX_PHASE_SECONDS),
    "commit_seconds": (1, limits.MAX_PHASE_SECONDS),
    "reveal_seconds": (1, limits.MAX_PHASE_SECONDS),
    "committee_size": (1, limits.MAX_COMMITTEE),
    "quorum": (1, limits.MAX_COMMITTEE),
    "margin_ppm": (1, limits.MAX_SCORE_PPM),
    "agreement_ppm": (1, limits.MAX_SCORE_PPM),
    "duplicate_bps": (0, limits.BPS),
    "gamma_bps": (0, limits.BPS),
    "trainer_bps": (0, limits.BPS),
    "royalty_bps": (0, limits.BPS),
    "validator_bps": (0, limits.BPS),
    "slash_bps": (0, limits.BPS),
    "min_bid": (1, limits.MAX_AMOUNT_WEI),
    "offer_deposit": (0, limits.MAX_AMOUNT_WEI),
    "validator_stake": (1, limits.MAX_AMOUNT_WEI),
    "emission": (0, limits.MAX_AMOUNT_WEI),
    "halving_rounds": (1, 2**32 - 1),
    "unbonding_seconds": (0, limits.MAX_PHASE_SECONDS),
    "reporter_bps": (0, limits.MAX_REPORTER_BPS),
    "access_fee": (0, limits.MAX_AMOUNT_WEI),
    "access_pot_bps": (0, limits.BPS),
}

assert list(BOUNDS) == [field.name for field in fields(Rules)], "every rule has bounds, in the order of the struct"


def model_id(creator: Address, genesis: Root, rules: Rules) -> ModelId:
    """SHA-256 over 32-byte words: creator, genesis root, then the rules in field order (Solidity's abi.encode)."""
    return _id_of(creator, genesis, astuple(rules))


def is_id_of(model: ModelId, creator: Address, genesis: Root, rules: Rules) -> bool:
    """Tell whether the id is that of these rules, in this version of the protocol or in the first.

    There, `duplicate_bps` was no rule, and legs were settled as where it is 0.
    """
    first = [getattr(rules, name) for name in BOUNDS if name != "duplicate_bps"]
    return model == model_id(creator, genesis, rules) or (
        rules.duplicate_bps == 0 and model == _id_of(creator, genesis, first)
    )


def _id_of(creator: Address, genesis: Root, values: Iterable[int]) -> ModelId:
    words = [from_hex(creator).rjust(HASH_BYTES, b"\0"), genesis, *map(word, values)]
    return ModelId(hashlib.sha256(b"".join(words)).digest())
