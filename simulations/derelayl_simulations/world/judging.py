"""What validators measure of a leg. Ours; caution is the validators' convention of docs/PROTOCOL.md section 4."""

from __future__ import annotations

import numpy as np

from derelayl_protocol.types import UNAVAILABLE

from .people import Bools, Floats, Ints
from .settings import JudgingSettings
from .strategies.port import as_scores

WORST_DATA = 0.1  # quality below which a judge's error grows no further


def measure(
    settings: JudgingSettings, gain: Floats, still: Bools, skew: Floats, submitted: Bools, quality: Floats, luck: Floats
) -> Ints:
    """Return what each seat measures of each leg in ppm, (relays, seats, legs); UNAVAILABLE where there is no child.

    `gain` in nats, `still`, the trainer's `skew` and `submitted` are (relays, legs), the judge's data `quality`
    (relays, seats), `luck` standard normal (relays, seats, legs). A judge knows the error that its number of samples
    makes, and stays below the gain by a share of it; that a skewed child suits its data more or less it does not know.
    """
    known = (
        np.where(still, settings.still_noise, settings.noise)[:, None, :] / np.maximum(quality, WORST_DATA)[:, :, None]
    )
    unknown = (settings.partiality * np.where(still, 0.0, skew))[:, None, :]
    error = np.sqrt(known * known + unknown * unknown)
    scores = as_scores(gain[:, None, :] + error * luck - settings.caution * known)
    return np.where(submitted[:, None, :], scores, UNAVAILABLE)
