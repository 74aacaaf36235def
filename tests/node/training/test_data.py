"""A peer's data: everything wrong with a file is refused with the reason."""

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from derelayl_node.training.data import Split, load
from derelayl_protocol.errors import LocalFault

from .tiny import SIDE, tiny_shard, tiny_tensors

NO_IMAGES = np.zeros((0, 1, SIDE, SIDE), np.uint8)
NO_LABELS = np.zeros(0, np.int64)


@pytest.mark.parametrize("spec", ["", "shard:", "images:", "cifar", "mnist-5k:x", "file:///etc/passwd"])
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
def test_a_shard_that_contradicts_itself_is_refused(tmp_path: Path, replaced: dict, reason: str) -> None:
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
    with pytest.raises(LocalFault, match="is not a shard file"):
        load(f"shard:{tmp_path / 'absent'}")


def test_images_of_another_size_do_not_fit_the_network(tmp_path: Path) -> None:
    split = load(f"shard:{tiny_shard(tmp_path)}")
    with pytest.raises(LocalFault, match=r"images are \(1, 8, 8\), the network takes \(1, 28, 28\)"):
        split.check_fits((1, 28, 28), 10)


def test_labels_beyond_the_networks_classes_do_not_fit(tmp_path: Path) -> None:
    split = load(f"shard:{tiny_shard(tmp_path, held_labels=np.full(32, 9))}")
    with pytest.raises(LocalFault, match="label 9, the network's classes are 0 … 8"):
        split.check_fits((1, SIDE, SIDE), 9)


def test_a_shard_is_read_as_it_was_written(tmp_path: Path) -> None:
    tensors = tiny_tensors()
    split = load(f"shard:{tiny_shard(tmp_path)}")
    np.testing.assert_array_equal(split.train_x, tensors["train_images"])
    np.testing.assert_array_equal(split.held_y, tensors["held_labels"])


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
def test_a_damaged_fashion_mnist_file_is_refused(tmp_path: Path, replaced: dict, reason: str) -> None:
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
