"""The family tree of the selected models, kept so that paying every ancestor does not get slower with the rounds.

Selected models share nearly all of their ancestors: a single trunk up to their last common ancestor and a crown of a
few dozen rounds above it. Of the trunk only "how many of its models did each participant train" matters, one array. Of
the crown, every live model's path is kept: who trained its ancestors, generation by generation. Nobody trains two
models in a round, so within a generation the trainer names the model.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Ancestry:
    """What a new generation owes to those before it."""

    models: Ints  # (participants,) ancestors each participant trained, summed over the new models
    depth: int | None  # rounds from the new models back to their last common ancestor; None if there are no new models


class Lineage:
    """Genesis and its selected descendants, one generation a round; memory is the crown's, not the history's."""

    def __init__(self, participants: int, genesis_owner: int) -> None:
        self._paths: Ints = np.array([[genesis_owner]])  # (generations, models) trainers, the newest generation first
        self._trunk = np.zeros(participants, np.int64)  # models below the crown that each participant trained

    def extend(self, parents: Ints, trainers: Ints) -> Ancestry:
        """Add a generation and return its ancestry; `parents` are places in the newest generation so far.

        An empty generation changes nothing.
        """
        count = len(parents)
        if count == 0:
            return Ancestry(np.zeros_like(self._trunk), None)
        crown = self._raise_trunk(parents)
        paths = np.empty((crown + 1, count), np.int64)
        paths[0] = trainers
        np.take(self._paths[:crown], parents, axis=1, out=paths[1:], mode="clip")  # the other modes take a copy more
        models = np.bincount(paths[1:].ravel(), minlength=len(self._trunk))
        models += count * self._trunk
        self._paths = paths
        return Ancestry(models, crown + 1 if count > 1 else 0)

    def _raise_trunk(self, parents: Ints) -> int:
        """Move to the trunk what is on all paths through `parents`; return how many generations stay in the crown."""
        crown, first = len(self._paths), parents[0]
        while crown:
            generation = self._paths[crown - 1]
            common = generation[first]
            if np.count_nonzero(generation[parents] != common):
                break
            self._trunk[common] += 1
            crown -= 1
        return crown
