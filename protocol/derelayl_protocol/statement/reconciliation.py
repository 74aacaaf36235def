"""Reconciliation: what the events add up to, beside what the contract says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ..types import Address, ModelId, Timestamp, Wei
from .books import Books
from .places import Place, holder, unbonding


@dataclass(frozen=True, slots=True)
class Held:
    """What a contract's views say at one block: `amounts` in wei, and the tokens that it has in all."""

    amounts: Mapping[Place, Wei]
    release_times: Mapping[tuple[ModelId, Address], Timestamp]
    tokens: Wei


@dataclass(frozen=True, slots=True)
class Difference:
    """Two numbers that should be one: wei, or Unix seconds for a release time."""

    what: str
    whose: str
    booked: int
    held: int


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """The outcome. `surplus` was sent to the contract past `deposit`: it is nobody's, and no difference."""

    compared: int
    total: Wei
    surplus: Wei
    differences: tuple[Difference, ...]


def reconcile(books: Books, held: Held) -> Reconciliation:
    """Compare every place that either side knows, every release time, and the tokens behind it all."""
    names = sorted(books.names() | set(held.amounts), key=lambda place: (place.pocket, holder(place)))
    differences = [
        Difference(place.pocket.value, holder(place), books.amount(place), held.amounts.get(place, Wei(0)))
        for place in names
        if books.amount(place) != held.amounts.get(place, Wei(0))
    ]
    leaving = [key for key in books.release_times if books.amount(unbonding(*key))]
    for key in leaving:
        booked, found = books.release_times[key], held.release_times.get(key, 0)
        if booked != found:
            differences.append(Difference("release time", holder(unbonding(*key)), booked, found))
    total = books.total()
    if held.tokens < total:
        differences.append(Difference("tokens of the contract", "all accounts and models", total, held.tokens))
    surplus = Wei(max(0, held.tokens - total))
    return Reconciliation(len(names) + len(leaving) + 1, total, surplus, tuple(differences))
