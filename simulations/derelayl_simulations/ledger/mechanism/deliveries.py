"""Other ways to treat a tip that most could not fetch."""

from __future__ import annotations

import numpy as np

from ..arithmetic import Bools, Ints
from .port import Delivery


class Half(Delivery):
    """Selects no leg of a tip of which fewer than half of the legs were submitted, so that the tip stalls.

    Who serves its tip to nobody and continues it alone has then done so for nothing, and loses its bond.
    """

    def counts(self, tip: Ints, is_leg: Bools, submitted: Bools) -> Bools:
        same = (tip[:, :, None] == tip[:, None]) & is_leg[:, None]
        came = (same & submitted[:, None]).sum(axis=2)
        return np.asarray(submitted & (2 * came >= same.sum(axis=2)))
