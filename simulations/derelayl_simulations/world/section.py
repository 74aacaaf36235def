"""What every section of a scenario file has in common, and numbers that differ from person to person."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field


class Section(BaseModel):
    """A part of a scenario file: read once, never changed, no unknown keys, no infinity."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Spread(Section):
    """A number that differs between people: a mean and the standard deviation relative to it. In a file, a bare number
    is a mean without deviation.

    `lognormal` and `uniform` keep that mean and deviation; neither gives a negative number (a uniform one is cut at 0,
    so its `deviation` is at most 0.57).
    """

    mean: float = Field(ge=0, le=1e9)
    deviation: float = Field(default=0.0, ge=0, le=3)
    shape: Literal["lognormal", "uniform"] = "lognormal"


def _spread(given: Any) -> Any:
    return {"mean": given} if isinstance(given, int | float) and not isinstance(given, bool) else given


Varying = Annotated[Spread, BeforeValidator(_spread)]


def each(mean: float, deviation: float = 0.0) -> Spread:
    """Return a default for a `Varying` field."""
    return Spread(mean=mean, deviation=deviation)
