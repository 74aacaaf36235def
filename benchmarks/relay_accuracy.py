"""How much accuracy does a relay over label-skewed peers lose against one machine that has all the data?

    python benchmarks/relay_accuracy.py [--quick]

Each case deals MNIST-5k to five peers, passes one network around for LEGS legs and tests every child on 1,000 digits
that no peer holds. The rival trains the same network on the pooled training data for the same number of steps with
the same recipe. Writes results/relay_accuracy.json (medians over the seeds; spread: least and greatest) and its
picture.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, median

import matplotlib as mpl
import numpy as np
from rows import RESULTS, Row, row, write

from derelayl_protocol.types import WHOLE_MODEL
from derelayl_training import data
from derelayl_training.architectures import build
from derelayl_training.dealing import Dirichlet
from derelayl_training.jobs import Architecture, LegJob
from derelayl_training.judge import losses_of_files, mean_loss, share_correct
from derelayl_training.partition import write_shards
from derelayl_training.recipe import DEFAULT, Recipe
from derelayl_training.train import configure_torch, run_leg, write_genesis
from derelayl_training.weights import load_weights

mpl.use("Agg")
from matplotlib import pyplot as plt

NETWORK = Architecture("small-cnn", {"channels": 1, "height": 28, "width": 28, "classes": 10, "stem": 16})
PEERS = 5
LEGS = 10
STEPS = 80
BATCH = 32
LEARNING_RATE = 0.01
TEST_SIZE = 1000
HELD_FRACTION = 0.2
SEEDS = 3
RIVAL = "one machine, all data, same steps"


@dataclass(frozen=True)
class Case:
    """`alpha` is the Dirichlet concentration of the labels; legs take the `segments` in turn."""

    name: str
    alpha: float
    segments: tuple[int, ...] = (WHOLE_MODEL,)
    recipe: Recipe = DEFAULT


CASES = (
    Case("even shards (alpha 100)", 100.0),
    Case("skewed shards (alpha 0.5)", 0.5),
    Case("skewed shards, segments in turn", 0.5, segments=(0, 1)),
    Case("very skewed shards (alpha 0.1)", 0.1),
    Case("skewed shards, plain cross-entropy", 0.5, recipe=Recipe(balanced=False)),
)


@dataclass(frozen=True)
class Run:
    """One relay: accuracy of each child, loss of the last, processor seconds of each leg, did most peers like it."""

    accuracies: list[float]
    loss: float
    seconds: list[float]
    better: list[bool]


def run_case(case: Case, digits: data.Split, legs: int, seed: int, folder: Path) -> Run:
    """Pass the network round the peers; a leg counts as better when the median peer's held-out loss falls."""
    peers, test = deal(digits, case.alpha, seed, folder)
    parent = write_genesis(NETWORK, seed, folder / "genesis").path
    losses = peer_losses(parent, peers)
    accuracies, seconds, better = [], [], []
    for leg in range(legs):
        segment = case.segments[leg % len(case.segments)]
        child, number = folder / f"leg{leg}", 1000 * seed + leg
        job = LegJob(NETWORK, parent, child, segment, STEPS, BATCH, LEARNING_RATE, number, case.recipe)
        started = time.process_time()
        run_leg(job, peers[leg % PEERS], lambda _fraction: None)
        seconds.append(time.process_time() - started)
        accuracies.append(tested(job.child, test)[0])
        before, losses = losses, peer_losses(job.child, peers)
        better.append(median(old - new for old, new in zip(before, losses, strict=True)) > 0)
        parent = job.child
    return Run(accuracies, tested(parent, test)[1], seconds, better)


def run_rival(digits: data.Split, legs: int, seed: int, folder: Path) -> tuple[float, float]:
    """Train on all peers' training data at once; return test accuracy and loss."""
    peers, test = deal(digits, 0.5, seed, folder)
    images, labels = (np.concatenate(parts) for parts in zip(*((p.train_x, p.train_y) for p in peers), strict=True))
    genesis = write_genesis(NETWORK, seed, folder / "genesis").path
    job = LegJob(NETWORK, genesis, folder / "all", WHOLE_MODEL, STEPS * legs, BATCH, LEARNING_RATE, seed)
    run_leg(job, data.Split(images, labels, test.held_x, test.held_y), lambda _fraction: None)
    return tested(job.child, test)


def deal(digits: data.Split, alpha: float, seed: int, folder: Path) -> tuple[list[data.Split], data.Split]:
    """Write and read back the peers' shards and the test shard."""
    images = np.concatenate([digits.train_x, digits.held_x])
    labels = np.concatenate([digits.train_y, digits.held_y])
    shards = write_shards(
        images,
        labels,
        folder,
        parts=PEERS,
        partition=Dirichlet(alpha),
        held_fraction=HELD_FRACTION,
        test_size=TEST_SIZE,
        seed=seed,
    )
    return [data.load_shard(path) for path in shards.peers], data.load_shard(shards.test)


def tested(weights: Path, test: data.Split) -> tuple[float, float]:
    """Return accuracy and mean loss on the test shard."""
    model = build(NETWORK)
    load_weights(model, weights)
    return share_correct(model, test.held_x, test.held_y), mean_loss(model, test.held_x, test.held_y)


def peer_losses(weights: Path, peers: list[data.Split]) -> list[float]:
    """Return each peer's held-out loss in nats; infinite for a refused file."""
    model = build(NETWORK)
    found = [losses_of_files(model, [weights], peer.held_x, peer.held_y)[0] for peer in peers]
    return [float("inf") if loss is None else loss.mean for loss in found]


def rows_of(case: Case, runs: list[Run], rivals: list[tuple[float, float]]) -> list[Row]:
    """All rows of one case."""
    lap = min(PEERS, len(runs[0].accuracies)) - 1
    accuracies, losses = [rival[0] for rival in rivals], [rival[1] for rival in rivals]
    return [
        row(case.name, "test accuracy", "share", [run.accuracies[-1] for run in runs], RIVAL, accuracies),
        row(case.name, "test loss", "nats", [run.loss for run in runs], RIVAL, losses),
        row(case.name, "test accuracy after one lap", "share", [run.accuracies[lap] for run in runs]),
        row(case.name, "legs that most peers find better", "share", [mean(run.better) for run in runs]),
        row(case.name, "processor time of a leg", "s", [mean(run.seconds) for run in runs]),
    ]


def draw(runs: dict[str, list[Run]], rivals: list[tuple[float, float]], path: Path) -> None:
    """Plot test accuracy against legs, one line a case."""
    figure, axes = plt.subplots(figsize=(8, 4.5), layout="constrained")
    for name, several in runs.items():
        curve = np.mean([run.accuracies for run in several], axis=0)
        axes.plot(range(1, len(curve) + 1), curve, marker="o", label=name)
    axes.axhline(mean(r[0] for r in rivals), color="black", linestyle="--", label=RIVAL)
    axes.set(xlabel="leg", ylabel="test accuracy", title=f"Relay over {PEERS} peers, MNIST-5k, {STEPS} steps a leg")
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small")
    figure.savefig(path, dpi=120)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--quick", action="store_true", help="one seed, one lap; writes nothing")
    quick = parser.parse_args().quick
    legs, seeds = (PEERS, 1) if quick else (LEGS, SEEDS)
    configure_torch(threads=1)
    digits = data.load("mnist-5k")
    runs: dict[str, list[Run]] = {case.name: [] for case in CASES}
    rivals, rows = [], []
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(seeds):
            rivals.append(run_rival(digits, legs, seed, Path(folder)))
            for case in CASES:
                runs[case.name].append(run_case(case, digits, legs, seed, Path(folder)))
                print(f"seed {seed}: {case.name}: {runs[case.name][-1].accuracies[-1]:.3f}", file=sys.stderr)
    for case in CASES:
        rows += rows_of(case, runs[case.name], rivals)
    if not quick:
        write("relay_accuracy", rows)
        draw(runs, rivals, RESULTS / "relay_accuracy.png")


if __name__ == "__main__":
    main()
