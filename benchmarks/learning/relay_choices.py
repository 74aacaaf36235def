"""What `relay_tuning` chose for table 3, on images and a seed that the table does not use.

Each entry is the best of its kind by the mean over both splits; FedProx's is FedAvg's with the best weight of the term.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from derelayl_training.recipe import Recipe, parse_recipe


@dataclass(frozen=True)
class RelayDials:
    """A way to pass the baton: legs of `leg_steps`; each pass visits every site once, in a new order.

    With `decays` the rate falls along a cosine over the relay, leg by leg. `importance` asks the network for weights of
    importance, which a recipe that consolidates needs.
    """

    recipe: Recipe
    leg_steps: int
    learning_rate: float
    decays: bool = True
    importance: bool = False


CENTRALISED = 0.01
"""The rate of one machine with all data, of one site alone and of the plain sequential pass."""

PLAIN_SGD = "balanced=false,warmup=0,momentum=0"
"""With legs of a few steps momentum never builds up and a warm-up would be all there is."""

RELAYS: Mapping[str, RelayDials] = {
    "relay, default recipe": RelayDials(Recipe(), leg_steps=30, learning_rate=0.01),
    "relay, short legs": RelayDials(parse_recipe(f"{PLAIN_SGD},clip=1"), leg_steps=2, learning_rate=0.1),
    "relay, sparse": RelayDials(parse_recipe(f"method=sparse,keep=0.2,{PLAIN_SGD}"), leg_steps=5, learning_rate=0.2),
}

FLOWER: Mapping[str, Mapping[str, Any]] = {
    "FedAvg (Flower)": {"learning_rate": 0.02, "local_steps": 2},
    "FedProx (Flower)": {"learning_rate": 0.02, "local_steps": 2, "mu": 1.0},
}
