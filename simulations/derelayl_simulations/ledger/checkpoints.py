"""Accepted checkpoints of all relays: a forest that grows at the tips and is cleared of dead wood now and then.

Checkpoints are numbered across all relays in the order in which they were accepted, so a parent has a smaller number
than its children.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .arithmetic import Bools, Ints

NOBODY = -1
"""No checkpoint, no account, no leg: what pads an array."""

SPARE = 1.5
"""Room is made for this many times the checkpoints that there are."""


class Checkpoints:
    """One row a checkpoint; the columns are arrays of `count` rows, read and written in place.

    `forget` renumbers them: whoever keeps numbers elsewhere passes them in and gets the new ones.
    """

    __slots__ = ("_columns", "count")

    def __init__(self, relays: int, owner: int) -> None:
        self.count = relays
        self._columns: dict[str, NDArray[Any]] = {
            "relay": np.arange(relays, dtype=np.int32),
            "owner": np.full(relays, owner, np.int32),
            "parent": np.full(relays, NOBODY, np.int64),
            "generation": np.zeros(relays, np.int32),
            "score": np.zeros(relays, np.int64),
            "pending": np.zeros(relays, np.int64),
            "note": np.zeros(relays),
        }

    @property
    def relay(self) -> NDArray[np.int32]:
        return self._column("relay")

    @property
    def owner(self) -> NDArray[np.int32]:
        """The account within the relay."""
        return self._column("owner")

    @property
    def parent(self) -> Ints:
        """The number of the checkpoint it continues, NOBODY for a genesis."""
        return self._column("parent")

    @property
    def generation(self) -> NDArray[np.int32]:
        """Legs since genesis."""
        return self._column("generation")

    @property
    def score(self) -> Ints:
        """Gains since genesis, added up, ppm."""
        return self._column("score")

    @property
    def pending(self) -> Ints:
        """Royalty that waits here, wei."""
        return self._column("pending")

    @property
    def note(self) -> NDArray[np.float64]:
        """What the world wants to remember of a checkpoint, its true quality, say; no rule reads it."""
        return self._column("note")

    @property
    def bytes(self) -> int:
        """Memory taken, with the room for more."""
        return sum(column.nbytes for column in self._columns.values())

    def add(self, relay: Ints, owner: Ints, parent: Ints, gain: Ints) -> Ints:
        """Accept new checkpoints, one for each entry of the flat arguments, and return their numbers."""
        numbers = np.arange(self.count, self.count + len(relay))
        self._make_room(len(relay))
        self.count += len(relay)
        self.relay[numbers], self.owner[numbers], self.parent[numbers] = relay, owner, parent
        self.score[numbers] = self.score[parent] + gain
        self.generation[numbers] = self.generation[parent] + 1
        self.pending[numbers], self.note[numbers] = 0, 0.0
        return numbers

    def forget(self, roots: Ints, reach: int) -> Ints:
        """Drop what is not among `roots`, has nothing pending, and is no ancestor of such a one within `reach` legs.

        What is kept and loses its parent has none from then on. Returns the new number of each old checkpoint, NOBODY
        for those dropped, shape (count before,).
        """
        kept = self._with_ancestors(np.concatenate([roots, np.flatnonzero(self.pending)]), reach)
        renumbered = np.where(kept, np.cumsum(kept) - 1, NOBODY)
        columns = {name: column[: self.count][kept] for name, column in self._columns.items()}
        parents = columns["parent"]
        columns["parent"] = np.where(parents == NOBODY, NOBODY, renumbered[parents])  # NOBODY if dropped, too
        self._columns, self.count = columns, len(parents)
        return renumbered

    # --- Inside -------------------------------------------------------------------------------------------------------

    def _column(self, name: str) -> NDArray[Any]:
        return self._columns[name][: self.count]

    def _make_room(self, more: int) -> None:
        if self.count + more <= len(self._columns["relay"]):
            return
        room = int(SPARE * (self.count + more))
        for name, column in self._columns.items():
            grown = np.empty(room, column.dtype)
            grown[: self.count] = column[: self.count]
            self._columns[name] = grown

    def _with_ancestors(self, numbers: Ints, reach: int) -> Bools:
        """Mark these checkpoints and those up to `reach` legs before them, a leg at a time: the nearest way counts."""
        marked = np.zeros(self.count, np.bool_)
        for _ in range(reach + 1):
            fresh = numbers[~marked[numbers]]
            if not len(fresh):
                break
            marked[fresh] = True
            parents = self.parent[fresh]
            numbers = parents[parents != NOBODY]
        return marked
