"""A folder of images: whatever is not a plain picture of the right size is refused by name."""

import os
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from derelayl_protocol.errors import LocalFault
from derelayl_training.data import load
from derelayl_training.images import MAX_IMAGE_PIXELS, ImageFolder, parse_image_folder, read_image_folder

HEIGHT, WIDTH = 4, 6


def pixels(number: int, height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    return np.random.default_rng(number).integers(0, 256, (height, width, 3), dtype=np.uint8)


def save(path: Path, content: np.ndarray, **options: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(content).save(path, **options)
    return path


def pictures(root: Path, classes: str = "ab", samples: int = 5) -> Path:
    """`samples` PNGs in each class; the one of class c with number n shows pixels(10 * c + n)."""
    for label, name in enumerate(classes):
        for number in range(samples):
            save(root / name / f"{number:02}.png", pixels(10 * label + number))
    return root


def png_announcing(width: int, height: int) -> bytes:
    """A PNG of a few bytes that claims to be that large."""
    header = struct.pack(">2I5B", width, height, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(b"")), (b"IEND", b"")]
    body = b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + body


@pytest.mark.parametrize(
    "options", ["size=8", "size=0x8", "size=8x8,size=8x8", "size=1x123456", "grey", "gray,gray", ""]
)
def test_an_unknown_option_is_refused_with_the_allowed_ones(options: str) -> None:
    with pytest.raises(LocalFault, match="allowed are size=HxW and gray"):
        load(f"images:folder,{options}")


def test_options_are_read_in_any_order() -> None:
    assert parse_image_folder("a/b,gray,size=32x24") == ImageFolder(Path("a/b"), (32, 24), gray=True)


def test_an_absent_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LocalFault, match="absent cannot be read as a folder of images"):
        load(f"images:{tmp_path / 'absent'}")


def test_a_file_in_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"")
    with pytest.raises(LocalFault, match="cannot be read as a folder of images"):
        load(f"images:{tmp_path / 'x'}")


@pytest.mark.parametrize("classes", [0, 1])
def test_fewer_than_two_classes_are_refused(tmp_path: Path, classes: int) -> None:
    with pytest.raises(LocalFault, match=f"has {classes} class folders but needs at least 2"):
        load(f"images:{pictures(tmp_path, 'ab'[:classes])}")


def test_class_folders_without_any_image_are_refused(tmp_path: Path) -> None:
    with pytest.raises(LocalFault, match="no images"):
        load(f"images:{make_folders(tmp_path, 'a', 'b')}")


def test_too_few_images_to_hold_one_out_are_refused(tmp_path: Path) -> None:
    with pytest.raises(LocalFault, match="no held-out samples"):
        load(f"images:{pictures(tmp_path, samples=4)}")


def make_folders(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).mkdir(parents=True)
    return root


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "cannot be read as PNG or JPEG"),
        (b"not an image", "cannot be read as PNG or JPEG"),
        (b"GIF89a" + bytes(20), "cannot be read as PNG or JPEG"),
        (png_announcing(WIDTH, HEIGHT), "cannot be read as PNG or JPEG"),
        (png_announcing(1, MAX_IMAGE_PIXELS + 1), "allowed are 64000000"),
        (png_announcing(10_000, 10_000), "allowed are 64000000"),  # Pillow warns
        (png_announcing(100_000, 100_000), "allowed are 64000000"),  # Pillow raises
    ],
)
def test_a_file_that_does_not_decode_is_refused_by_name(tmp_path: Path, content: bytes, reason: str) -> None:
    (pictures(tmp_path) / "b" / "03.png").write_bytes(content)
    with pytest.raises(LocalFault, match=rf"b/03\.png .*{reason}"):
        load(f"images:{tmp_path}")


@pytest.mark.parametrize("kept", [0.3, 0.6, 0.8])
def test_a_truncated_image_is_refused_by_name(tmp_path: Path, kept: float) -> None:
    path = pictures(tmp_path) / "a" / "01.png"
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * kept)])
    with pytest.raises(LocalFault, match=r"a/01\.png cannot be read"):
        load(f"images:{tmp_path}")


@pytest.mark.parametrize("kind", ["png", "jpg"])
def test_a_flipped_byte_raises_nothing_but_a_fault_that_names_the_file(tmp_path: Path, kind: str) -> None:
    path = save(make_folders(tmp_path, "a", "b") / "a" / f"00.{kind}", pixels(1))
    sound, faults = path.read_bytes(), []
    for position in range(0, len(sound), 2 if kind == "png" else 5):
        path.write_bytes(sound[:position] + bytes([sound[position] ^ 0xFF]) + sound[position + 1 :])
        try:
            read_image_folder(ImageFolder(tmp_path, (HEIGHT, WIDTH)), 100)
        except LocalFault as fault:
            faults.append(str(fault))
    assert len(faults) > 25
    assert all(str(path) in fault for fault in faults)


def test_an_image_of_16_bits_is_refused_rather_than_clipped(tmp_path: Path) -> None:
    save(pictures(tmp_path) / "a" / "02.png", np.full((HEIGHT, WIDTH), 40_000, np.uint16))
    with pytest.raises(LocalFault, match=r"a/02\.png has the pixel format I;16"):
        load(f"images:{tmp_path}")


def test_an_image_of_another_size_is_refused_by_name(tmp_path: Path) -> None:
    save(pictures(tmp_path) / "b" / "00.png", pixels(0, 5, 6))
    with pytest.raises(LocalFault, match=r"b/00\.png is 5x6 \(height x width\), the first image is 4x6; .*size=HxW"):
        load(f"images:{tmp_path}")


def test_more_bytes_than_allowed_are_refused_before_decoding(tmp_path: Path) -> None:
    (pictures(tmp_path) / "b" / "04.png").write_bytes(b"never looked at")
    with pytest.raises(LocalFault, match=r"decodes to 720 bytes, allowed are 719; give a smaller size"):
        read_image_folder(ImageFolder(tmp_path), 719)


def test_a_huge_wanted_size_is_refused_before_decoding(tmp_path: Path) -> None:
    with pytest.raises(LocalFault, match="decodes to 299994000030 bytes"):
        load(f"images:{pictures(tmp_path)},size=99999x99999")


def test_a_link_out_of_the_folder_is_refused_by_name(tmp_path: Path) -> None:
    outside = save(tmp_path / "private.png", pixels(0))
    root = pictures(tmp_path / "data")
    (root / "a" / "05.png").symlink_to(outside)
    with pytest.raises(LocalFault, match=r"a/05\.png points outside the folder"):
        load(f"images:{root}")


def test_a_class_folder_that_is_a_link_out_is_refused_by_name(tmp_path: Path) -> None:
    other, root = pictures(tmp_path / "data-of-others"), pictures(tmp_path / "data")
    (root / "c").symlink_to(other / "a")
    with pytest.raises(LocalFault, match=r"data/c points outside the folder"):
        load(f"images:{root}")


def test_a_link_to_nowhere_is_refused(tmp_path: Path) -> None:
    (pictures(tmp_path) / "a" / "05.png").symlink_to(tmp_path / "absent")
    with pytest.raises(LocalFault, match="cannot be read as a folder of images"):
        load(f"images:{tmp_path}")


def test_a_pipe_is_refused_instead_of_waited_for(tmp_path: Path) -> None:
    os.mkfifo(pictures(tmp_path) / "a" / "05.png")
    with pytest.raises(LocalFault, match=r"a/05\.png is not a file"):
        load(f"images:{tmp_path}")


@pytest.mark.parametrize("part", ["a", "train/a"])
def test_a_folder_within_a_class_is_refused_by_name(tmp_path: Path, part: str) -> None:
    make_folders(pictures((tmp_path / part).parent), "a/deeper")
    with pytest.raises(LocalFault, match="a/deeper is not a file"):
        load(f"images:{tmp_path}")


def test_a_file_beside_the_class_folders_is_refused_by_name(tmp_path: Path) -> None:
    save(pictures(tmp_path) / "stray.png", pixels(0))
    with pytest.raises(LocalFault, match=r"stray\.png is not a folder"):
        load(f"images:{tmp_path}")


@pytest.mark.parametrize("beside", [("test", "val"), ("other",)])
def test_a_part_that_is_not_known_or_not_the_only_one_is_refused(tmp_path: Path, beside: tuple[str, ...]) -> None:
    for name in ("train", *beside):
        pictures(tmp_path / name)
    with pytest.raises(LocalFault, match=r"besides train, .* only one of \['held', 'test', 'val'\]"):
        load(f"images:{tmp_path}")


def test_parts_of_different_classes_are_refused(tmp_path: Path) -> None:
    pictures(tmp_path / "train", "ab")
    pictures(tmp_path / "test", "abc")
    with pytest.raises(LocalFault, match=r"differ in the classes \['c'\]"):
        load(f"images:{tmp_path}")


def test_every_fifth_image_of_each_class_is_held_out_and_the_rest_trained_on(tmp_path: Path) -> None:
    split = load(f"images:{pictures(tmp_path, 'zab', samples=10)}")
    assert split.train_y.tolist() == [0] * 8 + [1] * 8 + [2] * 8  # a, b, z
    assert split.held_y.tolist() == [0, 0, 1, 1, 2, 2]
    expected = [pixels(number).transpose(2, 0, 1) for number in (14, 19, 24, 29, 4, 9)]
    np.testing.assert_array_equal(split.held_x, expected)
    np.testing.assert_array_equal(split.train_x[4], pixels(15).transpose(2, 0, 1))


@pytest.mark.parametrize("held", ["held", "test", "val"])
def test_two_parts_are_read_as_they_are_named(tmp_path: Path, held: str) -> None:
    pictures(tmp_path / "train", samples=3)
    pictures(tmp_path / held, samples=1)
    split = load(f"images:{tmp_path}")
    assert (split.train_y.tolist(), split.held_y.tolist()) == ([0, 0, 0, 1, 1, 1], [0, 1])
    np.testing.assert_array_equal(split.held_x[1], pixels(10).transpose(2, 0, 1))


def test_a_part_to_train_on_alone_is_cut(tmp_path: Path) -> None:
    pictures(tmp_path / "train", samples=5)
    split = load(f"images:{tmp_path}")
    assert (len(split.train_y), len(split.held_y)) == (8, 2)


def test_a_class_without_images_takes_its_label(tmp_path: Path) -> None:
    split = load(f"images:{make_folders(pictures(tmp_path, 'ac'), 'b')}")
    assert np.unique(split.train_y).tolist() == [0, 2]


def test_a_link_within_the_folder_is_followed(tmp_path: Path) -> None:
    root = pictures(tmp_path)
    (root / "a" / "05.png").symlink_to(root / "a" / "00.png")
    assert len(load(f"images:{root}").train_y) == 9


def test_images_are_brought_to_the_wanted_size_and_to_gray(tmp_path: Path) -> None:
    root = pictures(tmp_path)
    save(root / "a" / "00.png", np.full((20, 30, 3), (255, 0, 0), np.uint8))
    split = load(f"images:{root},size=2x3,gray")
    assert split.train_x.shape == (8, 1, 2, 3)
    assert np.unique(split.train_x[0]).tolist() == [76]  # 0.299 of red


def test_a_gray_image_among_coloured_ones_gets_three_channels(tmp_path: Path) -> None:
    save(pictures(tmp_path) / "a" / "00.png", np.full((HEIGHT, WIDTH), 7, np.uint8))
    split = load(f"images:{tmp_path}")
    np.testing.assert_array_equal(split.train_x[0], np.full((3, HEIGHT, WIDTH), 7))


def test_what_is_transparent_is_white(tmp_path: Path) -> None:
    save(pictures(tmp_path) / "a" / "00.png", np.zeros((HEIGHT, WIDTH, 4), np.uint8))
    assert (load(f"images:{tmp_path}").train_x[0] == 255).all()


def test_a_jpeg_is_turned_upright(tmp_path: Path) -> None:
    lying = Image.Exif()
    lying[0x0112] = 6  # orientation: the picture's top is the file's right-hand column
    content = np.zeros((WIDTH, HEIGHT, 3), np.uint8)
    content[: WIDTH // 2] = 255
    save(pictures(tmp_path) / "a" / "00.jpg", content, exif=lying, quality=100)
    (tmp_path / "a" / "00.png").unlink()
    upright = load(f"images:{tmp_path}").train_x[0]
    assert upright.shape == (3, HEIGHT, WIDTH)
    assert upright[:, :, WIDTH // 2 :].min() > 250 > 5 > upright[:, :, : WIDTH // 2].max()
