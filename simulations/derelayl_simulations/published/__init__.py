"""Rule set "published": DeRelayL as its authors simulate it, vectorised over participants."""

from .mechanism import (
    GENESIS_OWNER,
    NO_MODEL,
    Chance,
    Network,
    RoundOutcome,
    draw_chance,
    play_round,
)
from .parameters import PublishedParameters

__all__ = [
    "GENESIS_OWNER",
    "NO_MODEL",
    "Chance",
    "Network",
    "PublishedParameters",
    "RoundOutcome",
    "draw_chance",
    "play_round",
]
