"""The strategies, numbered: a person's is an entry of an array. Trainers' codes come first."""

from __future__ import annotations

from collections.abc import Mapping

from .judges import Constant, Exaggerator, Guesser, NudgingJudge, RingJudge, Silent
from .port import Judge, Trainer
from .trainers import (
    Copier,
    FreeRider,
    Hopper,
    Lazy,
    NudgingRing,
    Poisoner,
    Ring,
    Sniper,
    Sybil,
    Washer,
    Whale,
    Withholder,
)

TRAINERS: Mapping[str, Trainer] = {
    "honest": Trainer(),
    "lazy": Lazy(),
    "copier": Copier(),
    "hopper": Hopper(),
    "poisoner": Poisoner(),
    "sybil": Sybil(),
    "ring": Ring(),
    "nudging-ring": NudgingRing(),
    "withholder": Withholder(),
    "free-rider": FreeRider(),
    "sniper": Sniper(),
    "wash": Washer(),
    "whale": Whale(),
}

JUDGES: Mapping[str, Judge] = {
    "honest": Judge(),
    "guesser": Guesser(),
    "constant": Constant(),
    "exaggerator": Exaggerator(),
    "silent": Silent(),
    "ring": RingJudge(),
    "nudging-ring": NudgingJudge(),
}

NAMES: tuple[tuple[str, str], ...] = (
    *(("trainer", name) for name in TRAINERS),
    *(("validator", name) for name in JUDGES),
)
"""Role and name of each code."""

_CODES = {entry: code for code, entry in enumerate(NAMES)}


def code_of(role: str, name: str) -> int:
    """Return the code of a role's strategy."""
    return _CODES[role, name]


def trainer_of(code: int) -> Trainer:
    return TRAINERS[NAMES[code][1]]


def judge_of(code: int) -> Judge:
    return JUDGES[NAMES[code][1]]
