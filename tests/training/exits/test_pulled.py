"""What `model pull` leaves on disk, read back strictly."""

import json
from pathlib import Path

import pytest

from derelayl_protocol.checkpoint.manifest import Header
from derelayl_protocol.errors import LocalFault
from derelayl_protocol.types import Address, ModelId, Root
from derelayl_training.exits.pulled import (
    Calibration,
    Description,
    OperatingPoint,
    calibration_file,
    description_file,
    keep_pulled,
    pull_target,
    read_calibration,
    read_description,
    weights_file,
    write_document,
)

HEADER = Header(
    model=ModelId(b"\x02" * 32),
    parents=(),
    round=3,
    segment=1,
    trainer=Address("0x" + "ab" * 20),
    architecture="resnet",
    parameters={"depth": 8, "heads": "linear", "importance": True},
    training={"method": "backprop", "supervision": "0.3"},
    tensors=(),
)

POINT = OperatingPoint(budget=0.5, thresholds=(0.9, None), cost=0.48, accuracy=0.8)
CALIBRATION = Calibration(
    weights="0" * 64,
    data="1" * 64,
    samples=100,
    temperatures=(1.5, 1.0, 0.9),
    trunk=(10, 10, 10),
    heads=(1, 1, 1),
    points=(POINT,),
)


def pulled(folder: Path, name: str = "weights.safetensors") -> Path:
    assembled = folder / "cache.safetensors"
    assembled.write_bytes(b"weights")
    keep_pulled(assembled, folder / "out" / name, Root(b"\x01" * 32), HEADER)
    return folder / "out" / name


def test_weights_that_are_not_there_are_refused_with_the_remedy(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none.safetensors"):
        with pytest.raises(LocalFault, match="model pull"):
            weights_file(path)


def test_weights_without_a_description_are_refused_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(LocalFault, match=r"model\.json cannot be read: .*; pull the checkpoint again"):
        read_description(tmp_path / "weights.safetensors")


@pytest.mark.parametrize(
    "change",
    [
        {"format": "derelayl/model/2"},
        {"surprise": 1},
        {"parameters": {"depth": 8.5}},
        {"parameters": {"depth": 2**60}},
        {"parameters": {str(n): n for n in range(300)}},
        {"architecture": "x" * 300},
        {"root": "12"},
        {"round": "3"},
    ],
)
def test_a_description_that_is_none_is_refused(tmp_path: Path, change: dict[str, object]) -> None:
    weights = pulled(tmp_path)
    document = json.loads(description_file(weights).read_text())
    description_file(weights).write_text(json.dumps({**document, **change}))
    with pytest.raises(LocalFault, match="pull the checkpoint again"):
        read_description(weights)


@pytest.mark.parametrize(
    "change",
    [
        {"temperatures": [1.0, 1.0]},
        {"temperatures": [0.0, 1.0, 1.0]},
        {"temperatures": [1e9, 1.0, 1.0]},
        {"trunk": [10, 10, -10]},
        {"heads": [1]},
        {"points": []},
        {"points": [POINT.model_dump(mode="json")] * 65},
        {"points": [{**POINT.model_dump(mode="json"), "thresholds": [0.5]}]},
        {"points": [{**POINT.model_dump(mode="json"), "budget": 0.0}]},
        {"weights": "zz"},
    ],
)
def test_a_calibration_that_is_none_is_refused(tmp_path: Path, change: dict[str, object]) -> None:
    weights = tmp_path / "weights.safetensors"
    calibration_file(weights).write_text(json.dumps({**CALIBRATION.model_dump(mode="json"), **change}))
    with pytest.raises(LocalFault, match="calibrate again"):
        read_calibration(weights)


@pytest.mark.parametrize("text", ["", "[]", "{", '{"format": NaN}', "\x00"])
def test_what_is_no_document_is_refused(tmp_path: Path, text: str) -> None:
    weights = tmp_path / "weights.safetensors"
    description_file(weights).write_text(text)
    with pytest.raises(LocalFault, match="pull the checkpoint again"):
        read_description(weights)


def test_a_document_of_megabytes_is_refused_unread(tmp_path: Path) -> None:
    weights = tmp_path / "weights.safetensors"
    description_file(weights).write_bytes(b" " * (2**20 + 1))
    with pytest.raises(LocalFault, match="larger than"):
        read_description(weights)


def test_pulled_weights_are_moved_and_described(tmp_path: Path) -> None:
    weights = pulled(tmp_path)
    assert weights.read_bytes() == b"weights"
    assert weights_file(weights.parent) == weights
    assert sorted(path.name for path in weights.parent.iterdir()) == ["model.json", "weights.safetensors"]
    found = read_description(weights)
    assert found == Description.of(Root(b"\x01" * 32), HEADER)
    assert found.network().parameters == HEADER.parameters
    assert (found.root, found.round, found.training) == ("01" * 32, 3, HEADER.training)


def test_two_checkpoints_in_one_folder_have_descriptions_of_their_own(tmp_path: Path) -> None:
    one, other = pulled(tmp_path, "a.safetensors"), pulled(tmp_path, "b.safetensors")
    assert description_file(one).name == "a.model.json"
    assert calibration_file(other).name == "b.calibration.json"
    assert read_description(one) == read_description(other)


def test_what_a_user_names_is_a_file_by_its_ending_and_else_a_folder(tmp_path: Path) -> None:
    assert pull_target(tmp_path / "a.safetensors") == tmp_path / "a.safetensors"
    assert pull_target(tmp_path / "best") == tmp_path / "best" / "weights.safetensors"
    (tmp_path / "odd.safetensors").mkdir()
    assert pull_target(tmp_path / "odd.safetensors") == tmp_path / "odd.safetensors" / "weights.safetensors"


def test_a_calibration_is_read_as_it_was_written(tmp_path: Path) -> None:
    weights = tmp_path / "weights.safetensors"
    assert read_calibration(weights) is None
    write_document(calibration_file(weights), CALIBRATION)
    assert read_calibration(weights) == CALIBRATION


def test_a_disk_that_refuses_is_named(tmp_path: Path) -> None:
    with pytest.raises(LocalFault, match="cannot be written"):
        write_document(tmp_path / "none" / "calibration.json", CALIBRATION)
