"""A loader: `--data moons:SAMPLES` gives rows of two numbers, on one of two half circles that reach into each other."""

from __future__ import annotations

import numpy as np

from derelayl_training.split import Split

HELD_EVERY = 5


def load_moons(argument: str) -> Split:
    """Draw so many samples, 500 by default; a fifth of them is held out. The same each time."""
    samples = int(argument or 500)
    rng = np.random.default_rng(0)
    labels = np.arange(samples) % 2
    angle = np.pi * rng.random(samples)
    circle = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    rows = np.where(labels[:, None] == 0, circle, [1.0, 0.5] - circle) + rng.normal(0, 0.1, (samples, 2))
    inputs, held = rows.astype(np.float32), np.arange(samples) % HELD_EVERY == 0
    return Split(inputs[~held], labels[~held], inputs[held], labels[held])
