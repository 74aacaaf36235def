"""What validators measure of a leg. Ours; caution is the validators' convention of docs/PROTOCOL.md section 4."""

from __future__ import annotations

import numpy as np

from derelayl_protocol.limits import MAX_TIPS
from derelayl_protocol.types import UNAVAILABLE

from .people import Bools, Floats, Ints
from .settings import JudgingSettings
from .strategies.port import Deeds, Legs, as_scores

WORST_DATA = 0.1  # quality below which a judge's error grows no further


def measure(
    settings: JudgingSettings,
    gain: Floats,
    still: Bools,
    skew: Floats,
    submitted: Bools,
    quality: Floats,
    luck: Floats,
    samples: Floats,
    liking: Floats,
) -> Ints:
    """Return what each seat measures of each leg in ppm, (relays, seats, legs); UNAVAILABLE where there is no child.

    `gain` in nats beyond the base, `still`, the trainer's `skew` and `submitted` are (relays, legs), the judge's data
    `quality` (relays, seats). Standard normal are `luck` about each leg and `liking` of each trainer's data (relays,
    seats, legs), and `samples` about all legs (relays, seats). A judge knows the error that its number of samples
    makes, and stays below the gain by a share of it; that a skewed child suits its data more or less it does not know.
    """
    known = errors(settings, still, quality)
    unknown = (settings.partiality * np.where(still, 0.0, skew))[:, None, :]
    chance = np.sqrt(settings.common) * samples[:, :, None] + np.sqrt(1 - settings.common) * luck
    scores = as_scores(gain[:, None, :] + known * (chance - settings.caution) + unknown * liking)
    return np.where(submitted[:, None, :], scores, UNAVAILABLE)


def errors(settings: JudgingSettings, still: Bools, quality: Floats) -> Floats:
    """Return the standard error in nats that each seat knows to make about each leg, (relays, seats, legs)."""
    noise = np.where(still, settings.still_noise, settings.noise)
    return np.asarray(noise[:, None, :] / np.maximum(quality, WORST_DATA)[:, :, None])


def how_alike(judges: Floats, trainers: Floats) -> Floats:
    """Return how well the judges' data suit the trainers', (relays, seats, legs), standard normal over trainers.

    Both are what data are like, (relays, seats or legs, numbers).
    """
    alike = np.zeros((*judges.shape[:2], trainers.shape[1]))
    for number in range(judges.shape[2]):  # not a BLAS product: its bits differ by machine
        alike += judges[:, :, None, number] * trainers[:, None, :, number]
    length = np.sqrt((judges * judges).sum(axis=2))
    return np.asarray(alike / np.maximum(length, 1e-9)[:, :, None])


def name_originals(settings: JudgingSettings, legs: Legs, deeds: Deeds, likeness: Floats) -> Ints:
    """Return which leg of its relay each is a copy of in the eyes of who compares them, by number; itself if of none.

    A copy is one of the first submitted leg that has handed over the same child of the same tip. A leg that is taken
    for a copy by mistake is one of any earlier leg of its tip. `likeness` (legs,) is uniform: judges see the same
    models, so what one takes for a copy, the others do.
    """
    named: Ints = legs.number.copy()
    there = np.flatnonzero(deeds.submitted)
    if not len(there):
        return named
    luck, tip = likeness[there], legs.relay[there] * MAX_TIPS + legs.tip[there]
    _, first, of = np.unique(deeds.twin[there] * MAX_TIPS + legs.tip[there], return_index=True, return_inverse=True)
    twin = first[of]
    copy = twin != np.arange(len(there))
    seen = copy & (luck < np.where(deeds.half[there], settings.half_found, settings.copy_found))
    named[there[seen]] = legs.number[there[twin[seen]]]
    mistaken = np.flatnonzero(~copy & (luck < settings.mistaken))
    for place in mistaken.tolist():
        earlier = np.flatnonzero(tip[:place] == tip[place])
        if len(earlier):
            named[there[place]] = legs.number[there[earlier[int(luck[place] / settings.mistaken * len(earlier))]]]
    return named
