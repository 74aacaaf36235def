"""Small table rows and images of a few classes, for systems that solve in milliseconds."""

import numpy as np
import torch
from torch import Tensor

from derelayl_training.jobs import Architecture
from derelayl_training.split import Split

FEATURES, CLASSES = 4, 5
TABLE = Architecture("pil", {"features": FEATURES, "classes": CLASSES, "neurons": 40, "subsystems": 2, "seed": 3})


def rows(samples: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Rings around the origin: the class is how far out a row (N, FEATURES) float32 lies; labels (N,) int64."""
    rng = np.random.default_rng(seed)
    found = rng.normal(size=(samples, FEATURES)).astype(np.float32)
    distances = np.linalg.norm(found[:, :2], axis=1)
    return found, np.digitize(distances, [0.6, 1.0, 1.4, 1.9]).astype(np.int64)


def split(samples: int = 400, held: int = 100, seed: int = 0) -> Split:
    found, labels = rows(samples + held, seed)
    return Split(found[:samples], labels[:samples], found[samples:], labels[samples:])


def tensors(samples: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    found, labels = rows(samples, seed)
    return torch.from_numpy(found), torch.from_numpy(labels)
