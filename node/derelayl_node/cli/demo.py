"""`derelayl demo`: a whole relay on this machine."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Annotated

import trio
import typer

from derelayl_protocol.spelling import exact_tokens

from ..demo.course import run_demo
from ..demo.report import Report
from ..demo.request import DemoOptions
from ..signals import stop_on_signal
from .console import INTERRUPTED, out, show


def demo(
    out_folder: Annotated[Path, typer.Option("--out", help="Where everything is kept.")] = Path(".derelayl/demo"),
    trainers: Annotated[int, typer.Option("--trainers", min=2, max=12, help="Peers that train.")] = 3,
    validators: Annotated[int, typer.Option("--validators", min=2, max=12, help="Peers that judge.")] = 3,
    rounds: Annotated[int, typer.Option("--rounds", min=4, max=100, help="Rounds of the relay.")] = 5,
    data: Annotated[str, typer.Option("--data", help="What peers share: mnist-5k or any data spec.")] = "mnist-5k",
    partition: Annotated[
        str, typer.Option("--partition", help="How peers share it: iid, dirichlet:ALPHA, by-label or by-site.")
    ] = "dirichlet:0.5",
    steps: Annotated[int, typer.Option("--steps", min=1, help="Optimiser steps of one leg.")] = 100,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of shards, weights and batches.")] = 1,
    keep: Annotated[bool, typer.Option("--keep", help="Leave the network up until Ctrl-C.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON and nothing else.")] = False,
) -> None:
    """Run a whole relay on this machine: chain, peers, real data, a killed trainer, lineage, report."""
    options = DemoOptions(
        out=out_folder.resolve(),
        trainers=trainers,
        validators=validators,
        rounds=rounds,
        data=data,
        partition=partition,
        steps=steps,
        seed=seed,
        keep=keep,
    )
    started = time.monotonic()

    def say(line: str) -> None:
        if not as_json:
            show(f"[{time.monotonic() - started:6.1f} s] {line}")

    reports: list[Report] = []

    def conclude(report: Report) -> None:
        reports.append(report)
        _print(report, options, as_json)

    trio.run(_run_until_signal, partial(run_demo, options, say, conclude))
    if not reports:
        raise typer.Exit(INTERRUPTED)
    if reports[0].problems:
        raise typer.Exit(1)


async def _run_until_signal(play: Callable[[], Awaitable[None]]) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(stop_on_signal, nursery.cancel_scope)
        await play()
        nursery.cancel_scope.cancel()


def _print(report: Report, options: DemoOptions, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(json.dumps(json.loads((options.out / "report.json").read_text()), indent=2) + "\n")
        return
    out.print(report.table())
    accuracy, wei = report.accuracy, report.wei
    show(
        f"accuracy on held-out data: genesis {accuracy.genesis:.1%}, relay {accuracy.final:.1%}, "
        f"centralised for the same {report.optimiser_steps} steps {accuracy.centralised:.1%}"
    )
    parts = {"balances": wei.balances, "locked": wei.locked, "pending": wei.pending, "burned": wei.burned}
    sum_of_parts = " + ".join(f"{name} {exact_tokens(amount)}" for name, amount in parts.items())
    show(f"tokens: {sum_of_parts} {'=' if wei.conserved else '≠'} minted {exact_tokens(wei.minted)}, to the wei")
    if report.killed is not None:
        killed, lost = report.killed, exact_tokens(report.killed.forfeited_wei)
        show(f"{killed.peer} was killed in round {killed.round}, forfeited its bid of {lost} tokens,")
        show(f"and completed a leg again in round {killed.rejoined_round}")
    show(f"every peer's lineage equals the ledger's: {'yes' if report.lineage_equals_ledger else 'NO'}")
    for problem in report.problems:
        show(f"PROBLEM: {problem}")
    show(f"report and pictures: {options.out}/report.json, lineage.png, accuracy.png ({report.seconds:.0f} s)")
    if not options.keep:
        show("keep it running and open its REST API and lineage page: derelayl demo --keep (or make demo ARGS=--keep)")
