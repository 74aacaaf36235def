"""The folder of a study's results: one tidy table, a file a run, whole or not there.

    meta.json                                       what was played, with which versions
    rounds/scenario=NAME/seed=0/run-000000.parquet  run, point, swept keys, extinct_round, round, columns.COLUMNS
    people/scenario=NAME/seed=0/run-000000.parquet  run, point, one row a participant at the end
    coins/scenario=NAME/seed=0/run-000000.parquet   run, point, round, participant, coins: of the first run only

DuckDB and polars read `rounds/**/*.parquet` with hive partitioning as one table. What does not exist in a round is
null. A run counts as finished when its file under rounds/ is there, which is written last.
"""

from __future__ import annotations

import io
import json
import os
import platform
import subprocess
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from derelayl_protocol.errors import LocalFault

from ..scenarios.load import Scenario, check
from .plan import Job, Study

if TYPE_CHECKING:
    from .run import Run

RESULTS_VERSION = 1
"""Of the folder's layout; a folder of another version is refused."""

META = "meta.json"
DEPENDENCIES = ("numpy", "scipy", "polars", "pydantic", "SALib", "matplotlib")
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Results:
    """A folder of results, open for reading and for more runs."""

    folder: Path
    study: Study
    package: str  # version of derelayl that played it
    commit: str

    def finished(self) -> set[int]:
        """Return the numbers of the runs that are there."""
        return {_number(path) for path in (self.folder / "rounds").glob("scenario=*/seed=*/run-*.parquet")}

    def write(self, job: Job, run: Run) -> None:
        """Keep a finished run. Raises OSError if the disk refuses; then nothing of the run counts as there."""
        tags = {"run": job.run, "point": job.point}
        people = pl.DataFrame({name: np.asarray(values) for name, values in run.people.items()}, strict=False)
        if run.people:
            self._put(
                "people", job, people.select(pl.lit(job.run).alias("run"), pl.lit(job.point).alias("point"), pl.all())
            )
        if run.coins is not None:
            self._put("coins", job, _coins(run, tags))
        self._put("rounds", job, _rounds(run, tags, self.study.points[job.point]))

    def rounds(self, columns: Sequence[str] | None = None, point: int | None = None) -> pl.DataFrame:
        """Return the tidy table, of one point or of all, sorted by run and round; all columns if none are named."""
        return self._read("rounds", columns, point)

    def people(self, point: int | None = None) -> pl.DataFrame:
        """Return the participants at the end of every run."""
        return self._read("people", None, point)

    def coins(self) -> pl.DataFrame:
        """Return everybody's coins over the rounds of the first run; empty if they were not kept."""
        return self._read("coins", None, None)

    def matrix(self, column: str, point: int = 0) -> Floats:
        """Return a column over seeds and rounds, (seeds, rounds), NaN where it does not exist.

        All of it is NaN if no run has the column; seeds that are not finished are left out.
        """
        return self.matrices([column], point)[column]

    def matrices(self, columns: Iterable[str], point: int = 0) -> dict[str, Floats]:
        """Return several columns, see `matrix`, reading every file once."""
        wanted = list(dict.fromkeys(columns))
        runs = [pl.read_parquet(path, columns=self._present(path, wanted)) for path in self._paths("rounds", point)]
        shape = (len(runs), self.study.at(point).rounds)
        filled = {name: np.full(shape, np.nan) for name in wanted}
        for place, run in enumerate(runs):
            for name in run.columns:
                filled[name][place] = run[name].cast(pl.Float64).to_numpy()
        return filled

    def extinct_rounds(self, point: int = 0) -> list[int | None]:
        """Return the round in which each seed died out, None for those alive at the end."""
        frames = (pl.read_parquet(path, columns=["extinct_round"], n_rows=1) for path in self._paths("rounds", point))
        return [frame["extinct_round"][0] for frame in frames]

    def has(self, column: str, point: int = 0) -> bool:
        """Tell whether a column exists anywhere in a point's runs."""
        return not bool(np.isnan(self.matrix(column, point)).all())

    def columns(self, point: int = 0) -> list[str]:
        """Return the names of the columns of a point's runs."""
        names = (pl.read_parquet_schema(path) for path in self._paths("rounds", point))
        return list(dict.fromkeys(name for schema in names for name in schema))

    def _present(self, path: Path, wanted: Sequence[str]) -> list[str]:
        there = pl.read_parquet_schema(path)
        return [name for name in wanted if name in there]

    def _paths(self, table: str, point: int | None) -> list[Path]:
        """Return the files of a table in the order of the runs."""
        paths = sorted((self.folder / table).glob("scenario=*/seed=*/run-*.parquet"), key=_number)
        return [path for path in paths if point is None or _number(path) // len(self.study.seeds) == point]

    def _read(self, table: str, columns: Sequence[str] | None, point: int | None) -> pl.DataFrame:
        frames = []
        for path in self._paths(table, point):
            frame = pl.read_parquet(path, columns=None if columns is None else self._present(path, columns))
            scenario, seed = (part.partition("=")[2] for part in path.parts[-3:-1])
            frames.append(frame.select(pl.lit(scenario).alias("scenario"), pl.lit(int(seed)).alias("seed"), pl.all()))
        return pl.concat(frames, how="diagonal_relaxed") if frames else pl.DataFrame()

    def _put(self, table: str, job: Job, frame: pl.DataFrame) -> None:
        folder = self.folder / table / f"scenario={job.scenario.name}" / f"seed={job.seed}"
        folder.mkdir(parents=True, exist_ok=True)
        buffer = io.BytesIO()
        frame.write_parquet(buffer, compression="zstd")
        write_whole(folder / f"run-{job.run:06d}.parquet", buffer.getvalue())


def create(folder: Path, study: Study) -> Results:
    """Open a folder for the runs of a study: a new one, or the one that already holds some of them.

    Raises LocalFault if the folder holds another study, another version's results or other files, and OSError if the
    disk refuses.
    """
    if folder.exists() and not folder.is_dir():
        raise LocalFault(f"{folder} is a file; name a folder")
    document = {"results": RESULTS_VERSION, **versions(), **study.document()}
    if (folder / META).exists():
        _same(folder, read_meta(folder), json.loads(json.dumps(document)))
    elif folder.exists() and any(folder.iterdir()):
        raise LocalFault(f"{folder} holds other files; name a new folder, or one of `derelayl sim`")
    else:
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(folder / META, (json.dumps(document, indent=1, ensure_ascii=False) + "\n").encode())
    return Results(folder, study, str(document["package"]), str(document["commit"]))


def open_results(folder: Path) -> Results:
    """Open a folder of results for reading.

    Raises LocalFault if it is none, or one of another version.
    """
    meta = read_meta(folder)
    scenario: Scenario = check(meta["scenario"])
    study = Study(scenario, meta["changed"], meta["method"], meta["over"], tuple(meta["points"]), tuple(meta["seeds"]))
    return Results(folder, study, meta["package"], meta["commit"])


def read_meta(folder: Path) -> dict[str, Any]:
    """Read meta.json. Raises LocalFault if it is missing, broken or of another version."""
    try:
        meta = json.loads((folder / META).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise LocalFault(f"{folder} holds no results: there is no {META} in it") from None
    except NotADirectoryError:
        raise LocalFault(f"{folder} is a file; name a folder of results") from None
    except OSError as error:
        raise LocalFault(f"cannot read {folder / META}: {error.strerror}") from None
    except ValueError:
        raise LocalFault(f"{folder / META} is not readable as JSON: the folder holds no results") from None
    found = meta.get("results") if isinstance(meta, dict) else None
    if found != RESULTS_VERSION:
        raise LocalFault(
            f"{folder} holds results of version {found}, this is version {RESULTS_VERSION}: play them again"
        )
    return dict(meta)


def versions() -> dict[str, Any]:
    """Return the versions that a result depends on."""
    return {
        "package": metadata.version("derelayl"),
        "commit": commit(),
        "dependencies": {
            "python": platform.python_version(),
            **{name: metadata.version(name) for name in DEPENDENCIES},
        },
    }


def commit() -> str:
    """Return the commit of this code, marked where the tree differs; the release where it is not in a checkout."""
    if not _git("ls-files", "__init__.py"):
        return f"release {metadata.version('derelayl')}"
    head = _git("rev-parse", "--short=12", "HEAD")
    return f"commit {head}{' and changes' if _git('status', '--porcelain', '--', '.', '../../protocol') else ''}"


def write_whole(path: Path, content: bytes) -> None:
    """Write a file under a temporary name and rename it: it is there whole or not at all."""
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        os.chmod(temporary, 0o644)  # mkstemp's is private
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _git(*words: str) -> str:
    try:
        answer = subprocess.run(
            ["git", *words], cwd=Path(__file__).parent, capture_output=True, text=True, timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""  # no git on this machine: then the release says it
    return answer.stdout.strip() if answer.returncode == 0 else ""


def _same(folder: Path, found: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    """Raise LocalFault naming what is different, unless the folder holds the same study played by the same code."""
    different = [name for name, value in wanted.items() if name != "dependencies" and found.get(name) != value]
    if different:
        what = ", ".join(different)
        raise LocalFault(f"{folder} holds results of another study (another {what}); name another folder")


def _number(path: Path) -> int:
    return int(path.stem.removeprefix("run-"))


def _rounds(run: Run, tags: Mapping[str, int], point: Mapping[str, Any]) -> pl.DataFrame:
    constants = [pl.lit(value).alias(name) for name, value in {**tags, **point}.items()]
    extinct = pl.lit(run.extinct_round, dtype=pl.Int64).alias("extinct_round")
    table = pl.DataFrame(run.table).fill_nan(None).with_columns(pl.col("round").cast(pl.Int64))
    return table.select(*constants, extinct, pl.all())


def _coins(run: Run, tags: Mapping[str, int]) -> pl.DataFrame:
    assert run.coins is not None
    samples, participants = run.coins.coins.shape
    frame = pl.DataFrame(
        {
            "round": np.repeat(run.coins.rounds, participants),
            "participant": np.tile(np.arange(participants), samples),
            "coins": run.coins.coins.ravel(),
        }
    )
    return frame.select(*(pl.lit(value).alias(name) for name, value in tags.items()), pl.all())
