"""Validators that are not honest."""

from __future__ import annotations

import numpy as np

from derelayl_protocol.types import UNAVAILABLE

from .port import Bench, Ints, Judge, as_scores, where_there_is

NUDGE_PPM = 60_000  # how far a nudging ring bends the truth: about as far as legs differ
WHISPER_PPM = 15_000  # how far a whispering ring does: less than a judge's error
PRAISE_PPM = 1_000_000  # what a brazen ring gives its own legs: a loss divided by e
BOAST = 0.1  # factor on the standard error that a ring states, where weight goes by it
EXAGGERATION = 1.2  # factor; doubling would lose


class Guesser(Judge):
    """Measures nothing and says a plausible number."""

    effort = 0.0

    def score(self, bench: Bench, mine: Ints) -> Ints:
        return where_there_is(bench.measured[mine], as_scores(bench.usual[mine] * (1 + bench.luck[mine])))


class Constant(Judge):
    """Measures nothing and gives every leg the usual score."""

    effort = 0.0

    def score(self, bench: Bench, mine: Ints) -> Ints:
        usual = np.broadcast_to(bench.usual[mine], bench.measured[mine].shape)
        return where_there_is(bench.measured[mine], as_scores(usual))


class Exaggerator(Judge):
    """Measures, and makes the legs look further apart than they are."""

    def score(self, bench: Bench, mine: Ints) -> Ints:
        measured = bench.measured[mine]
        return where_there_is(
            measured, as_scores(np.where(measured == UNAVAILABLE, 0, measured) * (EXAGGERATION / 1e6))
        )


class Silent(Judge):
    """Commits and never reveals."""

    reveals = False
    effort = 0.0


class RingJudge(Judge):
    """Gives its ring's legs a high score and calls all others unavailable."""

    effort = 0.0
    boast = BOAST

    def score(self, bench: Bench, mine: Ints) -> Ints:
        return where_there_is(bench.measured[mine], np.where(bench.ring[mine], PRAISE_PPM, UNAVAILABLE))


class NudgingJudge(Judge):
    """Measures, adds a little to its ring's legs and takes as much from the others'."""

    boast = BOAST
    bend = NUDGE_PPM

    def score(self, bench: Bench, mine: Ints) -> Ints:
        measured = bench.measured[mine]
        bent = np.where(measured == UNAVAILABLE, 0, measured) + np.where(bench.ring[mine], self.bend, -self.bend)
        return where_there_is(measured, bent)


class WhisperingJudge(NudgingJudge):
    """Bends the truth by less than a judge's error, which no single leg shows."""

    bend = WHISPER_PPM
