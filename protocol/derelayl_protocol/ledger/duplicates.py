"""Duplicates in function: legs that change a model alike, whatever their bytes are, make one class.

Source: docs/PROTOCOL.md section 4, Originals. Each seat names for every leg the first leg that changes its samples'
losses as this one does; here is what the ledger makes of the names.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import LocalFault, Reason, RuleViolation
from ..types import HASH_BYTES, Wei
from .rules import Rules
from .state import LegEntry, SeatEntry


def encode_originals(originals: Sequence[int]) -> bytes:
    """Write the numbers as the contract takes them: byte j is that of leg j, the bytes behind the last one are 0.

    Raises LocalFault for more legs, or for a greater number, than 32 bytes hold.
    """
    if len(originals) > HASH_BYTES or any(not 0 <= original < 256 for original in originals):
        raise LocalFault(f"{list(originals)} are no originals: at most {HASH_BYTES} numbers of a byte each")
    return bytes(originals).ljust(HASH_BYTES, b"\0")


def decode_originals(data: bytes, legs: int) -> tuple[int, ...]:
    """Read what `encode_originals` wrote of a round with this many legs."""
    return tuple(data[:legs])


def check_originals(originals: Sequence[int], legs: Sequence[LegEntry]) -> None:
    """Raise RuleViolation(BAD_SCORES) unless each leg has an original: itself, or an earlier one, both submitted."""
    if len(originals) != len(legs):
        raise RuleViolation(Reason.BAD_SCORES, f"{len(originals)} originals for {len(legs)} legs")
    for number, original in enumerate(originals):
        if original == number:
            continue
        if not 0 <= original < number:
            raise RuleViolation(Reason.BAD_SCORES, f"the original of leg {number} is {original}, not one up to it")
        if not (legs[original].submitted and legs[number].submitted):
            raise RuleViolation(Reason.BAD_SCORES, f"leg {original} or leg {number} was not submitted: no duplicates")


def classes(rules: Rules, named: Sequence[tuple[Sequence[int], Wei]], legs: int) -> tuple[int, ...]:
    """Return the class of each leg by number: the first leg of those that more than half of the weight says are one.

    `named` has the originals and the weight of every seat that revealed, `legs` is the number of legs in the round.
    Where no leg has more than half of the weight, or the model asks for no originals, a leg is its own.
    """
    total, found = sum(weight for _, weight in named), list[int]()
    for number in range(legs):
        backing: dict[int, int] = {}
        for originals, weight in named if rules.duplicate_bps else ():
            backing[originals[number]] = backing.get(originals[number], 0) + weight
        original = next((other for other, weight in backing.items() if 2 * weight > total), number)
        found.append(found[original] if original < number else number)
    return tuple(found)


def classes_of(rules: Rules, legs: Sequence[LegEntry], seats: Sequence[SeatEntry]) -> tuple[int, ...]:
    """Return the class of each leg of a round by number, as the seats that revealed say."""
    named = [(seat.originals, seat.weight) for seat in seats if seat.originals is not None]
    return classes(rules, named, len(legs))
