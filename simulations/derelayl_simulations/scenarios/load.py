"""A scenario: everything a run needs but its seed, as one checked TOML file.

The sections belong to the rule sets and to the world; here they are only put together, with what is asked of the runs:
how many, which sweep, and what counts as sustainable.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Discriminator, Field, Tag, ValidationError, model_validator

from derelayl_protocol.errors import LocalFault
from derelayl_protocol.ledger.rules import Rules

from ..ledger.settings import LedgerSettings, settings_of
from ..published.parameters import PublishedParameters
from ..world.section import Section
from ..world.settings import Event, SearchSettings, WorldSettings
from .dotted import ALIASES, Document, expand, flatten, put
from .mechanism import MechanismSettings
from .refusal import explain

MAX_FILE_BYTES = 256 * 1024  # a scenario is a page or two
MAX_ROUNDS = 100_000  # minutes per seed; more would be a slip of the pen
MAX_SEEDS = 100_000  # every seed is a run of its own
MAX_SAMPLES = 100_000  # points of a sweep, each with all its seeds
IDLE = {"published": ("ledger", "mechanism", "world", "event", "search"), "ledger": ("published",)}
"""Sections that a rule set does not read."""

MAX_EVENTS = 1_000
MAX_NAME = 64  # characters; a name is part of a folder's name


class Span(Section):
    """The values that a sweep gives to one key: from `low` to `high`, in `steps` equal steps where it is a grid."""

    low: float
    high: float
    steps: int = Field(default=5, ge=2, le=1000)

    @model_validator(mode="after")
    def _has_a_width(self) -> Self:
        if self.low >= self.high:
            raise ValueError(f"low is {self.low}, which must be below high, {self.high}")
        return self


Values = Annotated[tuple[float | int | str | bool, ...], Field(min_length=1, max_length=1000)]
Range = Annotated[
    Annotated[Span, Tag("span")] | Annotated[Values, Tag("values")],
    Discriminator(lambda given: "span" if isinstance(given, Span | dict) else "values"),
]


class SweepSettings(Section):
    """Which values a sweep tries."""

    method: Literal["grid", "latin", "sobol", "one-at-a-time"] = "grid"
    samples: int = Field(default=64, ge=1, le=MAX_SAMPLES)  # of latin; of sobol a power of two, times keys + 2 points
    over: dict[str, Range] = Field(min_length=1, max_length=32)  # dotted key → range or list of values


class VerdictSettings(Section):
    """What counts as sustainable. Every threshold is ours; the published text states none."""

    confidence: float = Field(default=0.95, ge=0.5, le=0.999)  # of every interval of a verdict
    alive_share: float = Field(default=0.8, gt=0, le=1)  # of the seeds, that must be alive after the last round
    profit_above: float = Field(default=0.0, ge=-1e9, le=1e9)  # coins a round, of the median participant of each role
    # money a round that deviating may earn beyond honesty: a tenth of what a training costs, as `search.tolerance`
    deviation_tolerance: float = Field(default=0.05, ge=0, le=1e9)
    inflation_below: float = Field(default=0.001, gt=0, le=10)  # share of the supply minted in a round
    inflation_by: int = Field(default=1_000, ge=1, le=10**9)  # rounds that mint, after which no round mints so much
    quality_fall: float = Field(default=0.05, ge=0, le=1)  # share by which quality may fall in a quarter of the rounds


class Scenario(Section):
    """One world under one rule set, and what is asked of it."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$", max_length=MAX_NAME)
    question: str = Field(min_length=1, max_length=2000)  # which question the scenario answers
    rules: Literal["published", "ledger"]
    rounds: int = Field(ge=1, le=MAX_ROUNDS)
    seeds: int = Field(default=20, ge=1, le=MAX_SEEDS)  # runs, unless the caller asks for another number
    published: PublishedParameters = PublishedParameters()
    ledger: LedgerSettings = LedgerSettings()
    mechanism: MechanismSettings = MechanismSettings()
    world: WorldSettings = WorldSettings()
    event: tuple[Event, ...] = Field(default=(), max_length=MAX_EVENTS)
    search: SearchSettings = SearchSettings()
    verdict: VerdictSettings = VerdictSettings()
    sweep: SweepSettings | None = None

    def with_values(self, values: Mapping[str, Any]) -> Scenario:
        """Return the scenario with other values at these dotted keys, checked again; short names are allowed.

        Raises LocalFault with the dotted key, the value and what is allowed.
        """
        document = self.model_dump(mode="json")
        full = {expand(key, self.rules): value for key, value in values.items()}
        _refuse_idle({key.partition(".")[0] for key in full}, full.get("rules", self.rules))
        for key, value in full.items():
            put(document, key, value)
        return check(document)

    def under(self, rules: Rules) -> Scenario:
        """Return the scenario with a model's rules instead of its own; budget and wei_per_coin stay.

        Raises LocalFault where the published mechanism is played, or an amount is finer than a simulated wei.
        """
        if self.rules != "ledger":
            raise LocalFault(f"{self.name} plays the published mechanism, which has no rules of a model; try honest")
        self.ledger.check_exact(rules)
        return self.with_values({f"ledger.{name}": value for name, value in settings_of(rules).items()})

    def parameters(self) -> dict[str, Any]:
        """Return what the rule set and the world are given, in JSON types."""
        if self.rules == "published":
            return self.published.model_dump(mode="json")
        return self.model_dump(mode="json", include={"ledger", "mechanism", "world", "event"})

    def not_run(self) -> tuple[str, ...]:
        """Say what of the rules it plays is not what the contract and the network's validators run; () if all is."""
        if self.rules == "published":
            return ("the published mechanism",)
        return self.mechanism.not_run()

    def values(self) -> dict[str, Any]:
        """Return every value of the scenario by its dotted key; JSON types only."""
        return dict(flatten(self.model_dump(mode="json")))

    def differences(self, other: Scenario) -> dict[str, Any]:
        """Return the values of this scenario that another has not, or has otherwise, by dotted key."""
        theirs = other.values()
        return {key: value for key, value in self.values().items() if key not in theirs or theirs[key] != value}


def names() -> list[str]:
    """Return the names of the scenarios that come with the package, in alphabetical order."""
    folder = resources.files(__package__)
    return sorted(file.name.removesuffix(".toml") for file in folder.iterdir() if file.name.endswith(".toml"))


def load(name_or_path: str | Path) -> Scenario:
    """Read a scenario by its name or from a TOML file.

    Raises LocalFault with one sentence where there is none of that name, the file cannot be read or something in it is
    wrong.
    """
    text = str(name_or_path)
    if text in names():
        return _parse(resources.files(__package__).joinpath(f"{text}.toml").read_text(encoding="utf-8"), f"{text}.toml")
    path = Path(name_or_path)
    if path.suffix != ".toml":
        raise LocalFault(f"no scenario is called {text!r}; there are {', '.join(names())}, or name a .toml file")
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise LocalFault(f"{path} is larger than {MAX_FILE_BYTES} bytes: not a scenario")
        return _parse(path.read_text(encoding="utf-8-sig"), str(path))
    except OSError as error:
        raise LocalFault(f"cannot read the scenario {path}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise LocalFault(f"{path} is not a scenario: {error}") from None


def check(document: Document) -> Scenario:
    """Check a document. Raises LocalFault with one sentence a fault, joined by semicolons."""
    try:
        return Scenario.model_validate(_long_names(document))
    except ValidationError as error:
        raise LocalFault(explain(error, Scenario)) from None


def _parse(text: str, source: str) -> Scenario:
    try:
        document = tomllib.loads(text)
        _refuse_idle(document, document.get("rules"))
        return check(document)
    except tomllib.TOMLDecodeError as error:
        raise LocalFault(f"{source} is not TOML: {error}") from None
    except LocalFault as fault:
        raise LocalFault(f"{source}: {fault}") from None


def _refuse_idle(sections: Iterable[str], rules: Any) -> None:
    """Raise LocalFault for sections that these rules never read: what is set should have an effect."""
    idle = [section for section in sections if section in IDLE.get(str(rules), ())]
    if idle:
        raise LocalFault(f"{', '.join(sorted(idle))} has no effect under the rules {rules!r}; leave it out")


def _long_names(document: Document) -> Document:
    """Replace the short names inside the sections they belong to and among the keys of a sweep."""
    rules = str(document.get("rules"))
    changed = dict(document)
    for short, key in ALIASES.get(rules, {}).items():
        section, name = key.split(".")
        inside = changed.get(section)
        if isinstance(inside, dict) and short in inside:
            if name in inside:
                raise LocalFault(f"{section}.{short} and {key} are the same; give one of them")
            changed[section] = {name if each == short else each: value for each, value in inside.items()}
    sweep = changed.get("sweep")
    if isinstance(sweep, dict) and isinstance(sweep.get("over"), dict):
        over: Iterable[tuple[str, Any]] = sweep["over"].items()
        changed["sweep"] = sweep | {"over": {expand(key, rules): value for key, value in over}}
    return changed
