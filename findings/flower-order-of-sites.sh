#!/usr/bin/env bash
# Expected: FedAvg over all sites, with numpy (and torch) seeded, gives the same weights in every run.
# Happens:  even with fraction_train=1.0 Flower shuffles the sites by Python's global random generator, and adds up
#           the answers in that order. Floating-point sums depend on it, so the weights differ in their last bits from
#           run to run, and accuracies by some samples after many rounds.
# Versions: flwr 1.42.0, numpy 2.4.6; seen 2026-11-30.
# Matters to whoever compares seeds or expects a repeatable baseline: call random.seed too.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check "flwr==1.42.0" "numpy==2.4.6"

"$work/venv/bin/python" - <<'PY'
import hashlib
import importlib.metadata
import logging
import random
import sys

import numpy as np
from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from flwr.serverapp.strategy import FedAvg
from flwr.supercore.task_identity import TaskIdentity

RUNS, SITES = 20, range(1, 21)
logging.getLogger("flwr").setLevel(logging.ERROR)
TaskIdentity.task_id = TaskIdentity.run_id = TaskIdentity.node_id = 1  # a running server app sets these


class Grid:
    """All that a strategy asks of the server to pick its sites."""

    def get_node_ids(self) -> list[int]:
        return list(SITES)


def one_round() -> tuple[tuple[int, ...], str]:
    """The order in which all sites are asked, and the hash of the weights that come of their answers."""
    np.random.seed(0)
    trained = {site: np.random.standard_normal(1000).astype(np.float32) for site in SITES}
    strategy = FedAvg(fraction_train=1.0, min_available_nodes=len(SITES))
    start = ArrayRecord([np.zeros(1000, dtype=np.float32)])
    asked = list(strategy.configure_train(1, start, ConfigRecord(), Grid()))
    answers = []
    for message in asked:
        arrays = ArrayRecord([trained[message.metadata.dst_node_id]])
        content = RecordDict({"arrays": arrays, "metrics": MetricRecord({"num-examples": 10})})
        answers.append(Message(content, reply_to=message))
    (weights,) = strategy.aggregate_train(1, answers)[0].to_numpy_ndarrays()
    return tuple(m.metadata.dst_node_id for m in asked), hashlib.sha256(weights.tobytes()).hexdigest()


print(f"flwr {importlib.metadata.version('flwr')}, {len(SITES)} sites, all asked, {RUNS} runs of one round")
counts = {}
for seeded in (False, True):
    outcomes = []
    for _ in range(RUNS):
        if seeded:
            random.seed(0)
        outcomes.append(one_round())
    counts[seeded] = [len(set(column)) for column in zip(*outcomes, strict=True)]
    what = "numpy and random" if seeded else "numpy"
    print(f"{what} seeded: {counts[seeded][0]} orders of summation, {counts[seeded][1]} results")
if min(counts[False]) == 1 or counts[True] != [1, 1]:
    sys.exit("changed: results should differ while only numpy is seeded, and agree once random is seeded")
PY
