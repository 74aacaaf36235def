"""The methods and their dials: names, bounds, defaults and help; a recipe is all of them together.

They stand here and not beside each method's code because a node and the command line read them, without torch. To add a
method: its module in `methods/`, and here a line in METHODS, with a class of its dials if it has any of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Share = Annotated[float, Field(ge=0, le=1)]
Weight = Annotated[float, Field(ge=0, le=1e6)]
Memory = Annotated[float, Field(ge=0, lt=1)]


class Dials(BaseModel):
    """Some dials that belong together. docs/METHODS.md explains each with the paper that it is from."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


# --- Of methods -------------------------------------------------------------------------------------------------------


class SupervisionDials(Dials):
    """Of backprop and sparse, whose loss may be that of prefix heads too; `local` always trains its heads."""

    supervision: Weight = Field(
        default=0.0, description="weight of the prefix heads' losses, falling to 0 over the leg"
    )


class SparseDials(Dials):
    """Of sparse."""

    keep: float = Field(
        default=0.01, gt=0, le=1, description="share of each tensor's changes that is kept, the largest"
    )


class LocalDials(Dials):
    """Of local."""

    window: int = Field(default=1, ge=1, le=4, description="segments over which a head's cascaded loss reaches back")
    cascade: Share = Field(default=0.999, description="weight of the cascaded loss against the independent one")
    sgr: Weight = Field(default=0.0, description="weight of successive gradient reconciliation")
    ema: Memory = Field(default=0.995, description="momentum of the shadows after each step")


class IncubationDials(Dials):
    """Of incubation."""

    meta: bool = Field(default=False, description="train the meta model instead of a segment inside it")


class PseudoinverseDials(Dials):
    """Of pseudoinverse."""

    forget: bool = Field(default=False, description="take this peer's sums away again")


class ElaDials(Dials):
    """Of ela."""

    ela_warmup: Share = Field(default=0.15, description="share of the steps in which nothing is skipped")
    ela_ramp: Share = Field(default=0.25, description="share of the steps from cautious to decisive")
    ela_every: int = Field(default=20, ge=1, le=1_000_000, description="steps from one choice of skips to the next")
    ela_share: float = Field(default=0.75, gt=0, lt=1, description="share of the scores in the lower half")
    ela_floor: Weight = Field(default=0.05, description="divergence in nats at or above which nothing is skipped")
    ela_memory: Memory = Field(default=0.9, description="share of the running divergence that a measurement leaves")


# --- Common to methods ------------------------------------------------------------------------------------------------


class OptimiserDials(Dials):
    """Of every method that follows a gradient: SGD with Nesterov momentum, or AdamW."""

    optimiser: Literal["sgd", "adamw"] = Field(default="sgd", description="sgd with Nesterov momentum, or adamw")
    momentum: Memory = Field(default=0.9, description="of SGD")
    weight_decay: Weight = Field(default=1e-4, description="pull of the weights towards 0")
    warmup: int = Field(default=5, ge=0, le=1_000_000, description="steps over which the rate rises")
    schedule: Literal["constant", "cosine"] = Field(default="constant", description="of the rate within the leg")
    clip: Weight = Field(default=0.0, description="greatest norm of the gradient; 0 is off")
    balanced: bool | Literal["auto"] = Field(
        default="auto", description="logits adjusted to the classes' shares; auto: images"
    )


class ForgettingDials(Dials):
    """Against forgetting what other peers have taught."""

    prox: Weight = Field(default=0.0, description="pull of the weights towards the parent's")
    distil: Share = Field(default=0.0, description="weight of the parent's answers in the loss")
    temperature: float = Field(default=2.0, gt=0, le=100, description="at which the parent's answers are softened")
    merge: bool = Field(default=False, description="average with the parent at the end, by samples seen")
    consolidate: Weight = Field(default=0.0, description="weight of the importance that travels with the baton")
    consolidation_decay: Share = Field(default=0.9, description="of that importance, at each leg")
    rehearse: float = Field(
        default=0.0, ge=0, le=0.9, description="share of each batch taken from this peer's past legs"
    )
    rehearsal_samples: int = Field(default=200, ge=1, le=100_000, description="samples kept for that")


class PrivacyDials(Dials):
    """Of differentially private legs."""

    privacy: Literal["none", "dp"] = Field(default="none", description="dp: differentially private")
    noise: float = Field(default=1.0, ge=0.1, le=1000, description="standard deviation of the noise, in dp_clip")
    dp_clip: float = Field(default=1.0, gt=0, le=1e6, description="greatest norm of one sample's gradient")
    delta: float = Field(default=1e-5, gt=0, lt=1, description="chance that the bound on epsilon does not hold")
    epsilon_limit: Weight = Field(default=0.0, description="refuse legs that would spend more in all; 0 is no limit")


# --- All together -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class MethodEntry:
    """A method: one line of help, where its code is, the dials that are its own, and what it goes with."""

    summary: str
    place: str
    dials: tuple[type[Dials], ...] = ()
    supervised: bool = False
    """Its loss may be that of prefix heads too."""
    private: bool = False
    """Its legs may be differentially private."""
    starts_anywhere: bool = False
    """Its legs may start from the average of tips: nothing of it is a change to the parent, or a sum that must stay."""


_METHODS = "derelayl_training.methods"

METHODS: Mapping[str, MethodEntry] = {
    "backprop": MethodEntry(
        "end to end, the whole model or one segment with the rest frozen",
        f"{_METHODS}.backprop:BackpropMethod",
        (SupervisionDials,),
        supervised=True,
        private=True,
        starts_anywhere=True,
    ),
    "local": MethodEntry(
        "each segment by a loss of its own", f"{_METHODS}.local:LocalMethod", (LocalDials,), starts_anywhere=True
    ),
    "incubation": MethodEntry(
        "a segment inside a small model of the rest", f"{_METHODS}.incubation:IncubationMethod", (IncubationDials,)
    ),
    "ela": MethodEntry("layer attention that skips what repeats itself", f"{_METHODS}.ela:ElaMethod", (ElaDials,)),
    "sparse": MethodEntry(
        "backprop of which the largest changes are kept",
        f"{_METHODS}.sparse:SparseMethod",
        (SupervisionDials, SparseDials),
        supervised=True,
    ),
    "adapter": MethodEntry(
        "LoRA on a pretrained text encoder",
        f"{_METHODS}.adapter:AdapterMethod",
        private=True,
        starts_anywhere=True,
    ),
    "pseudoinverse": MethodEntry(
        "sums that add up over peers, and a solve",
        f"{_METHODS}.pseudoinverse:PseudoinverseMethod",
        (PseudoinverseDials,),
    ),
}
"""The methods that a recipe, and so a manifest, may name."""

if TYPE_CHECKING:
    MethodName = str
else:
    MethodName = Literal[tuple(METHODS)]


class MethodDial(Dials):
    """Which method it is."""

    method: MethodName = "backprop"


class EveryDial(
    PrivacyDials,
    ForgettingDials,
    ElaDials,
    PseudoinverseDials,
    SparseDials,
    IncubationDials,
    LocalDials,
    SupervisionDials,
    OptimiserDials,
    MethodDial,
):
    """What a recipe holds. A manifest lists what differs from the defaults, in alphabetical order."""
