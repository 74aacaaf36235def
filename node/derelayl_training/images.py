"""A folder of PNG and JPEG files, one sub-folder a class: found, decoded and brought to one shape."""

from __future__ import annotations

import os
import re
import struct
import warnings
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from derelayl_protocol.errors import LocalFault

MAX_IMAGE_PIXELS = 64_000_000
"""One file's width times height, more than a camera gives: 192 MB decoded. Stops a decompression bomb."""

HELD_EVERY = 5
"""Without a held-out part, every fifth file of each class, in the order of their names, is held out."""

TRAIN_FOLDER = "train"
HELD_FOLDERS = ("held", "test", "val")
"""The names that a held-out part beside `train` may have."""

FORMATS = ("PNG", "JPEG")

EIGHT_BIT_MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr")
"""Pillow's modes that go to 8 bits a channel without loss; it would clip 16-bit grey ones."""

DECODE_ERRORS = (OSError, SyntaxError, ValueError, EOFError, IndexError, KeyError, TypeError, struct.error, zlib.error)
"""What Pillow raises for damaged files: SyntaxError for a broken PNG chunk, several of the others for broken EXIF."""

Labelled = tuple[NDArray[np.uint8], NDArray[np.int64]]
"""Images (N, C, H, W) and labels (N,)."""


@dataclass(frozen=True, slots=True)
class ImageFolder:
    """Where the images lie and how they are wanted: `size` (height, width) or as they are, colour or gray."""

    path: Path
    size: tuple[int, int] | None = None
    gray: bool = False

    @property
    def channels(self) -> int:
        return 1 if self.gray else 3


@dataclass(frozen=True, slots=True)
class Files:
    """Files and the label of each."""

    paths: tuple[Path, ...]
    labels: tuple[int, ...]


def parse_image_folder(text: str) -> ImageFolder:
    """Parse `FOLDER[,size=HxW][,gray]`; the folder's name has no comma. Raises LocalFault."""
    path, *options = text.split(",")
    size, gray = None, False
    for option in options:
        found = parse_size(option.removeprefix("size=")) if option.startswith("size=") else None
        if found and size is None:
            size = found
        elif option == "gray" and not gray:
            gray = True
        else:
            raise LocalFault(f"images:{text}: {option!r} is not an option; allowed are size=HxW and gray, each once")
    return ImageFolder(Path(path), size, gray)


def parse_size(text: str) -> tuple[int, int] | None:
    """Parse `HxW`, height and width in pixels; None if it is not that."""
    found = re.fullmatch(r"([1-9]\d{0,4})x([1-9]\d{0,4})", text)
    return (int(found[1]), int(found[2])) if found else None


def read_image_folder(folder: ImageFolder, max_bytes: int) -> tuple[Labelled, Labelled]:
    """Return the part to train on and the held-out part, at most `max_bytes` decoded.

    The folder has one sub-folder a class, or `train` and one of HELD_FOLDERS with one sub-folder a class each. The
    classes' names, sorted by code point, are the labels 0, 1, …; an empty sub-folder takes its label too.
    Raises LocalFault naming the file.
    """
    train, held = _find(folder.path)
    if not train.paths and not held.paths:
        raise LocalFault(f"{folder.path} has no images in its class folders")
    with warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        height, width = folder.size or decode_image((train.paths or held.paths)[0], folder).shape[1:]
        shape = (folder.channels, height, width)
        size = (len(train.paths) + len(held.paths)) * folder.channels * height * width
        if size > max_bytes:
            raise LocalFault(f"{folder.path} decodes to {size} bytes, allowed are {max_bytes}; give a smaller size=HxW")
        return _read(train, folder, shape), _read(held, folder, shape)


def _read(files: Files, folder: ImageFolder, shape: tuple[int, int, int]) -> Labelled:
    images = np.empty((len(files.paths), *shape), dtype=np.uint8)
    for image, path in zip(images, files.paths, strict=True):
        decoded = decode_image(path, folder)
        if decoded.shape != shape:
            raise LocalFault(
                f"{path} is {decoded.shape[1]}x{decoded.shape[2]} (height x width), "
                f"the first image is {shape[1]}x{shape[2]}; bring all to one size with size=HxW"
            )
        image[:] = decoded
    return images, np.array(files.labels, dtype=np.int64)


def decode_image(source: Path | IO[bytes], folder: ImageFolder, name: str = "") -> NDArray[np.uint8]:
    """Return one image as uint8 (C, H, W): turned upright, what is transparent laid on white, stretched to the size.

    Raises LocalFault naming `name`, or else the path.
    """
    path = name or source
    try:
        with Image.open(source, formats=FORMATS) as file:  # reads the header only
            if file.width * file.height > MAX_IMAGE_PIXELS:
                raise _too_large(path, f"{file.width * file.height} pixels")
            if file.mode not in EIGHT_BIT_MODES:
                raise LocalFault(f"{path} has the pixel format {file.mode}, allowed are 8 bits a channel")
            image = _on_white(ImageOps.exif_transpose(file)).convert("L" if folder.gray else "RGB")
            if folder.size is not None:
                height, width = folder.size
                image = image.resize((width, height), Image.Resampling.BILINEAR)
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        raise _too_large(path, "too many pixels") from error
    except DECODE_ERRORS as error:
        raise LocalFault(f"{path} cannot be read as PNG or JPEG: {error}") from error
    pixels = np.asarray(image, dtype=np.uint8).reshape(image.height, image.width, folder.channels)
    return pixels.transpose(2, 0, 1)


def _too_large(path: object, found: str) -> LocalFault:
    return LocalFault(f"{path} has {found}, allowed are {MAX_IMAGE_PIXELS}")


def _on_white(image: Image.Image) -> Image.Image:
    if not image.has_transparency_data:
        return image
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image.convert("RGBA"))


def _find(path: Path) -> tuple[Files, Files]:
    """Return the files to train on and those held out, by class and then by name."""
    try:
        root = os.path.realpath(path, strict=True)
        folders = {folder.name: folder for folder in _folders(path, root)}
        if TRAIN_FOLDER not in folders:
            return _cut(_classes(path, root))
        held = [name for name in folders if name != TRAIN_FOLDER]
        if not held:
            return _cut(_classes(folders[TRAIN_FOLDER], root))
        if len(held) > 1 or held[0] not in HELD_FOLDERS:
            raise LocalFault(
                f"besides train, {path} has the folders {held}; it may have only one of {list(HELD_FOLDERS)}"
            )
        return _two_parts(folders[TRAIN_FOLDER], folders[held[0]], root)
    except OSError as error:
        raise LocalFault(f"{path} cannot be read as a folder of images: {error}") from error


def _cut(classes: dict[str, list[Path]]) -> tuple[Files, Files]:
    held = {name: files[HELD_EVERY - 1 :: HELD_EVERY] for name, files in classes.items()}
    train = {name: [file for i, file in enumerate(files, 1) if i % HELD_EVERY] for name, files in classes.items()}
    return _label(train, list(classes)), _label(held, list(classes))


def _two_parts(train: Path, held: Path, root: str) -> tuple[Files, Files]:
    train_classes, held_classes = _classes(train, root), _classes(held, root)
    if list(train_classes) != list(held_classes):
        odd = sorted(train_classes.keys() ^ held_classes.keys())
        raise LocalFault(
            f"{train} and {held} differ in the classes {odd}: make an empty folder for a class without images"
        )
    return _label(train_classes, list(train_classes)), _label(held_classes, list(train_classes))


def _label(classes: dict[str, list[Path]], names: Sequence[str]) -> Files:
    found = [(file, label) for label, name in enumerate(names) for file in classes[name]]
    return Files(tuple(file for file, _ in found), tuple(label for _, label in found))


def _classes(folder: Path, root: str) -> dict[str, list[Path]]:
    classes = {each.name: list(_images(each, root)) for each in _folders(folder, root)}
    if len(classes) < 2:
        raise LocalFault(
            f"{folder} has {len(classes)} class folders but needs at least 2: one for each class of the network, "
            f"empty where you have no images of it, so that all peers number the classes alike"
        )
    return classes


def _folders(folder: Path, root: str) -> Iterator[Path]:
    for entry in sorted(folder.iterdir(), key=lambda each: each.name):
        _check_within(entry, root)
        if not entry.is_dir():
            raise LocalFault(f"{entry} is not a folder: {folder} may hold class folders only; move it away")
        yield entry


def _images(folder: Path, root: str) -> Iterator[Path]:
    for entry in sorted(folder.iterdir(), key=lambda each: each.name):
        _check_within(entry, root)
        if not entry.is_file():  # a pipe would block, a folder is no image
            raise LocalFault(f"{entry} is not a file: a class folder may hold PNG and JPEG files only")
        yield entry


def _check_within(entry: Path, root: str) -> None:
    """Raise LocalFault for a link that leads out of the folder: nobody shall train on what they did not name."""
    target = os.path.realpath(entry, strict=True)
    if os.path.commonpath([root, target]) != root:
        raise LocalFault(f"{entry} points outside the folder, to {target}")
