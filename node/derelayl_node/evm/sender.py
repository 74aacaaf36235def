"""Turns call data into a mined transaction exactly once: estimate, sign, store, send, send again, replace."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from eth_account import Account
from eth_account.typed_transactions.typed_transaction import TypedTransaction
from eth_utils.address import to_checksum_address
from hexbytes import HexBytes

from derelayl_protocol.spelling import to_hex
from derelayl_protocol.types import Address

from ..keys import NodeKey
from ..ports import LedgerUnavailable
from .outbox import Intent, IntentState, Outbox, SignedTransaction
from .provider import Receipt, Rpc, SendRefused

LOG = logging.getLogger(__name__)

GAS_MARGIN_PERCENT = 125
"""Gas limit in percent of the estimate: what other accounts do before us in the block may make our call dearer."""

RESEND_AFTER_S = 5.0
"""Seconds without a receipt after which the raw transaction is sent again: the node may have lost it in a restart."""

REPLACE_AFTER_S = 60.0
"""Seconds without a receipt after which one with higher fees replaces a transaction: five blocks of a usual chain."""

BUMP_PERCENT = 113
"""Both fees of a replacement in percent of those before; nodes ask for 110 (some for 112.5)."""

DISPLACED_AFTER_S = 30.0
"""Seconds a used nonce may lack our receipt before it counts as used by somebody else: nodes index receipts late."""


class Sender:
    """Sends for one account through its outbox. Synchronous and thread safe; several processes may share the outbox."""

    def __init__(self, rpc: Rpc, key: NodeKey, outbox: Outbox, chain_id: int, clock: Callable[[], float]) -> None:
        """`clock` gives Unix seconds; it decides only when to send again and when to replace."""
        self._rpc, self._key, self._outbox, self._chain_id, self._clock = rpc, key, outbox, chain_id, clock
        self._lock = threading.Lock()
        self._sent_at: dict[int, float] = {}
        self._missing_since: dict[int, float] = {}

    def submit(self, key: str, to: Address | None, data: bytes, value: int = 0) -> Intent:
        """Sign, store and send, or return the intent that holds the key already. `to` None creates a contract.

        Raises CallReverted if the contract refuses it now (nothing is stored then), LedgerUnavailable.
        """
        with self._lock:
            nonce = self._rpc.nonce(self._key.address)
            self._catch_up(nonce)
            held = self._outbox.find(key)
            if held is not None:
                return held
            gas = self._rpc.estimate(to, data, sender=self._key.address, value=value) * GAS_MARGIN_PERCENT // 100
            max_fee, tip = self._fees()
            self._check_affordable(gas * max_fee + value)

            def sign(nonce: int) -> SignedTransaction:
                return self._sign(
                    {"to": to, "data": data, "value": value, "gas": gas, "nonce": nonce}, max_fee=max_fee, tip=tip
                )

            intent = self._outbox.reserve(key, nonce, sign)
            self._send(intent)
            return intent

    def catch_up(self) -> None:
        """Send again what was signed and is not on the chain: after a restart, a lost connection, a reorg."""
        with self._lock:
            self._catch_up(self._rpc.nonce(self._key.address))

    def outcome(self, id_: int) -> Receipt | None:
        """The receipt of an intent, None while it waits; sends it again or replaces it when that takes too long.

        Raises LedgerUnavailable if another program used its nonce: it can then never be mined, and its key is free.
        """
        with self._lock:
            intent = self._outbox.get(id_)
            receipt = self._settle(intent)
            if receipt is None and self._outbox.get(id_).state is IntentState.DISPLACED:
                raise LedgerUnavailable(
                    f"Another program uses the key of {self._key.address}: use it in one place only, then try again."
                )
            if receipt is None:
                self._push(intent)
            return receipt

    def _catch_up(self, chain_nonce: int) -> None:
        for intent in self._outbox.unsettled(chain_nonce):
            if self._settle(intent) is None:
                self._push(intent)

    def _settle(self, intent: Intent) -> Receipt | None:
        """Look for the receipt of any attempt and record what became of the intent."""
        for attempt in reversed(intent.attempts):
            receipt = self._rpc.receipt(attempt.hash)
            if receipt is not None:
                self._mark(intent, IntentState.MINED if receipt.succeeded else IntentState.FAILED)
                return receipt
        if self._rpc.nonce(self._key.address) <= intent.nonce:
            self._missing_since.pop(intent.id, None)
        elif self._clock() - self._missing_since.setdefault(intent.id, self._clock()) >= DISPLACED_AFTER_S:
            self._mark(intent, IntentState.DISPLACED)
        return None

    def _mark(self, intent: Intent, state: IntentState) -> None:
        if intent.state is not state:
            self._outbox.mark(intent, state)
        self._sent_at.pop(intent.id, None)
        self._missing_since.pop(intent.id, None)

    def _push(self, intent: Intent) -> None:
        """Send again after a while, replace after a longer one."""
        now = self._clock()
        if now - self._sent_at.get(intent.id, float("-inf")) < RESEND_AFTER_S:
            return
        newest = intent.attempts[-1]
        if intent.id in self._sent_at and now - newest.signed_at >= REPLACE_AFTER_S:
            self._replace(intent)
        else:
            self._send(intent)

    def _replace(self, intent: Intent) -> None:
        newest = intent.attempts[-1]
        max_fee, tip = self._fees()
        signed = self._sign(
            _fields_of(newest.raw),
            max_fee=max(max_fee, _bumped(newest.max_fee)),
            tip=max(tip, _bumped(newest.tip)),
        )
        self._outbox.add_attempt(intent, signed)
        LOG.info("replacing transaction %s by %s with higher fees", newest.hash.hex(), signed.hash.hex())
        self._send(Intent(intent.id, intent.nonce, intent.state, (*intent.attempts, signed)))

    def _send(self, intent: Intent) -> None:
        self._sent_at[intent.id] = self._clock()
        try:
            self._rpc.send_raw(intent.attempts[-1].raw)
        except SendRefused as refusal:
            # It stays in the outbox: only a receipt tells whether it was mined ("nonce too low" may mean that).
            LOG.info("transaction %s not taken: %s", intent.attempts[-1].hash.hex(), refusal)

    def _fees(self) -> tuple[int, int]:
        """Highest price and tip in wei per gas; twice the base fee lasts for six full blocks."""
        tip = self._rpc.tip()
        return 2 * self._rpc.head().base_fee + tip, tip

    def _check_affordable(self, cost: int) -> None:
        balance = self._rpc.balance(self._key.address)
        if balance < cost:
            raise LedgerUnavailable(
                f"The account {self._key.address} has {balance} wei for gas and needs {cost}: send it some coins."
            )

    def _sign(self, fields: dict[str, object], *, max_fee: int, tip: int) -> SignedTransaction:
        transaction = {name: value for name, value in fields.items() if value is not None}
        if "to" in transaction:
            transaction["to"] = to_checksum_address(str(transaction["to"]))
        transaction |= {
            "type": 2,
            "chainId": self._chain_id,
            "maxFeePerGas": max_fee,
            "maxPriorityFeePerGas": tip,
        }
        signed = Account.sign_transaction(transaction, self._key.secret)
        gas = int(str(fields["gas"]))
        return SignedTransaction(bytes(signed.hash), bytes(signed.raw_transaction), gas, max_fee, tip, self._clock())


def _fields_of(raw: bytes) -> dict[str, object]:
    """What a signed transaction does, without its fees and its signature."""
    decoded = TypedTransaction.from_bytes(HexBytes(raw)).as_dict()
    fields = {name: decoded[name] for name in ("to", "data", "value", "gas", "nonce")}
    return {**fields, "to": to_hex(bytes(fields["to"])) if fields["to"] else None}


def _bumped(fee: int) -> int:
    return -(-fee * BUMP_PERCENT // 100) + 1
