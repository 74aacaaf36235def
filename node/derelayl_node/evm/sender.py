"""Turns call data into a mined transaction exactly once: estimate, sign, store, send, send again, replace."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from contextlib import suppress

from eth_account import Account
from eth_account.typed_transactions.typed_transaction import TypedTransaction
from eth_utils.address import to_checksum_address
from hexbytes import HexBytes

from derelayl_protocol.spelling import to_hex
from derelayl_protocol.types import Address

from ..keys import NodeKey
from ..ports import LedgerUnavailable
from ..settings import DEFAULT_MAX_FEE_GWEI
from .answers import Receipt
from .displacement import Use, find_use, kept_block
from .fees import GWEI, Offer, TooDear, dearer, offer
from .outbox import Intent, IntentState, Outbox, SignedTransaction
from .provider import Rpc, SendRefused

LOG = logging.getLogger(__name__)

GAS_MARGIN_PERCENT = 125
"""Gas limit in percent of the estimate: what other accounts do before us in the block may make our call dearer."""

RESEND_AFTER_S = 5.0
"""Seconds without a receipt after which the raw transaction is sent again: the node may have lost it in a restart."""

REPLACE_AFTER_S = 60.0
"""Seconds for which the account's next transaction is not mined before one with higher fees replaces it, and for which
its nonce is used by nothing before one that does nothing fills it: five blocks of a usual chain."""

SEARCH_AFTER_S = 60.0
"""Seconds a used nonce may lack our receipt before its block is looked for, and between two looks: nodes index late."""

MAX_FILLED = 16
"""Nonces that are filled at once: more are missing only where a node is still reading its chain."""

PLAIN_GAS = 21_000
"""Gas of a transaction that does nothing."""

OUTBID = ("max fee per gas less than block base fee", "fee cap less than block base fee", "less than base fee")
"""Words, in lower case, of a refusal because gas has become dearer than the transaction offers."""


class OutOfGas(LedgerUnavailable):
    """The account's coins do not pay for the gas of a transaction."""


class Displaced(LedgerUnavailable):
    """Another program used the nonce of a transaction: it can never be mined, and its key is free."""


class Sender:
    """Sends for one account through its outbox. Synchronous and thread safe; several processes may share the outbox."""

    def __init__(
        self,
        rpc: Rpc,
        key: NodeKey,
        outbox: Outbox,
        chain_id: int,
        clock: Callable[[], float],
        max_fee_gwei: float = DEFAULT_MAX_FEE_GWEI,
    ) -> None:
        """`clock` gives Unix seconds; it decides only when to send again and when to replace.

        Nothing is signed that offers more than `max_fee_gwei` for one gas.
        """
        self._rpc, self._key, self._outbox, self._chain_id, self._clock = rpc, key, outbox, chain_id, clock
        self._cap = int(max_fee_gwei * GWEI)
        self._lock = threading.Lock()
        self._next = (-1, 0.0)  # the account's next nonce on the chain, and since when it is
        self._sent_at: dict[int, float] = {}
        self._outbid: set[int] = set()
        self._searched_at: dict[int, float] = {}
        self._uses: dict[int, Use] = {}  # of an intent's nonce, by another program
        self._reasons: dict[int, str] = {}

    def submit(self, key: str, to: Address | None, data: bytes, value: int = 0) -> Intent:
        """Sign, store and send, or return the intent that holds the key already. `to` None creates a contract.

        Once it is stored, a node that does not take it is no failure: `outcome` sends it again. Raises CallReverted if
        the contract refuses it now, TooDear or LedgerUnavailable, with nothing stored; OutOfGas.
        """
        with self._lock:
            nonce = self._nonce()
            self._catch_up(nonce)
            held = self._outbox.find(key)
            if held is not None:
                return held
            gas = self._rpc.estimate(to, data, sender=self._key.address, value=value) * GAS_MARGIN_PERCENT // 100
            fees = offer(self._rpc, self._cap)
            self._check_affordable(gas * fees.max_fee + value)

            def sign(nonce: int) -> SignedTransaction:
                return self._sign({"to": to, "data": data, "value": value, "gas": gas, "nonce": nonce}, fees)

            intent = self._outbox.reserve(key, nonce, sign)
            self._send(intent)
            return intent

    def catch_up(self) -> None:
        """Send again what was signed and is not on the chain: after a restart, a lost connection, a reorg."""
        with self._lock:
            try:
                self._catch_up(self._nonce())
            except (OutOfGas, TooDear) as error:
                LOG.warning("some transactions wait in the outbox: %s", error)

    def outcome(self, id_: int) -> Receipt | None:
        """The receipt of an intent, None while it waits; `reason` tells why.

        What waits before it is sent again first; what is next and takes too long is replaced. Raises Displaced when
        another program's transaction has its nonce for good, OutOfGas when it waits for coins.
        """
        with self._lock:
            intent, nonce = self._outbox.get(id_), self._nonce()
            if intent.state is IntentState.DISPLACED:
                raise self._displaced()
            if nonce > intent.nonce:
                return self._settle(intent)
            self._advance(nonce, intent.nonce)
            return None

    def reason(self, id_: int) -> str:
        """Why an intent waits, as far as it is known; empty if it isn't."""
        return self._reasons.get(id_, "")

    # --- one look -----------------------------------------------------------------------------------------------------

    def _nonce(self) -> int:
        nonce = self._rpc.nonce(self._key.address)
        if nonce != self._next[0]:
            self._next = nonce, self._clock()
        return nonce

    def _catch_up(self, chain_nonce: int) -> None:
        waiting = self._outbox.unsettled(chain_nonce)
        for intent in waiting:
            if intent.nonce < chain_nonce:
                with suppress(Displaced):  # whoever asks for its outcome is told
                    self._settle(intent)
        if waiting:
            self._advance(chain_nonce, waiting[-1].nonce)

    def _advance(self, chain_nonce: int, last: int) -> None:
        """Push what waits from the chain's nonce to `last`: each waits for those before it."""
        waiting = [intent for intent in self._outbox.unsettled(chain_nonce) if intent.nonce >= chain_nonce]
        if waiting and self._passed(self._next[1]) >= REPLACE_AFTER_S:
            for nonce in range(chain_nonce, min(waiting[0].nonce, chain_nonce + MAX_FILLED)):
                LOG.warning("nothing waits with nonce %d, and others wait behind it: filling it", nonce)
                nothing = {"to": self._key.address, "data": b"", "value": 0, "gas": PLAIN_GAS, "nonce": nonce}
                self._outbox.fill(nonce, self._sign(nothing, offer(self._rpc, self._cap)))
            waiting = [intent for intent in self._outbox.unsettled(chain_nonce) if intent.nonce >= chain_nonce]
        for intent in waiting:
            if intent.nonce <= last:
                self._push(intent, is_next=intent.nonce == chain_nonce)

    def _settle(self, intent: Intent) -> Receipt | None:
        """Look for the receipt of any attempt, now that the nonce is used, and record what became of the intent."""
        for attempt in reversed(intent.attempts):
            receipt = self._rpc.receipt(attempt.hash)
            if receipt is not None:
                self._mark(intent, IntentState.MINED if receipt.succeeded else IntentState.FAILED)
                return receipt
        self._reasons[intent.id] = "the chain has used its nonce, but the node shows no receipt of it yet"
        if self._is_displaced(intent):
            self._mark(intent, IntentState.DISPLACED)
            raise self._displaced()
        return None

    def _displaced(self) -> Displaced:
        return Displaced(
            f"Another program uses the key of {self._key.address}: use it in one place only, then try again."
        )

    def _is_displaced(self, intent: Intent) -> bool:
        """Search now and then: for the block that used the nonce, then for its becoming final."""
        if self._passed(self._searched_at.setdefault(intent.id, self._clock())) < SEARCH_AFTER_S:
            return False
        self._searched_at[intent.id] = self._clock()
        account, kept = self._key.address, kept_block(self._rpc)
        use = self._uses.get(intent.id)
        if use is None or self._rpc.transaction_in(use.block, account, intent.nonce) != use.transaction:
            use = find_use(self._rpc, account, intent.nonce)
        attempts = self._outbox.get(intent.id).attempts  # read now: another process may have replaced it meanwhile
        if use is None or use.transaction in {attempt.hash for attempt in attempts}:
            return False  # it may be ours, and was perhaps mined: silence is no proof
        self._uses[intent.id] = use
        self._reasons[intent.id] = (
            f"transaction {to_hex(use.transaction)} of another program has its nonce (use the account's key in one "
            "place only), which is given up once that is final"
        )
        return use.block <= kept

    def _mark(self, intent: Intent, state: IntentState) -> None:
        if intent.state is not state:
            self._outbox.mark(intent, state)
        for memory in (self._sent_at, self._searched_at, self._uses, self._reasons):
            memory.pop(intent.id, None)
        self._outbid.discard(intent.id)

    # --- sending ------------------------------------------------------------------------------------------------------

    def _push(self, intent: Intent, *, is_next: bool) -> None:
        """Send again after a while; replace after a longer one what is next, and only that: others just wait for it."""
        if self._passed(self._sent_at.get(intent.id)) < RESEND_AFTER_S:
            return
        stuck = min(self._passed(intent.attempts[-1].signed_at), self._passed(self._next[1])) >= REPLACE_AFTER_S
        if is_next and intent.id in self._sent_at and (stuck or intent.id in self._outbid):
            try:
                intent = self._replaced(intent)
            except TooDear as error:
                self._sent_at[intent.id] = self._clock()
                self._reasons[intent.id] = str(error).rstrip(".")
                return
        self._send(intent)

    def _replaced(self, intent: Intent) -> Intent:
        newest = intent.attempts[-1]
        signed = self._sign(_fields_of(newest.raw), dearer(self._rpc, Offer(newest.max_fee, newest.tip), self._cap))
        self._outbox.add_attempt(intent, signed)
        LOG.info("replacing transaction %s by %s with higher fees", newest.hash.hex(), signed.hash.hex())
        return Intent(intent.id, intent.nonce, intent.state, (*intent.attempts, signed))

    def _send(self, intent: Intent) -> None:
        """Hand it over. It stays in the outbox whatever happens: only a receipt tells whether it was mined."""
        newest = intent.attempts[-1]
        self._sent_at[intent.id] = self._clock()
        self._outbid.discard(intent.id)
        try:
            self._rpc.send_raw(newest.raw)
        except LedgerUnavailable as error:
            self._reasons[intent.id] = str(error).rstrip(".")
            LOG.info("transaction %s could not be sent, and will be sent again: %s", newest.hash.hex(), error)
        except SendRefused as refusal:
            self._reasons[intent.id] = f"the node said: {refusal}"
            LOG.info("transaction %s not taken: %s", newest.hash.hex(), refusal)
            words = str(refusal).lower()
            if "insufficient funds" in words:
                fields = _fields_of(newest.raw)
                raise self._out_of_gas(newest.gas * newest.max_fee + int(str(fields["value"]))) from refusal
            if any(each in words for each in OUTBID):
                self._outbid.add(intent.id)
        else:
            self._reasons.pop(intent.id, None)

    def _passed(self, since: float | None) -> float:
        """Seconds since then; without end if there is no then, or if the clock was set back behind it."""
        now = self._clock()
        return float("inf") if since is None or since > now else now - since

    def _check_affordable(self, cost: int) -> None:
        if self._rpc.balance(self._key.address) < cost:
            raise self._out_of_gas(cost)

    def _out_of_gas(self, cost: int) -> OutOfGas:
        balance = self._rpc.balance(self._key.address)
        return OutOfGas(
            f"The account {self._key.address} has {balance} wei for gas and needs {cost}, beside what else waits in "
            "its outbox: send it some coins."
        )

    def _sign(self, fields: dict[str, object], fees: Offer) -> SignedTransaction:
        transaction = {name: value for name, value in fields.items() if value is not None}
        if "to" in transaction:
            transaction["to"] = to_checksum_address(str(transaction["to"]))
        transaction |= {
            "type": 2,
            "chainId": self._chain_id,
            "maxFeePerGas": fees.max_fee,
            "maxPriorityFeePerGas": fees.tip,
        }
        signed = Account.sign_transaction(transaction, self._key.secret)
        return SignedTransaction(
            hash=bytes(signed.hash),
            raw=bytes(signed.raw_transaction),
            gas=int(str(fields["gas"])),
            max_fee=fees.max_fee,
            tip=fees.tip,
            signed_at=self._clock(),
        )


def _fields_of(raw: bytes) -> dict[str, object]:
    """What a signed transaction does, without its fees and its signature."""
    decoded = TypedTransaction.from_bytes(HexBytes(raw)).as_dict()
    fields = {name: decoded[name] for name in ("to", "data", "value", "gas", "nonce")}
    return {**fields, "to": to_hex(bytes(fields["to"])) if fields["to"] else None}
