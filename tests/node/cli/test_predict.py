"""`derelayl model pull` and `derelayl model predict`: from the ledger's best checkpoint to predictions without it."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import trio
from safetensors.numpy import save_file
from typer.testing import CliRunner, Result

from derelayl_node.cli import model
from derelayl_node.evm.client import open_ledger
from derelayl_node.handoff import keep_genesis
from derelayl_node.store.chunks import FileStore
from derelayl_protocol.errors import LocalFault, PeerFault
from derelayl_protocol.ledger.commands import CreateModel
from derelayl_protocol.ledger.rules import model_id
from derelayl_protocol.types import WHOLE_MODEL, Root, Wei
from derelayl_training.data import load_shard
from derelayl_training.exits.anytime import digest_of_samples
from derelayl_training.exits.pulled import Description, description_file, write_document
from derelayl_training.jobs import Architecture, LegJob
from derelayl_training.recipe import Recipe
from derelayl_training.train import configure_torch, run_leg, write_genesis

from ...training.tiny import ARCHITECTURE, SIDE, tiny_images
from ..evm.conftest import template, world
from ..evm.world import ALICE, RULES, World
from .test_reading import network_of

__all__ = ["template", "world"]

SHAPE = {"channels": 1, "height": SIDE, "width": SIDE, "classes": 2, "depth": 8, "base": 4, "segments": 3}
NETWORK = Architecture("resnet", {**SHAPE, "heads": "linear"})


def shard(path: Path, seed: int) -> str:
    """Write a shard of 128 samples to train on and 100 held out; its data spec."""
    (train_x, train_y), (held_x, held_y) = tiny_images(128, seed), tiny_images(100, seed + 1)
    parts = {"train_images": train_x, "train_labels": train_y, "held_images": held_x, "held_labels": held_y}
    save_file(parts, path)
    return f"shard:{path}"


def described(weights: Path, architecture: Architecture) -> Path:
    parameters = dict(architecture.parameters)
    write_document(description_file(weights), Description(architecture=architecture.name, parameters=parameters))
    return weights


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The weights of a network that knows the tiny images, heads and all."""
    configure_torch(threads=1)
    folder = tmp_path_factory.mktemp("trained")
    spec = shard(folder / "shard", 0)
    genesis = write_genesis(NETWORK, 0, folder / "genesis").path
    recipe = Recipe(supervision=0.5)
    job = LegJob(NETWORK, genesis, folder / "child", WHOLE_MODEL, 40, 32, 0.05, seed=0, recipe=recipe)
    run_leg(job, load_shard(Path(spec.removeprefix("shard:"))), lambda _fraction: None)
    return (folder / "child").read_bytes()


@pytest.fixture
def folder(tmp_path: Path, trained: bytes) -> Path:
    """A pulled model, and two peers' data beside it."""
    (tmp_path / "model").mkdir()
    weights = tmp_path / "model" / "weights.safetensors"
    weights.write_bytes(trained)
    described(weights, NETWORK)
    for name, seed in (("mine", 10), ("theirs", 20)):
        shard(tmp_path / name, seed)
    return tmp_path


def run(*arguments: object) -> Result:
    return CliRunner().invoke(model.app, [str(argument) for argument in arguments])


def predicted(folder: Path, *arguments: object) -> dict[str, Any]:
    result = run("predict", folder / "model", "--data", f"shard:{folder / 'theirs'}", *arguments, "--json")
    assert result.exit_code == 0, result.output or result.exception
    document: dict[str, Any] = json.loads(result.stdout)
    return document


def refused(*arguments: object) -> str:
    result = run(*arguments)
    assert isinstance(result.exception, LocalFault | PeerFault), result.exception or result.output
    return str(result.exception)


# --- predict --------------------------------------------------------------------------------------------------------


def test_what_is_missing_is_named_with_the_remedy(folder: Path) -> None:
    data = ("--data", f"shard:{folder / 'theirs'}")
    assert "model pull" in refused("predict", folder / "none", *data)
    assert "data spec 'none' is unknown" in refused("predict", folder / "model", "--data", "none")
    assert "not calibrated: give labelled samples by --calibrate" in refused(
        "predict", folder / "model", *data, "--budget", "0.5"
    )
    description_file(folder / "model" / "weights.safetensors").unlink()
    assert "pull the checkpoint again" in refused("predict", folder / "model", *data)


def test_weights_of_another_network_are_refused(folder: Path) -> None:
    weights = described(folder / "model" / "weights.safetensors", ARCHITECTURE)
    assert "tensors" in refused("predict", weights, "--data", f"shard:{folder / 'theirs'}")


def test_a_network_without_exits_says_why_it_cannot_save_compute(folder: Path) -> None:
    weights = folder / "plain.safetensors"
    write_genesis(ARCHITECTURE, 0, weights)
    described(weights, ARCHITECTURE)
    arguments = ("predict", weights, "--data", f"shard:{folder / 'theirs'}")
    assert "no prefix heads" in refused(*arguments, "--budget", "0.5")
    assert "accuracy" in run(*arguments).stdout


def test_the_samples_that_set_the_exits_are_not_taken_for_a_test(folder: Path) -> None:
    theirs = f"shard:{folder / 'theirs'}"
    arguments = ("predict", folder / "model", "--data", theirs, "--budget", "0.8")
    assert "too good" in refused(*arguments, "--calibrate", theirs)
    assert "too good" in refused(*arguments)
    assert predicted(folder, "--budget", "0.8", "--calibrate", theirs, "--calibrate-part", "train")["samples"] == 100


def test_a_calibration_of_other_weights_is_refused_until_it_is_made_again(folder: Path) -> None:
    mine = ("--calibrate", f"shard:{folder / 'mine'}")
    predicted(folder, *mine)
    weights = folder / "model" / "weights.safetensors"
    write_genesis(NETWORK, 5, weights)
    assert "made for other weights" in refused("predict", weights, "--data", f"shard:{folder / 'theirs'}")
    predicted(folder, *mine)


def test_the_whole_network_needs_no_calibration(folder: Path) -> None:
    found = predicted(folder)
    assert found["accuracy"] > 0.9
    assert found["mean_cost"] == pytest.approx(1.0)
    assert [exit["share"] for exit in found["exits"]] == [0.0, 0.0, 1.0]


def test_calibrated_once_a_budget_is_kept_and_the_exits_are_told(folder: Path) -> None:
    first = predicted(folder, "--budget", "0.6", "--calibrate", f"shard:{folder / 'mine'}")
    assert first["mean_cost"] < 0.75
    assert sum(exit["share"] for exit in first["exits"]) == pytest.approx(1.0)
    assert predicted(folder, "--budget", "0.6") == first
    told = run("predict", folder / "model", "--data", f"shard:{folder / 'theirs'}", "--budget", "0.6").stdout
    assert told.startswith(f"accuracy   {first['accuracy']:.4f} of 100 samples\nmean cost  {first['mean_cost']:.4f} of")


def test_predictions_go_to_a_table(folder: Path) -> None:
    found = predicted(folder, "--part", "train", "--out", folder / "found.csv")
    with (folder / "found.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    truth = load_shard(folder / "theirs").train_y
    assert np.mean([int(row["label"]) == label for row, label in zip(rows, truth, strict=True)]) == found["accuracy"]
    assert {row["exit"] for row in rows} == {"3"}
    assert all(0.5 <= float(row["confidence"]) <= 1 for row in rows)


# --- pull, and parameters of networks --------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["", "heads", "=4", "heads="])
def test_a_parameter_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(LocalFault, match="NAME=VALUE"):
        model._parameter(text)


def test_a_parameter_is_an_integer_a_truth_value_or_a_word() -> None:
    given = ("depth=20", "importance=true", "importance=false", "heads=auglocal-2", "norm=batch")
    assert [model._parameter(text)[1] for text in given] == [20, True, False, "auglocal-2", "batch"]


def test_a_pulled_checkpoint_predicts_without_network_and_ledger(world: World, folder: Path, trained: bytes) -> None:
    root = trio.run(_found, world, folder, trained)
    pulled = (
        "--network",
        world.folder / "network.toml",
        "--cache",
        folder / "cache",
        "--out",
        folder / "home" / "best",
    )
    result = run("pull", "best", *pulled)
    assert result.exit_code == 0, result.output or result.exception
    home = folder / "home" / "best"
    assert f"its architecture: {home / 'model.json'}" in result.stdout
    description = json.loads((home / "model.json").read_text())
    assert (description["root"], description["parameters"]["heads"]) == (root.hex(), "linear")
    told = run("predict", home, "--data", f"shard:{folder / 'theirs'}", "--json")
    assert json.loads(told.stdout) == predicted(folder)


async def _found(world: World, folder: Path, trained: bytes) -> Root:
    """Found a relay on the chain whose genesis is the trained checkpoint, already in the puller's cache."""
    path = folder / "genesis"
    path.write_bytes(trained)
    weights = write_genesis(NETWORK, 0, folder / "unused")
    store = FileStore(folder / "cache" / "store")
    root = keep_genesis(store, ALICE, world.addresses.ledger, NETWORK, type(weights)(path, weights.segment_of))
    ledger = await open_ledger(world.url, ALICE, world.addresses, world.folder / "alice.sqlite")
    await ledger.send(CreateModel(RULES, root, Wei(0)))
    ledger.close()
    network = network_of(world).model_copy(update={"model": "0x" + model_id(ALICE.address, root, RULES).hex()})
    network.write(world.folder / "network.toml")
    return root


def test_samples_of_other_shape_have_another_digest() -> None:
    blank = np.zeros((2, 1, 2, 2), np.uint8)
    assert digest_of_samples(blank) == digest_of_samples(blank.copy())
    assert digest_of_samples(blank) != digest_of_samples(blank.reshape(1, 2, 2, 2))
