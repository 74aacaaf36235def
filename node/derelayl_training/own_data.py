"""The samples of one peer, loaded when they are first asked for. Needs no torch."""

from __future__ import annotations

from . import data
from .job_lines import SamplesDone
from .split import Split


class OwnData:
    """What a data spec points to, kept once it is loaded."""

    def __init__(self, spec: str) -> None:
        """`spec` is one of data.SPECS."""
        self.spec = spec
        self._loaded: Split | None = None

    def load(self) -> Split:
        """The samples. Raises LocalFault."""
        if self._loaded is None:
            self._loaded = data.load(self.spec)
        return self._loaded

    def samples(self) -> SamplesDone:
        """How many samples there are to train on and held out. Raises LocalFault."""
        own = self.load()
        return SamplesDone(train=len(own.train_y), held=len(own.held_y))
