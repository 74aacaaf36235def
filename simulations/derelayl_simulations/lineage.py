"""The family tree of the selected models, kept so that paying every ancestor does not get slower with the rounds.

Selected models share nearly all of their ancestors: a single trunk up to their last common ancestor and a crown of a
few dozen rounds above it. Of the trunk only "how many of its models did each participant train" matters, one array;
the crown is walked.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Generation:
    """The selected models of one version, best first."""

    trainers: Ints  # (models,) who trained each
    parents: Ints  # (models,) place of each one's parent in the generation before; meaningless for genesis


@dataclass(frozen=True, slots=True)
class Ancestry:
    """What a new generation owes to those before it."""

    models: Floats  # (participants,) ancestors each participant trained, summed over the new models; whole numbers
    depth: int | None  # rounds from the new models back to their last common ancestor; None if there are no new models


class Lineage:
    """Genesis and its selected descendants, one generation a round; memory is the crown's, not the history's."""

    def __init__(self, participants: int, genesis_owner: int) -> None:
        self._crown = [Generation(np.array([genesis_owner]), np.zeros(1, np.int64))]
        self._trunk = np.zeros(participants)  # models below the crown that each participant trained

    def extend(self, parents: Ints, trainers: Ints) -> Ancestry:
        """Add a generation and return its ancestry; `parents` are places in the newest generation so far.

        An empty generation changes nothing.
        """
        if len(parents) == 0:
            return Ancestry(np.zeros_like(self._trunk), None)
        descendants = self._count_descendants(parents)
        base = len(self._crown) - len(descendants)  # the last common ancestor lives here
        trained_by = np.concatenate([generation.trainers for generation in self._crown[base:]])
        weights = np.concatenate(descendants[::-1])
        self._raise_crown(base, int(np.argmax(descendants[-1])))
        models = np.bincount(trained_by, weights=weights, minlength=len(self._trunk)) + len(parents) * self._trunk
        self._crown.append(Generation(trainers, parents))
        return Ancestry(models, len(descendants) if len(parents) > 1 else 0)

    def _count_descendants(self, parents: Ints) -> list[Floats]:
        """Count each model's new descendants, newest generation first, down to the one model they all descend from.

        Genesis is such a model, so the walk ends inside the crown.
        """
        place = len(self._crown) - 1
        count: Floats = np.bincount(parents, minlength=len(self._crown[place].trainers)).astype(np.float64)
        counts = [count]
        while np.count_nonzero(count) > 1:
            older = len(self._crown[place - 1].trainers)
            count = np.bincount(self._crown[place].parents, weights=count, minlength=older).astype(
                np.float64, copy=False
            )
            counts.append(count)
            place -= 1
        return counts

    def _raise_crown(self, base: int, ancestor: int) -> None:
        """Move everything below generation `base` on the path to its model `ancestor` into the trunk; drop the rest."""
        for above in range(base, 0, -1):
            ancestor = int(self._crown[above].parents[ancestor])
            self._trunk[self._crown[above - 1].trainers[ancestor]] += 1
        del self._crown[:base]
