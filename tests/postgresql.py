"""A PostgreSQL server for tests: fetched from Debian's packages, never the one that happens to be installed.

The packages are kept under .derelayl/postgresql; the server runs from a folder of its own, as nobody where the tests
run as root (it refuses root), and is gone afterwards.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import pg8000.dbapi  # type: ignore[import-untyped]

MAJOR: Final = 15
CACHE: Final = Path(__file__).parents[1] / ".derelayl" / "postgresql"
SECONDS: Final = 60
"""The longest a step may take: a download over a slow line."""

UNUSED: Final = ("libllvm", "libz3", "libelogind")
"""Libraries of the just-in-time compiler, which the server is told not to use, and an alternative to systemd's."""

NOBODY: Final = 65_534


class CannotHave(Exception):
    """There is no PostgreSQL to be had here; the message says why."""


@dataclass
class Server:
    """A cluster in a folder of its own; `url` has a password, `port` stays the same over a restart."""

    folder: Path
    port: int
    password: str

    @property
    def url(self) -> str:
        return f"postgresql://tester:{self.password}@127.0.0.1:{self.port}/postgres"

    def create(self) -> None:
        """Make the cluster: texts are ordered by English rules, so that reliance on bytes shows."""
        password = self.folder / "password"
        password.write_text(self.password)
        locale = ["--locale=C", "--locale-provider=icu", "--icu-locale=en-US", "--encoding=UTF8"]
        user = ["--username=tester", f"--pwfile={password}", "--auth=scram-sha-256"]
        self._call("initdb", f"--pgdata={self.folder / 'data'}", "--no-sync", *locale, *user)

    def start(self) -> None:
        """Start it and wait until it answers."""
        options = f"-F -p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c jit=off"
        self._control("start", "-o", options, "-l", str(self.folder / "log"))

    def stop(self) -> None:
        """Stop it at once; sessions are cut off."""
        self._control("stop", "-m", "fast")

    def execute(self, statement: str) -> tuple[Any, ...]:
        """Run a statement beside whoever is tested; returns its rows."""
        connection = pg8000.dbapi.connect("tester", "127.0.0.1", "postgres", self.port, self.password)
        try:
            connection.autocommit = True
            cursor = connection.cursor()
            cursor.execute(statement)
            return () if cursor.description is None else tuple(cursor.fetchall())
        finally:
            connection.close()

    @contextmanager
    def database(self) -> Iterator[str]:
        """An empty database; gives its URL."""
        name = f"test_{secrets.token_hex(8)}"
        self.execute(f"CREATE DATABASE {name} TEMPLATE template0")
        yield self.url.removesuffix("postgres") + name
        self.execute(f"DROP DATABASE {name} WITH (FORCE)")

    def _control(self, what: str, *more: str) -> None:
        self._call("pg_ctl", what, "-w", "-D", str(self.folder / "data"), *more)

    def _call(self, program: str, *words: str) -> None:
        root = self.folder / "root"
        libraries = ":".join(sorted({str(found.parent) for found in root.rglob("lib*.so.*")}))
        path = root / "usr" / "lib" / "postgresql" / str(MAJOR) / "bin" / program
        _call(str(path), *words, environment={"LD_LIBRARY_PATH": libraries, "TZ": "UTC", "LC_ALL": "C"}, nobody=True)


@contextmanager
def running() -> Iterator[Server]:
    """A server of its own, gone afterwards. Raises CannotHave."""
    packages = _packages()
    with TemporaryDirectory(prefix="derelayl-postgresql-") as name:
        folder = Path(name)
        for package in packages:
            _call("dpkg", "-x", str(package), str(folder / "root"))
        if os.getuid() == 0:
            os.chown(folder, NOBODY, NOBODY)
        server = Server(folder, _free_port(), secrets.token_hex(8))
        server.create()
        server.start()
        try:
            yield server
        finally:
            server.stop()


def _packages() -> list[Path]:
    """The server's packages, and those libraries that the machine lacks."""
    for program in ("apt-get", "apt-cache", "dpkg", "dpkg-query"):
        if shutil.which(program) is None:
            raise CannotHave(f"PostgreSQL comes from Debian's packages, but there is no {program} here")
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "lock").open("w") as lock:  # the processes of one test run share the folder
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (CACHE / "done").exists():
            _download()
            (CACHE / "done").touch()
    return sorted(CACHE.glob("*.deb"))


def _download() -> None:
    server = f"postgresql-{MAJOR}"
    if os.getuid() == 0:
        _call("apt-get", "update", "-qq")
    only = [f"--no-{kind}" for kind in ("recommends", "suggests", "conflicts", "breaks", "replaces", "enhances")]
    depended = _call("apt-cache", "depends", "--recurse", *only, server).split()
    installed = set(_call("dpkg-query", "--show", "--showformat=${Package}\n").split())
    lacking = {name for name in depended if name.startswith("lib") and ":" not in name} - installed
    wanted = {server, f"postgresql-client-{MAJOR}", "libpq5", *lacking}
    _call("apt-get", "download", "-qq", *sorted(name for name in wanted if not name.startswith(UNUSED)), folder=CACHE)


def _call(
    *words: str, folder: Path | None = None, environment: dict[str, str] | None = None, nobody: bool = False
) -> str:
    who: dict[str, Any] = {"user": NOBODY, "group": NOBODY, "extra_groups": []} if nobody and os.getuid() == 0 else {}
    quiet = words[0].endswith("pg_ctl")  # the server would keep a pipe open
    streams: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stderr": subprocess.STDOUT, "text": True}
    streams["stdout"] = subprocess.DEVNULL if quiet else subprocess.PIPE
    found = dict(os.environ) | (environment or {})
    try:
        done = subprocess.run(words, cwd=folder or "/", env=found, timeout=SECONDS, check=False, **streams, **who)
    except subprocess.TimeoutExpired as error:
        raise CannotHave(f"{' '.join(words[:2])} took longer than {SECONDS} s") from error
    if done.returncode != 0:
        lines = (done.stdout or "it said nothing").strip().splitlines()
        raise CannotHave(f"{' '.join(words[:2])} failed: {lines[-1]}")
    return done.stdout or ""


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
