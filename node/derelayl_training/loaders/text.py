"""Text as bytes: windows to learn the next byte from, of a file or of each file in a folder."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from derelayl_protocol.errors import LocalFault

from ..split import MAX_SHARD_BYTES, Sites, Split, check_split
from .spec import Options, parse_options

TEXT_KEYS = ("length", "held")

LENGTH_DEFAULT = 128
LENGTH_RANGE = (2, 1024)
"""Bytes in a window: what a `gpt` of the registry takes."""

BYTES_PER_BYTE = 1 + np.int64().nbytes
"""What a byte of text takes in memory: itself as an input, and as a label."""

SEPARATOR = b"\n\n"
"""Between two documents of one site."""

Windows = tuple[NDArray[np.uint8], NDArray[np.int64]]


def load_text(argument: str) -> Split:
    """Load `FILE-or-FOLDER[,length=BYTES][,held=SHARE]`; of a folder each file is a site. Raises LocalFault."""
    options = parse_options("text", argument, TEXT_KEYS)
    path = options.path
    if not path.is_dir():
        return split_text(str(path), {path.name: read_text(path)}, options, sites=False)
    return split_text(str(path), {file.name: read_text(file) for file in text_files(path)}, options)


def text_files(folder: Path, ending: str = "") -> list[Path]:
    """List the files in a folder by name, of one ending if given. Raises LocalFault: none, or one that is no file."""
    try:
        root = os.path.realpath(folder, strict=True)
        found = sorted(each for each in folder.iterdir() if each.name.endswith(ending))
        for file in found:
            if os.path.commonpath([root, os.path.realpath(file, strict=True)]) != root:
                raise LocalFault(f"{file} points outside the folder, to {os.path.realpath(file)}")
            if not file.is_file():
                raise LocalFault(f"{file} is not a file: only text files may lie in {folder}")
    except OSError as error:
        raise LocalFault(f"{folder} cannot be read as a folder of texts: {error}") from error
    if not found:
        raise LocalFault(f"{folder} has no {ending or 'text'} files")
    return found


def read_text(path: Path) -> bytes:
    """Read a file of UTF-8. Raises LocalFault naming it."""
    try:
        if (size := path.stat().st_size) * BYTES_PER_BYTE > MAX_SHARD_BYTES:
            raise LocalFault(f"{path} has {size} bytes, allowed are {MAX_SHARD_BYTES // BYTES_PER_BYTE}")
        text = path.read_bytes()
        text.decode("utf-8")
    except OSError as error:
        raise LocalFault(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise LocalFault(f"{path} is not UTF-8: byte {error.start} is {text[error.start]:#04x}") from error
    return text


def split_text(source: str, texts: Mapping[str, bytes], options: Options, *, sites: bool = True) -> Split:
    """Cut the text of each site into windows and hold out the last ones of each.

    Windows never overlap, so nothing that is held out was trained on. Raises LocalFault: too long, or too short for two
    windows at any site; a site that is too short is left out.
    """
    length = options.integer("length", LENGTH_DEFAULT, *LENGTH_RANGE)
    share = options.held()
    size = sum(map(len, texts.values())) * BYTES_PER_BYTE
    if size > MAX_SHARD_BYTES:
        raise LocalFault(f"{source} becomes {size} bytes, allowed are {MAX_SHARD_BYTES}")
    cut = {name: each for name, text in texts.items() if len((each := windows(text, length))[0]) > 1}
    if not cut:
        raise LocalFault(f"{source} is empty: it has less than two windows of {length + 1} bytes")
    held = {name: max(1, round(len(inputs) * share)) for name, (inputs, _) in cut.items()}
    train_x, train_y = _join([(x[: -held[name]], y[: -held[name]]) for name, (x, y) in cut.items()])
    held_x, held_y = _join([(x[-held[name] :], y[-held[name] :]) for name, (x, y) in cut.items()])
    places = np.arange(len(cut))
    named = Sites(
        np.repeat(places, [len(x) - held[name] for name, (x, _) in cut.items()]),
        np.repeat(places, list(held.values())),
        tuple(cut),
    )
    return check_split(source, Split(train_x, train_y, held_x, held_y, named if sites else None))


def windows(text: bytes, length: int) -> Windows:
    """Cut a text into as many windows of `length` + 1 bytes as it has: all but the last byte, all but the first.

    uint8 (N, length) and int64 (N, length).
    """
    count = len(text) // (length + 1)
    cut = np.frombuffer(text, np.uint8, count * (length + 1)).reshape(count, length + 1)
    return cut[:, :-1].copy(), cut[:, 1:].astype(np.int64)


def _join(parts: list[Windows]) -> Windows:
    return np.concatenate([inputs for inputs, _ in parts]), np.concatenate([labels for _, labels in parts])
