"""Tables: a schema that peers share, and everything wrong with a file refused with its column and row."""

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from derelayl_protocol.errors import LocalFault
from derelayl_training.data import load
from derelayl_training.kinds import InputKind
from derelayl_training.loaders.schema import MAX_VALUES, read_schema, schema_text
from derelayl_training.loaders.table import make_schema, read_table

ROWS = 40

SCHEMA = """
label = "outcome"
classes = ["well", "ill"]
site = "clinic"

[[columns]]
name = "age"
kind = "number"
mean = 40.0
scale = 10.0
missing = true

[[columns]]
name = "sex"
kind = "category"
values = ["f", "m"]
"""


def columns(rows: int = ROWS) -> dict[str, list[object]]:
    return {
        "age": [20 + index for index in range(rows)],
        "sex": ["f" if index % 2 else "m" for index in range(rows)],
        "clinic": [f"c{index % 3}" for index in range(rows)],
        "outcome": ["ill" if index % 4 == 0 else "well" for index in range(rows)],
    }


def csv(folder: Path, name: str = "table.csv", **changed: Any) -> Path:
    """Write a table; `age={3: "x"}` changes row 4, `age=None` leaves the column out, a list replaces or adds one."""
    table = columns()
    for column, change in changed.items():
        if change is None:
            del table[column]
        elif isinstance(change, dict):
            for row, cell in change.items():
                table[column][row] = cell
        else:
            table[column] = list(change)
    lines = [",".join(table), *(",".join(map(str, row)) for row in zip(*table.values(), strict=True))]
    path = folder / name
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture
def schema(tmp_path: Path) -> Path:
    path = tmp_path / "schema.toml"
    path.write_text(SCHEMA)
    return path


# --- refusals: the file ---


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "cannot be read as a table"),
        (b"age,outcome\n", "is empty: it has no rows"),
        (b"age,outcome\n1,a\n1,a,2\n", "cannot be read as a table"),
        (b"age,age,outcome\n1,2,a\n", "has the column 'age' twice"),
        (b"age,outcome\n\xff\xfe,a\n", "cannot be read as a table"),
    ],
)
def test_a_damaged_csv_is_refused(tmp_path: Path, content: bytes, reason: str) -> None:
    (tmp_path / "x.csv").write_bytes(content)
    with pytest.raises(LocalFault, match=reason):
        load(f"table:{tmp_path / 'x.csv'},label=outcome")


@pytest.mark.parametrize("content", [b"", b"PAR1 and no more", b"PAR1" + bytes(100) + b"PAR1"])
def test_a_damaged_parquet_file_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.parquet").write_bytes(content)
    with pytest.raises(LocalFault, match="cannot be read as a table"):
        load(f"table:{tmp_path / 'x.parquet'},label=outcome")


@pytest.mark.parametrize(
    ("argument", "reason"),
    [
        ("{0}/absent.csv,label=a", "cannot be read as a table"),
        ("{0}/table.xlsx,label=a", r"tables end in \.csv, \.parquet, \.pq, not in '\.xlsx'"),
        ("{0}/table.csv", "say what is to be predicted by label=COLUMN, or give schema=FILE"),
        ("{0}/table.csv,label=", "'label=' is not an option"),
        ("{0}/table.csv,label=outcome,label=age", "'label=age' is not an option"),
        ("{0}/table.csv,colour=red", "allowed are schema=, label="),
        ("{0}/table.csv,{0}/other.csv,label=a", "allowed is exactly one before the options"),
        ("{0}/table.csv,label=outcome,held=0", "held is '0', allowed is a number from 0.01 to 0.9"),
        ("{0}/table.csv,label=outcome,held=nan", "held is 'nan'"),
        ("{0}/table.csv,label=weight", "has no column 'weight'; it has age, sex, clinic, outcome"),
        ("{0}/table.csv,label=outcome,site=ward", "has no column 'ward'"),
        ("{0}/table.csv,label=outcome,drop=weight", "has no column 'weight'"),
        ("{0}/table.csv,label=outcome,keep=outcome", "has no column to learn from"),
        ("{0}/table.csv,label=outcome,unlabelled=keep", "unlabelled is 'keep', allowed is drop"),
        ("{0}/table.csv,label=outcome,schema={0}/schema.toml", "leave label= away"),
        ("{0}/table.csv,schema={0}/absent.toml", "make one with `derelayl data schema`"),
    ],
)
def test_a_spec_that_cannot_be_is_refused(tmp_path: Path, schema: Path, argument: str, reason: str) -> None:
    csv(tmp_path)
    with pytest.raises(LocalFault, match=reason):
        load(f"table:{argument.format(tmp_path)}")


# --- refusals: cells ---


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"age": {3: "old"}}, "column 'age', row 4: 'old' is not a number"),
        ({"age": {3: "nan"}}, "column 'age', row 4: nan is not a finite number"),
        ({"age": {3: "-inf"}}, "column 'age', row 4: -inf is not a finite number"),
        ({"age": {3: "1e300"}}, "holds NaN or an infinity"),
        ({"sex": {5: ""}}, "column 'sex', row 6 is missing, which the schema does not foresee"),
        ({"outcome": {7: "dead"}}, "label 'outcome', row 8 is 'dead', allowed are well, ill"),
        ({"outcome": {7: ""}}, "row 8 is missing, allowed are well, ill; unlabelled=drop"),
        ({"clinic": {9: "NA"}}, "site 'clinic', row 10 is missing"),
        ({"age": None}, "lacks the column 'age' of the schema; it has sex, clinic, outcome"),
        ({"outcome": None}, "lacks the column 'outcome'"),
        ({"clinic": None}, "has no column 'clinic' for the site"),
    ],
)
def test_a_table_that_does_not_follow_the_schema_is_refused_with_the_row(
    tmp_path: Path, schema: Path, changes: dict[str, Any], reason: str
) -> None:
    with pytest.raises(LocalFault, match=reason):
        load(f"table:{csv(tmp_path, **changes)},schema={schema}")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"outcome": [0.5 * index for index in range(ROWS)]}, "regression is not offered"),
        ({"outcome": ["one"] * ROWS}, "has 1 classes, needed are at least 2"),
        ({"age": {0: "inf"}}, "row 1: inf is not a finite number"),
        ({"sex": [""] * ROWS}, "column 'sex' has 0 different texts"),
    ],
)
def test_a_table_that_gives_no_schema_is_refused(tmp_path: Path, changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(LocalFault, match=reason):
        load(f"table:{csv(tmp_path, **changes)},label=outcome")


def test_a_column_of_names_is_refused_with_the_remedy(tmp_path: Path) -> None:
    many = MAX_VALUES + 60
    frame = pl.DataFrame({"name": [f"n{i}" for i in range(many)], "age": range(many), "y": ["a", "b"] * (many // 2)})
    frame.write_csv(tmp_path / "x.csv")
    with pytest.raises(LocalFault, match=r"column 'name' has \d+ different texts, a category has 1 to 100; leave it"):
        load(f"table:{tmp_path / 'x.csv'},label=y")
    assert load(f"table:{tmp_path / 'x.csv'},label=y,drop=name").train_x.shape[1] == 1
    assert load(f"table:{tmp_path / 'x.csv'},label=y,keep=age").train_x.shape[1] == 1


def test_a_parquet_column_of_dates_is_refused_by_its_type(tmp_path: Path) -> None:
    dates = pl.date_range(pl.date(2020, 1, 1), pl.date(2020, 2, 9), eager=True)
    pl.DataFrame({"day": dates, "y": ["a", "b"] * 20}).write_parquet(tmp_path / "x.parquet")
    with pytest.raises(LocalFault, match="column 'day' has the type Date, allowed are numbers, text and booleans"):
        load(f"table:{tmp_path / 'x.parquet'},label=y")


# --- refusals: the schema ---


@pytest.mark.parametrize(
    ("before", "after", "reason"),
    [
        ("label", "lable", "Field required"),
        ('["well", "ill"]', '["well"]', "at least 2 items"),
        ('["well", "ill"]', '["ill", "ill"]', "a class is listed twice"),
        ("scale = 10.0", "scale = 0.0", "greater than 0"),
        ("mean = 40.0", "mean = nan", "finite number"),
        ('"number"', '"date"', "does not match any of the expected tags"),
        ('name = "sex"', 'name = "age"', "a column is listed twice"),
        ('name = "sex"', 'name = "outcome"', "no columns to learn from"),
        ('["f", "m"]', '["f", "f"]', "lists a value twice"),
        ('["f", "m"]', "[]", "at least 1 item"),
        ("missing = true", "missing = true\nfitted = 3", "Extra inputs"),
        ("[[columns]]", "[[columns", "is not TOML"),
    ],
)
def test_a_schema_that_says_nonsense_is_refused(
    tmp_path: Path, schema: Path, before: str, after: str, reason: str
) -> None:
    schema.write_text(SCHEMA.replace(before, after))
    with pytest.raises(LocalFault, match=reason):
        load(f"table:{csv(tmp_path)},schema={schema}")


# --- what is read ---


def test_rows_become_numbers_as_the_schema_says(tmp_path: Path, schema: Path) -> None:
    path = csv(tmp_path, age={0: "", 1: 55}, sex={1: "x"})
    inputs, labels, sites = load(f"table:{path},schema={schema}").pooled()
    features = inputs.tolist()
    assert sorted(map(len, features)) == [5] * ROWS  # age, age is missing, f, m, other
    assert [0.0, 1.0, 0.0, 1.0, 0.0] in features
    assert [1.5, 0.0, 0.0, 0.0, 1.0] in features
    assert np.bincount(labels).tolist() == [30, 10]
    assert sites is not None


def test_two_peers_with_other_rows_agree_on_every_number(tmp_path: Path, schema: Path) -> None:
    """One peer has never seen a woman, and its ages lie elsewhere."""
    here = csv(tmp_path, "here.csv")
    there = csv(tmp_path, "there.csv", sex=["m"] * ROWS, age=range(60, 60 + ROWS), outcome=["ill"] * ROWS)
    first, second = (load(f"table:{path},schema={schema}") for path in (here, there))
    assert first.train_x.shape[1:] == second.train_x.shape[1:]
    assert set(second.pooled()[1].tolist()) == {1}
    shared = {tuple(row) for row in first.pooled()[0].tolist()} & {tuple(row) for row in second.pooled()[0].tolist()}
    assert not shared  # ages 20-59 and 60-99 do not meet
    assert min(second.pooled()[0][:, 0]) == pytest.approx(2.0)


def test_csv_and_parquet_of_one_table_give_the_same_arrays(tmp_path: Path) -> None:
    frame = pl.DataFrame(
        {
            "size": [float(index % 7) for index in range(ROWS)],
            "code": [float(index % 3) for index in range(ROWS)],
            "smokes": [index % 2 == 0 for index in range(ROWS)],
            "y": [float(index % 2) for index in range(ROWS)],
        }
    )
    frame.write_csv(tmp_path / "x.csv")
    frame.write_parquet(tmp_path / "x.parquet")
    first, second = (load(f"table:{tmp_path / name},label=y") for name in ("x.csv", "x.parquet"))
    np.testing.assert_array_equal(first.train_x, second.train_x)
    np.testing.assert_array_equal(first.held_y, second.held_y)
    assert first.kind is InputKind.TABLE
    assert first.train_x.shape == (32, 2 + 3)


def test_the_same_rows_are_held_out_each_time(tmp_path: Path) -> None:
    first, again = (load(f"table:{csv(tmp_path)},label=outcome,drop=clinic,held=0.25") for _ in range(2))
    np.testing.assert_array_equal(first.held_x, again.held_x)
    assert len(first.held_y) == 10


def test_a_schema_of_ones_own_is_fitted_on_the_rows_to_train_on_alone(tmp_path: Path) -> None:
    split = load(f"table:{csv(tmp_path)},label=outcome,keep=age,held=0.5")
    assert split.train_x.mean() == pytest.approx(0.0, abs=1e-6)
    assert split.train_x.std() == pytest.approx(1.0, abs=1e-6)
    assert abs(split.held_x.mean()) > 1e-3


def test_classes_that_are_whole_numbers_keep_their_order(tmp_path: Path) -> None:
    path = csv(tmp_path, outcome=[(index % 3) * 5 for index in range(ROWS)])
    labels = load(f"table:{path},label=outcome").pooled()[1]
    assert make_schema("x", read_table(path), "outcome").classes == ["0", "5", "10"]
    assert set(labels.tolist()) == {0, 1, 2}


def test_rows_without_a_label_are_left_out_if_asked(tmp_path: Path) -> None:
    path = csv(tmp_path, outcome={3: "", 4: "NA"})
    assert len(load(f"table:{path},label=outcome,unlabelled=drop").pooled()[1]) == ROWS - 2


def test_a_schema_is_read_as_it_was_written(tmp_path: Path) -> None:
    odd: dict[str, Any] = {'o\tdd "näme" 😀\x7f': [f"v\\{index % 2}" for index in range(ROWS)]}
    path = csv(tmp_path, **odd)
    made = make_schema("x", read_table(path), "outcome", site="clinic", missing_anywhere=True)
    (tmp_path / "made.toml").write_text(schema_text(made), encoding="utf-8")
    assert read_schema(tmp_path / "made.toml") == made
    assert made.features == (1 + 1) + (2 + 1 + 1) * 2
