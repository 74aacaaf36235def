"""Emoji in the layout of the npm packages emoji-datasource-VENDOR."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from derelayl_protocol.errors import LocalFault
from derelayl_training.data import load

THINGS = 10
"""Of each category; every fifth has a second colour of skin."""

COLOURS = {"google": (200, 30, 30, 255), "twitter": (30, 30, 200, 255)}


def entry(category: str, number: int, vendors: tuple[str, ...] = tuple(COLOURS)) -> dict[str, object]:
    code = f"1f{number:03x}"
    has = {f"has_img_{vendor}": vendor in vendors for vendor in COLOURS}
    found: dict[str, object] = {"unified": code.upper(), "image": f"{code}.png", "category": category, **has}
    if number % 5 == 4:
        found["skin_variations"] = {"1F3FB": {"unified": f"{code}-1F3FB", "image": f"{code}-1f3fb.png", **has}}
    return found


def package(root: Path, vendor: str, index: object = None) -> Path:
    """Write one vendor's package: two categories and a component."""
    entries = [entry("Food & Drink", number) for number in range(THINGS)]
    entries += [entry("Objects", number) for number in range(THINGS, 2 * THINGS)]
    entries.append(entry("Component", 900))
    folder = root / vendor
    images = folder / "img" / vendor / "64"
    images.mkdir(parents=True)
    (folder / "emoji.json").write_text(json.dumps(entries if index is None else index))
    for each in entries:
        variants = [each, *each.get("skin_variations", {}).values()]  # type: ignore[attr-defined]
        for variant in variants:
            Image.new("RGBA", (64, 64), COLOURS[vendor]).save(images / str(variant["image"]))
    return folder


@pytest.mark.parametrize(
    ("index", "reason"),
    [
        ({"no": "list"}, "is not the index of an emoji-datasource package"),
        ([{"unified": "1F000"}], "is not the index of an emoji-datasource package: KeyError"),
        ([entry("Component", 1)], "lists no emoji"),
        ([{**entry("Objects", 1), "image": "../../secret.png"}], "is not named by code points"),
        ([entry("Objects", 700)], r"1f2bc\.png cannot be read as PNG"),
    ],
)
def test_an_index_that_does_not_fit_is_refused(tmp_path: Path, index: object, reason: str) -> None:
    with pytest.raises(LocalFault, match=reason):
        load(f"emoji:{package(tmp_path, 'google', index)}")


@pytest.mark.parametrize(
    ("argument", "reason"),
    [
        ("{0}/absent", "name the folder of an unpacked emoji-datasource-VENDOR"),
        ("{0}/google,{0}/google", "are of one vendor"),
        ("{0}/google,site=apple", "there is no vendor 'apple'; there are google"),
        ("{0}/google,size=64", "'64' is not a size"),
        ("{0}/google,length=3", "'length=3' is not an option; allowed are site=, size="),
    ],
)
def test_a_spec_that_cannot_be_is_refused(tmp_path: Path, argument: str, reason: str) -> None:
    package(tmp_path, "google")
    with pytest.raises(LocalFault, match=reason):
        load(f"emoji:{argument.format(tmp_path)}")


def test_two_vendors_are_two_sites_of_the_same_things(tmp_path: Path) -> None:
    split = load(f"emoji:{package(tmp_path, 'google')},{package(tmp_path, 'twitter')},size=8x8")
    assert split.sites is not None
    assert split.sites.names == ("google", "twitter")
    assert split.train_x.shape == (2 * 2 * 8, 3, 8, 8)
    assert np.bincount(split.sites.train).tolist() == [16, 16]
    for vendor, name in enumerate(split.sites.names):
        images = split.train_x[split.sites.train == vendor]
        assert {tuple(pixel) for pixel in images[:, :, 0, 0].tolist()} == {COLOURS[name][:3]}


def test_every_fifth_thing_is_held_out_in_all_its_colours(tmp_path: Path) -> None:
    split = load(f"emoji:{package(tmp_path, 'google')},size=8x8")
    assert split.held_x.shape == (2 * 2 * 2, 3, 8, 8)
    assert np.bincount(split.held_y).tolist() == [4, 4]
    assert len(split.train_y) == 2 * 8


def test_one_vendor_of_several_can_be_chosen(tmp_path: Path) -> None:
    folders = package(tmp_path, "google"), package(tmp_path, "twitter")
    split = load(f"emoji:{folders[0]},{folders[1]},site=twitter,size=8x8")
    assert split.sites is not None
    assert split.sites.names == ("twitter",)
    assert split.train_x[0, :, 0, 0].tolist() == list(COLOURS["twitter"][:3])
