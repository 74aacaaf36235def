"""The strategies, numbered: a person's is an entry of an array. Trainers' codes come first, plug-ins' last.

To add one: its class in `trainers` or `judges`, and a line here. One of somebody's own is an entry point in the group
`derelayl.strategies`: a class derived from `port.Trainer` or `port.Judge`.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING

from derelayl_plugins import STRATEGIES, plugin, plugins, resolve

if TYPE_CHECKING:
    from .port import Judge, Trainer

TRAINERS: Mapping[str, str] = {
    "honest": "port:Trainer",
    "lazy": "trainers:Lazy",
    "copier": "trainers:Copier",
    "averager": "trainers:Averager",
    "hopper": "trainers:Hopper",
    "merger": "trainers:Merger",
    "poisoner": "trainers:Poisoner",
    "sybil": "trainers:Sybil",
    "half-sybil": "trainers:HalfSybil",
    "bold-sybil": "trainers:BoldSybil",
    "ring": "trainers:Ring",
    "nudging-ring": "trainers:NudgingRing",
    "whispering-ring": "trainers:WhisperingRing",
    "withholder": "trainers:Withholder",
    "hostage": "trainers:Hostage",
    "saboteur": "trainers:Saboteur",
    "hoarder": "trainers:Hoarder",
    "secret-runner": "trainers:SecretRunner",
    "free-rider": "trainers:FreeRider",
    "sniper": "trainers:Sniper",
    "wash": "trainers:Washer",
    "whale": "trainers:Whale",
    "bold": "trainers:Bold",
    "multi": "trainers:Multi",
}
"""Trainers' strategies and their classes, by module of this package."""

JUDGES: Mapping[str, str] = {
    "honest": "port:Judge",
    "guesser": "judges:Guesser",
    "constant": "judges:Constant",
    "exaggerator": "judges:Exaggerator",
    "silent": "judges:Silent",
    "ring": "judges:RingJudge",
    "nudging-ring": "judges:NudgingJudge",
    "whispering-ring": "judges:WhisperingJudge",
}

ALONE_IN_VAIN = ("honest", "ring", "nudging-ring", "whispering-ring", "saboteur", "whale")
"""What a search does not try alone by default: rings need both roles, a whale money that nobody else has, and what a
saboteur does can only cost it."""

CONTROLS = ("bold", "multi", "merger")
"""Honest work done otherwise: what a search plays beside the deviations, so that one can tell what their gain is of."""

NAMES: tuple[tuple[str, str], ...] = (
    *(("trainer", name) for name in TRAINERS),
    *(("validator", name) for name in JUDGES),
)
"""Role and name of each code of ours."""

_CODES = {entry: code for code, entry in enumerate(NAMES)}


def code_of(role: str, name: str) -> int:
    """Return the code of a role's strategy.

    Codes of plug-ins follow their names' alphabetical order, so that what else is installed changes no outcome.
    """
    code = _CODES.get((role, name))
    return len(NAMES) + _plugin_names().index(name) if code is None else code


def name_of(code: int) -> str:
    return NAMES[code][1] if code < len(NAMES) else _plugin_names()[code - len(NAMES)]


def role_of(code: int) -> str:
    """Return `trainer` or `validator`. Raises LocalFault for a plug-in that cannot be used."""
    if code < len(NAMES):
        return NAMES[code][0]
    from .foreign import role_and_strategy

    return role_and_strategy(_plugin_names()[code - len(NAMES)])[0]


@cache
def trainer_of(code: int) -> Trainer:
    """Return the trainers' strategy of that code. Raises LocalFault for a plug-in that cannot be used."""
    from .port import Trainer

    strategy = _strategy(code)
    assert isinstance(strategy, Trainer)
    return strategy


@cache
def judge_of(code: int) -> Judge:
    """Return the validators' strategy of that code. Raises LocalFault for a plug-in that cannot be used."""
    from .port import Judge

    strategy = _strategy(code)
    assert isinstance(strategy, Judge)
    return strategy


def check_strategy(role: str, name: str) -> None:
    """Raise ValueError if a role has no strategy of that name, LocalFault if its plug-in cannot be used."""
    if (role, name) in _CODES:
        return
    if plugin(STRATEGIES, name) is None:
        known = ", ".join(each for own, each in NAMES if own == role)
        raise ValueError(f"{name} is no strategy of a {role}, whose are {known}, and those of plug-ins")
    if (other := role_of(code_of(role, name))) != role:
        raise ValueError(f"{name} is no strategy of a {role}, but of a {other}")


def listed() -> list[tuple[str, str, str]]:
    """Role, name and summary of every strategy; of plug-ins, which are not imported for it, the package only.

    What a plug-in calls by a name that is ours in both roles can never be asked for, and is left out.
    """
    own = [(role, name, _summary(code)) for code, (role, name) in enumerate(NAMES)]
    ours = TRAINERS.keys() & JUDGES.keys()
    offered = (each for several in plugins(STRATEGIES).values() for each in several if each.name not in ours)
    return own + [("plug-in", each.name, f"of {each.distribution}") for each in offered]


def _summary(code: int) -> str:
    return (type(_strategy(code)).__doc__ or "").strip().partition("\n")[0]


def _strategy(code: int) -> object:
    if code < len(NAMES):
        role, name = NAMES[code]
        return resolve(f"{__package__}.{(TRAINERS if role == 'trainer' else JUDGES)[name]}")()
    from .foreign import role_and_strategy

    return role_and_strategy(_plugin_names()[code - len(NAMES)])[1]


@cache
def _plugin_names() -> tuple[str, ...]:
    return tuple(plugins(STRATEGIES))
