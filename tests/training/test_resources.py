"""What a leg may use: devices, precision, memory, pauses."""

from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest
import torch

from derelayl_protocol.errors import LocalFault
from derelayl_training.compute import Compute
from derelayl_training.data import Split
from derelayl_training.jobs import Architecture
from derelayl_training.memory import bytes_kept, storages_of
from derelayl_training.methods import make_method
from derelayl_training.resources import (
    Pause,
    Resources,
    choose_bfloat16,
    choose_device,
    open_resources,
    wait_while_paused,
)
from derelayl_training.train import open_leg, run_leg, write_genesis

from .tiny import silent, tiny_leg

# --- refusals ---


def test_a_device_that_is_not_here_is_refused_with_the_one_that_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(LocalFault, match="not on this machine; auto would take cpu"):
        choose_device("mps")


def test_a_budget_below_one_sample_is_refused_before_training(tmp_path: Path, parent: Path, split: Split) -> None:
    with pytest.raises(LocalFault, match=r"one sample keeps .* the memory budget is"):
        run_leg(tiny_leg(parent, tmp_path / "child"), split, silent, Resources(memory_bytes=100))


def test_more_processes_than_samples_in_a_batch_are_refused(tmp_path: Path, parent: Path, split: Split) -> None:
    with pytest.raises(LocalFault, match="17 processes cannot share batches of 16"):
        run_leg(tiny_leg(parent, tmp_path / "child"), split, silent, Resources(world=17))


# --- memory ---


def test_what_a_chain_of_layers_keeps_is_counted_to_the_byte() -> None:
    inputs = torch.zeros(8, 100)
    layers = [torch.nn.Linear(100, 100) for _ in range(3)]
    weights = storages_of(parameter for layer in layers for parameter in layer.parameters())

    def forward() -> torch.Tensor:
        features = inputs
        for layer in layers:
            features = torch.relu(layer(features))
        return features.sum()

    assert bytes_kept(forward, weights) == 4 * inputs.nbytes  # the inputs and three results of relu


def test_a_budget_cuts_batches_into_pieces_with_the_same_gradient(tmp_path: Path, parent: Path, split: Split) -> None:
    whole = run_leg(tiny_leg(parent, tmp_path / "a", steps=5), split, silent)
    cut = run_leg(tiny_leg(parent, tmp_path / "b", steps=5), split, silent, Resources(memory_bytes=20_000))
    assert cut.loss_after == pytest.approx(whole.loss_after, rel=1e-5)
    assert cut.weights.path.read_bytes() != whole.weights.path.read_bytes()  # it did add up in another order


# --- precision and pause ---


def test_bfloat16_learns_and_hands_on_float32(tmp_path: Path, parent: Path, split: Split) -> None:
    result = run_leg(tiny_leg(parent, tmp_path / "child"), split, silent, Resources(bfloat16=True))
    assert result.loss_after < 0.5 * result.loss_before


def test_precision_is_what_was_asked_for() -> None:
    assert choose_bfloat16("bfloat16", torch.device("cpu"))
    assert not choose_bfloat16("float32", torch.device("cpu"))
    assert not open_resources(Compute(device="cpu", precision="float32")).bfloat16


@pytest.mark.parametrize(("hour", "waits"), [(21, True), (22, False), (3, False), (6, True)])
def test_hours_may_span_midnight(hour: int, waits: bool) -> None:
    pause = Pause(hours=(22, 6), clock=lambda: datetime(2026, 1, 1, hour))
    assert (pause.must_wait() is not None) == waits


def test_a_leg_waits_while_on_battery_and_says_so_once(tmp_path: Path, parent: Path, split: Split) -> None:
    charge = iter([True, True, False])
    naps: list[float] = []
    said: list[str] = []
    pause = Pause(on_battery=True, battery=lambda: next(charge), sleep=naps.append)
    wait_while_paused(pause, said.append)
    assert len(naps) == 2
    assert said == ["paused: this machine runs on battery"]


def test_looking_for_the_memory_leaves_running_statistics_alone(tmp_path: Path, split: Split) -> None:
    shape = {"channels": 1, "height": 8, "width": 8, "classes": 2, "depth": 8, "base": 4, "segments": 1}
    network = Architecture("resnet", {**shape, "norm": "batch"})
    genesis = write_genesis(network, 1, tmp_path / "genesis").path
    job = replace(tiny_leg(genesis, tmp_path / "child"), architecture=network)
    leg = open_leg(job, split, Resources(memory_bytes=2**24))
    make_method(job.recipe).prepare(leg)
    for name, tensor in leg.model.state_dict().items():
        assert torch.equal(tensor, leg.start[name]), name
