"""An EVM chain inside this process: py-evm on one SQLite file. For one machine; a network is any other JSON-RPC URL.

Blocks have no schedule. A transaction is mined at once when the clock's second is past the head's timestamp; until then
it waits, on disk and together with others, so that a block's timestamp never runs ahead of the clock and deadlines in
the ledger mean wall time.
"""

from __future__ import annotations

import hashlib
import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import rlp  # type: ignore[import-untyped]
from eth.abc import BlockAPI, ComputationAPI, ReceiptAPI, SignedTransactionAPI, StateAPI
from eth.chains.base import Chain
from eth.constants import POST_MERGE_DIFFICULTY, POST_MERGE_MIX_HASH, POST_MERGE_NONCE
from eth.db.atomic import AtomicDB
from eth.exceptions import HeaderNotFound, Revert, TransactionNotFound, VMError
from eth.vm.forks.prague import PragueVM
from eth.vm.spoof import SpoofTransaction
from eth_typing import Address, BlockNumber, Hash32
from eth_utils.exceptions import ValidationError

from ..recursion import restrain_recursion
from .kv import ChainFileError, SqliteKV
from .pool import Refused, TransactionPool

restrain_recursion()

LOG = logging.getLogger(__name__)

Header = Any
"""py-evm's header; its declared type lacks the fields that later forks added."""

BLOCK_GAS_LIMIT = 30_000_000
"""Gas of one block, as on the main network since 2021: what does not fit here would not fit there."""

GENESIS_BASE_FEE = 10**9
"""wei per gas of the first block, the usual value; it falls while blocks are less than half full."""

SUGGESTED_TIP = 1
"""wei per gas: nobody is paid for making blocks here."""

_BUILDER: Any = PragueVM.get_transaction_builder()

MAX_TRANSACTION_BYTES = 128 * 1024
"""One raw transaction, as other nodes limit it: twice the largest contract."""

CALL_STIPEND_NUMERATOR, CALL_STIPEND_DENOMINATOR = 64, 63
"""EIP-150: a call hands on at most 63/64 of the gas, so a transaction needs more than it uses."""


class NotFound(Exception):
    """No such block or transaction on the canonical chain."""


class Reverted(Exception):
    """The contract refused a call or an estimate; `data` is what it returned."""

    def __init__(self, data: bytes) -> None:
        super().__init__("execution reverted")
        self.data = data


class CallFailed(Exception):
    """A call or an estimate ended without a refusal by the contract: out of gas, an invalid opcode, no funds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallRequest:
    """A message call that leaves no trace; `to` is empty for a creation."""

    sender: bytes = bytes(20)
    to: bytes = b""
    data: bytes = b""
    value: int = 0
    gas: int = BLOCK_GAS_LIMIT


class EmbeddedChain:
    """The chain in one file. Hold `lock` around every call when several threads use it."""

    def __init__(
        self, path: Path, *, chain_id: int, genesis_balances: Mapping[str, int], clock: Callable[[], float]
    ) -> None:
        """Open `path` or start a chain there. `clock` gives Unix seconds; balances (wei) count only for a new chain.

        Raises ChainFileError if the file is in use, damaged, foreign, or of another chain id.
        """
        self.chain_id = chain_id
        self.lock = threading.RLock()
        self._clock = clock
        self._barren_second: int | None = None  # nothing that waits could be mined then: look again in the next
        self._store = SqliteKV(path)
        try:
            self._chain = self._open(genesis_balances)
            self._pool = self._recall_pool()
        except BaseException:
            self._store.close()
            raise

    def _open(self, genesis_balances: Mapping[str, int]) -> Chain:
        known = self._store.meta("chain id")
        if known is not None and int(known) != self.chain_id:
            raise ChainFileError(
                f"{self._store.path} holds the chain {known}, not {self.chain_id}: give that chain id or another path."
            )
        chain_class: Any = type(
            "EmbeddedPragueChain", (Chain,), {"chain_id": self.chain_id, "vm_configuration": ((0, PragueVM),)}
        )
        database = AtomicDB(self._store)
        if known is not None:
            try:
                chain: Chain = chain_class(database)
                chain.get_canonical_head()
            except (HeaderNotFound, KeyError, rlp.exceptions.RLPException) as error:
                raise ChainFileError(
                    f"The chain file {self._store.path} has no readable head block: delete it to start a new chain."
                ) from error
            return chain
        chain = chain_class.from_genesis(database, self._genesis(), _accounts(genesis_balances))
        self._store.flush()
        # Last, so that a crash before this line leaves a file that starts anew instead of a half-made chain.
        self._store.set_meta("chain id", str(self.chain_id))
        return chain

    def _genesis(self) -> dict[str, Any]:
        return {
            "coinbase": bytes(20),
            "difficulty": POST_MERGE_DIFFICULTY,
            "extra_data": b"derelayl",
            "gas_limit": BLOCK_GAS_LIMIT,
            "mix_hash": POST_MERGE_MIX_HASH,
            "nonce": POST_MERGE_NONCE,
            "base_fee_per_gas": GENESIS_BASE_FEE,
            # One second back, so that the first transaction need not wait.
            "timestamp": max(0, int(self._clock()) - 1),
        }

    def _recall_pool(self) -> TransactionPool:
        """The waiting transactions of the last run; those that can no longer be mined are dropped."""
        pool, state = TransactionPool(), self._head_state()
        builder = PragueVM.get_transaction_builder()
        waiting = sorted((builder.decode(raw) for raw in self._store.pool()), key=lambda transaction: transaction.nonce)
        for transaction in waiting:
            try:
                pool.add(transaction, state.get_nonce(transaction.sender))
            except Refused as refusal:
                LOG.warning("dropped waiting transaction %s: %s", transaction.hash.hex(), refusal)
                self._store.pool_drop(transaction.hash)
        return pool

    def close(self) -> None:
        """Close the file. Nothing is lost: every block and every waiting transaction is on disk already."""
        with self.lock:
            self._store.close()

    # --- writing ----------------------------------------------------------------------------------------------------

    def send_raw(self, raw: bytes) -> bytes:
        """Take a signed transaction and return its hash: from then on it survives a crash. Raises Refused."""
        transaction = self._decode(raw)
        if self._is_mined(transaction.hash):
            raise Refused("already known")
        self._check_affordable(transaction)
        replaced = self._pool.add(transaction, self._head_state().get_nonce(transaction.sender))
        try:
            self._barren_second = None
            self.mine_due()
            if self._pool.get(transaction.hash) is not None:
                self._store.pool_add(transaction.hash, raw)
        except BaseException:
            self._pool.remove(transaction)  # not acknowledged, so it must not linger either
            raise
        if replaced is not None:
            self._store.pool_drop(replaced.hash)
        return bytes(transaction.hash)

    def mine_due(self) -> bool:
        """Mine the waiting transactions if the clock allows a new block; returns whether any still wait."""
        head, now = self.head(), int(self._clock())
        if len(self._pool) and now > head.timestamp and now != self._barren_second:
            try:
                self._barren_second = None if self._mine(head, now) else now
            except BaseException:
                self._store.discard()
                raise
        return len(self._pool) > 0

    def _mine(self, parent: Header, timestamp: int) -> bool:
        """Make a block of the transactions that are valid now; False if none is."""
        vm = self._chain.get_vm(self._header_after(parent, timestamp))
        header, included, receipts = vm.get_header(), [], []
        for transaction in self._pool.ready(vm.state.get_nonce):
            if header.gas_used + transaction.gas > header.gas_limit:
                break
            try:
                receipt, _ = vm.apply_transaction(header, transaction)
            except ValidationError as error:
                LOG.debug("transaction %s waits: %s", transaction.hash.hex(), error)
                continue
            except Exception:
                # A defect of the EVM: without this transaction the next block can be made.
                LOG.exception("dropped transaction %s, which the EVM cannot execute", transaction.hash.hex())
                self._pool.remove(transaction)
                raise
            header = vm.add_receipt_to_header(header, receipt)
            included.append(transaction)
            receipts.append(receipt)
        if not included:
            return False
        filled = vm.set_block_transactions_and_withdrawals(vm.get_block(), header, tuple(included), tuple(receipts))
        self._chain.chaindb.persist_block(vm.mine_block(filled).block)
        outdated = self._outdated(included)
        self._store.flush(mined=tuple(transaction.hash for transaction in (*included, *outdated)))
        for transaction in (*included, *outdated):
            self._pool.remove(transaction)
        return True

    def _outdated(self, included: list[SignedTransactionAPI]) -> list[SignedTransactionAPI]:
        hashes, state = {transaction.hash for transaction in included}, self._head_state()
        return [transaction for transaction in self._pool.outdated(state.get_nonce) if transaction.hash not in hashes]

    def _decode(self, raw: bytes) -> SignedTransactionAPI:
        if len(raw) > MAX_TRANSACTION_BYTES:
            raise Refused("oversized data")
        try:
            transaction = PragueVM.get_transaction_builder().decode(raw)
            transaction.validate()
            transaction.check_signature_validity()
        except (rlp.exceptions.RLPException, ValidationError, ValueError, TypeError, IndexError, VMError) as error:
            raise Refused(f"invalid transaction: {error}") from error
        if transaction.chain_id != self.chain_id:
            raise Refused(f"invalid chain id: this is chain {self.chain_id}")
        return transaction

    def _check_affordable(self, transaction: SignedTransactionAPI) -> None:
        if transaction.gas > BLOCK_GAS_LIMIT:
            raise Refused("exceeds block gas limit")
        if transaction.gas < transaction.intrinsic_gas:
            raise Refused("intrinsic gas too low")
        cost = transaction.gas * transaction.max_fee_per_gas + transaction.value
        if self._head_state().get_balance(transaction.sender) < cost:
            raise Refused("insufficient funds for gas * price + value")

    # --- executing without a trace ----------------------------------------------------------------------------------

    def call(self, request: CallRequest, at: Header | None = None) -> bytes:
        """What a message call returns: now, or at the end of block `at`. Raises Reverted, CallFailed."""
        computation = self._execute(request, at)
        _raise_on_error(computation)
        return bytes(computation.output)

    def estimate(self, request: CallRequest) -> int:
        """Gas with which the transaction succeeds now; verified by running it. Raises Reverted, CallFailed."""
        computation = self._execute(request, None)
        _raise_on_error(computation)
        used = request.gas - computation.get_gas_remaining()
        guess = min(request.gas, used * CALL_STIPEND_NUMERATOR // CALL_STIPEND_DENOMINATOR + 2_300)
        while self._execute(_with_gas(request, guess), None).is_error:
            if guess >= request.gas:
                raise CallFailed(f"gas required exceeds allowance ({request.gas})")
            guess = min(request.gas, guess * 2)
        return guess

    def _execute(self, request: CallRequest, at: Header | None) -> ComputationAPI:
        header = at if at is not None else self._header_after(self.head(), self.next_timestamp())
        # Without a base fee the caller needs no coins for gas.
        state: Any = self._chain.get_vm(header.copy(base_fee_per_gas=0)).state
        unsigned = _BUILDER.new_unsigned_dynamic_fee_transaction(
            chain_id=self.chain_id,
            nonce=state.get_nonce(request.sender),
            max_priority_fee_per_gas=0,
            max_fee_per_gas=0,
            gas=request.gas,
            to=request.to,
            value=request.value,
            data=request.data,
            access_list=(),
        )
        try:
            computation: ComputationAPI = state.apply_transaction(SpoofTransaction(unsigned, from_=request.sender))
            return computation
        except ValidationError as error:
            raise CallFailed(str(error)) from error

    # --- reading ----------------------------------------------------------------------------------------------------

    def head(self) -> Header:
        """The newest block's header."""
        return self._chain.get_canonical_head()

    def next_timestamp(self) -> int:
        """The earliest timestamp a transaction sent now can have, in Unix seconds."""
        return max(int(self._clock()), int(self.head().timestamp) + 1)

    def next_base_fee(self) -> int:
        """wei per gas of the next block."""
        return int(self._header_after(self.head(), self.next_timestamp()).base_fee_per_gas)

    def header_by_number(self, number: int) -> Header:
        """Header of a canonical block. Raises NotFound."""
        try:
            return self._chain.get_canonical_block_header_by_number(BlockNumber(number))
        except HeaderNotFound as error:
            raise NotFound(f"block {number} not found") from error

    def header_by_hash(self, hash_: bytes) -> Header:
        """Header of a block. Raises NotFound."""
        try:
            return self._chain.get_block_header_by_hash(Hash32(hash_))
        except (HeaderNotFound, ValidationError) as error:
            raise NotFound("block not found") from error

    def block(self, header: Header) -> BlockAPI:
        """The block of a header."""
        return self._chain.get_block_by_header(header)

    def receipts(self, header: Header) -> tuple[ReceiptAPI, ...]:
        """The receipts of a block, read straight from its trie."""
        return self._chain.chaindb.get_receipts(header, PragueVM.get_receipt_builder())

    def transaction(self, hash_: bytes) -> tuple[SignedTransactionAPI, Header | None, int]:
        """A transaction, its block (None while it waits) and its index there. Raises NotFound."""
        waiting = self._pool.get(hash_)
        if waiting is not None:
            return waiting, None, 0
        try:
            number, index = self._chain.chaindb.get_transaction_index(Hash32(hash_))
        except TransactionNotFound as error:
            raise NotFound("transaction not found") from error
        header = self.header_by_number(number)
        return self._chain.get_canonical_transaction_by_index(number, index), header, index

    def state(self, at: Header | None = None) -> StateAPI:
        """Balances, nonces and code at the end of a block (the head's if None)."""
        return self._head_state() if at is None else self._chain.get_vm(at).state

    def next_nonce(self, account: Address) -> int:
        """The first nonce that neither the chain nor a waiting transaction of the account has used."""
        return self._pool.next_nonce(account, self._head_state().get_nonce(account))

    def _is_mined(self, hash_: bytes) -> bool:
        try:
            return self.transaction(hash_)[1] is not None
        except NotFound:
            return False

    def _head_state(self) -> StateAPI:
        return self._chain.get_vm(self.head()).state

    def _header_after(self, parent: Header, timestamp: int) -> Header:
        return self._chain.create_header_from_parent(
            parent,
            timestamp=timestamp,
            coinbase=bytes(20),
            gas_limit=parent.gas_limit,
            # A stand-in for prevrandao that needs no randomness; the ledger does not read it.
            mix_hash=hashlib.sha256(parent.hash).digest(),
        )


def _accounts(balances: Mapping[str, int]) -> dict[bytes, dict[str, Any]]:
    return {
        bytes.fromhex(address.removeprefix("0x")): {"balance": wei, "nonce": 0, "code": b"", "storage": {}}
        for address, wei in balances.items()
    }


def _with_gas(request: CallRequest, gas: int) -> CallRequest:
    return CallRequest(sender=request.sender, to=request.to, data=request.data, value=request.value, gas=gas)


def _raise_on_error(computation: ComputationAPI) -> None:
    if not computation.is_error:
        return
    if isinstance(computation.error, Revert):
        raise Reverted(bytes(computation.output))
    raise CallFailed(f"execution failed: {type(computation.error).__name__}")
