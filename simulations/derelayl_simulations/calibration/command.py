"""`derelayl sim calibrate`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..console import WRONG_USAGE, Json, fail, one_sentence, print_json
from ..scenarios.load import load
from .fitted import RESAMPLES

if TYPE_CHECKING:
    from .history import Reader


def calibrate(
    context: typer.Context,
    reports: Annotated[
        list[Path] | None, typer.Argument(metavar="[REPORT …]", help="report.json of `derelayl demo`, one or several.")
    ] = None,
    network: Annotated[Path | None, typer.Option(help="Instead: the network file of a running network.")] = None,
    model: Annotated[str | None, typer.Option(help="Model id; default: the network file's.")] = None,
    chain_url: Annotated[str | None, typer.Option(help="JSON-RPC of the chain; default: the network file's.")] = None,
    base: Annotated[
        str, typer.Option(metavar="SCENARIO", help="What has the numbers that no ledger tells.")
    ] = "honest",
    holdout: Annotated[
        float | None, typer.Option(min=0.05, max=0.8, help="Also predict this share of the rounds from those before.")
    ] = None,
    draws: Annotated[
        int, typer.Option(min=0, max=RESAMPLES, help="Also write so many scenarios into --out, each as likely.")
    ] = 0,
    out: Annotated[Path | None, typer.Option(help="Folder for --draws.")] = None,
    as_json: Json = False,
) -> None:
    """Fit a world to reports of the demo (learning only), or to what a running network's ledger recorded.

    Prints the part of a scenario that was fitted.
    """
    if (network is None) == (not reports):
        fail("give reports of the demo, or --network FILE", WRONG_USAGE)
    if bool(draws) != (out is not None):
        fail("--draws and --out need each other", WRONG_USAGE)
    if reports:
        if model or chain_url or holdout or draws:
            fail("--model, --chain-url, --holdout and --draws need --network", WRONG_USAGE)
        _calibrate_to_reports(reports, as_json)
        return
    from .forecast import hold_out
    from .history import read_history
    from .network import calibrate as fit
    from .present import document, holdout_document, holdout_text, part, write_draws

    read: Reader | None = context.obj
    if read is None:
        fail("networks are read by `derelayl sim calibrate`, not by the simulator alone")
    with one_sentence():
        assert network is not None
        named, log = read(network, model, chain_url)
        history, scenario = read_history(log, named), load(base)
        found = fit(history)
        paths = write_draws(found, scenario, draws, out) if out is not None else []
        predicted = hold_out(history, holdout, scenario) if holdout is not None else None
    if as_json:
        more = {} if predicted is None else {"holdout": holdout_document(predicted)}
        print_json({**document(found), **more, "draws": [str(path) for path in paths]})
        return
    typer.echo(part(found))
    if predicted is not None:
        typer.echo(f"\n{holdout_text(predicted)}")
    if paths:
        typer.echo(f"{len(paths)} scenarios are in {out}; `derelayl sim run {paths[0]}` plays one", err=True)


# --- Inside -----------------------------------------------------------------------------------------------------------


def _calibrate_to_reports(reports: list[Path], as_json: bool) -> None:
    from .reports import FITTED, read_reports
    from .reports import calibrate as fit

    with one_sentence():
        found = fit(read_reports(reports))
    values = found.learning.model_dump(mode="json", include=set(FITTED))
    if as_json:
        print_json({"legs": found.legs, "delivered": found.delivered, "learning": values})
        return
    typer.echo(f"# fitted to {found.legs} judged legs; {found.delivered:.0%} of the leases were delivered")
    typer.echo("[world.learning]\n" + "\n".join(f"{name} = {value}" for name, value in values.items()))
