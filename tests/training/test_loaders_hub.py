"""Data sets of the Hugging Face library, from local folders that the tests write; no network."""

import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from derelayl_protocol.errors import LocalFault
from derelayl_training.data import load
from derelayl_training.kinds import InputKind

datasets = pytest.importorskip("datasets")

ROWS = 30


@pytest.fixture(autouse=True)
def _offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "cache"))
    datasets.disable_progress_bars()


def saved(folder: Path, columns: Mapping[str, object], features: dict[str, object] | None = None) -> Path:
    found = datasets.Features(features) if features else None
    datasets.Dataset.from_dict(columns, features=found).save_to_disk(folder / "set")
    return folder / "set"


def table(folder: Path, **changes: list[object]) -> Path:
    columns: Mapping[str, object] = {
        "age": [float(index) for index in range(ROWS)],
        "sex": ["f", "m"] * (ROWS // 2),
        "ward": [f"w{index % 3}" for index in range(ROWS)],
        "label": [index % 2 for index in range(ROWS)],
    }
    return saved(folder, {**columns, **changes})


def pictures(folder: Path, labels: list[int] | None = None) -> Path:
    drawn = [Image.new("RGB", (8, 6), (index, 2 * index, 0)) for index in range(ROWS)]
    features = {"image": datasets.Image(), "label": datasets.ClassLabel(names=["cat", "dog", "owl"])}
    return saved(folder, {"image": drawn, "label": labels or [index % 2 for index in range(ROWS)]}, features)


@pytest.mark.parametrize(
    ("argument", "reason"),
    [
        ("{0},split=test,input=x", "has no column 'x'; it has age, sex, ward, label"),
        ("{0},input=age", "column 'age' is Value, input= must name images or text"),
        ("{0},label=x", "has no column 'x'"),
        ("{0},trust_remote_code=1", "'trust_remote_code=1' is not an option"),
        ("/absent/folder", "is neither a folder here nor the name of a data set"),
        ("no-such-owner/no-such-set", "cannot be loaded"),
    ],
)
def test_a_spec_that_cannot_be_is_refused(tmp_path: Path, argument: str, reason: str) -> None:
    with pytest.raises(LocalFault, match=reason):
        load(f"hf:{argument.format(table(tmp_path))}")


def test_a_split_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    one = datasets.Dataset.from_dict({"text": ["words"]})
    datasets.DatasetDict({"train": one}).save_to_disk(tmp_path / "set")
    with pytest.raises(LocalFault, match="split 'test' cannot be loaded"):
        load(f"hf:{tmp_path / 'set'},split=test")


def test_an_empty_set_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "parquet"
    folder.mkdir()
    datasets.Dataset.from_dict({"text": ["words"]}).to_parquet(folder / "train.parquet")
    with pytest.raises(LocalFault, match=r"cannot be loaded: .* no data"):
        load(f"hf:{folder},split=train[:0]")
    with pytest.raises(LocalFault, match="cannot be loaded"):
        load(f"hf:{saved(tmp_path, {'text': []})}")


def test_code_beside_the_data_is_never_run(tmp_path: Path) -> None:
    folder = tmp_path / "script"
    folder.mkdir()
    (folder / "script.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    with pytest.raises(LocalFault, match="cannot be loaded"):
        load(f"hf:{folder}")
    assert not (tmp_path / "ran").exists()


def test_a_label_that_is_missing_is_refused_with_its_row(tmp_path: Path) -> None:
    with pytest.raises(LocalFault, match="label 'label', row 4 is missing, allowed are cat, dog, owl"):
        load(f"hf:{pictures(tmp_path, labels=[0, 1, 2, -1] + [0] * (ROWS - 4))}")


def test_the_library_is_asked_for_where_it_is_not_installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(LocalFault, match=r"the Python package datasets is not installed .*pip install datasets"):
        load(f"hf:{tmp_path}")


def test_images_have_the_classes_of_the_set_and_not_those_present(tmp_path: Path) -> None:
    split = load(f"hf:{pictures(tmp_path)}")
    inputs, labels, _ = split.pooled()
    assert split.train_x.shape == (24, 3, 6, 8)
    assert sorted((inputs[:, 0, 0, 0] % 2).tolist()) == sorted(labels.tolist())
    assert load(f"hf:{tmp_path / 'set'},size=4x4").held_x.shape == (6, 3, 4, 4)


def test_images_of_several_sizes_need_a_size(tmp_path: Path) -> None:
    drawn = [Image.new("RGB", (8 + index % 2, 8)) for index in range(4)]
    path = saved(
        tmp_path, {"image": drawn, "label": [0, 1, 0, 1]}, {"image": datasets.Image(), "label": datasets.Value("int64")}
    )
    with pytest.raises(LocalFault, match=r"row 2: .* give size=HxW"):
        load(f"hf:{path}")
    assert load(f"hf:{path},size=8x8").train_x.shape == (3, 3, 8, 8)


def test_tables_take_the_options_of_tables(tmp_path: Path) -> None:
    split = load(f"hf:{table(tmp_path)},site=ward,held=0.5")
    assert split.kind is InputKind.TABLE
    assert split.train_x.shape == (15, 1 + 3)
    assert split.sites is not None
    assert split.sites.names == ("w0", "w1", "w2")


def test_a_column_of_text_becomes_windows(tmp_path: Path) -> None:
    split = load(f"hf:{saved(tmp_path, {'text': ['all work and no play'] * 20})},length=10")
    assert split.kind is InputKind.TEXT
    np.testing.assert_array_equal(split.train_y[:, :-1], split.train_x[:, 1:])


def test_text_with_a_label_becomes_labelled_texts(tmp_path: Path) -> None:
    path = saved(tmp_path, {"text": ["good", "bad"] * 15, "mood": ["up", "down"] * 15})
    split = load(f"hf:{path},input=text,label=mood,bytes=16")
    assert split.kind is InputKind.LABELLED_TEXT
    assert {
        (bytes(text).rstrip(b"\0"), label) for text, label in zip(split.train_x, split.train_y.tolist(), strict=True)
    } == {
        (b"bad", 0),
        (b"good", 1),
    }


def test_a_folder_of_parquet_files_is_a_data_set(tmp_path: Path) -> None:
    folder = tmp_path / "parquet"
    folder.mkdir()
    datasets.load_from_disk(str(table(tmp_path))).to_parquet(folder / "train.parquet")
    assert load(f"hf:{folder}").train_x.shape == (24, 1 + 3 + 4)
