"""The benchmark's world in radCAD: a round is three blocks, the relays are the state.

Copying the state between blocks is switched off, which is the fastest that radCAD can be.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from radcad import Model, Simulation
from radcad.engine import Backend, Engine

from benchmarks.simulation.plain_relay import Account, PlainRelay
from benchmarks.simulation.relay_luck import ACCOUNTS, draw_luck
from benchmarks.simulation.rival_job import Job, new_relay, opening, serve

State = dict[str, Any]


def draw(params: State, substep: int, history: Any, state: State) -> State:
    luck = draw_luck(params["rng"], params["relays"], params["seats"], params["min_bid"])
    return {name: getattr(luck, name).tolist() for name in luck.__dataclass_fields__}


def keep_luck(params: State, substep: int, history: Any, state: State, signals: State) -> tuple[str, State]:
    return "luck", signals


def bid_and_match(params: State, substep: int, history: Any, state: State, signals: State) -> tuple[str, Any]:
    for number, relay in enumerate(state["relays"]):
        plans = zip(signals["bidder"][number], signals["amount"][number], signals["bid_rank"][number], strict=True)
        for plan in plans:
            relay.bid(*plan)
        relay.match(signals["tip_rank"][number], signals["draw"][number], signals["late"][number])
    return "relays", state["relays"]


def judge(params: State, substep: int, history: Any, state: State) -> State:
    """Every seat that is not silent reveals its scores."""
    scores, silent = state["luck"]["scores"], state["luck"]["silent"]
    return {
        "reveals": [
            (number, seat, scores[number][seat])
            for number, relay in enumerate(state["relays"])
            for seat in range(len(relay.seats))
            if not silent[number][seat]
        ]
    }


def settle(params: State, substep: int, history: Any, state: State, signals: State) -> tuple[str, Any]:
    for number, seat, scores in signals["reveals"]:
        state["relays"][number].reveal(seat, scores)
    for relay in state["relays"]:
        relay.settle()
    return "relays", state["relays"]


def collect(params: State, substep: int, history: Any, state: State, signals: State) -> tuple[str, Any]:
    for relay in state["relays"]:
        relay.collect()
    return "relays", state["relays"]


BLOCKS = [
    {"policies": {"draw": draw}, "variables": {"luck": keep_luck, "relays": bid_and_match}},
    {"policies": {"judge": judge}, "variables": {"relays": settle}},
    {"policies": {}, "variables": {"relays": collect}},
]


def start(job: Job) -> tuple[Callable[[], None], Callable[[], Sequence[PlainRelay]]]:
    relays = [
        new_relay(job.rules, [Account(*opening(number)) for number in range(ACCOUNTS)]) for _ in range(job.relays)
    ]
    params = {
        "rng": [np.random.default_rng(job.seed)],
        "relays": [job.relays],
        "seats": [job.rules["committee_size"]],
        "min_bid": [job.rules["min_bid"]],
    }
    model = Model(initial_state={"luck": {}, "relays": relays}, state_update_blocks=BLOCKS, params=params)
    simulation = Simulation(model=model, timesteps=job.rounds, runs=1)
    simulation.engine = Engine(
        backend=Backend.SINGLE_PROCESS, deepcopy=False, drop_substeps=True, raise_exceptions=True
    )
    results: list[State] = []
    return lambda: results.extend(simulation.run()), lambda: results[-1]["relays"]  # it copies the first state


if __name__ == "__main__":
    serve(start)
