"""The rules of a relay that are code rather than numbers, by kind and name; `port` says what each kind decides.

To add one: its class in the module of its kind, and a line here. One of somebody's own is an entry point in the group
`derelayl.rules`: a class derived from a kind of `port`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from derelayl_plugins import RULES, Plugin, plugin, plugins, resolve

from .foreign import blame, kind_of
from .port import CONTRACT, Mechanism, Rule

OWN: Mapping[str, Mapping[str, str]] = {
    "payment": {
        "proportional": "port:Payment",
        "best": "payments:Best",
        "equal": "payments:Equal",
        "ladder": "payments:Ladder",
        "excess": "payments:Excess",
        "root": "payments:Root",
    },
    "delivery": {"all": "port:Delivery", "half": "deliveries:Half"},
    "base": {"public": "port:Base", "parent": "bases:Parent", "tips": "bases:Tips"},
    "matching": {"trunk": "port:Matching", "first-price": "matchings:FirstPrice", "spread": "matchings:Spread"},
    "duplicates": {"seats": "port:Duplicates", "none": "duplicates:Allowed", "exact": "duplicates:Exact"},
    "score": {
        "median": "port:Score",
        "trimmed": "scores:Trimmed",
        "precise": "scores:Precise",
        "proven": "scores:Proven",
        "level": "scores:Level",
        "ball": "scores:Ball",
        "steep": "scores:Steep",
        "steep-level": "scores:SteepLevel",
        "contest": "scores:Contest",
        "appeal": "scores:Appeal",
        "audit": "scores:Audit",
    },
}
"""Our rules and their classes, by module of this package. The first of a kind is what the contract runs."""

KINDS = tuple(OWN)


def contract_rule(kind: str) -> str:
    """Return the name of the rule of a kind that the contract or the network's validators run."""
    return next(iter(OWN[kind]))


def mechanism(names: Mapping[str, str]) -> Mechanism:
    """Return the mechanism of these rules, kind → NAME or NAME:DIAL.

    Raises ValueError for a name or dial that a kind does not have, LocalFault for a plug-in that cannot be used.
    """
    if all(names[kind] == contract_rule(kind) for kind in KINDS):
        return CONTRACT
    made: dict[str, Any] = {kind: rule(kind, names[kind]) for kind in KINDS}
    return Mechanism(**made)


def rule(kind: str, text: str) -> Rule:
    """Return a rule of a kind by NAME or NAME:DIAL. Raises as `mechanism` does."""
    name, colon, dial = text.partition(":")
    place = OWN[kind].get(name)
    offered = None if place is not None else _offered(kind, name)
    made: Rule = resolve(f"{__package__}.{place}")() if offered is None else _load(kind, name, offered)
    if colon:
        made.dial = _dial(kind, name, made, dial)
    return made if offered is None else blame(made, offered)


def not_run(names: Mapping[str, str]) -> tuple[str, ...]:
    """Say which of these rules are not what the contract and the network's validators run."""
    others = [(kind, names[kind]) for kind in KINDS if names[kind] != contract_rule(kind)]
    return tuple(f"{kind} = {text}: {_summary(kind, text.partition(':')[0])}" for kind, text in others)


def listed() -> list[tuple[str, str, str]]:
    """Kind, name and summary of every rule; of plug-ins, which are not imported for it, the package only."""
    own = [(kind, name, _summary(kind, name)) for kind in KINDS for name in OWN[kind]]
    offered = (each for several in plugins(RULES).values() for each in several)
    return own + [("plug-in", each.name, f"of {each.distribution}") for each in offered]


def _offered(kind: str, name: str) -> Plugin:
    offered = plugin(RULES, name)
    if offered is None:
        raise ValueError(f"{name} is no rule of {kind}, which are {', '.join(OWN[kind])}, and those of plug-ins")
    return offered


def _load(kind: str, name: str, offered: Plugin) -> Rule:
    loaded = offered.load()
    with offered.blamed():
        made = loaded()
    found = kind_of(made)
    if found is None:
        raise offered.fault("its class is derived from none of the kinds of rules")
    if found != kind:
        raise ValueError(f"{name} is no rule of {kind}, but of {found}")
    assert isinstance(made, Rule)
    return made


def _dial(kind: str, name: str, made: Rule, text: str) -> float:
    if made.dial is None:
        raise ValueError(f"{kind} {name} has no dial: leave out :{text}")
    low, high = made.bounds
    try:
        dial = float(text)
    except ValueError:
        dial = float("nan")
    if not low <= dial <= high:
        raise ValueError(f"the dial of {kind} {name} is {text or 'nothing'}, allowed is {low:g} … {high:g}")
    return dial


def _summary(kind: str, name: str) -> str:
    if name not in OWN[kind]:
        return f"of {_offered(kind, name).distribution}"
    return (resolve(f"{__package__}.{OWN[kind][name]}").__doc__ or "").strip().partition("\n")[0].rstrip(".")
