"""A world fitted to the history of a running network, with what its history does not tell."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import ndtri  # type: ignore[import-untyped]

from derelayl_protocol.errors import LocalFault
from derelayl_protocol.ledger.rules import Rules
from derelayl_protocol.ledger.scoring import CAUTION
from derelayl_protocol.types import TOKEN

from ..ledger.settings import LedgerSettings, settings_of
from ..world.people import Floats
from ..world.settings import MAX_ACCOUNTS, CostSettings
from .conduct import ConductFit, fit_conduct
from .fitted import RESAMPLES, Fitted, fitted, resampled
from .history import History
from .judges import JudgesFit, fit_judges
from .learning import AVERAGINGS, DRIFTS, SIZES, LearningFit, fit_learning

if TYPE_CHECKING:
    from ..scenarios.load import Scenario

SKEW = 0.1  # of everybody's data: a history tells the judges' partiality only times that
LEAST_LATE = 1e-3  # share of the leases below which nothing is said of late ones
MOST_ROUNDS = 100_000  # that a scenario's event can last

ALWAYS_UNTOLD = (
    "what people's work costs them, their patience, and what they do with the model: no ledger records it",
    "forgetting apart from slow learning, and skill apart from quality: forgetting is 0, all differences are quality's",
    "how sure copies are found, as nobody says which legs are copies",
)


@dataclass(frozen=True, slots=True)
class Calibration:
    """What a network's history says of the numbers of a world, each with an interval; and what it does not say."""

    rules: Rules
    budget: float  # coins
    first: int  # round
    last: int
    learning: LearningFit
    judges: JudgesFit | None  # None where the seats' scores cannot be compared
    conduct: ConductFit

    def estimates(self) -> dict[str, Fitted]:
        """Return the estimates by the dotted keys of a scenario; those that a history does not tell are left out."""
        learning, conduct = self.learning, self.conduct
        found = {f"world.learning.{name}": fitted(getattr(learning, name)) for name in _CURVE}
        for name, grid in _GRIDS.items():
            found[f"world.learning.{name}"] = _between(found[f"world.learning.{name}"], grid)
        if self.judges is not None:
            found |= {f"world.judging.{name}": each for name, each in self.judges.intervals().items()}
            partial = found["world.judging.partiality"]
            found["world.judging.partiality"] = Fitted(partial.value / SKEW, partial.low / SKEW, partial.high / SKEW)
        if not np.isnan(conduct.bid_share[0]):
            found["world.bid_share"] = fitted(conduct.bid_share)
        found["world.judging.mistaken"] = fitted(conduct.copies)
        return found

    def seen(self) -> dict[str, Fitted]:
        """Return what was counted and is no number of a scenario, by what it is."""
        return {text: fitted(getattr(self.conduct, name)) for name, text in _COUNTED.items()}

    def untold(self) -> tuple[str, ...]:
        """Say what the history does not tell, a sentence each; the scenario's own numbers stay there."""
        return tuple(self._untold())

    def values(self, draw: int = 0, costs: CostSettings | None = None) -> dict[str, Any]:
        """Return what a scenario is given, by dotted key: the estimates, or those of a resampled history (1 … 200).

        `costs` are the scenario's, by which a leg takes its time (default: a scenario's defaults). Whole lists
        (`world.group`, `event`) replace the scenario's. Raises LocalFault for another draw.
        """
        if not 0 <= draw <= RESAMPLES:
            raise LocalFault(f"draw is {draw}, allowed is 0 … {RESAMPLES}")
        conduct = self.conduct
        values: dict[str, Any] = {
            "world.relays": 1,
            "world.participants": conduct.trainers + conduct.validators,
            "world.churn": bool(conduct.arrivals[0] or conduct.departures[0]),
            "world.group": self._groups(draw),
            "world.learning.forgetting": 0.0,
        }
        for key in self.estimates():
            values[key] = _rounded(self._drawn(key, draw))
        late = _one(conduct.late, draw)
        if late >= LEAST_LATE:
            costs = costs or CostSettings()  # a leg's time is normal: so much room leaves that share too late
            values["world.costs.window_hours"] = _rounded(costs.leg_hours * (1 - costs.delay * float(ndtri(late))))
        lost = _one(conduct.lost, draw)
        if lost > 0:
            values["event"] = [{"round": 1, "kind": "partition", "amount": _rounded(lost), "rounds": MOST_ROUNDS}]
        return values | {f"ledger.{name}": value for name, value in self._ledger().items()}

    def scenario(self, base: Scenario, draw: int = 0) -> Scenario:
        """Return a scenario with the fitted world and the network's rules in place of its own.

        Raises LocalFault where the base plays the published mechanism, or something is beyond what a scenario allows.
        """
        if base.rules != "ledger":
            raise LocalFault(f"{base.name} plays the published mechanism, a network plays the ledger's: try honest")
        return base.with_values(self.values(draw, base.world.costs))

    # --- Inside -------------------------------------------------------------------------------------------------------

    def _drawn(self, key: str, draw: int) -> float:
        section, name = key.split(".")[-2:]
        if key == "world.judging.mistaken":
            return _one(self.conduct.copies, draw)
        if section == "judging":
            drawn = _one(getattr(self.judges, name), draw)
            return drawn / SKEW if name == "partiality" else drawn
        return _one(getattr(self.learning if section == "learning" else self.conduct, name), draw)

    def _groups(self, draw: int) -> list[dict[str, Any]]:
        learning, conduct = self.learning, self.conduct
        spread = _one(learning.trainers, draw) / max(_one(learning.rate, draw) * _one(learning.ceiling, draw), 1e-9)
        quality = {"mean": 1.0, "deviation": _rounded(min(spread, 3.0))}
        trainers, validators = (_rounded(share) for share in conduct.founders)
        return [
            {"name": "trainers", "count": conduct.trainers, "present": trainers, "quality": quality, "skill": 1.0,
             "skew": SKEW},
            {"name": "validators", "role": "validator", "count": conduct.validators, "present": validators},
        ]  # fmt: skip

    def _ledger(self) -> dict[str, Any]:
        try:
            LedgerSettings().check_exact(self.rules)
        except LocalFault:
            return {}
        return {**settings_of(self.rules), "budget": self.budget}

    def _untold(self) -> Iterator[str]:
        if not self._ledger():
            yield "the network's rules: their amounts are finer than a simulated wei; pass them with --rules"
        if not self.learning.averaging_seen:
            yield "what averages of tips add, apart from what legs gain: more rounds are needed"
        if self.judges is None:
            yield "the judges' errors: too few rounds have two seats that revealed and two legs"
        elif not self.judges.met:
            yield "partiality: no seat judged a trainer twice"
        if np.isnan(self.conduct.bid_share[0]):
            yield "how bids follow rewards: most are the least that the rules allow"
        if self.rules.duplicate_bps == 0:
            yield "copies: the rules let them be, or are of a version that has none"
        elif self.conduct.copies[0] > 0:
            yield "mistakes about copies apart from copies: all that were named are taken for mistakes"
        yield from ALWAYS_UNTOLD


def calibrate(history: History) -> Calibration:
    """Fit a world to a network's history. The same history always gives the same numbers.

    Raises LocalFault for a history that is too short, or has no ceiling to be seen.
    """
    rounds = history.rounds
    weights = resampled(len(rounds)) if rounds else np.ones((1, 0), np.int64)
    judges = fit_judges(rounds, weights)
    seats = float(np.median([each.revealed.sum() for each in rounds if each.settled] or [1]))
    known = (judges.variance(int(seats)), CAUTION * float(judges.noise[0])) if judges is not None else (0.0, 0.0)
    learning = fit_learning(rounds, weights, *known)
    conduct = fit_conduct(rounds, weights, history.rules.min_bid / TOKEN)
    if conduct.trainers + conduct.validators > MAX_ACCOUNTS:
        raise LocalFault(f"the network has more than the {MAX_ACCOUNTS} accounts that a simulated relay can have")
    return Calibration(history.rules, history.budget, rounds[0].number, rounds[-1].number, learning, judges, conduct)


_COUNTED = {
    "late": "share of leases that nothing came of",
    "lost": "share of seats that revealed nothing",
    "bids": "bids a round",
    "arrivals": "people a round that came",
    "departures": "people a round that left",
}
_GRIDS = {"drift": DRIFTS, "averaging": AVERAGINGS, "noise": SIZES, "roughness": SIZES}
_CURVE = ("rate", "ceiling", "drift", "averaging", "noise", "roughness")


def _between(each: Fitted, grid: Floats) -> Fitted:
    """Widen an interval half way to the next numbers of the grid that its ends were found on."""
    below, above = np.searchsorted(grid, each.low - 1e-9) - 1, np.searchsorted(grid, each.high + 1e-9)
    low = (each.low + grid[below]) / 2 if below >= 0 else each.low
    high = (each.high + grid[above]) / 2 if above < len(grid) else each.high
    return Fitted(each.value, float(low), float(high))


def _one(values: Floats, draw: int) -> float:
    """Return the value of a draw, of the history itself where the draw came to nothing, and 0 where that did, too."""
    return next((float(values[place]) for place in (draw, 0) if not np.isnan(values[place])), 0.0)


def _rounded(value: float) -> float:
    """Return a number to four significant digits."""
    return float(f"{value:.4g}")
