"""`derelayl demo`: a whole relay on this machine."""

from __future__ import annotations

import json
import signal
import sys
import time
from functools import partial
from pathlib import Path
from typing import Annotated

import trio
import typer

from ..demo.options import DemoOptions
from ..demo.report import Report, tokens
from ..demo.story import run_demo
from .console import out, show


def demo(
    out_folder: Annotated[Path, typer.Option("--out", help="Where everything is kept.")] = Path(".derelayl/demo"),
    trainers: Annotated[int, typer.Option("--trainers", min=2, max=12, help="Peers that train.")] = 3,
    validators: Annotated[int, typer.Option("--validators", min=2, max=12, help="Peers that judge.")] = 3,
    rounds: Annotated[int, typer.Option("--rounds", min=4, max=100, help="Rounds of the relay.")] = 5,
    data: Annotated[str, typer.Option("--data", help="mnist-5k or fashion-mnist[:FOLDER].")] = "mnist-5k",
    steps: Annotated[int, typer.Option("--steps", min=1, help="Optimiser steps of one leg.")] = 100,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of shards, weights and batches.")] = 1,
    keep: Annotated[bool, typer.Option("--keep", help="Leave the network up until Ctrl-C.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON and nothing else.")] = False,
) -> None:
    """Run a whole relay on this machine: chain, peers, real data, a killed trainer, lineage, report."""
    # A service manager stops us with SIGTERM; it must clean up as Ctrl-C does.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    options = DemoOptions(
        out=out_folder.resolve(),
        trainers=trainers,
        validators=validators,
        rounds=rounds,
        data=data,
        steps=steps,
        seed=seed,
        keep=keep,
    )
    started = time.monotonic()

    def say(line: str) -> None:
        if not as_json:
            show(f"[{time.monotonic() - started:6.1f} s] {line}")

    report = trio.run(partial(run_demo, options, say, partial(_conclude, as_json=as_json, options=options)))
    if report.problems:
        raise typer.Exit(1)


def _conclude(report: Report, *, as_json: bool, options: DemoOptions) -> None:
    if as_json:
        sys.stdout.write(json.dumps(json.loads((options.out / "report.json").read_text()), indent=2) + "\n")
        return
    out.print(report.table())
    accuracy, wei = report.accuracy, report.wei
    show(
        f"accuracy on held-out images: genesis {accuracy.genesis:.1%}, relay {accuracy.final:.1%}, "
        f"centralised for the same {report.optimiser_steps} steps {accuracy.centralised:.1%}"
    )
    parts = {"balances": wei.balances, "locked": wei.locked, "pending": wei.pending, "burned": wei.burned}
    sum_of_parts = " + ".join(f"{name} {tokens(amount)}" for name, amount in parts.items())
    show(f"tokens: {sum_of_parts} {'=' if wei.conserved else '≠'} minted {tokens(wei.minted)}, to the wei")
    if report.killed is not None:
        killed, lost = report.killed, tokens(report.killed.forfeited_wei)
        show(f"{killed.peer} was killed in round {killed.round}, forfeited its bid of {lost} tokens,")
        show(f"and completed a leg again in round {killed.rejoined_round}")
    show(f"every peer's lineage equals the ledger's: {'yes' if report.lineage_equals_ledger else 'NO'}")
    for problem in report.problems:
        show(f"PROBLEM: {problem}")
    show(f"report and pictures: {options.out}/report.json, lineage.png, accuracy.png ({report.seconds:.0f} s)")
    if not options.keep:
        show("keep it running and open its REST API and lineage page: derelayl demo --keep (or make demo ARGS=--keep)")
