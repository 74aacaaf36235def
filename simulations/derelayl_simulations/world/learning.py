"""What a leg gains in truth. Ours, but for the Normal, which is the published form.

A level is what a checkpoint has gained since genesis, in nats, on the data of the world as it is now.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .settings import LearningSettings

Floats = NDArray[np.float64]


def gain(
    settings: LearningSettings, level: Floats, skill: Floats, quality: Floats, skew: Floats, luck: Floats
) -> Floats:
    """Return the nats that each leg adds to its parent's level; `luck` is standard normal, all arrays (legs,).

    A model that is better than what the data can teach is pulled down by training on them.
    """
    if settings.model == "normal":
        return np.asarray(settings.gain_mean + settings.gain_deviation * luck)
    distance = settings.ceiling * quality - level
    learnt = np.minimum(settings.rate * skill, 1.0) * distance
    forgotten = settings.forgetting * skew * np.maximum(level, 0.0)
    return np.asarray(learnt - forgotten + (settings.noise + settings.roughness * np.abs(distance)) * luck)


def age(settings: LearningSettings, levels: Floats) -> Floats:
    """Return what levels are worth a round later: the world has moved on from what was learnt."""
    return np.asarray(levels * (1.0 - settings.drift)) if settings.drift else levels
