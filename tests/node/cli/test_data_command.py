"""`derelayl data`: a schema is made once and never overwritten; a spec is shown before a node runs on it."""

import json
from pathlib import Path

import pytest

from derelayl_node.cli.console import run
from derelayl_node.cli.main import build
from derelayl_training.loaders.schema import read_schema

TABLE = "age,sex,clinic,outcome\n" + "".join(f"{20 + i},{'fm'[i % 2]},c{i % 3},{'ny'[i % 2]}\n" for i in range(30))


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "table.csv"
    path.write_text(TABLE)
    return path


def command(*arguments: str) -> int:
    """Run `derelayl ARGUMENTS` in this process; the exit status."""
    return run(lambda: build(arguments)(arguments, standalone_mode=False), debug=False)


def test_a_schema_that_is_there_is_not_overwritten(
    table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "schema.toml").write_text("theirs")
    assert command("data", "schema", str(table), "--label", "outcome", "-o", str(tmp_path / "schema.toml")) == 1
    assert "exists, and peers may rely on it: move it away first" in capsys.readouterr().err
    assert (tmp_path / "schema.toml").read_text() == "theirs"


def test_a_column_that_does_not_exist_is_one_sentence(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command("data", "schema", str(table), "--label", "weight") == 1
    assert "has no column 'weight'; it has age, sex, clinic, outcome" in capsys.readouterr().err
    assert not Path("schema.toml").exists()


def test_a_schema_is_written_for_peers_to_share(
    table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "made.toml"
    options = ("--label", "outcome", "--site", "clinic", "--missing", "-o", str(out))
    assert command("data", "schema", str(table), *options) == 0
    schema = read_schema(out)
    assert (schema.classes, schema.site, schema.features) == (["n", "y"], "clinic", 2 + 4)
    assert "--architecture mlp --parameter features=6" in capsys.readouterr().out
    assert command("data", "show", f"table:{table},schema={out}", "--json") == 0
    assert json.loads(capsys.readouterr().out) == {
        "kind": "table rows",
        "train": 24,
        "held": 6,
        "shape": [6],
        "classes": 2,
        "sites": {"c0": 10, "c1": 10, "c2": 10},
    }


def test_an_unknown_spec_is_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert command("data", "show", "nothing:x") == 1
    assert "data spec 'nothing:x' is unknown; allowed are shard:PATH" in capsys.readouterr().err
