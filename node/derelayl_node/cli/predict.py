"""`derelayl model predict`: use a pulled checkpoint within a compute budget; needs no network and no ledger."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.table import Table

from derelayl_protocol.errors import LocalFault

from .console import out, show, show_json
from .keys import JsonOption

if TYPE_CHECKING:
    from derelayl_training.exits.anytime import AnytimeModel, Prediction
    from derelayl_training.split import Inputs, Labels

Part = Literal["held", "train"]


def predict(
    weights: Annotated[Path, typer.Argument(help="What `model pull` wrote: the folder, or the .safetensors file.")],
    data: Annotated[str, typer.Option("--data", help="The samples, as for `node run --data`.")],
    part: Annotated[Part, typer.Option("--part", help="Which part of --data.")] = "held",
    budget: Annotated[
        float, typer.Option("--budget", help="Mean cost, as a share of the whole network's multiply-adds.")
    ] = 1.0,
    calibrate: Annotated[
        str | None,
        typer.Option(
            "--calibrate",
            help="Labelled samples to calibrate the exits on, once; the result is kept beside the weights.",
        ),
    ] = None,
    calibrate_part: Annotated[
        Part, typer.Option("--calibrate-part", help="Which part of --calibrate; one that the network never trained on.")
    ] = "held",
    target: Annotated[Path | None, typer.Option("--out", help="CSV file to write each sample's prediction to.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Classify samples; with prefix heads, easy ones leave early, so that the mean cost stays within the budget.

    Give --calibrate once before the first budget below 1: other samples than those that the accuracy is told of.
    """
    from derelayl_training.data import load  # torch takes seconds to load; the other commands do without
    from derelayl_training.exits.anytime import AnytimeModel, digest_of_samples
    from derelayl_training.exits.pulled import calibration_file, weights_file, write_document
    from derelayl_training.train import configure_torch

    configure_torch(threads=1)
    path = weights_file(weights)
    model = AnytimeModel.load(path, keep_calibration=calibrate is None)
    samples, labels = _part_of(load(data), part)
    if calibrate is not None:
        calibration = model.calibrate(*_part_of(load(calibrate), calibrate_part))
        write_document(calibration_file(path), calibration)
    if budget < 1 and model.calibration is not None and model.calibration.data == digest_of_samples(samples):
        raise LocalFault(
            "the exits were calibrated on these samples, so their accuracy would be too good; calibrate "
            "on others (--calibrate, or the "
            "other part by --calibrate-part) or predict others"
        )
    found = model.predict(samples, budget)
    if target is not None:
        _write(target, found)
    document = _report(model, found, labels, budget)
    if as_json:
        show_json(document)
    else:
        _show(document)


def _part_of(split: Any, part: Part) -> tuple[Inputs, Labels]:
    return (split.held_x, split.held_y) if part == "held" else (split.train_x, split.train_y)


def _report(model: AnytimeModel, found: Prediction, labels: Labels, budget: float) -> dict[str, Any]:
    right = found.labels == labels
    exits = []
    for exit in range(model.exits):
        here = found.exit == exit
        exits.append(
            {
                "exit": exit + 1,
                "share": float(here.mean()),
                "accuracy": float(right[here].mean()) if here.any() else None,
                "cost": float(found.cost[here].mean()) if here.any() else None,
            }
        )
    return {
        "samples": len(labels),
        "accuracy": float(right.mean()),
        "confidence": float(found.confidence.mean()),
        "budget": budget,
        "mean_cost": found.mean_cost,
        "multiply_adds": model.whole,
        "exits": exits,
    }


def _show(document: dict[str, Any]) -> None:
    show(f"accuracy   {document['accuracy']:.4f} of {document['samples']} samples")
    show(f"mean cost  {document['mean_cost']:.4f} of {document['multiply_adds']} multiply-adds per sample")
    table = Table("exit", "share", "accuracy", "cost")
    for exit in document["exits"]:
        shares = (exit["share"], exit["accuracy"], exit["cost"])
        table.add_row(str(exit["exit"]), *("" if share is None else f"{share:.4f}" for share in shares))
    out.print(table)


def _write(path: Path, found: Prediction) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("sample", "label", "confidence", "exit"))
        rows = zip(found.labels.tolist(), found.confidence.tolist(), found.exit.tolist(), strict=True)
        for index, (label, confidence, exit) in enumerate(rows):
            writer.writerow((index, label, f"{confidence:.6f}", exit + 1))
