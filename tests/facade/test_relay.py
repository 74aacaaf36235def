"""The relay in memory: what it plays are the ledger's rules, real legs and scores that validators measured."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

import derelayl
from derelayl_node.roles.duties import tips_in_order
from derelayl_node.roles.validator import SEED_BYTES
from derelayl_protocol.errors import LocalFault, Reason, RuleViolation
from derelayl_protocol.ledger.events import CommitteeSeated, RoundVoided, ScoresRevealed
from derelayl_protocol.ledger.phases import VoidReason
from derelayl_protocol.ledger.scoring import score_ppm
from derelayl_protocol.statement.places import amounts
from derelayl_protocol.types import NO_ROOT, UNAVAILABLE
from derelayl_training.compute import Compute
from derelayl_training.engine import Engine
from derelayl_training.job_lines import TrainDone, TrainJob
from derelayl_training.jobs import TipFile, drawn
from derelayl_training.judge import gain_error, sample_losses
from derelayl_training.own_data import OwnData
from derelayl_training.shard import write_shard

from ..training.tiny import ARCHITECTURE
from .conftest import ROUNDS
from .playing import play, tiny_relay, tiny_split


def test_what_cannot_be_a_relay_is_refused_with_the_reason() -> None:
    some = [tiny_split(seed) for seed in range(3)]
    with pytest.raises(LocalFault, match="1 validators can never be the quorum of 2"):
        derelayl.Relay(ARCHITECTURE, some[:2], some[2:])
    with pytest.raises(LocalFault, match="the network takes"):
        derelayl.Relay("small-cnn", some[:1], some[1:])
    with pytest.raises(LocalFault, match="'minilm-lora' needs its parameters"):
        derelayl.Relay("minilm-lora", some[:1], some[1:])


def test_calls_out_of_turn_are_refused_by_the_ledger_or_by_name() -> None:
    relay = tiny_relay()
    with pytest.raises(LocalFault, match="no round is running"):
        relay.settle()
    with pytest.raises(LocalFault, match="there is no trainer 'validator0'"):
        relay.lease(["validator0"])
    with pytest.raises(RuleViolation, match="BadSegment"):
        relay.lease(segment=9)
    (lease,) = relay.lease(["trainer1"])
    with pytest.raises(RuleViolation) as refusal:
        relay.lease(["trainer0"])
    assert refusal.value.reason is Reason.WRONG_PHASE
    lease.train(steps=1)
    with pytest.raises(RuleViolation, match="WrongPhase"):
        lease.submit(lease.network())


def test_a_child_that_changes_another_segment_or_is_not_finite_is_refused_before_it_is_signed() -> None:
    (lease, _) = tiny_relay().lease(segment=0)
    network = lease.network()
    foreign = next(name for name, place in network.segment_of().items() if place == 1)
    with torch.no_grad():
        network.state_dict()[foreign].add_(1)
    with pytest.raises(LocalFault, match="outside what this leg may change"):
        lease.submit(network)
    network = lease.network()
    with torch.no_grad():
        network.state_dict()[next(iter(network.names_of(0)))].fill_(np.nan)
    with pytest.raises(LocalFault, match="not finite"):
        lease.submit(network)


def test_only_the_leased_segment_asks_for_a_gradient() -> None:
    (lease, _) = tiny_relay().lease(segment=1)
    network = lease.network()
    trained = {name for name, parameter in network.named_parameters() if parameter.requires_grad}
    assert trained == network.names_of(1) & {name for name, _ in network.named_parameters()}


def test_a_round_without_a_child_is_voided_by_the_rules() -> None:
    relay = tiny_relay()
    relay.lease()
    legs = relay.settle()
    assert [(leg.child, leg.score, leg.selected) for leg in legs] == [(NO_ROOT, UNAVAILABLE, False)] * 2
    assert RoundVoided(relay.model, 1, VoidReason.NOTHING_SUBMITTED) in relay.events
    assert relay.round.number == 2


def test_a_leg_that_is_not_submitted_in_time_costs_its_trainer_the_bid_and_the_others_nothing() -> None:
    relay = tiny_relay()
    slow, quick = relay.lease()
    child = quick.train(steps=4, batch=16, learning_rate=0.05)
    settled = relay.settle()
    assert settled[slow.number].forfeited == relay.rules.min_bid
    assert settled[quick.number].selected
    assert relay.best == child


def test_scores_are_what_each_seat_measures_on_its_held_out_data_and_nothing_else() -> None:
    relay = tiny_relay()
    children = [lease.train(steps=4, batch=16, learning_rate=0.05) for lease in relay.lease()]
    relay.settle()
    revealed = [event for event in relay.events if isinstance(event, ScoresRevealed)]
    assert {relay.names[event.validator] for event in revealed} == {"validator0", "validator1", "validator2"}
    genesis = relay.checkpoints[0].network()
    for event in revealed:
        name = relay.names[event.validator]
        own, seed = relay.data[name], int.from_bytes(relay.draw("samples", f"{name} 1")[:SEED_BYTES])
        part = np.random.default_rng(seed).permutation(len(own.held_y))[: drawn(len(own.held_y))]
        before = sample_losses(genesis, own.held_x[part], own.held_y[part])
        for child, score in zip(children, event.scores, strict=True):
            after = sample_losses(child.network(), own.held_x[part], own.held_y[part])
            assert score == pytest.approx(score_ppm(before.mean(), after.mean(), gain_error(before, after)), abs=1)


def test_a_leg_and_a_loop_of_one_s_own_start_where_a_nodes_worker_starts_a_leg(tmp_path: Path) -> None:
    relay = tiny_relay(replace(derelayl.MINIMAL, legs_per_tip=4, selection_bps=10_000, duplicate_bps=0))
    for lease in relay.lease():
        lease.train(steps=4, batch=4, learning_rate=0.02)
    relay.settle()
    lease = relay.lease()[0]
    files = [relay.weights(tip.root) for tip in tips_in_order(relay.round)]
    files.remove(leased := relay.weights(lease.entry.parent))
    assert files
    write_shard(tmp_path / "shard.safetensors", lease.data)
    job = replace(
        lease.job(steps=3, batch=8, learning_rate=0.01),
        child=tmp_path / "child",
        tips=[TipFile(path) for path in files],
        choosing_seconds=60.0,
    )
    engine = Engine(OwnData(f"shard:{tmp_path / 'shard.safetensors'}"), Compute(device="cpu"))
    done = engine.run(TrainJob.of(job), lambda _fraction: None, lambda: None)
    start = lease.network().state_dict()
    child = lease.train(steps=3, batch=8, learning_rate=0.01)
    assert isinstance(done, TrainDone)
    assert child.manifest.header.training["start"] == done.record["start"] == f"average of {len(files) + 1}"
    assert relay.weights(child.root).read_bytes() == (tmp_path / "child").read_bytes()
    for name, tensor in load_file(leased).items():
        mean = np.mean([load_file(path)[name].astype(np.float64) for path in (leased, *files)], axis=0)
        np.testing.assert_array_equal(start[name].numpy(), mean.astype(tensor.dtype))


def test_trainers_never_judge(played: derelayl.Relay) -> None:
    seated = [event.validators for event in played.events if isinstance(event, CommitteeSeated)]
    assert len(seated) == ROUNDS
    assert all(played.names[each].startswith("validator") for seats in seated for each in seats)


def test_a_relay_learns_and_its_lineage_leads_to_genesis(played: derelayl.Relay) -> None:
    test = tiny_split(99)
    line = played.best.lineage()
    assert line[-1].root == played.genesis
    assert line[-1].trainer == "founder"
    assert len(line) > 1
    assert played.best.accuracy(test) > line[-1].accuracy(test)
    assert f"by {played.best.trainer} in round" in str(played.best)
    assert set(line) <= set(played.checkpoints)


def test_statements_add_up_to_what_the_ledger_holds(played: derelayl.Relay) -> None:
    for name, key in played.keys.items():
        lines = played.statement(name)
        assert lines[-1].balance == played.chain.state.free.get(key.address, 0)
    held = sum(amounts(played.chain.state).values())
    deposited = sum(line.amount for name in played.keys for line in played.statement(name)[:1])
    assert held == deposited


def test_the_same_arguments_give_the_same_relay_and_another_seed_another(played: derelayl.Relay) -> None:
    again = tiny_relay()
    play(again, ROUNDS)
    assert again.events == played.events


def test_records_of_a_loop_of_one_s_own_travel_in_the_manifest() -> None:
    (lease, _) = tiny_relay().lease()
    inputs, labels = lease.samples()
    assert len(inputs) == len(labels) == 64
    child = lease.submit(lease.network(), method="none", steps=0)
    assert child.manifest.header.training == {"method": "none", "steps": 0}
    assert child.trainer == lease.trainer
    assert str(child).endswith("not accepted")
    with pytest.raises(LocalFault, match="no accepted checkpoint"):
        child.lineage()


@pytest.mark.parametrize("rules", [derelayl.DEVNET, derelayl.STANDARD], ids=["devnet", "standard"])
def test_every_preset_can_be_played(rules: derelayl.Rules) -> None:
    relay = tiny_relay(replace(rules, quorum=2))
    play(relay, 1)
    assert relay.state.settled_rounds == 1
