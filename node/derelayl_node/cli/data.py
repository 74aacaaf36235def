"""`derelayl data`: look at a data spec, and make the schema that the peers of a network agree on for tables."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from derelayl_plugins import LOADERS as GROUP
from derelayl_plugins import plugins
from derelayl_protocol.errors import LocalFault
from derelayl_training.registry import LOADERS

from .console import show, show_json
from .keys import JsonOption

app = typer.Typer(no_args_is_help=True)


@app.command("list")
def list_loaders(as_json: JsonOption = False) -> None:
    """List the kinds of data specs, those of installed plug-ins last; docs/DATA.md has all options."""
    rows = [(loader.usage, loader.summary) for loader in LOADERS.values()]
    offered = [each for several in plugins(GROUP).values() for each in several if each.name not in LOADERS]
    rows += [(f"{each.name}[:ARGUMENT]", f"a plug-in of {each.distribution}") for each in offered]
    if as_json:
        show_json([{"usage": usage, "summary": summary} for usage, summary in rows])
        return
    for usage, summary in rows:
        show(f"{usage:<40}  {summary}")


@app.command("show")
def show_data(
    spec: Annotated[str, typer.Argument(help="A data spec, as --data takes it; `derelayl data list` lists them.")],
    as_json: JsonOption = False,
) -> None:
    """Load a data spec and show what it holds: samples, shape, classes, sites."""
    import numpy as np

    from derelayl_training.data import load
    from derelayl_training.kinds import InputKind

    split = load(spec)
    inputs, labels, origins = split.pooled()
    names = split.sites.names if split.sites is not None else ()
    counts = np.bincount(np.empty(0, np.int64) if origins is None else origins, minlength=len(names)).tolist()
    sites = dict(zip(names, counts, strict=True))
    shape = list(inputs.shape[1:])
    classes = None if split.kind is InputKind.TEXT else int(labels.max()) + 1
    train, held = len(split.train_y), len(split.held_y)
    if as_json:
        kind = str(split.kind)
        show_json({"kind": kind, "train": train, "held": held, "shape": shape, "classes": classes, "sites": sites})
        return
    show(f"{train} {split.kind} of shape {shape} to train on, {held} held out")
    if classes is not None:
        show(f"{classes} classes")
    for name, samples in sorted(sites.items(), key=lambda site: -site[1]):
        show(f"site {name}: {samples}")


@app.command("schema")
def make_schema_file(
    table: Annotated[Path, typer.Argument(help="A CSV or Parquet file.")],
    label: Annotated[str, typer.Option("--label", help="The column to predict; its values are the classes.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The TOML file to write.")] = Path("schema.toml"),
    site: Annotated[str | None, typer.Option("--site", help="The column that names the site a row is from.")] = None,
    keep: Annotated[
        list[str] | None, typer.Option("--keep", help="Learn from this column only; may be repeated.")
    ] = None,
    drop: Annotated[list[str] | None, typer.Option("--drop", help="Leave this column out; may be repeated.")] = None,
    missing_anywhere: Annotated[
        bool, typer.Option("--missing", help="Provide for missing cells in every column.")
    ] = False,
) -> None:
    """Write columns, scales, categories and classes of a table, to be shared with all peers of a network."""
    from derelayl_training.loaders.schema import schema_text
    from derelayl_training.loaders.table import make_schema, read_table

    if out.exists():
        raise LocalFault(f"{out} exists, and peers may rely on it: move it away first")
    schema = make_schema(
        str(table),
        read_table(table),
        label,
        site=site,
        keep=keep or (),
        drop=drop or (),
        missing_anywhere=missing_anywhere,
    )
    out.write_text(schema_text(schema), encoding="utf-8")
    show(f"{out}: {schema.features} features, {len(schema.classes)} classes; check it, then share it with every peer")
    show(f"its model: --architecture mlp --parameter features={schema.features} and classes={len(schema.classes)}")
