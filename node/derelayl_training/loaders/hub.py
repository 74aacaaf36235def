"""Data sets of the Hugging Face `datasets` library: from a local folder, or by name where there is a network.

A data set is read as data only: code that lies beside it is never run.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from derelayl_protocol.errors import LocalFault

from ..images import ImageFolder, decode_image, parse_size
from ..split import MAX_SHARD_BYTES, Split, check_split
from .package_tables import optional_package
from .spec import Options, held_rows, parse_options
from .table import REPEATABLE_KEYS, TABLE_KEYS, encode_labels, label_classes, site_codes, split_table
from .text import SEPARATOR, TEXT_KEYS, split_text

HUB_KEYS = ("split", "input", "size", "length", "bytes", *TABLE_KEYS)

HUB_NAME = re.compile(r"[\w.-]+(/[\w.-]+)?")
SPLIT_DEFAULT = "train"
LABEL_DEFAULT = "label"

LOAD_ERRORS = (OSError, ValueError, RuntimeError, LookupError, TypeError)
"""What `datasets` raises for absent sets, networks, splits, formats, sets without rows and sets that need code."""


def load_hub(argument: str) -> Split:
    """Load `NAME-or-FOLDER[,split=…][,input=COLUMN][,label=COLUMN][,site=COLUMN][,held=SHARE]…`. Raises LocalFault.

    `input=` names a column of images or of text (with `label=` labelled texts); without it, a set with one column of
    images is images, one with text and no label is text, and any other is a table, with the options of `table:`.
    """
    options = parse_options("hf", argument, HUB_KEYS, REPEATABLE_KEYS)
    package = optional_package("datasets", "datasets")
    found = _open(package, options)
    source = f"hf:{options.name}"
    if not len(found):
        raise LocalFault(f"{source} is empty: it has no rows")
    column = options.one("input") or _input_column(found.features, options)
    if column is not None and column not in found.features:
        raise LocalFault(f"{source} has no column {column!r}; it has {', '.join(found.features)}")
    match _feature(found.features, column):
        case "Image":
            assert column is not None
            return _images(source, package, found, column, options)
        case "text" if options.one("label") is not None:
            return _labelled_texts(source, found, str(column), options)
        case "text":
            return _text(source, found, str(column), options)
        case None:
            return _table(source, found, options)
        case other:
            raise LocalFault(
                f"{source}: column {column!r} is {other}, input= must name images or text, not a column of a table"
            )


def _open(package: Any, options: Options) -> Any:
    """Open one split. Raises LocalFault."""
    name, split = options.name, options.one("split") or SPLIT_DEFAULT
    folder = Path(name)
    if not folder.is_dir() and not HUB_NAME.fullmatch(name):
        raise LocalFault(f"hf:{name} is neither a folder here nor the name of a data set, such as OWNER/NAME")
    package.disable_progress_bars()
    try:
        if any((folder / each).is_file() for each in ("dataset_dict.json", "dataset_info.json", "state.json")):
            saved = package.load_from_disk(name)
            return saved[split] if isinstance(saved, package.DatasetDict) else saved
        return package.load_dataset(name, split=split)
    except LOAD_ERRORS as error:
        raise LocalFault(f"hf:{name}, split {split!r} cannot be loaded: {error or type(error).__name__}") from error


def _feature(features: Any, column: str | None) -> str | None:
    """Tell `Image`, `text`, or the name of any other feature; None for no column."""
    if column is None:
        return None
    feature = features[column]
    if getattr(feature, "dtype", None) in ("string", "large_string"):
        return "text"
    return str(type(feature).__name__)


def _input_column(features: Any, options: Options) -> str | None:
    kinds: dict[str, str | None] = {name: _feature(features, name) for name in features}
    images = [name for name, kind in kinds.items() if kind == "Image"]
    if len(images) == 1:
        return images[0]
    texts = [name for name, kind in kinds.items() if kind == "text"]
    table_wanted = any(options.many(key) for key in ("label", "schema"))
    return texts[0] if len(texts) == 1 and not table_wanted and LABEL_DEFAULT not in features else None


def _images(source: str, package: Any, found: Any, column: str, options: Options) -> Split:
    size = None if (text := options.one("size")) is None else parse_size(text)
    if text is not None and size is None:
        raise LocalFault(f"{source}: {text!r} is not a size; allowed is size=HxW")
    encoded = found.cast_column(column, package.Image(decode=False))[column]
    folder = ImageFolder(Path(options.name), size)
    first = _image(source, 0, encoded[0], folder)
    if len(encoded) * first.nbytes > MAX_SHARD_BYTES:
        raise LocalFault(f"{source} decodes to {len(encoded) * first.nbytes} bytes; give a smaller size=HxW")
    images = np.empty((len(encoded), *first.shape), np.uint8)
    for row, each in enumerate(encoded):
        image = _image(source, row, each, folder)
        if image.shape != first.shape:
            raise LocalFault(f"{source}, row {row + 1}: {image.shape} and row 1: {first.shape}; give size=HxW")
        images[row] = image
    name = options.one("label") or LABEL_DEFAULT
    frame = _frame(source, found, [name, *([site] if (site := options.one("site")) else [])])
    labels = encode_labels(source, frame[name], _class_names(found, name) or label_classes(source, frame[name]))
    held = held_rows(len(images), options.held())
    sites = site_codes(source, frame, site, held)
    return check_split(source, Split(images[~held], labels[~held], images[held], labels[held], sites))


def _image(source: str, row: int, encoded: dict[str, Any], folder: ImageFolder) -> Any:
    name = f"{source}, row {row + 1}"
    if encoded is None or (encoded.get("bytes") is None and encoded.get("path") is None):
        raise LocalFault(f"{name} has no image")
    content = encoded.get("bytes")
    return decode_image(Path(encoded["path"]) if content is None else BytesIO(content), folder, name)


def _labelled_texts(source: str, found: Any, column: str, options: Options) -> Split:
    from ..architectures.minilm import BYTE_RANGE  # here, for it loads torch, which no other data needs
    from .labelled_text import BYTES_DEFAULT, pad_texts

    length = options.integer("bytes", BYTES_DEFAULT, *BYTE_RANGE)
    if len(found) * length > MAX_SHARD_BYTES:
        raise LocalFault(f"{source} becomes {len(found) * length} bytes; give fewer bytes=")
    name, site = options.values["label"][0], options.one("site")
    frame = _frame(source, found, [column, name, *([site] if site else [])])
    texts = pad_texts([str(each or "").encode("utf-8") for each in frame[column].to_list()], length)
    labels = encode_labels(source, frame[name], _class_names(found, name) or label_classes(source, frame[name]))
    held = held_rows(len(texts), options.held())
    sites = site_codes(source, frame, site, held)
    return check_split(source, Split(texts[~held], labels[~held], texts[held], labels[held], sites))


def _text(source: str, found: Any, column: str, options: Options) -> Split:
    """Join the texts of each site; without a site column all are one."""
    own = Options(options.kind, options.named, {key: options.values[key] for key in TEXT_KEYS if key in options.values})
    site = options.one("site")
    frame = _frame(source, found, [column, *([site] if site else [])])
    texts = [str(each or "").encode("utf-8") for each in frame[column].to_list()]
    names = [str(each) for each in frame[site].to_list()] if site else [source] * len(texts)
    joined: dict[str, list[bytes]] = {name: [] for name in sorted(set(names))}
    for name, text in zip(names, texts, strict=True):
        joined[name].append(text)
    return split_text(source, {name: SEPARATOR.join(each) for name, each in joined.items()}, own, sites=bool(site))


def _table(source: str, found: Any, options: Options) -> Split:
    name = options.one("label")
    if name is None and options.one("schema") is None and LABEL_DEFAULT in found.features:
        name = LABEL_DEFAULT
        options = Options(options.kind, options.named, {**options.values, "label": (name,)})
    frame = _frame(source, found, list(found.features))
    return split_table(source, frame, options, _class_names(found, name) if name else None)


def _frame(source: str, found: Any, columns: Sequence[str]) -> pl.DataFrame:
    """Read columns; classes are written by their names. Raises LocalFault."""
    if absent := [name for name in columns if name not in found.features]:
        raise LocalFault(f"{source} has no column {absent[0]!r}; it has {', '.join(found.features)}")
    frame: pl.DataFrame = found.select_columns(list(columns)).to_polars()
    for name in columns:
        if names := _class_names(found, name):
            codes = frame[name].to_list()
            texts = [names[code] if code is not None and 0 <= code < len(names) else None for code in codes]
            frame = frame.with_columns(pl.Series(name, texts, dtype=pl.String))
    return frame


def _class_names(found: Any, column: str) -> list[str] | None:
    return getattr(found.features.get(column), "names", None)
