"""Whole sets of rules by name: one to start from, one for a machine's own network, one for tests.

What departs from STANDARD says why.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from ..limits import MAX_BIDS
from ..types import TOKEN, Ppm, Wei
from .rules import Rules

STANDARD = Rules(
    legs_per_tip=MAX_BIDS,  # all legs of a round continue one tip: a copy of a level is worth nothing on the next
    selection_bps=6_700,  # the best two thirds
    segments=2,
    bid_seconds=60,
    train_seconds=600,
    commit_seconds=120,
    reveal_seconds=120,
    committee_size=11,
    quorum=6,
    margin_ppm=Ppm(1_000),
    agreement_ppm=Ppm(300_000),
    duplicate_bps=9_500,
    gamma_bps=5_000,
    trainer_bps=5_000,
    royalty_bps=1_500,
    validator_bps=3_500,  # carries eleven seats; a fifth of the pot lost the validators
    slash_bps=500,
    min_bid=Wei(TOKEN // 10),
    offer_deposit=Wei(TOKEN // 100),
    validator_stake=Wei(50 * TOKEN),
    emission=Wei(100 * TOKEN),
    halving_rounds=10_000,
    unbonding_seconds=3_600,  # four rounds that use up all their time
    reporter_bps=2_000,
    access_fee=Wei(0),
    access_pot_bps=1_000,
)
"""For a relay of strangers on their own machines; the simulator plays it unless a scenario says otherwise."""

DEVNET = replace(
    STANDARD,
    bid_seconds=3,  # every peer is on this machine and bids at once: in the next block, or in the one after a deposit
    train_seconds=15,  # a leg of a small network takes two seconds, and ten where the machine is busy
    commit_seconds=40,  # judging is most of a round where all validators share two cores
    reveal_seconds=20,
    committee_size=3,  # a devnet has three validators
    quorum=2,
    unbonding_seconds=60,  # who tries `stake release` should not wait for an hour
)
"""For a handful of peers on one machine."""

MINIMAL = replace(
    STANDARD,
    legs_per_tip=2,  # the fewest that compete
    selection_bps=5_000,  # one of two
    bid_seconds=10,  # every phase has another length, so that none passes for another
    train_seconds=100,
    commit_seconds=20,
    reveal_seconds=30,
    committee_size=3,  # the smallest from which one may be missing
    quorum=2,
    agreement_ppm=Ppm(500),  # below the margin: scores of a few hundred disagree already
    trainer_bps=6_000,
    royalty_bps=2_500,  # shares are unequal, so that none passes for another
    validator_bps=1_500,
    slash_bps=1_000,  # a tenth of a small stake is a whole number
    min_bid=Wei(10),  # amounts are single wei: a reader adds them up
    offer_deposit=Wei(5),
    validator_stake=Wei(1_000),
    emission=Wei(10_000),
    halving_rounds=2,  # seen within a few rounds
    unbonding_seconds=1_000,
)
"""For tests: all that STANDARD does, as small and short as it goes. Its amounts are worth nothing."""

SHARED = replace(STANDARD, selection_bps=10_000)
"""For a relay that wants its pay spread: every leg that reaches the margin is selected."""

WINNER = replace(STANDARD, selection_bps=1)
"""For a relay of people who may be anybody: only the best leg is paid, so that a copy of one's own brings nothing."""

STRICT = replace(STANDARD, agreement_ppm=Ppm(50_000))
"""For validators with much held-out data: bending scores, guessing and exaggerating cost more, and so do own errors."""

PRESETS: Mapping[str, Rules] = {
    "minimal": MINIMAL,
    "devnet": DEVNET,
    "standard": STANDARD,
    "shared": SHARED,
    "winner": WINNER,
    "strict": STRICT,
}
"""By the name that a command line or a rules file gives."""
