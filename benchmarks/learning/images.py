"""The images that the tables train on."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from derelayl_training.data import load
from derelayl_training.split import Split

CLASSES = 10  # in both sets


@cache
def whole_images(quick: bool) -> Split:
    """Fashion-MNIST, which a full run needs installed; in a quick run MNIST-5k, which comes from pip with the project.

    Raises LocalFault.
    """
    return load("mnist-5k" if quick else "fashion-mnist")


def halved(data: Split) -> Split:
    """Both parts at half the height and width."""
    return Split(_half(data.train_x), data.train_y, _half(data.held_x), data.held_y)


def spread(samples: int, wanted: int) -> NDArray[np.int64]:
    """Which `wanted` of so many samples to take, at even distances: MNIST-5k is sorted by label."""
    return np.linspace(0, samples - 1, wanted).round().astype(np.int64)


def shape_of(data: Split) -> dict[str, int]:
    """What a network of these images is built with."""
    channels, height, width = data.train_x.shape[1:]
    return {"channels": channels, "height": height, "width": width, "classes": CLASSES}


def _half(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    samples, channels, height, width = images.shape
    cells = images.reshape(samples, channels, height // 2, 2, width // 2, 2)
    return cells.mean((3, 5), dtype=np.float32).round().astype(np.uint8)
