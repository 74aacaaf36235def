"""The demo as a benchmark: accuracy of the relay beside centralised training, seconds, bytes of the hand-offs.

make bench-demo                      three seeds, about ten minutes
make bench-demo ARGS="--quick"       one seed; writes nothing
python benchmarks/demo.py --reports A/report.json B/report.json …    from demos that ran already
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import mean
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from rows import RESULTS, Row, row, write

SEEDS = (1, 2, 3)
RIVAL = "centralised training, same network, same optimiser steps"
DEMO_SECONDS = 900


def run(seed: int, folder: Path) -> dict[str, Any]:
    """Run one demo and return its report."""
    command = [sys.executable, "-m", "derelayl_node.cli.main", "demo", "--json", "--seed", str(seed)]
    answer = subprocess.run(
        [*command, "--out", str(folder / str(seed))], capture_output=True, text=True, timeout=DEMO_SECONDS, check=True
    )
    return dict(json.loads(answer.stdout))


def rows_of(reports: list[dict[str, Any]]) -> list[Row]:
    case = f"demo, {len(reports[0]['peers'])} peers, MNIST-5k, Dirichlet 0.5"
    legs = [[leg for leg in report["legs"] if leg["child"]] for report in reports]
    accuracy = [report["accuracy"] for report in reports]
    final, rival = [one["final"] for one in accuracy], [one["centralised"] for one in accuracy]
    return [
        row(case, "accuracy at the end", "share", final, RIVAL, rival),
        row(case, "accuracy of genesis", "share", [one["genesis"] for one in accuracy]),
        row(case, "seconds of the whole demo", "s", [report["seconds"] for report in reports]),
        row(case, "legs selected", "legs", [sum(leg["selected"] for leg in one) for one in legs]),
        row(
            case,
            "bytes fetched for a leg",
            "bytes",
            [mean(leg["bytes_fetched"] for leg in one) for one in legs],
        ),
    ]


def draw(reports: list[dict[str, Any]], path: Path) -> None:
    figure = Figure(figsize=(7, 4), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for report in reports:
        best = [report["accuracy"]["genesis"]]
        for number in range(1, report["rounds"] + 1):
            own = [leg["accuracy"] for leg in report["legs"] if leg["round"] == number and leg["selected"]]
            best.append(max(own, default=best[-1]))
        (line,) = axes.plot(range(len(best)), best, marker="o", label=f"relay, {report['seconds']:.0f} s")
        axes.axhline(report["accuracy"]["centralised"], color=line.get_color(), linestyle="--", linewidth=1)
    axes.set(
        xlabel="round",
        ylabel="accuracy on held-out images",
        ylim=(0, 1),
        title="Relay (solid) and centralised (dashed)",
    )
    axes.legend(loc="lower right")
    axes.grid(axis="y", alpha=0.3)
    figure.savefig(path, dpi=130, metadata={"Software": None})


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one seed; writes nothing")
    parser.add_argument("--reports", nargs="*", type=Path, help="reports of demos that ran already")
    options = parser.parse_args()
    if options.reports:
        reports = [json.loads(path.read_text()) for path in options.reports]
    else:
        with tempfile.TemporaryDirectory() as folder:
            reports = [run(seed, Path(folder)) for seed in (SEEDS[:1] if options.quick else SEEDS)]
    rows = rows_of(reports)
    if options.quick:
        print(json.dumps(rows, indent=1))
        return
    write("demo", rows)
    draw(reports, RESULTS / "demo.png")


if __name__ == "__main__":
    main()
