"""Time the simulator against a straightforward implementation of the same mechanism, on the same luck.

The rival below is what one writes first: lists, a loop over everybody, a walk over all ancestors of every selected
model. Both run side by side in this process, in turn, and must have the same coins in every round. The rival does less:
it does not look for the last common ancestor. Writes benchmarks/results/simulator.json and simulator.png.

    python benchmarks/simulator.py [--quick]
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from rows import RESULTS, Row, row, write

from derelayl_simulations.parameters import PublishedParameters
from derelayl_simulations.published import TIE_DECIMALS, Chance, draw_chance
from derelayl_simulations.runner import run

FULL = {100: 20, 1000: 7, 5000: 3}  # rounds → runs of each; every run has a seed of its own
QUICK = {100: 5, 1000: 2}
SAME_COINS = 1e-9  # relative; the two add the same coins up in another order
LAGS = 11


@dataclass(eq=False, slots=True)
class Model:
    """A model of the rival."""

    trainer: int
    parent: Model | None
    score: float


def run_straightforwardly(rule: PublishedParameters, rounds: int, seed: int) -> list[list[float]]:
    """Play the mechanism without any trick; return shares, coins and Gini per round, the coins last."""
    rng = np.random.default_rng(seed)
    coins = [0.0] * rule.participants
    held = [0] + [-1] * (rule.participants - 1)
    trained = [0] * rule.participants
    tips, table = [Model(0, None, 0.0)], []
    for version in range(1, rounds + 1):
        tips = play_straightforwardly(rule, draw_chance(rng, rule.participants), version, coins, held, trained, tips)
        table.append(observe_straightforwardly(coins, held))
    return table


def play_straightforwardly(
    rule: PublishedParameters,
    chance: Chance,
    version: int,
    coins: list[float],
    held: list[int],
    trained: list[int],
    tips: list[Model],
) -> list[Model]:
    """Play one round and return the selected models."""
    order, success, gain = chance.order.tolist(), chance.success.tolist(), chance.gain.tolist()
    owners = {tip.trainer for tip in tips}
    free = [participant for participant in order if participant not in owners]
    trainers, idle = free[: rule.active - len(owners)], free[rule.active - len(owners) :]
    miners = [idle[int(share * len(idle))] for share in chance.miners.tolist()]
    bids = {trainer: min(coins[trainer], version - trained[trainer]) for trainer in trainers}
    deposits = {owner: min(coins[owner], rule.owner_deposit) / rule.trainers_per_owner for owner in owners}
    ranked = sorted(trainers, key=lambda trainer: -round(bids[trainer], TIE_DECIMALS))
    seats = [tip for tip in tips for _ in range(rule.trainers_per_owner)]
    pairs, made = list(zip(ranked, seats, strict=False)), []
    for trainer, tip in pairs:
        coins[trainer] -= bids[trainer]
        coins[tip.trainer] -= deposits[tip.trainer]
        if success[trainer] < rule.success_probability:
            made.append(Model(trainer, tip, tip.score + rule.gain_mean + rule.gain_deviation * gain[trainer]))
            held[trainer] = trained[trainer] = version
    if made:
        held[miners[1]] = version
    made.sort(key=lambda model: -model.score)
    selected = made[: int(rule.selected_share * len(made) + 1e-9)]
    for model in selected:
        assert model.parent is not None
        coins[model.trainer] += bids[model.trainer]
        coins[model.parent.trainer] += deposits[model.parent.trainer]
        ancestor: Model | None = model.parent
        while ancestor is not None:
            coins[ancestor.trainer] += 1
            ancestor = ancestor.parent
        coins[0] += 1
    coins[miners[0]] += rule.deposit_fee * len(pairs)
    coins[miners[1]] += rule.hash_fee * len(made)
    coins[miners[2]] += rule.test_fee * rule.test_cases + rule.hash_fee * len(made)
    coins[miners[3]] += rule.ranking_fee * len(made) * (1 + rule.test_cases)
    return selected


def observe_straightforwardly(coins: list[float], held: list[int]) -> list[float]:
    """Return shares by version lag, Gini and total of one round."""
    newest, counts = max(held), [0] * (LAGS + 2)
    for version in held:
        counts[LAGS + 1 if version < 0 else min(newest - version, LAGS)] += 1
    ascending, total = sorted(coins), sum(coins)
    weighted = sum(rank * amount for rank, amount in enumerate(ascending, 1))
    gini = 2 * weighted / (len(coins) * total) - (len(coins) + 1) / len(coins)
    return [*(100 * count / len(held) for count in counts), gini, total]


def measure(rounds: int, runs: int) -> Row:
    """Time both on `runs` seeds in turn; return a row of the results."""
    rule = PublishedParameters()
    run(rule, 10, 0)  # first use of numpy's random numbers is slow, and not what is measured
    ours: list[float] = []
    theirs: list[float] = []
    for seed in range(runs):
        start = time.perf_counter()
        result = run(rule, rounds, seed)
        middle = time.perf_counter()
        table = run_straightforwardly(rule, rounds, seed)
        end = time.perf_counter()
        check_same(result.column("coins").tolist(), [line[-1] for line in table])
        ours.append(middle - start)
        theirs.append(end - middle)
    return row(
        f"{rounds} rounds of {rule.participants} participants",
        "time per seed",
        "s",
        ours,
        "straightforward Python, same luck",
        theirs,
    )


def check_same(ours: list[float], theirs: list[float]) -> None:
    """Raise if the two ever differ in the coins that exist."""
    if not np.allclose(ours, theirs, rtol=SAME_COINS, atol=0):
        raise RuntimeError("the simulator and the straightforward implementation disagree about the coins")


def draw(rows: list[Row], path: Path) -> None:
    """Draw the rows as pairs of dots with their ratio: on a logarithmic axis the length of a bar means nothing."""
    figure = Figure(figsize=(7.5, 3.0), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    places = np.arange(len(rows))
    ours, theirs = ([float(str(one[key])) for one in rows] for key in ("value", "rival_value"))
    axes.hlines(places, ours, theirs, color="#c0c0c0", linewidth=2, zorder=1)
    axes.scatter(ours, places, color="#0072b2", s=60, label="derelayl")
    axes.scatter(theirs, places, color="#e69f00", marker="s", s=60, label="straightforward")
    for place, one, right in zip(places, rows, theirs, strict=True):
        most, least = 1 / np.array(one["spread"])  # the row has our time over the rival's
        label = f"{1 / float(str(one['ratio'])):.1f}× faster ({least:.1f} – {most:.1f}, n = {one['n']})"
        axes.annotate(label, (right, place), xytext=(9, 0), textcoords="offset points", va="center")
    axes.set_yticks(places, [str(one["case"]) for one in rows])
    axes.set(xscale="log", xlabel="seconds per seed (median)", ylim=(len(rows) - 0.5, -0.5))
    axes.set_xlim(right=max(theirs) * 1500)  # room for the labels
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=2, frameon=False)
    figure.savefig(path, dpi=150, metadata={"Software": None})


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--quick", action="store_true", help="fewer runs")
    plan = QUICK if parser.parse_args().quick else FULL
    rows = [measure(rounds, runs) for rounds, runs in plan.items()]
    write("simulator", rows)
    draw(rows, RESULTS / "simulator.png")


if __name__ == "__main__":
    main()
