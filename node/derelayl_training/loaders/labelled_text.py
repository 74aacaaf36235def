"""Texts with a label each: a folder with one sub-folder a label and one .txt file a text."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from derelayl_protocol.errors import LocalFault

from ..architectures.minilm import BYTE_RANGE
from ..split import MAX_CLASSES, MAX_SHARD_BYTES, Inputs, Split, check_split
from .spec import held_rows, parse_options
from .text import read_text, text_files

KEYS = ("bytes", "held")

BYTES_DEFAULT = 1024
"""Bytes of one text: more than the 256 tokens that `minilm-lora` takes at most, as a rule."""

ENDING = ".txt"


def load_labelled_text(argument: str) -> Split:
    """Load `FOLDER[,bytes=COUNT][,held=SHARE]`: of each text the first bytes. Raises LocalFault naming the file.

    The sub-folders' names, sorted by code point, are the labels 0, 1, …; of each label the same share is held out.
    """
    options = parse_options("labelled-text", argument, KEYS)
    length = options.integer("bytes", BYTES_DEFAULT, *BYTE_RANGE)
    folders = _folders(options.path)
    files = [text_files(folder, ENDING) for folder in folders]
    size = sum(map(len, files)) * length
    if size > MAX_SHARD_BYTES:
        raise LocalFault(
            f"{options.path} would take {size} bytes, at most {MAX_SHARD_BYTES} are allowed; give fewer bytes="
        )
    texts = pad_texts([read_text(file) for some in files for file in some], length)
    labels = np.repeat(np.arange(len(files)), [len(some) for some in files])
    held = np.concatenate([held_rows(len(some), options.held()) for some in files])
    return check_split(str(options.path), Split(texts[~held], labels[~held], texts[held], labels[held]))


def pad_texts(texts: Sequence[bytes], length: int) -> Inputs:
    """The first `length` bytes of each text, never half a character, filled up with zeros: uint8 (N, length).

    A zero byte in a text becomes a space, or it would look like the filling.
    """
    padded: NDArray[np.uint8] = np.zeros((len(texts), length), dtype=np.uint8)
    for row, text in zip(padded, texts, strict=True):
        start = text[:length].replace(b"\0", b" ").decode("utf-8", errors="ignore").encode()
        row[: len(start)] = np.frombuffer(start, np.uint8)
    return padded


def _folders(path: Path) -> list[Path]:
    try:
        root = os.path.realpath(path, strict=True)
        folders = sorted(each for each in path.iterdir() if each.is_dir() and not each.name.startswith("."))
        for folder in folders:
            if os.path.commonpath([root, os.path.realpath(folder)]) != root:
                raise LocalFault(f"{folder} points outside the folder, to {os.path.realpath(folder)}")
    except OSError as error:
        raise LocalFault(f"{path} cannot be read as a folder of labelled texts: {error}") from error
    if not 2 <= len(folders) <= MAX_CLASSES:
        raise LocalFault(f"{path} has {len(folders)} sub-folders, allowed are 2 to {MAX_CLASSES}: one for each label")
    return folders
