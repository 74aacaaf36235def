"""FedAvg and FedProx by Flower, run in Flower's own environment (see `flower`): shards in, accuracies and bytes out.

    python -m benchmarks.learning.flower_rival JOB.json

Flower's strategies run unchanged, by their own `start`: they configure the rounds, weigh and average. Its messages are
real too: each is serialised as Flower sends it, its bytes are counted, and what the other side gets is read back from
them. What is replaced is the transport and the scheduling, which Flower does with Ray or with gRPC processes: `Office`
hands the messages to one `ClientApp`, one after the other, so that a run repeats and needs one core.
"""

from __future__ import annotations

import json
import logging
import math
import random
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from flwr.app import ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.common.serde import message_from_proto, message_to_proto
from flwr.serverapp import Grid
from flwr.serverapp.strategy import FedAvg, FedProx
from flwr.supercore.run import Run
from flwr.supercore.task_identity import TaskIdentity

from derelayl_training.architectures import SegmentedModel, build
from derelayl_training.batches import RandomBatches
from derelayl_training.data import load_shard
from derelayl_training.inputs import to_inputs
from derelayl_training.jobs import Architecture
from derelayl_training.judge import share_correct
from derelayl_training.labels import log_shares
from derelayl_training.split import Split
from derelayl_training.train import configure_torch
from derelayl_training.weights import load_weights

RUN_ID = 1
SERVER_NODE = 1
FIRST_CLIENT = 100

Dials = Mapping[str, Any]
"""A strategy: name, rounds, local_steps, batch, learning_rate, mu, momentum, clip, weight_decay, adjusted, seed."""


class Office(Grid):
    """Delivers Flower's messages to one client app for several nodes, within this process, and counts their bytes."""

    def __init__(self, app: ClientApp, nodes: int) -> None:
        self._app = app
        self._contexts = {
            FIRST_CLIENT + index: Context(RUN_ID, FIRST_CLIENT + index, {"partition-id": index}, RecordDict(), {})
            for index in range(nodes)
        }
        self._replies: dict[str, Message] = {}
        self.bytes = 0

    def set_run(self, run: Run) -> None:
        """See Grid; there is one run."""

    @property
    def run(self) -> Run:
        """See Grid."""
        return Run.create_empty(RUN_ID)

    def create_message(
        self, content: RecordDict, message_type: str, dst_node_id: int, group_id: str, ttl: float | None = None
    ) -> Message:
        """See Grid."""
        return Message(content, dst_node_id, message_type, ttl=ttl, group_id=group_id)

    def get_node_ids(self) -> Iterable[int]:
        """See Grid."""
        return list(self._contexts)

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        """See Grid; the replies are there when it returns."""
        keys = []
        for message in messages:
            sent = self._carried(message)
            reply = self._app(sent, self._contexts[sent.metadata.dst_node_id])
            keys.append(f"message-{len(self._replies)}")
            self._replies[keys[-1]] = self._carried(reply)
        return keys

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        """See Grid."""
        return [self._replies.pop(key) for key in message_ids]

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> Iterable[Message]:
        """See Grid."""
        return self.pull_messages(self.push_messages(messages))

    def _carried(self, message: Message) -> Message:
        wire = message_to_proto(message).SerializeToString()
        self.bytes += len(wire)
        return message_from_proto(type(message_to_proto(message)).FromString(wire))


def client_app(architecture: Architecture, shards: list[Split], dials: Dials) -> ClientApp:
    """What each site runs in a round: so many steps of SGD from the weights that came, on its own shard."""
    app = ClientApp()
    model = build(architecture)

    @app.train()
    def train(message: Message, context: Context) -> Message:
        site, config = int(context.node_config["partition-id"]), message.content["config"]
        model.load_state_dict(message.content["arrays"].to_torch_state_dict())
        round_number, mu = int(config["server-round"]), float(config.get("proximal-mu", 0.0))
        local_steps(model, shards[site], dials, mu=mu, site=site, round_number=round_number)
        metrics = MetricRecord({"num-examples": len(shards[site].train_y)})
        content = RecordDict({"arrays": ArrayRecord(model.state_dict()), "metrics": metrics})
        return Message(content, reply_to=message)

    return app


def local_steps(model: SegmentedModel, shard: Split, dials: Dials, *, mu: float, site: int, round_number: int) -> None:
    """One site's round. With `mu` FedProx's term mu/2·|w - w0|² (Li et al., MLSys 2020, eq. 2) is added to the loss."""
    start = [parameter.detach().clone() for parameter in model.parameters()]
    done = (round_number - 1) / dials["rounds"]  # the rate falls along a cosine over the whole run
    optimiser = torch.optim.SGD(
        model.parameters(),
        lr=dials["learning_rate"] * 0.5 * (1 + math.cos(math.pi * done)),
        momentum=dials["momentum"],
        nesterov=dials["momentum"] > 0,
        weight_decay=dials["weight_decay"],
    )
    shift = log_shares(shard.train_y, model.classes) if dials["adjusted"] else torch.zeros(model.classes)
    seed = (dials["seed"] * 1000 + site) * 10_000 + round_number
    batches = RandomBatches(len(shard.train_y), dials["local_steps"], dials["batch"], seed)
    model.train()
    for batch in (batches[step] for step in range(len(batches))):
        inputs = to_inputs(shard.train_x[batch]).contiguous(memory_format=torch.channels_last)
        loss = F.cross_entropy(model(inputs) + shift, torch.from_numpy(shard.train_y[batch]))
        if mu:
            away = sum((own - old).square().sum() for own, old in zip(model.parameters(), start, strict=True))
            loss = loss + mu / 2 * away
        optimiser.zero_grad()
        loss.backward()
        if dials["clip"]:
            torch.nn.utils.clip_grad_norm_(model.parameters(), dials["clip"])
        optimiser.step()


def run_strategy(architecture: Architecture, genesis: Path, shards: list[Split], test: Split, dials: Dials) -> Any:
    """Run one strategy to its end; test accuracy, accuracy on each site's held-out part, bytes of all messages."""
    random.seed(dials["seed"])  # Flower draws the order of the sites from it, and so the order of its sums
    model = build(architecture)
    load_weights(model, genesis)
    office = Office(client_app(architecture, shards, dials), len(shards))
    common = {"fraction_train": 1.0, "fraction_evaluate": 0.0, "min_available_nodes": len(shards)}
    strategy = FedProx(proximal_mu=dials["mu"], **common) if dials["mu"] else FedAvg(**common)
    result = strategy.start(
        grid=office,
        initial_arrays=ArrayRecord(model.state_dict()),
        num_rounds=dials["rounds"],
        train_config=ConfigRecord({}),
    )
    model.load_state_dict(result.arrays.to_torch_state_dict())
    return {
        "accuracy": share_correct(model, test.held_x, test.held_y),
        "acc": float(np.mean([share_correct(model, shard.held_x, shard.held_y) for shard in shards])),
        "bytes": office.bytes,
    }


def main() -> None:
    job = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    logging.getLogger("flwr").setLevel(logging.ERROR)
    configure_torch(threads=1)
    TaskIdentity.task_id, TaskIdentity.run_id, TaskIdentity.node_id = 1, RUN_ID, SERVER_NODE
    architecture = Architecture(job["architecture"], job["parameters"])
    shards = [load_shard(Path(path)) for path in job["shards"]]
    test = load_shard(Path(job["test"]))
    found = {
        dials["name"]: run_strategy(architecture, Path(job["genesis"]), shards, test, dials)
        for dials in job["strategies"]
    }
    Path(job["out"]).write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    main()
