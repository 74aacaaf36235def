"""Emoji as two or more vendors draw them: the same things in other colours and shapes, so a vendor is a site."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from derelayl_protocol.errors import LocalFault
from derelayl_protocol.limits import MIB

from ..images import HELD_EVERY, ImageFolder, decode_image, parse_size
from ..split import MAX_SHARD_BYTES, Sites, Split, check_split
from .spec import parse_options

SIDE = 64
"""Pixels along a side, the size of the packages' single images."""

NO_CATEGORY = "Component"
"""Five swatches of skin, which are no things."""

MAX_INDEX_BYTES = 16 * MIB

IMAGE_NAME = re.compile(r"[0-9a-f-]+\.png")
"""Code points; nothing that could lead elsewhere."""


@dataclass(frozen=True, slots=True)
class Emoji:
    """One thing: its category and the images of it, in all colours of skin, that some vendors have."""

    category: str
    images: tuple[tuple[str, frozenset[str]], ...]  # file name, vendors


def load_emoji(argument: str) -> Split:
    """Load `FOLDER[,FOLDER…][,site=VENDOR…][,size=HxW]`: RGB images, their category, their vendor. Raises LocalFault.

    A FOLDER is an unpacked npm package such as emoji-datasource-google: emoji.json and img/VENDOR/64. Every fifth thing
    of a category is held out, in all its colours and at every vendor, so nobody trains on a sibling of what judges.
    """
    options = parse_options("emoji", argument, ("site", "size"), ("site",))
    size = parse_size(options.one("size") or f"{SIDE}x{SIDE}")
    if size is None:
        raise LocalFault(f"emoji:{argument}: {options.one('size')!r} is not a size; allowed is size=HxW")
    folders = dict(sorted(_vendor_folders(tuple(map(Path, options.named)), options.many("site"))))
    things = _read_index(Path(options.named[0]))
    categories = sorted({thing.category for thing in things})
    found = list(_files(things, folders))
    shape = (len(found), 3, *size)
    if int(np.prod(shape)) > MAX_SHARD_BYTES:
        raise LocalFault(f"emoji:{argument} would take {int(np.prod(shape))} bytes; give a smaller size=HxW")
    images = np.empty(shape, np.uint8)
    for image, file in zip(images, found, strict=True):
        image[:] = decode_image(file.path, ImageFolder(file.path.parent, size))
    labels = np.array([categories.index(file.category) for file in found], np.int64)
    vendors = np.array([list(folders).index(file.vendor) for file in found], np.int64)
    held = np.array([file.held for file in found], np.bool_)
    sites = Sites(vendors[~held], vendors[held], tuple(folders))
    return check_split(f"emoji:{argument}", Split(images[~held], labels[~held], images[held], labels[held], sites))


@dataclass(frozen=True, slots=True)
class File:
    """One image, and where it goes."""

    path: Path
    category: str
    vendor: str
    held: bool


def _files(things: list[Emoji], folders: dict[str, Path]) -> Iterator[File]:
    seen: dict[str, int] = {}
    for thing in things:
        seen[thing.category] = seen.get(thing.category, 0) + 1
        held = seen[thing.category] % HELD_EVERY == 0
        for vendor, folder in folders.items():
            for name, vendors in thing.images:
                if vendor in vendors:
                    yield File(folder / name, thing.category, vendor, held)


def _vendor_folders(packages: tuple[Path, ...], wanted: tuple[str, ...]) -> Iterator[tuple[str, Path]]:
    present: dict[str, Path] = {}
    for package in packages:
        inside = sorted(package.glob(f"img/*/{SIDE}"))
        if not inside:
            raise LocalFault(
                f"{package} has no img/VENDOR/{SIDE}: name the folder of an unpacked emoji-datasource-VENDOR, as "
                f"`npm pack emoji-datasource-google` and tar make it"
            )
        for folder in inside:
            if folder.parent.name in present:
                raise LocalFault(f"{folder} and {present[folder.parent.name]} are of one vendor")
            present[folder.parent.name] = folder
    if absent := sorted(set(wanted) - present.keys()):
        raise LocalFault(f"there is no vendor {absent[0]!r}; there are {', '.join(sorted(present))}")
    return ((vendor, present[vendor]) for vendor in wanted or present)


def _read_index(package: Path) -> list[Emoji]:
    """Read emoji.json, in the order of code points. Raises LocalFault."""
    path = package / "emoji.json"
    try:
        if (size := path.stat().st_size) > MAX_INDEX_BYTES:
            raise LocalFault(f"{path} has {size} bytes, allowed are {MAX_INDEX_BYTES}")
        entries = sorted(json.loads(path.read_text(encoding="utf-8")), key=lambda entry: str(entry["unified"]))
        things = [_thing(entry) for entry in entries if entry["category"] != NO_CATEGORY]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise LocalFault(f"{path} is not the index of an emoji-datasource package: {error!r}") from error
    if not things:
        raise LocalFault(f"{path} lists no emoji")
    return things


def _thing(entry: dict[str, Any]) -> Emoji:
    variants = [entry, *entry.get("skin_variations", {}).values()]
    return Emoji(str(entry["category"]), tuple((_checked(each["image"]), _vendors(each)) for each in variants))


def _checked(name: str) -> str:
    if not IMAGE_NAME.fullmatch(name):
        raise ValueError(f"image {name!r} is not named by code points")
    return name


def _vendors(variant: dict[str, Any]) -> frozenset[str]:
    return frozenset(key.removeprefix("has_img_") for key, has in variant.items() if key.startswith("has_img_") and has)
