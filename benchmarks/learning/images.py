"""The images that the tables train on."""

from __future__ import annotations

from functools import cache

from derelayl_training.data import load
from derelayl_training.split import Split


@cache
def whole_images(quick: bool) -> Split:
    """Fashion-MNIST, which a full run needs installed; in a quick run MNIST-5k, which comes from pip with the project.

    Raises LocalFault.
    """
    return load("mnist-5k" if quick else "fashion-mnist")
