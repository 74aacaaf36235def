"""A real EVM (py-evm, Prague) in this process with a clock that the test sets: no signatures, no blocks, exact gas.

Senders are spoofed, nobody signs transactions; accounts have keys all the same, for the messages that others may send.
"""

from __future__ import annotations

import copy
import hashlib
import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from eth.chains.base import MiningChain
from eth.db.atomic import AtomicDB
from eth.vm.execution_context import ExecutionContext
from eth.vm.forks.prague import PragueVM
from eth.vm.forks.prague.state import PragueState
from eth.vm.spoof import SpoofTransaction
from eth_typing import Address as RawAddress
from eth_typing import BlockNumber, Hash32

from derelayl_node.keys import NodeKey
from derelayl_protocol.types import Address, Timestamp, Wei

ARTIFACTS = Path(__file__).parents[2] / "contracts" / "artifacts"

TX_GAS = 16_777_216
"""Gas limit of every transaction: that of EIP-7825, so that a call that needs more fails here too."""

START = Timestamp(1_700_000_000)
"""Unix seconds of the first block."""

SUPPLY = Wei(10**30)
"""Wei minted when the token is deployed."""

CHAIN_ID = 31337
GENESIS: dict[str, Any] = {
    "coinbase": bytes(20),
    "difficulty": 0,
    "extra_data": b"",
    "gas_limit": 30_000_000,
    "mix_hash": bytes(32),
    "nonce": bytes(8),
    "timestamp": START,
}


class Reverted(Exception):
    """The contract reverted without one of the protocol's reasons; `data` is what it returned."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data.hex())
        self.data = data


@dataclass(frozen=True, slots=True)
class Receipt:
    output: bytes
    logs: tuple[tuple[bytes, tuple[bytes, ...], bytes], ...]  # (address, topics, data)
    gas: int


def artifact(name: str) -> dict[str, Any]:
    """Read a committed artifact."""
    loaded: dict[str, Any] = json.loads((ARTIFACTS / f"{name}.json").read_text())
    return loaded


@cache
def account_key(number: int) -> NodeKey:
    """The key of a test account."""
    return NodeKey(hashlib.sha256(f"account {number}".encode()).digest())


def account(number: int) -> Address:
    """A test account."""
    return account_key(number).address


class RecordingState(PragueState):
    """Remembers which words of storage may have been written: (address, slot), those of reverted calls too."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.written: set[tuple[bytes, int]] = set()

    def set_storage(self, address: bytes, slot: int, value: int) -> None:
        self.written.add((address, slot))
        super().set_storage(RawAddress(address), slot, value)


class RecordingVM(PragueVM):
    _state_class = RecordingState


class Chain(MiningChain):
    chain_id = CHAIN_ID
    vm_configuration = ((BlockNumber(0), RecordingVM),)


class Evm:
    """State and clock of the chain."""

    def __init__(self) -> None:
        self._database = AtomicDB()
        vm = Chain.from_genesis(self._database, GENESIS, {}).get_vm()
        self._state: Any = vm.state
        self._transactions: Any = vm.get_transaction_builder()
        self.now = START

    def fork(self) -> Evm:
        """Copy the chain; the two go on apart. Cheap: what is in the state so far is shared."""
        self._state.persist()
        other = copy.copy(self)
        other._state = type(self._state)(self._database, self._state.execution_context, self._state.state_root)
        return other

    def transact(self, sender: Address, to: bytes, data: bytes) -> Receipt:
        """Execute a transaction at `now`. Raises Reverted, the state then being as before."""
        computation = self._execute(sender, to, data)
        self._state.lock_changes()
        if computation.is_error:
            raise Reverted(computation.output)
        logs = tuple(
            (address, tuple(topic.to_bytes(32, "big") for topic in topics), data)
            for address, topics, data in computation.get_log_entries()
        )
        gas = TX_GAS - computation.get_gas_remaining()
        return Receipt(computation.output, logs, gas - min(gas // 5, computation.get_gas_refund()))

    def call(self, to: bytes, data: bytes) -> bytes:
        """Execute a call and undo it. Raises Reverted."""
        snapshot = self._state.snapshot()
        try:
            computation = self._execute(account(0), to, data)
        finally:
            self._state.revert(snapshot)
        if computation.is_error:
            raise Reverted(computation.output)
        return bytes(computation.output)

    def slot(self, address: bytes, number: int) -> int:
        """Read a word of a contract's storage."""
        word: int = self._state.get_storage(RawAddress(address), number)
        return word

    def written(self) -> set[tuple[bytes, int]]:
        """The words of storage, (address, slot), that may have changed since the last call of this."""
        changed, self._state.written = self._state.written, set()
        return changed

    def deploy(self, code: bytes) -> bytes:
        """Deploy a contract and return its address."""
        computation = self._execute(account(0), b"", code)
        self._state.lock_changes()
        if computation.is_error:
            raise Reverted(computation.output)
        return bytes(computation.msg.storage_address)

    def _execute(self, sender: Address, to: bytes, data: bytes) -> Any:
        self._state.execution_context = ExecutionContext(
            RawAddress(bytes(20)),
            self.now,
            BlockNumber(1),
            0,
            Hash32(bytes(32)),
            GENESIS["gas_limit"],
            (),
            CHAIN_ID,
            0,
            0,
        )
        sender_bytes = bytes.fromhex(sender[2:])
        transaction = self._transactions.new_unsigned_dynamic_fee_transaction(
            chain_id=CHAIN_ID,
            nonce=self._state.get_nonce(RawAddress(sender_bytes)),
            max_priority_fee_per_gas=0,
            max_fee_per_gas=0,
            gas=TX_GAS,
            to=to,
            value=0,
            data=data,
            access_list=(),
        )
        spoofed = SpoofTransaction(transaction, from_=sender_bytes, gas_used=0, sender=sender_bytes)
        return self._state.apply_transaction(spoofed)
