"""The phases of a round; the numbers are the contract's enum values."""

from __future__ import annotations

from enum import IntEnum


class Phase(IntEnum):
    """bid → train → commit → reveal → settle, then bid again in the next round."""

    BID = 0
    TRAIN = 1
    COMMIT = 2
    REVEAL = 3
    SETTLE = 4


class VoidReason(IntEnum):
    """Why a round ended without a settlement."""

    COMMITTEE_TOO_SMALL = 0  # matching found fewer eligible validators than the quorum: all bids return
    NOTHING_SUBMITTED = 1  # every lease ran out: the bids are forfeited
    TOO_FEW_COMMITS = 2  # the committee failed: bids of submitted legs return
    TOO_FEW_REVEALS = 3
