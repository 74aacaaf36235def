"""The demo's report: what happened, as data, as JSON and as a table."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from rich.table import Table

from derelayl_protocol.ledger.selection import LegEnding
from derelayl_protocol.spelling import first_digits
from derelayl_protocol.statement.words import segment_name
from derelayl_protocol.types import TOKEN
from derelayl_training.files import write_json

MIN_SELECTED_LEGS = 6
"""A demo with fewer accepted legs has not shown a relay."""


@dataclass(frozen=True, slots=True)
class LegLine:
    """One leg as the ledger settled it. `child` is None and `score_ppm` None where nothing was submitted or judged.

    `ending` is None where the round was still running.
    """

    round: int
    leg: int
    trainer: str
    parent: str
    child: str | None
    segment: int
    score_ppm: int | None
    ending: LegEnding | None
    selected: bool
    reward_wei: int
    bytes_fetched: int | None
    accuracy: float | None


@dataclass(frozen=True, slots=True)
class Killed:
    """The peer that was killed in the middle of a leg. `rejoined_round` is the round of its next submitted leg."""

    peer: str
    round: int
    forfeited_wei: int
    rejoined_round: int | None


@dataclass(frozen=True, slots=True)
class Accuracy:
    """Shares of the held-out set that no peer trains on, classified correctly."""

    genesis: float
    final: float
    centralised: float


@dataclass(frozen=True, slots=True)
class WeiAudit:
    """Where every wei is.

    `balances` are wallets and free balances, `locked` bids, offers, stakes, budgets and carried pots, `pending`
    royalties that wait at their checkpoints.
    """

    minted: int
    balances: int
    locked: int
    pending: int
    burned: int

    @property
    def conserved(self) -> bool:
        return self.balances + self.locked + self.pending + self.burned == self.minted


@dataclass(frozen=True, slots=True)
class Report:
    """Everything the demo claims; `problems` says why `ok` is false."""

    seconds: float
    peers: list[str]
    rounds: int
    legs: list[LegLine]
    killed: Killed | None
    accuracy: Accuracy
    optimiser_steps: int
    wei: WeiAudit
    lineage_equals_ledger: bool
    api_url: str

    @property
    def problems(self) -> list[str]:
        found = []
        selected = sum(leg.selected for leg in self.legs)
        if selected < MIN_SELECTED_LEGS:
            found.append(f"only {selected} legs were selected, at least {MIN_SELECTED_LEGS} are needed")
        if self.killed is None:
            found.append("no peer was killed")
        elif self.killed.rejoined_round is None:
            found.append(f"the killed peer {self.killed.peer} did not complete a later leg")
        if not self.lineage_equals_ledger:
            found.append("a peer's lineage differs from the ledger's")
        if not self.wei.conserved:
            found.append("balances, locks, pending royalties and burns do not add up to what was minted")
        return found

    def write(self, path: Path) -> None:
        """Write the report as JSON, atomically."""
        document = {"ok": not self.problems, "problems": self.problems, **asdict(self)}
        write_json(path, document)

    def table(self) -> Table:
        """The legs, a line each; fits into 80 columns."""
        table = Table(title="The relay, leg by leg", title_justify="left", box=None, padding=(0, 1, 0, 0))
        for heading, justify in COLUMNS:
            table.add_column(heading, justify=justify, no_wrap=True)
        for leg in self.legs:
            table.add_row(*_cells(leg), style=None if leg.selected else "dim")
        return table


COLUMNS: list[tuple[str, Literal["left", "right"]]] = [
    ("round", "right"),
    ("trainer", "left"),
    ("parent → child", "left"),
    ("segment", "left"),
    ("gain", "right"),
    ("accuracy", "right"),
    ("reward", "right"),
    ("outcome", "left"),
]


def _cells(leg: LegLine) -> list[str]:
    return [
        str(leg.round),
        leg.trainer,
        f"{first_digits(leg.parent)} → {first_digits(leg.child) if leg.child else '—'}",
        segment_name(leg.segment),
        "—" if leg.score_ppm is None else f"{leg.score_ppm / 1e6:+.3f}",
        "—" if leg.accuracy is None else f"{leg.accuracy:.1%}",
        f"{leg.reward_wei / TOKEN:.2f}" if leg.reward_wei else "—",
        leg.ending or "—",
    ]
