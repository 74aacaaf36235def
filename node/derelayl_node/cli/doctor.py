"""`derelayl doctor`: what would keep a node from running here, each finding with its remedy."""

from __future__ import annotations

import os
import shutil
import socket
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import trio
import typer

from derelayl_protocol.errors import LocalFault
from derelayl_protocol.ledger.presets import STANDARD
from derelayl_protocol.spelling import exact_tokens
from derelayl_protocol.types import Address
from derelayl_training.data import load
from derelayl_training.jobs import MIN_JUDGED_SAMPLES, too_few_to_judge

from ..evm.outbox import waiting_in
from ..evm.provider import open_chain
from ..keys import load_key_file
from ..ports import LedgerUnavailable
from ..roles.prospects import outlook
from ..settings import DEFAULT_HOME, Network, chain_access, keystore_password
from .console import show, show_json
from .keys import HomeOption, JsonOption, PasswordFileOption

MIN_FREE_BYTES = 2 * 1024**3
"""A node with a small model and some history; a big model needs its size times the tips it keeps."""

MAX_CLOCK_SKEW_SECONDS = 30
"""Beyond this, deadlines look different here and on the chain."""

MIN_GAS_WEI = 10**16
"""A few hundred transactions on the embedded chain."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One check; `remedy` is empty where the text names it."""

    check: str
    fine: bool
    text: str
    remedy: str = ""


def doctor(
    home: HomeOption = DEFAULT_HOME,
    network: Annotated[Path | None, typer.Option("--network", help="The network file.")] = None,
    password_file: PasswordFileOption = None,
    data: Annotated[str, typer.Option("--data", help="The data the node will train on.")] = "",
    p2p_port: Annotated[int, typer.Option("--p2p-port", min=0, max=65535, help="The port for peers.")] = 0,
    as_json: JsonOption = False,
) -> None:
    """Check whether this machine can run a node: versions, disk, port, key, chain, clock, data."""
    findings = list(_examine(home, network, password_file, data, p2p_port))
    if as_json:
        show_json([asdict(finding) for finding in findings])
    else:
        for finding in findings:
            remedy = "" if finding.fine or not finding.remedy else f"; {finding.remedy}"
            show(f"{'ok ' if finding.fine else 'BAD'} {finding.check:<8} {finding.text}{remedy}")
    if not all(finding.fine for finding in findings):
        raise typer.Exit(1)


def _examine(
    home: Path, network: Path | None, password_file: Path | None, data: str, p2p_port: int
) -> Iterator[Finding]:
    version = ".".join(str(part) for part in sys.version_info[:3])
    yield Finding("python", sys.version_info >= (3, 11), f"Python {version}", "install Python 3.11 or newer")
    yield _disk(home)
    yield _port(p2p_port)
    account: list[Address] = []
    yield _attempt("key", lambda: _key(home, password_file, account))
    outbox = home / "outbox.sqlite"
    if os.path.lexists(outbox):
        yield _attempt("outbox", lambda: _outbox(outbox))
    if data:
        yield from _data(data)
    if network is None:
        yield Finding("network", True, "no --network given, so chain and clock were not checked")
        return
    try:
        shared = Network.read(network)
    except LocalFault as error:
        yield Finding("network", False, str(error))
        return
    yield Finding("network", True, f"{shared.name}, ledger {shared.ledger}")
    yield _attempt("chain", lambda: trio.run(trio.to_thread.run_sync, _chain, shared, home, account))


def _attempt(check: str, examine: Callable[[], Finding]) -> Finding:
    try:
        return examine()
    except (LocalFault, LedgerUnavailable) as error:
        return Finding(check, False, str(error).rstrip("."))


def _disk(home: Path) -> Finding:
    place = next(folder for folder in (home, *home.absolute().parents) if folder.exists())
    free = shutil.disk_usage(place).free
    text = f"{free / 1024**3:.1f} GiB free at {place}"
    return Finding("disk", free >= MIN_FREE_BYTES, text, f"free at least {MIN_FREE_BYTES / 1024**3:.0f} GiB")


def _port(port: int) -> Finding:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            return Finding("port", False, f"port {port}: {error.strerror}", "choose another --p2p-port")
    return Finding("port", True, "any free port" if port == 0 else f"port {port} is free")


def _key(home: Path, password_file: Path | None, account: list[Address]) -> Finding:
    key = load_key_file(home / "key.json", keystore_password(password_file))
    account.append(key.address)
    return Finding("key", True, f"account {key.address}")


def _outbox(outbox: Path) -> Finding:
    return Finding("outbox", True, f"{waiting_in(outbox)} signed transactions not known to be mined")


def _data(spec: str) -> Iterator[Finding]:
    """What there is, and what a validator with it may expect under the standard rules."""
    try:
        split = load(spec)
    except LocalFault as error:
        yield Finding("data", False, str(error).rstrip("."))
        return
    train, held = len(split.train_y), len(split.held_y)
    yield Finding("data", True, f"{train} samples to train on, {held} held out")
    yield Finding("judging", True, f"beside training: {_judging(held)}")
    yield Finding("judging", True, f"as validator only, by all samples: {_judging(train + held)}")


def _judging(held: int) -> str:
    if held < MIN_JUDGED_SAMPLES:
        return f"no validator: {too_few_to_judge(held)}"
    expected = outlook(held, STANDARD)
    advice = "a validator pays" if expected.earns else "better a trainer or a seeder than a validator"
    return f"{advice} under the standard rules: {expected.text}"


def _chain(shared: Network, home: Path, account: list[Address]) -> Finding:
    urls = chain_access(home).chain_urls or (shared.chain_url,)
    rpc = open_chain(urls, shared.chain_id, contract=Address(shared.ledger))
    head = rpc.head().ref
    ahead = head.time - time.time()
    if ahead > MAX_CLOCK_SKEW_SECONDS:
        return Finding("clock", False, f"the chain is {ahead:.0f} s ahead of this clock", "set the clock (NTP)")
    if account and (gas := rpc.balance(account[0])) < MIN_GAS_WEI:
        return Finding(
            "chain", False, f"the account has only {exact_tokens(gas)} coins for gas", "ask the founder for gas"
        )
    held = f", and holds {rpc.pending(account[0])} transactions of the account" if account else ""
    return Finding("chain", True, f"chain {shared.chain_id} answers, block {head.number}{held}")
