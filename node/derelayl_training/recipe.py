"""The recipe of a leg: its method and every dial of it, checked once; the manifest holds what is not the default.

A recipe is written as `key=value` pairs, e.g. `method=local,sgr=0.1,prox=0.01`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from derelayl_protocol.errors import LocalFault

MethodName = Literal["backprop", "local", "incubation", "ela", "sparse", "adapter", "pseudoinverse"]

Share = Annotated[float, Field(ge=0, le=1)]
Weight = Annotated[float, Field(ge=0, le=1e6)]

SUPERVISED: tuple[MethodName, ...] = ("backprop", "sparse")
"""Methods whose loss may be that of prefix heads too; `local` always trains its heads."""

MAX_RECIPE_TEXT = 4096
"""Characters of a recipe on the command line."""


class Recipe(BaseModel):
    """How a leg optimises. docs/METHODS.md explains each dial with the paper that it is from."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    method: MethodName = "backprop"

    # the optimiser: SGD with Nesterov momentum, or AdamW
    optimiser: Literal["sgd", "adamw"] = "sgd"
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    weight_decay: Weight = 1e-4
    warmup: Annotated[int, Field(ge=0, le=1_000_000)] = 5
    schedule: Literal["constant", "cosine"] = "constant"
    clip: Weight = 0.0
    balanced: bool | Literal["auto"] = "auto"

    # intermediate supervision and local learning
    supervision: Weight = 0.0
    window: Annotated[int, Field(ge=1, le=4)] = 1
    cascade: Share = 0.999
    sgr: Weight = 0.0
    ema: Annotated[float, Field(ge=0, lt=1)] = 0.995
    meta: bool = False

    # sparse
    keep: Annotated[float, Field(gt=0, le=1)] = 0.01

    # pseudoinverse
    forget: bool = False

    compose: bool = False

    # ela
    ela_warmup: Share = 0.15
    ela_ramp: Share = 0.25
    ela_every: Annotated[int, Field(ge=1, le=1_000_000)] = 20
    ela_share: Annotated[float, Field(gt=0, lt=1)] = 0.75
    ela_floor: Weight = 0.05
    ela_memory: Annotated[float, Field(ge=0, lt=1)] = 0.9

    # against forgetting
    prox: Weight = 0.0
    distil: Share = 0.0
    temperature: Annotated[float, Field(gt=0, le=100)] = 2.0
    merge: bool = False
    consolidate: Weight = 0.0
    consolidation_decay: Share = 0.9
    rehearse: Annotated[float, Field(ge=0, le=0.9)] = 0.0
    rehearsal_samples: Annotated[int, Field(ge=1, le=100_000)] = 200

    # privacy
    privacy: Literal["none", "dp"] = "none"
    noise: Annotated[float, Field(ge=0.1, le=1000)] = 1.0
    dp_clip: Annotated[float, Field(gt=0, le=1e6)] = 1.0
    delta: Annotated[float, Field(gt=0, lt=1)] = 1e-5
    epsilon_limit: Weight = 0.0

    @model_validator(mode="after")
    def _dials_go_together(self) -> Self:
        if self.supervision and self.method not in SUPERVISED:
            raise ValueError(f"supervision goes with method={' or '.join(SUPERVISED)}, not with {self.method}")
        if self.privacy == "dp" and self.method not in ("backprop", "adapter"):
            raise ValueError(f"privacy=dp goes with method=backprop or adapter, not with {self.method}")
        if self.privacy == "dp" and (self.rehearse or self.distil or self.consolidate):
            raise ValueError("privacy=dp does not go with rehearse, distil or consolidate: they are not accounted for")
        return self

    def record(self) -> dict[str, int | str | bool]:
        """The method and what differs from the defaults, as a manifest may hold it: a fraction is written as text."""
        changed = {name: value for name, value in self.model_dump().items() if value != DEFAULTS[name]}
        return {
            "method": self.method,
            **{name: repr(value) if isinstance(value, float) else value for name, value in changed.items()},
        }


DEFAULT = Recipe()

DEFAULTS: Mapping[str, object] = DEFAULT.model_dump()


def parse_recipe(text: str) -> Recipe:
    """Read `key=value,key=value`; nothing is the default. Raises LocalFault naming the key and what is allowed."""
    return make_recipe(parse_pairs(text))


def parse_pairs(text: str) -> dict[str, str]:
    """Part `key=value,key=value`. Raises LocalFault."""
    if len(text) > MAX_RECIPE_TEXT:
        raise LocalFault(f"a recipe has at most {MAX_RECIPE_TEXT} characters")
    pairs: dict[str, str] = {}
    for part in filter(None, (each.strip() for each in text.split(","))):
        key, equals, value = part.partition("=")
        if not equals or key in pairs:
            raise LocalFault(f"recipe: {part!r} is not key=value, or {key!r} is given twice")
        pairs[key] = value
    return pairs


def make_recipe(values: Mapping[str, object]) -> Recipe:
    """Check the dials. Raises LocalFault naming the first that is wrong and what is allowed."""
    try:
        return Recipe.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        if first["type"] == "extra_forbidden":
            raise LocalFault(f"recipe: {key} is unknown; there are {', '.join(Recipe.model_fields)}") from None
        if first["type"] == "value_error":  # dials that do not go together
            raise LocalFault(f"recipe: {first['ctx']['error']}") from None
        raise LocalFault(f"recipe: {key}: {first['msg']}, not {first['input']!r}") from None
