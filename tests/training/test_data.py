"""A peer's data: everything wrong with a file is refused with the reason."""

import gzip
import os
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from derelayl_protocol.errors import LocalFault
from derelayl_training.compute import Compute
from derelayl_training.data import Sites, Split, check_split, load, load_shard
from derelayl_training.engine import Engine
from derelayl_training.inputs import to_inputs
from derelayl_training.job_lines import ArchitectureLine, Done, FitJob, SamplesDone
from derelayl_training.jobs import Architecture
from derelayl_training.kinds import InputKind
from derelayl_training.own_data import OwnData
from derelayl_training.shard import write_shard

from .tiny import ARCHITECTURE, SIDE, silent, tiny_shard, tiny_tensors

NO_IMAGES = np.zeros((0, 1, SIDE, SIDE), np.uint8)
NO_LABELS = np.zeros(0, np.int64)


@pytest.mark.parametrize(
    "spec", ["", "shard:", "images:", "table:", "text", "hf:", "sotu:", "cifar", "mnist-5k:x", "file:///etc/passwd"]
)
def test_an_unknown_spec_is_refused_with_the_allowed_ones(spec: str) -> None:
    with pytest.raises(LocalFault, match="allowed are shard:PATH"):
        load(spec)


@pytest.mark.parametrize(
    ("replaced", "reason"),
    [
        ({"train_labels": np.full(64, -1)}, r"train labels -1 … -1"),
        ({"held_labels": np.full(32, 1000)}, r"held-out labels 1000 … 1000"),
        ({"train_labels": np.zeros(63, np.int64)}, "64 train images and 63 train labels"),
        ({"train_labels": np.zeros(64, np.int32)}, "a shard holds"),
        ({"train_images": np.zeros((64, 1, SIDE, SIDE), np.float32)}, "a shard holds"),
        ({"train_images": np.zeros((64, SIDE, SIDE), np.uint8)}, "a shard holds"),
        ({"train_images": np.zeros((64, 1, SIDE, SIDE + 1), np.uint8)}, "train images are .* held-out images"),
        ({"held_images": NO_IMAGES, "held_labels": NO_LABELS}, "is empty"),
        ({"extra": np.zeros(1)}, "a shard holds"),
    ],
)
def test_a_shard_that_contradicts_itself_is_refused(tmp_path: Path, replaced: dict[str, Any], reason: str) -> None:
    path = tiny_shard(tmp_path, **replaced)
    with pytest.raises(LocalFault, match=reason):
        load(f"shard:{path}")


def test_a_shard_of_images_without_pixels_is_refused(tmp_path: Path) -> None:
    flat = {"train_images": np.zeros((64, 1, 0, 8), np.uint8), "held_images": np.zeros((32, 1, 0, 8), np.uint8)}
    with pytest.raises(LocalFault, match="no pixels"):
        load(f"shard:{tiny_shard(tmp_path, **flat)}")


def test_a_shard_that_lacks_a_tensor_is_refused(tmp_path: Path) -> None:
    tensors = tiny_tensors()
    del tensors["held_labels"]
    save_file(tensors, tmp_path / "x")
    with pytest.raises(LocalFault, match="a shard holds"):
        load(f"shard:{tmp_path / 'x'}")


def test_a_truncated_shard_is_refused(tmp_path: Path) -> None:
    path = tiny_shard(tmp_path)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(LocalFault, match="is not a shard file"):
        load(f"shard:{path}")


def test_an_absent_shard_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LocalFault, match=r"^cannot read the shard .*absent: No such file or directory$"):
        load(f"shard:{tmp_path / 'absent'}")


def test_images_of_another_size_do_not_fit_the_network(tmp_path: Path) -> None:
    split = load(f"shard:{tiny_shard(tmp_path)}")
    with pytest.raises(
        LocalFault,
        match=r"shape \(1, 8, 8\) .* network takes images of shape \(1, 28, 28\) .* name data",
    ):
        split.check_fits((1, 28, 28), 10, InputKind.IMAGE)


def test_labels_beyond_the_networks_classes_do_not_fit(tmp_path: Path) -> None:
    split = load(f"shard:{tiny_shard(tmp_path, held_labels=np.full(32, 9))}")
    with pytest.raises(LocalFault, match=r"labels up to 9, the network takes .* labels 0 … 8"):
        split.check_fits((1, SIDE, SIDE), 9, InputKind.IMAGE)


def test_data_whose_file_changes_are_loaded_again_and_others_are_kept(tmp_path: Path) -> None:
    own = OwnData(f"shard:{tiny_shard(tmp_path)}")
    first = own.load()
    assert own.load() is first
    tiny_shard(tmp_path, held_labels=np.ones(32, np.int64))
    os.utime(tmp_path / "shard.safetensors", ns=(1, 1))  # another time, whatever the clock's resolution
    assert (own.load().held_y == 1).all()
    (tmp_path / "shard.safetensors").write_bytes(b"half a copy")
    with pytest.raises(LocalFault, match="not a shard file"):
        own.load()
    tiny_shard(tmp_path)
    assert own.samples() == SamplesDone(train=64, held=32)


def test_the_worker_counts_samples_for_a_network_that_takes_them_and_refuses_another(tmp_path: Path) -> None:
    engine = Engine(OwnData(f"shard:{tiny_shard(tmp_path)}"), Compute())

    def fit(network: Architecture) -> Done:
        return engine.run(FitJob(network=ArchitectureLine.of(network)), silent, lambda: None)

    assert fit(ARCHITECTURE) == SamplesDone(train=64, held=32)
    table = Architecture("mlp", {"features": 30, "classes": 2, "width": 8, "depth": 1, "segments": 1})
    with pytest.raises(LocalFault, match=r"^the data are images .* takes table rows of shape \(30,\) .*: name data"):
        fit(table)


def test_a_new_file_in_a_folder_of_samples_is_a_change(tmp_path: Path) -> None:
    (tmp_path / "poems").mkdir()
    (tmp_path / "poems" / "a.txt").write_text("to be or not to be " * 100)
    own = OwnData(f"text:{tmp_path / 'poems'}")
    before = len(own.load().train_x)
    (tmp_path / "poems" / "b.txt").write_text("that is the question " * 100)
    assert len(own.load().train_x) > before


def test_a_shard_is_read_as_it_was_written(tmp_path: Path) -> None:
    tensors = tiny_tensors()
    split = load(f"shard:{tiny_shard(tmp_path)}")
    np.testing.assert_array_equal(split.train_x, tensors["train_images"])
    np.testing.assert_array_equal(split.held_y, tensors["held_labels"])


def table_split(rows: int = 40, features: int = 5) -> Split:
    values = np.random.default_rng(0).normal(size=(rows, features)).astype(np.float32)
    labels = (np.arange(rows) % 3).astype(np.int64)
    return Split(values[:30], labels[:30], values[30:], labels[30:])


def text_split(length: int = 5) -> Split:
    cut = np.arange(40 * (length + 1), dtype=np.uint8).reshape(40, length + 1)
    inputs, following = cut[:, :-1].copy(), cut[:, 1:].astype(np.int64)
    return Split(inputs[:30], following[:30], inputs[30:], following[30:])


def replaced(split: Split, **changes: np.ndarray | Sites) -> Split:
    parts = {name: getattr(split, name) for name in ("train_x", "train_y", "held_x", "held_y", "sites")}
    return Split(**{**parts, **changes})


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("part", ["train_x", "held_x"])
def test_a_table_with_a_number_that_is_none_is_refused_with_its_row(tmp_path: Path, part: str, value: float) -> None:
    split = table_split()
    getattr(split, part)[7, 2] = value
    write_shard(tmp_path / "x", split)
    with pytest.raises(LocalFault, match="row 7 holds NaN or an infinity"):
        load_shard(tmp_path / "x")


@pytest.mark.parametrize(
    ("split", "changes", "reason"),
    [
        (table_split(), {"train_y": np.full(30, 1000)}, "train labels 1000 … 1000, allowed are 0 … 999"),
        (table_split(), {"held_y": np.full(10, -1)}, "held-out labels -1 … -1"),
        (table_split(), {"train_y": np.zeros(29, np.int64)}, "30 train table rows and 29 train labels"),
        (table_split(), {"train_y": np.zeros(30)}, "train labels are float64"),
        (table_split(), {"train_x": np.zeros((30, 4), np.float32)}, r"train table rows are \(4,\), held-out"),
        (table_split(), {"train_x": np.zeros((30, 5))}, "float64 and shape .* of an unknown kind"),
        (table_split(), {"train_x": np.zeros((30, 5), np.uint8)}, "train samples are labelled texts"),
        (text_split(), {"train_y": np.full((30, 5), 256)}, "allowed are 0 … 255"),
        (text_split(), {"train_y": np.zeros((30, 4), np.int64)}, r"need int64 \(30, 5\)"),
        (text_split(), {"held_x": np.zeros((0, 5), np.uint8), "held_y": np.zeros((0, 5), np.int64)}, "is empty"),
        (table_split(), {"sites": Sites(np.zeros(3, np.int64), np.zeros(10, np.int64), ("a",))}, "the sites of 3"),
        (
            table_split(),
            {"sites": Sites(np.ones(30, np.int64), np.zeros(10, np.int64), ("a",))},
            "sites are 1 … 1 of 1",
        ),
    ],
)
def test_parts_that_contradict_each_other_are_refused(split: Split, changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(LocalFault, match=reason):
        check_split("somewhere", replaced(split, **changes))


@pytest.mark.parametrize(
    ("split", "shape", "classes", "kind", "reason"),
    [
        (table_split(), (5,), 256, InputKind.TEXT, "the data are table rows .* the network takes text windows"),
        (text_split(), (5,), 256, InputKind.TABLE, "the data are text windows .* the network takes table rows"),
        (text_split(), (1, 8, 8), 10, InputKind.IMAGE, "the data are text windows .* the network takes images"),
        (table_split(), (6,), 3, InputKind.TABLE, r"table rows of shape \(5,\) .* table rows of shape \(6,\)"),
        (text_split(), (4,), 256, InputKind.TEXT, r"text windows of shape \(5,\) .* text windows of shape \(4,\)"),
        (table_split(), (5,), 2, InputKind.TABLE, "labels up to 2, the network takes .* labels 0 … 1"),
    ],
)
def test_data_of_another_kind_size_or_classes_does_not_fit(
    split: Split, shape: tuple[int, ...], classes: int, kind: InputKind, reason: str
) -> None:
    with pytest.raises(LocalFault, match=reason):
        split.check_fits(shape, classes, kind)


@pytest.mark.parametrize("split", [table_split(), text_split()], ids=["table", "text"])
def test_a_shard_of_any_kind_is_read_as_it_was_written(tmp_path: Path, split: Split) -> None:
    write_shard(tmp_path / "x", split)
    again = load(f"shard:{tmp_path / 'x'}")
    assert again.kind == split.kind
    for name in ("train_x", "train_y", "held_x", "held_y"):
        np.testing.assert_array_equal(getattr(again, name), getattr(split, name))


def test_a_shard_that_mixes_two_kinds_is_refused(tmp_path: Path) -> None:
    save_file({**tiny_tensors(), "held_rows": np.zeros((3, 2), np.float32)}, tmp_path / "x")
    with pytest.raises(LocalFault, match="a shard holds"):
        load_shard(tmp_path / "x")


def test_inputs_are_mapped_by_kind_and_never_share_memory_with_the_data() -> None:
    rows, text = table_split().train_x, text_split().train_x
    inputs = to_inputs(rows)
    np.testing.assert_array_equal(inputs.numpy(), rows)
    inputs.zero_()
    assert rows.any()
    assert to_inputs(text).tolist() == text.tolist()
    with pytest.raises(LocalFault, match="unknown kind"):
        to_inputs(np.zeros((2, 3)))


@pytest.mark.filterwarnings("error")
def test_images_that_must_not_be_written_to_are_mapped_like_all_others() -> None:
    images = np.arange(2 * 1 * 4 * 4, dtype=np.uint8).reshape(2, 1, 4, 4)
    expected = (images / 127.5 - 1).astype(np.float32)
    locked = np.asfortranarray(images)
    locked.setflags(write=False)
    inputs = to_inputs(locked)
    np.testing.assert_allclose(inputs.numpy(), expected, rtol=1e-6, atol=1e-6)
    assert inputs.is_contiguous()


def test_both_parts_are_pooled_with_their_sites() -> None:
    sites = Sites(np.zeros(30, np.int64), np.ones(10, np.int64), ("a", "b"))
    inputs, labels, origins = replaced(table_split(), sites=sites).pooled()
    assert (len(inputs), len(labels)) == (40, 40)
    assert origins is not None
    assert origins.tolist() == [0] * 30 + [1] * 10
    assert table_split().pooled()[2] is None


def test_a_peer_that_only_judges_holds_all_of_its_samples_out(tmp_path: Path) -> None:
    own = OwnData(f"shard:{tiny_shard(tmp_path)}", judge_only=True)
    assert own.samples() == SamplesDone(train=0, held=96)
    both = load(f"shard:{tmp_path / 'shard.safetensors'}").pooled()
    np.testing.assert_array_equal(own.load().held_x, both[0])
    np.testing.assert_array_equal(own.load().held_y, both[1])


def test_samples_that_are_held_out_keep_their_sites() -> None:
    sites = Sites(np.zeros(30, np.int64), np.ones(10, np.int64), ("a", "b"))
    own = check_split("table", replaced(table_split(), sites=sites).all_held_out())
    assert own.sites is not None
    assert (len(own.sites.train), own.sites.held.tolist()) == (0, [0] * 30 + [1] * 10)


@pytest.mark.slow
def test_mnist_5k_holds_out_a_hundred_of_each_digit(digits: Split) -> None:
    assert digits.train_x.shape == (4000, 1, 28, 28)
    assert digits.train_x.dtype == np.uint8
    assert digits.train_x.max() == 255
    assert np.bincount(digits.held_y).tolist() == [100] * 10


def idx(images: np.ndarray, magic: int | None = None) -> bytes:
    header = struct.pack(f">{1 + images.ndim}I", magic or (0x0800 | images.ndim), *images.shape)
    return gzip.compress(header + images.tobytes(), mtime=0)


def fashion_folder(folder: Path, **replaced: bytes) -> Path:
    """Four small files under the names of Debian's package; `train_images=...` replaces one."""
    rng = np.random.default_rng(0)
    for part, samples in (("train", 6), ("t10k", 3)):
        images = rng.integers(0, 256, (samples, 28, 28), dtype=np.uint8)
        labels = rng.integers(0, 10, samples, dtype=np.uint8)
        for kind, axes, content in (("images", 3, images), ("labels", 1, labels)):
            path = folder / f"{part}-{kind}-idx{axes}-ubyte.gz"
            path.write_bytes(replaced.get(f"{part}_{kind}", idx(content)))
    return folder


LABELS = np.arange(6, dtype=np.uint8)


@pytest.mark.parametrize(
    ("replaced", "reason"),
    [
        ({"train_labels": b"plain"}, "cannot be read as idx.gz"),
        ({"train_labels": idx(LABELS)[:-9]}, "cannot be read as idx.gz"),
        ({"train_labels": gzip.compress(b"\0\0")}, "ends within its header"),
        ({"train_labels": idx(LABELS, magic=0x0D01)}, "begins with 0x00000d01"),
        ({"train_labels": gzip.compress(struct.pack(">2I", 0x0801, 6) + b"12345")}, "announces 6 bytes and holds 5"),
        (
            {"train_labels": gzip.compress(struct.pack(">2I", 0x0801, 6) + b"1234567")},
            "announces 6 bytes and holds more",
        ),
        ({"train_labels": gzip.compress(struct.pack(">2I", 0x0801, 2**32 - 1))}, "announces 4294967295 bytes"),
        ({"train_labels": idx(LABELS[:5])}, "6 train images and 5 train labels"),
    ],
)
def test_a_damaged_fashion_mnist_file_is_refused(tmp_path: Path, replaced: dict[str, Any], reason: str) -> None:
    with pytest.raises(LocalFault, match=reason):
        load(f"fashion-mnist:{fashion_folder(tmp_path, **replaced)}")


def test_an_absent_fashion_mnist_folder_is_refused_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(LocalFault, match="install Debian's dataset-fashion-mnist"):
        load(f"fashion-mnist:{tmp_path / 'absent'}")


def test_a_fashion_mnist_folder_without_its_files_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LocalFault, match=r"train-images-idx3-ubyte\.gz cannot be read"):
        load(f"fashion-mnist:{tmp_path}")


def test_fashion_mnist_is_read_with_a_channel_axis(tmp_path: Path) -> None:
    split = load(f"fashion-mnist:{fashion_folder(tmp_path)}")
    assert split.train_x.shape == (6, 1, 28, 28)
    assert split.held_x.shape == (3, 1, 28, 28)
    assert split.train_y.dtype == np.int64
