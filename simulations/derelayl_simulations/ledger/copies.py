"""Which legs of a round do the same: docs/PROTOCOL.md section 4, Settlement."""

from __future__ import annotations

import numpy as np

from .arithmetic import Bools, Ints


def classes(originals: Ints, weight: Ints, revealed: Bools, submitted: Bools) -> Ints:
    """Return each leg's class, (R, L): the number of the first leg that it does the same as, by majority of weight.

    `originals` (R, K, L), a seat's original of each leg; `weight` and `revealed` (R, K); `submitted` (R, L). A leg
    whose seats have no majority for another is its own original; the class of a copy is that of its original. Entries
    of legs not submitted and of seats not revealed are not looked at; another one must name a submitted leg up to its
    own.
    """
    relays, _, legs = originals.shape
    found = np.tile(np.arange(legs), (relays, 1))
    named = (originals != np.arange(legs)) & revealed[:, :, None] & submitted[:, None]
    lines, copies = np.nonzero(named.any(axis=1))
    if len(lines):
        found[lines, copies] = _originals(originals, weight * revealed, named, submitted, lines, copies)
        for _ in range(legs.bit_length()):  # each step doubles the way that is left behind
            found[lines, copies] = found[lines, found[lines, copies]]
    return found


# --- Inside -----------------------------------------------------------------------------------------------------------


def _originals(originals: Ints, weight: Ints, named: Bools, submitted: Bools, lines: Ints, copies: Ints) -> Ints:
    """Return the originals by majority of the legs `copies` of the relays `lines`, which seats have named copies."""
    others = np.where(named[lines, :, copies], originals[lines, :, copies], copies[:, None])
    assert (others >= 0).all(), "an original is a number of a leg"
    assert (others <= copies[:, None]).all(), "an original comes before its copy"
    assert submitted[lines[:, None], others].all(), "an original has been submitted"
    weights = weight[lines]
    shares = (weights[:, None] * (others[:, None] == others[:, :, None])).sum(axis=2)  # of who says the same
    sure = 2 * shares > weights.sum(axis=1, keepdims=True)
    chosen = np.take_along_axis(others, sure.argmax(axis=1)[:, None], axis=1)[:, 0]
    return np.where(sure.any(axis=1), chosen, copies)
