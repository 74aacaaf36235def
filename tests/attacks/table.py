"""The measured part of docs/SECURITY.md.

    python -m tests.attacks.table --write

plays every attack again and writes the tables between the marks; without `--write` it prints them.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from .copies import COPY_ATTACKS
from .holding import HOLDING_ATTACKS
from .income import CASES, capture, income
from .measuring import Attack, measured
from .others import OTHER_ATTACKS
from .rings import RING_ATTACKS
from .trainers import TRAINER_ATTACKS
from .validators import VALIDATOR_ATTACKS

DOCUMENT = Path(__file__).parents[2] / "docs" / "SECURITY.md"
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"

SECTIONS: tuple[tuple[str, tuple[type[Attack], ...]], ...] = (
    ("Trainers", (*TRAINER_ATTACKS, *COPY_ATTACKS, *HOLDING_ATTACKS)),
    ("Validators", VALIDATOR_ATTACKS),
    ("Rings", RING_ATTACKS),
    ("Owners, buyers and relayers", OTHER_ATTACKS),
)

CAPTURES = ((20, 5), (20, 11), (45, 5), (45, 11), (45, 15), (300, 11), (300, 15))
"""Validators and seats."""


def tables() -> str:
    """Everything between the marks."""
    parts = [line for title, attacks in SECTIONS for line in (f"### {title}", _attacks(attacks))]
    return "\n\n".join(
        [*parts, "### What honest validators earn", _incomes(), "### Who gets the committee", _captures()]
    )


def document() -> str:
    """The document with its measured part made anew. Raises ValueError where a mark is missing."""
    before, rest = DOCUMENT.read_text(encoding="utf-8").split(BEGIN)
    _, after = rest.split(END)
    return f"{before}{BEGIN}\n{tables()}\n{END}{after}"


def _attacks(attacks: Iterable[type[Attack]]) -> str:
    head = (
        "attack",
        "what it tries",
        "what stops it",
        "outcome",
        "gain against honest play",
        "of others",
        "honest play",
    )
    return _table(head, [_row(attack) for attack in attacks])


def _row(attack: type[Attack]) -> Sequence[str]:
    outcome = measured(attack)
    file = attack.__module__.rsplit(".", 1)[-1]
    title = f"{attack.title} ([`{attack.__name__}`](../tests/attacks/{file}.py))"
    numbers = str(outcome.gain), str(outcome.victims), str(outcome.honest)
    return title, attack.tries, attack.answer, attack.verdict, *numbers


def _incomes() -> str:
    head = (
        "validators' error, ppm",
        "`agreement_ppm`",
        "agreement, of the most",
        "tokens for a seat and round",
        "charged",
    )
    rows = []
    for error, tolerance in CASES:
        one = income(error, tolerance)
        rows.append(
            (f"{error:,}", f"{tolerance:,}", _percent(one.agreement), f"{one.tokens:.2f}", _percent(one.charged))
        )
    return _table(head, rows)


def _captures() -> str:
    shares = (("a fifth", 5), ("a third", 3), ("two fifths", 5 / 2), ("nine twentieths", 20 / 9))
    rows = [
        (
            str(validators),
            str(seats),
            *(_percent(capture(validators, round(validators / part), seats)) for _, part in shares),
        )
        for validators, seats in CAPTURES
    ]
    return _table(("validators", "seats", *(f"ring has {share}" for share, _ in shares)), rows)


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %" if share >= 0.001 or share == 0 else "< 0.1 %"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main() -> None:
    """Print the tables, or write them."""
    if "--write" in sys.argv[1:]:
        DOCUMENT.write_text(document(), encoding="utf-8")
    else:
        sys.stdout.write(tables() + "\n")


if __name__ == "__main__":
    main()
