"""Laying out a devnet on data of every kind."""

from pathlib import Path

import numpy as np
import pytest

from derelayl_node.devnet.world import Plan, network_for, prepare, read_world
from derelayl_protocol.errors import LocalFault
from derelayl_training.architectures import build
from derelayl_training.data import load


def table(folder: Path, rows: int = 600) -> Path:
    path = folder / "table.csv"
    path.write_text("a,site,y\n" + "".join(f"{i % 17},s{i % 5},{i % 2}\n" for i in range(rows)))
    return path


def texts(folder: Path) -> Path:
    for name in "abc":
        path = folder / "texts" / f"{name}.txt"
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"{name} and so on, " * 200)
    return folder / "texts"


@pytest.mark.parametrize(
    ("spec", "partition", "reason"),
    [
        ("table:{table},label=y", "by-site", "names no sites"),
        ("table:{table},label=y,site=site", "by-weather", "allowed are iid, dirichlet:ALPHA, by-label or by-site"),
        ("text:{texts},length=8", "dirichlet:0.5", "text has no labels to deal by"),
        ("text:{texts},length=8", "by-site", "3 sites cannot be dealt to 4 peers by by site"),
    ],
)
def test_a_devnet_that_cannot_be_dealt_out_is_refused(tmp_path: Path, spec: str, partition: str, reason: str) -> None:
    data = spec.format(table=table(tmp_path), texts=texts(tmp_path))
    with pytest.raises(LocalFault, match=reason):
        prepare(tmp_path / "devnet", Plan(trainers=2, validators=2, data=data, partition=partition))
    assert not (tmp_path / "devnet").exists()


def test_there_is_no_network_for_labelled_texts() -> None:
    with pytest.raises(LocalFault, match="no small architecture for labelled texts"):
        network_for(np.zeros((4, 16), np.uint8), np.zeros(4, np.int64), 16)


@pytest.mark.parametrize(
    ("spec", "partition", "network"),
    [
        ("table:{table},label=y,site=site", "by-site", "mlp"),
        ("text:{texts},length=8", "iid", "gpt"),
    ],
)
def test_a_devnet_on_any_data_has_a_network_that_fits(tmp_path: Path, spec: str, partition: str, network: str) -> None:
    data = spec.format(table=table(tmp_path), texts=texts(tmp_path))
    prepare(tmp_path / "devnet", Plan(trainers=2, validators=2, data=data, partition=partition))
    world = read_world(tmp_path / "devnet")
    assert world.architecture.name == network
    model = build(world.architecture)
    for name in (world.test_data, world.union_data, *map(world.data_of, world.members[1:])):
        load(name).check_fits(model.input_shape, model.classes, model.input_kind)
