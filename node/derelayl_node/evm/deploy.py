"""Puts the token and the ledger, linked to its libraries, on a chain, from the committed artifacts."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from eth_abi.abi import encode

from derelayl_protocol.types import ADDRESS_BYTES, Address, LedgerId, Wei

from ..keys import NodeKey
from ..ports import LedgerUnavailable
from .answers import Receipt
from .outbox import Outbox
from .provider import CallReverted, Refused, Rpc
from .sender import Sender

DEPLOY_DEADLINE_S = 180.0
"""Seconds for one contract to be mined: a dozen blocks of a usual chain."""

RECEIPT_POLL_S = 0.2
"""Seconds between two looks for a receipt: blocks come once a second at most."""

CANCUN_PROBE = bytes.fromhex("5f5f5d" + "5f5f5f5e" + "00")
"""TSTORE(0, 0), MCOPY(0, 0, 0), STOP: the opcodes that the contracts need and older chains lack."""

LIBRARIES = ("MatchingLib", "SettlementLib")
"""What the ledger is linked to: parts of its code that would not fit into one contract (EIP-170)."""


class DeployFailed(LedgerUnavailable):
    """The chain answers but does not take the contracts; the message is one sentence with the remedy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkAddresses:
    """Where a network's ledger is; `start_block` is the first block that may hold one of its events."""

    ledger: LedgerId
    token: Address
    start_block: int


def artifact(name: str) -> Mapping[str, Any]:
    """A contract's committed ABI and bytecode: from the installed package, in a checkout from `contracts/artifacts`."""
    for folder in (resources.files(__package__).joinpath("artifacts"), _checkout()):
        file = folder.joinpath(f"{name}.json")
        if file.is_file():
            document: Mapping[str, Any] = json.loads(file.read_text(encoding="utf-8"))
            return document
    raise FileNotFoundError(f"The contract artifact {name}.json is missing: reinstall derelayl.")


def creation_code(name: str, arguments: bytes = b"", libraries: Mapping[str, Address] | None = None) -> bytes:
    """The code that creates a contract, linked to the libraries, with the constructor's ABI-encoded arguments.

    Raises ValueError for a library that is needed and not given.
    """
    document = artifact(name)
    code = str(document["bytecode"]).removeprefix("0x")
    for library, places in document["linkReferences"].items():
        if libraries is None or library not in libraries:
            raise ValueError(f"{name} must be linked to {library}")
        for place in places:
            start, end = 2 * place, 2 * (place + ADDRESS_BYTES)
            code = code[:start] + libraries[library].removeprefix("0x") + code[end:]
    return bytes.fromhex(code) + arguments


def deploy(
    rpc: Rpc,
    key: NodeKey,
    *,
    supply: Wei,
    holder: Address | None = None,
    outbox: Path | None = None,
    clock: Callable[[], float] = time.time,
    sleep: Callable[[float], None] = time.sleep,
) -> NetworkAddresses:
    """Deploy token, libraries and ledger and return the addresses; blocks for up to some minutes.

    `supply` (wei) of the token goes to `holder` (default: the deployer); no more can ever be minted. With `outbox`, a
    deployment that was cut off goes on where it stopped. Raises DeployFailed or LedgerUnavailable with the remedy.
    """
    check_opcodes(rpc)
    chain_id, start = rpc.chain_id(), rpc.head().ref.number
    identity = f"deployment on {chain_id} by {key.address}"
    store = Outbox(outbox if outbox is not None else Path(":memory:"), identity)
    try:
        sender = Sender(rpc, key, store, chain_id, clock)

        def create(codes: Mapping[str, bytes]) -> dict[str, Receipt]:
            intents = {name: _submit(sender, name, code) for name, code in codes.items()}  # they may share a block
            return {name: _wait(sender, intent, name, clock, sleep) for name, intent in intents.items()}

        owned = encode(["address", "uint256"], [holder or key.address, supply])
        parts = {"RelayToken": creation_code("RelayToken", owned)}
        made = create(parts | {name: creation_code(name) for name in LIBRARIES})
        token, libraries = made["RelayToken"], {name: _created(made[name]) for name in LIBRARIES}
        argument = encode(["address"], [token.contract])
        ledger = create({"RelayLedger": creation_code("RelayLedger", argument, libraries)})["RelayLedger"]
    finally:
        store.close()
    return NetworkAddresses(
        ledger=LedgerId(chain_id, _created(ledger)),
        token=_created(token),
        start_block=min(start + 1, ledger.block_number),
    )


def check_opcodes(rpc: Rpc) -> None:
    """Run the newest opcodes that the contracts use. Raises DeployFailed on a chain older than Cancun."""
    try:
        rpc.call(None, CANCUN_PROBE)
    except (CallReverted, Refused) as error:  # a silent chain is another matter
        raise DeployFailed(
            "The chain does not execute TSTORE and MCOPY: use one that has the Cancun upgrade (March 2024)."
        ) from error


def _submit(sender: Sender, name: str, code: bytes) -> int:
    try:
        return sender.submit(f"deploy {name}", None, code).id
    except CallReverted as error:
        raise LedgerUnavailable(
            f"The chain refuses to create {name} ({error}): check its size and gas limits."
        ) from error


def _wait(
    sender: Sender, intent: int, name: str, clock: Callable[[], float], sleep: Callable[[float], None]
) -> Receipt:
    deadline = clock() + DEPLOY_DEADLINE_S
    while clock() < deadline:
        receipt = sender.outcome(intent)
        if receipt is not None:
            if not receipt.succeeded:
                raise DeployFailed(
                    f"The creation of {name} failed on the chain: check the account's gas and try again."
                )
            return receipt
        sleep(RECEIPT_POLL_S)
    reason = f" ({said})" if (said := sender.reason(intent)) else ""
    raise LedgerUnavailable(
        f"The creation of {name} was not mined within {DEPLOY_DEADLINE_S:.0f} s{reason}: try again later."
    )


def _created(receipt: Receipt) -> Address:
    if receipt.contract is None:
        raise LedgerUnavailable("The chain's receipt of a creation names no contract: use another node.")
    return receipt.contract


def _checkout() -> Path:
    return Path(__file__).resolve().parents[3] / "contracts" / "artifacts"
