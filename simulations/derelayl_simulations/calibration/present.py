"""A calibration as TOML that a scenario takes as it is, as JSON, and as whole scenarios."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .fitted import CONFIDENCE, Fitted
from .forecast import CONFIDENCE as OF_A_ROUND
from .forecast import WORLDS, Holdout, Prediction
from .network import Calibration

if TYPE_CHECKING:
    from ..scenarios.load import Scenario


def part(found: Calibration) -> str:
    """Return the part of a scenario that was fitted, as TOML, with intervals and what is not told as comments."""
    return "\n".join(_lines(found))


def whole(scenario: Scenario) -> str:
    """Return a scenario as a TOML file with every value that is not a default."""
    return "\n".join(_tables(scenario.model_dump(mode="json", exclude_defaults=True), {})) + "\n"


def write_draws(found: Calibration, base: Scenario, count: int, folder: Path) -> list[Path]:
    """Write whole scenarios, each with the numbers of another resampled history, and return their paths.

    A verdict that is the same in all of them does not hang on the uncertainty of the fit. Raises OSError, LocalFault.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for draw in range(1, count + 1):
        name = f"draw-{draw:03}"
        path = folder / f"{name}.toml"
        path.write_text(whole(found.scenario(base, draw).with_values({"name": name})), encoding="utf-8")
        paths.append(path)
    return paths


def document(found: Calibration) -> dict[str, Any]:
    """Return a calibration in JSON types."""
    return {
        "rounds": [found.first, found.last],
        "legs": found.learning.legs,
        "values": found.values(),
        "intervals": {key: _interval(each) for key, each in found.estimates().items()},
        "seen": {text: _interval(each) for text, each in found.seen().items()},
        "untold": list(found.untold()),
    }


def holdout_document(result: Holdout) -> dict[str, Any]:
    """Return what came of predicting held-out rounds in JSON types."""
    return {
        "fitted_rounds": result.fitted,
        "predicts": result.holds,
        "measures": {each.name: _prediction(each) for each in result.predictions},
    }


def holdout_text(result: Holdout) -> str:
    """Return what came of predicting held-out rounds as comments of TOML, the sentence last."""
    lines = [f"fitted to {result.fitted} rounds; {WORLDS} worlds play on, intervals of {OF_A_ROUND:.0%} a round"]
    for each in result.predictions:
        lines.append(
            f"{each.name}: {each.covered:.0%} of {each.rounds} rounds inside, error {each.error:.3g}; "
            f"of the last round before {each.last:.3g}, of their mean {each.mean:.3g}"
        )
    return "\n".join(f"# {line}" for line in (*lines, result.sentence()))


# --- Inside -----------------------------------------------------------------------------------------------------------


def _lines(found: Calibration) -> Iterator[str]:
    judged = f"{found.learning.legs} judged legs of {found.learning.rounds} rounds"
    yield f"# fitted to rounds {found.first} to {found.last}: {judged}; in brackets intervals of {CONFIDENCE:.0%}"
    for text, each in found.seen().items():
        yield f"# {text}: {_number(each.value)} {_brackets(each)}"
    for sentence in found.untold():
        yield f"# not told: {sentence}"
    nested: dict[str, Any] = {}
    for key, value in found.values().items():
        *path, last = key.split(".")
        place = nested
        for name in path:
            place = place.setdefault(name, {})
        place[last] = value
    yield from _tables(nested, {key: _brackets(each) for key, each in found.estimates().items()})


def _tables(document: Mapping[str, Any], comments: Mapping[str, str], path: str = "") -> Iterator[str]:
    """Write a nested document: values first, then sections, then lists of sections."""
    later = []
    for name, value in document.items():
        if isinstance(value, dict) and not _is_inline(path):
            later.append((name, [value], "[{}]"))
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            later.append((name, value, "[[{}]]"))
        elif value is not None:
            comment = comments.get(f"{path}{name}", "")
            yield f"{name} = {_value(value)}" + (f"  # {comment}" if comment else "")
    for name, sections, head in later:
        for section in sections:
            yield ""
            yield head.format(f"{path}{name}")
            yield from _tables(section, comments, f"{path}{name}.")


def _is_inline(path: str) -> bool:
    """Whether dictionaries there are values: the spread of a trait inside a group."""
    return path == "world.group."


def _value(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{name} = {_value(each)}" for name, each in value.items()) + " }"
    return json.dumps(value)


def _interval(each: Fitted) -> list[float | None]:
    return [None if number != number else number for number in (each.value, each.low, each.high)]


def _prediction(each: Prediction) -> dict[str, Any]:
    return {
        "rounds": each.rounds,
        "covered": each.covered,
        "error": each.error,
        "error_of_last": each.last,
        "error_of_mean": each.mean,
        "holds": each.holds,
    }


def _brackets(each: Fitted) -> str:
    return f"[{_number(each.low)}, {_number(each.high)}]"


def _number(value: float) -> str:
    return f"{value:.3g}"
