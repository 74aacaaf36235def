"""The demo's two pictures: the lineage tree and the accuracy of each leg's child."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from derelayl_protocol.spelling import first_digits
from derelayl_protocol.statement.words import segment_name

from .report import LegLine, Report

SELECTED, REFUSED, EXPIRED, GENESIS = "#0072b2", "#b0b0b0", "#d55e00", "#009e73"
"""Colours that people with colour-blindness tell apart (Okabe and Ito)."""

Position = tuple[float, float]


def draw_lineage(report: Report, genesis: str, path: Path) -> None:
    """Draw who continued what from whom: rounds from left to right, accepted legs in colour."""
    positions = _positions(report.legs, genesis)
    rows = max(len([leg for leg in report.legs if leg.round == r]) for r in range(1, report.rounds + 1))
    figure = Figure(figsize=(2.4 + 2.1 * report.rounds, 1.0 + 1.05 * rows), layout="constrained")
    axes = figure.add_subplot()
    for leg in report.legs:
        _draw_leg(axes, leg, positions)
    _draw_box(axes, positions[genesis], f"genesis\n{first_digits(genesis)}", GENESIS)
    axes.set_xticks(range(report.rounds + 1), ["genesis", *(f"round {r}" for r in range(1, report.rounds + 1))])
    axes.set_yticks([])
    axes.set_xlim(-0.35, report.rounds + 0.35)
    axes.set_ylim(-0.5 * rows, 0.5 * rows)
    axes.spines[:].set_visible(False)
    axes.set_title("Lineage: blue legs were selected, orange ones expired, grey ones refused", loc="left")
    figure.savefig(path, dpi=130)


def draw_accuracy(report: Report, path: Path) -> None:
    """Draw the accuracy of every child on the set that no peer trains on, with the centralised rival as a line."""
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.add_subplot()
    judged = [leg for leg in report.legs if leg.accuracy is not None]
    for selected, colour, label in ((False, REFUSED, "refused"), (True, SELECTED, "selected")):
        points = [(leg.round, leg.accuracy or 0.0) for leg in judged if leg.selected is selected]
        if points:
            axes.scatter([x for x, _ in points], [y for _, y in points], color=colour, label=label, s=48, zorder=3)
    best = [report.accuracy.genesis]
    for number in range(1, report.rounds + 1):
        accepted = [leg.accuracy for leg in judged if leg.round == number and leg.selected and leg.accuracy is not None]
        best.append(max(accepted, default=best[-1]))
    axes.plot(range(report.rounds + 1), best, color=SELECTED, linewidth=1.5, label="best tip of the round")
    axes.scatter([0], [report.accuracy.genesis], color=GENESIS, label="genesis", s=48, zorder=3)
    axes.axhline(
        report.accuracy.centralised,
        color="black",
        linestyle="--",
        linewidth=1,
        label=f"centralised, the same {report.optimiser_steps} steps",
    )
    axes.set(xlabel="round", ylabel="accuracy on held-out images", ylim=(0, 1), title="Accuracy leg by leg")
    axes.set_xticks(range(report.rounds + 1))
    axes.grid(axis="y", alpha=0.3)
    axes.legend(loc="lower right")
    figure.savefig(path, dpi=130)


def _positions(legs: list[LegLine], genesis: str) -> dict[str, Position]:
    by_round: dict[int, list[LegLine]] = defaultdict(list)
    for leg in legs:
        by_round[leg.round].append(leg)
    positions: dict[str, Position] = {genesis: (0.0, 0.0)}
    for number, siblings in by_round.items():
        for row, leg in enumerate(siblings):
            positions[_node(leg)] = (float(number), (len(siblings) - 1) / 2 - row)
    return positions


def _node(leg: LegLine) -> str:
    return leg.child or f"lost-{leg.round}-{leg.leg}"


def _draw_leg(axes: Axes, leg: LegLine, positions: dict[str, Position]) -> None:
    (x0, y0), (x1, y1) = positions[leg.parent], positions[_node(leg)]
    colour = SELECTED if leg.selected else REFUSED if leg.child else EXPIRED
    axes.annotate(
        "",
        xy=(x1 - 0.24, y1),
        xytext=(x0 + 0.24, y0),
        arrowprops={"arrowstyle": "->", "color": colour, "linewidth": 2 if leg.selected else 1},
    )
    gain = "" if leg.score_ppm is None else f"{leg.score_ppm / 1e6:+.3f}"
    ending = "" if leg.selected or leg.ending is None else leg.ending
    name = f"{leg.trainer} ({segment_name(leg.segment)})"
    lines = (name, first_digits(leg.child) if leg.child else "", " ".join(filter(None, (gain, ending))))
    _draw_box(axes, (x1, y1), "\n".join(filter(None, lines)), colour)


def _draw_box(axes: Axes, position: Position, text: str, colour: str) -> None:
    box = {"boxstyle": "round,pad=0.35", "facecolor": "white", "edgecolor": colour, "linewidth": 1.8}
    axes.text(*position, text, ha="center", va="center", fontsize=8, bbox=box, zorder=4)
