"""Never stuck: a gap in the nonces is filled when it is seen, and silence proves nothing about another program."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from eth_account import Account
from eth_account.typed_transactions.typed_transaction import TypedTransaction
from eth_utils.crypto import keccak
from hexbytes import HexBytes

from derelayl_node.evm.answers import Block, Receipt
from derelayl_node.evm.displacement import FINAL_DEPTH
from derelayl_node.evm.fees import GWEI, TooDear
from derelayl_node.evm.outbox import Intent, IntentState, Outbox
from derelayl_node.evm.provider import SendRefused, StateGone
from derelayl_node.evm.sender import REPLACE_AFTER_S, RESEND_AFTER_S, SEARCH_AFTER_S, Displaced, OutOfGas, Sender
from derelayl_node.ports import BlockRef, LedgerUnavailable
from derelayl_protocol.types import Address, Timestamp

from .world import ALICE, SINK, ManualClock

TO = Address(SINK)


@dataclass(frozen=True)
class Sent:
    """What a raw transaction says."""

    hash: bytes
    nonce: int
    value: int
    max_fee: int
    tip: int


def read(raw: bytes) -> Sent:
    fields = TypedTransaction.from_bytes(HexBytes(raw)).as_dict()
    assert Account.recover_transaction(raw).lower() == ALICE.address
    return Sent(
        keccak(raw),
        fields["nonce"],
        fields["value"],
        fields["maxFeePerGas"],
        fields["maxPriorityFeePerGas"],
    )


@dataclass
class Node:
    """A chain's node with a pool, as far as a sender sees it: `mine` puts what is next into a block, if it may.

    `refusing` is raised by the next sends, one each. `indexed`: receipts are known. `finality`: it names a final block.
    """

    base_fee: int = GWEI
    blocks: list[list[Sent]] = field(default_factory=lambda: [[]])
    pool: dict[int, Sent] = field(default_factory=dict)
    sends: list[Sent] = field(default_factory=list)
    refusing: list[Exception] = field(default_factory=list)
    indexed: bool = True
    finality: bool = True
    keeps: int = 10**9
    coins: int = 10**24
    failing: set[int] = field(default_factory=set)

    def mine(self, *foreign: Sent) -> None:
        block = list(foreign)
        while (count := self.nonce(ALICE.address) + len(block)) in self.pool and self.pool[
            count
        ].max_fee > self.base_fee:
            block.append(self.pool.pop(count))
        self.blocks.append(block)

    def empty(self, blocks: int) -> None:
        self.blocks += [[] for _ in range(blocks)]

    # --- what a sender asks ---

    def send_raw(self, raw: bytes) -> None:
        if self.refusing:
            raise self.refusing.pop(0)
        sent = read(raw)
        self.sends.append(sent)
        if sent.nonce < self.nonce(ALICE.address):
            raise SendRefused("nonce too low")
        if sent.max_fee < self.base_fee:
            raise SendRefused("max fee per gas less than block base fee")
        self.pool[sent.nonce] = sent

    def nonce(self, account: Address, block: int | None = None) -> int:
        if block is not None and block < len(self.blocks) - self.keeps:
            raise StateGone("gone")
        return sum(len(each) for each in self.blocks[: None if block is None else block + 1])

    def receipt(self, transaction: bytes) -> Receipt | None:
        for number, block in enumerate(self.blocks):
            for sent in block:
                if sent.hash == transaction and self.indexed:
                    return Receipt(sent.nonce not in self.failing, number, bytes(32), None, 21_000, ())
        return None

    def transaction_in(self, block: int, account: Address, nonce: int) -> bytes | None:
        return next((sent.hash for sent in self.blocks[block] if sent.nonce == nonce), None)

    def block(self, number: Any = None) -> Block | None:
        if number == "finalized" and not self.finality:
            return None
        height = max(0, len(self.blocks) - 11) if number == "finalized" else len(self.blocks) - 1
        return Block(BlockRef(height, bytes(32), Timestamp(0)), bytes(32), self.base_fee, bytes(256))

    def head(self) -> Block:
        block = self.block()
        assert block is not None
        return block

    def tip(self) -> int | None:
        return GWEI // 10

    def gas_price(self) -> int:
        return self.base_fee + GWEI // 5

    def balance(self, account: Address) -> int:
        return self.coins

    def estimate(self, to: Any, data: bytes, *, sender: Address, value: int = 0) -> int:
        return 21_000


class Desk:
    """A sender with its outbox, its node and its clock; `reopen` is a restart."""

    def __init__(self, folder: Path, node: Node, clock: ManualClock, max_fee_gwei: float = 500) -> None:
        self.folder, self.node, self.clock, self.max_fee_gwei = folder, node, clock, max_fee_gwei
        self.outbox = Outbox(folder / "outbox", "alice")
        self.sender = Sender(node, ALICE, self.outbox, 1, clock, max_fee_gwei)  # type: ignore[arg-type]

    def pay(self, name: str, value: int = 7) -> Intent:
        return self.sender.submit(name, TO, b"", value)

    def state(self, intent: Intent) -> IntentState:
        return self.outbox.get(intent.id).state

    def beside(self) -> Desk:
        return Desk(self.folder, self.node, self.clock, self.max_fee_gwei)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(tmp_path, Node(), ManualClock())
    yield desk
    desk.outbox.close()


def values(node: Node) -> list[int]:
    """What was paid, in the order of the chain."""
    return [sent.value for block in node.blocks for sent in block]


# --- gaps ---


@pytest.mark.parametrize("failure", [LedgerUnavailable("asked too often"), SendRefused("txpool is full")])
def test_a_send_that_fails_is_made_good_by_whoever_looks_at_a_later_one(desk: Desk, failure: Exception) -> None:
    first = desk.pay("first", 1)
    desk.node.mine()
    desk.node.refusing.append(failure)
    lost, queued = desk.pay("lost", 2), desk.pay("queued", 3)
    assert str(failure) in desk.sender.reason(lost.id)
    desk.node.mine()
    assert desk.sender.outcome(queued.id) is None
    desk.clock.now += RESEND_AFTER_S
    assert desk.sender.outcome(queued.id) is None
    desk.node.mine()
    assert desk.sender.outcome(queued.id) is not None
    assert desk.sender.outcome(first.id) is not None
    assert values(desk.node) == [1, 2, 3]


def test_a_transaction_behind_a_gap_is_not_replaced_in_vain_and_not_at_once_afterwards(desk: Desk) -> None:
    desk.node.refusing += [LedgerUnavailable("down")] * 1
    lost, queued = desk.pay("lost"), desk.pay("queued")
    for _ in range(5):
        desk.node.refusing.append(LedgerUnavailable("down"))
        desk.clock.now += REPLACE_AFTER_S
        desk.sender.outcome(queued.id)
    desk.node.refusing.clear()
    assert len(desk.outbox.get(queued.id).attempts) == 1
    desk.clock.now += RESEND_AFTER_S
    desk.sender.outcome(queued.id)
    newest = desk.node.pool.pop(lost.nonce)
    desk.node.blocks.append([newest])  # `lost` is mined, `queued` is next from now on
    desk.clock.now += RESEND_AFTER_S
    desk.sender.outcome(queued.id)
    assert len(desk.outbox.get(queued.id).attempts) == 1
    desk.clock.now += REPLACE_AFTER_S
    desk.sender.outcome(queued.id)
    assert len(desk.outbox.get(queued.id).attempts) == 2


def test_a_gap_is_filled_after_a_restart_by_a_look_alone(desk: Desk) -> None:
    desk.node.refusing.append(LedgerUnavailable("down"))
    lost, queued = desk.pay("lost", 1), desk.pay("queued", 2)
    again = desk.beside()
    assert again.sender.outcome(queued.id) is None
    desk.node.mine()
    assert again.sender.outcome(queued.id) is not None
    assert again.sender.outcome(lost.id) is not None
    again.outbox.close()


def test_a_process_fills_the_gap_that_another_left_in_their_outbox(desk: Desk) -> None:
    other = desk.beside()
    desk.node.refusing.append(LedgerUnavailable("down"))
    other.pay("theirs", 1)
    ours = desk.pay("ours", 2)
    desk.node.mine()
    assert desk.sender.outcome(ours.id) is not None
    assert values(desk.node) == [1, 2]
    other.outbox.close()


def test_a_nonce_that_nothing_waits_for_is_filled_with_nothing(desk: Desk) -> None:
    """The chain took back a transaction that had failed: its key is free, so it must not be made good."""
    failed = desk.pay("failed", 5)
    desk.node.failing.add(failed.nonce)
    desk.node.mine()
    assert desk.sender.outcome(failed.id) is not None
    assert desk.state(failed) is IntentState.FAILED
    desk.node.blocks.pop()
    queued = desk.pay("queued", 3)
    desk.clock.now += REPLACE_AFTER_S - 1
    desk.sender.outcome(queued.id)
    assert failed.nonce not in desk.node.pool, "a node may lag"
    desk.clock.now += 1
    desk.sender.outcome(queued.id)
    desk.node.mine()
    assert desk.sender.outcome(queued.id) is not None
    assert values(desk.node) == [0, 3]


def test_two_processes_that_replace_at_once_store_the_same_transaction_once(desk: Desk) -> None:
    intent = desk.pay("pay")
    attempt = intent.attempts[0]
    desk.outbox.add_attempt(intent, attempt)
    assert desk.outbox.get(intent.id).attempts == (attempt,)


def test_a_clock_that_is_set_back_stops_no_sending(desk: Desk) -> None:
    desk.node.refusing.append(LedgerUnavailable("down"))
    intent = desk.pay("pay")
    desk.clock.now -= 3_600
    desk.sender.outcome(intent.id)
    desk.node.mine()
    assert desk.sender.outcome(intent.id) is not None


# --- receipts that come late, and other programs ---


def test_a_receipt_that_comes_hours_late_is_waited_for(desk: Desk) -> None:
    intent = desk.pay("pay")
    desk.node.indexed = False
    desk.node.mine()
    for _ in range(300):
        desk.node.empty(1)
        desk.clock.now += SEARCH_AFTER_S
        assert desk.sender.outcome(intent.id) is None
        assert desk.pay("pay").id == intent.id, "the key is held"
    assert "no receipt" in desk.sender.reason(intent.id)
    desk.node.indexed = True
    assert desk.sender.outcome(intent.id) is not None
    assert values(desk.node) == [7]


def foreign(nonce: int) -> Sent:
    return Sent(b"\x99" * 32, nonce, 1_000, 2 * GWEI, 1)


@pytest.mark.parametrize(("finality", "depth"), [(True, 10), (False, FINAL_DEPTH)])
def test_a_key_is_free_once_anothers_transaction_is_final(desk: Desk, finality: bool, depth: int) -> None:
    desk.node.finality = finality
    desk.node.refusing.append(LedgerUnavailable("down"))
    intent = desk.pay("pay")
    desk.node.empty(20)
    desk.node.mine(foreign(intent.nonce))
    assert desk.sender.outcome(intent.id) is None
    desk.node.empty(depth - 1)
    desk.clock.now += SEARCH_AFTER_S
    assert desk.sender.outcome(intent.id) is None, "not final yet"
    assert "99999999 of another program has its nonce" in desk.sender.reason(intent.id)
    desk.node.empty(1)
    desk.clock.now += SEARCH_AFTER_S
    for _ in range(2):
        with pytest.raises(Displaced, match="use it in one place only"):
            desk.sender.outcome(intent.id)
    assert desk.pay("pay").id != intent.id
    desk.node.mine()
    assert values(desk.node) == [1_000, 7]


def test_what_another_process_signed_meanwhile_is_not_anothers(desk: Desk) -> None:
    intent, other = desk.pay("pay"), desk.beside()
    for _ in range(2):
        other.sender.outcome(intent.id)
        desk.clock.now += REPLACE_AFTER_S
    other.sender.outcome(intent.id)
    assert len(desk.outbox.get(intent.id).attempts) > len(intent.attempts)
    desk.node.mine()
    desk.node.empty(20)
    desk.node.indexed = False
    for _ in range(2):
        assert desk.sender._settle(intent) is None, "as if it had been read before the other process replaced it"
        desk.clock.now += SEARCH_AFTER_S
    assert desk.state(intent) is IntentState.SIGNED
    other.outbox.close()


def test_a_key_is_held_when_the_node_has_forgotten_too_much_to_tell(desk: Desk) -> None:
    desk.node.refusing.append(LedgerUnavailable("down"))
    intent = desk.pay("pay")
    desk.node.mine(foreign(intent.nonce))
    desk.node.empty(500)
    desk.node.keeps = 100
    desk.sender.outcome(intent.id)
    desk.clock.now += SEARCH_AFTER_S
    assert desk.sender.outcome(intent.id) is None
    assert desk.state(intent) is IntentState.SIGNED


def test_what_another_used_is_forgotten_when_the_chain_takes_it_back(desk: Desk) -> None:
    desk.node.refusing.append(LedgerUnavailable("down"))
    intent = desk.pay("pay")
    desk.node.mine(foreign(intent.nonce))
    desk.sender.outcome(intent.id)
    desk.clock.now += SEARCH_AFTER_S
    desk.sender.outcome(intent.id)
    desk.node.blocks.pop()
    desk.sender.outcome(intent.id)
    desk.node.mine()
    assert desk.sender.outcome(intent.id) is not None
    assert values(desk.node) == [7]


# --- fees and coins ---


def test_nothing_dearer_than_the_cap_is_signed(desk: Desk, tmp_path: Path) -> None:
    desk.node.base_fee = 600 * GWEI
    with pytest.raises(TooDear, match=r"costs 600\.1 gwei now, and max_fee_gwei allows 500"):
        desk.pay("pay")
    assert desk.outbox.find("pay") is None
    desk.node.base_fee = 400 * GWEI
    assert desk.pay("pay").attempts[-1].max_fee == 500 * GWEI


def test_no_replacement_exceeds_the_cap(desk: Desk) -> None:
    desk.node.base_fee = 220 * GWEI
    intent = desk.pay("pay")
    desk.node.base_fee = 490 * GWEI
    for _ in range(20):
        desk.clock.now += REPLACE_AFTER_S
        desk.sender.outcome(intent.id)
    fees = [attempt.max_fee for attempt in desk.outbox.get(intent.id).attempts]
    assert len(fees) > 1
    assert max(fees) <= 500 * GWEI
    assert "max_fee_gwei" in desk.sender.reason(intent.id)


def test_what_gas_has_outrun_is_replaced_without_waiting(desk: Desk) -> None:
    intent = desk.pay("pay")
    desk.node.base_fee = 50 * GWEI
    for _ in range(2):
        desk.clock.now += RESEND_AFTER_S
        desk.sender.outcome(intent.id)
    desk.node.mine()
    assert desk.sender.outcome(intent.id) is not None


def test_an_account_that_runs_out_of_gas_is_told_with_both_amounts_and_goes_on_when_it_has_coins(desk: Desk) -> None:
    desk.node.refusing.append(SendRefused("insufficient funds for gas * price + value: have 5 want 10"))
    with pytest.raises(OutOfGas, match=rf"{ALICE.address} has {10**24} wei for gas and needs \d+.*send it some coins"):
        desk.pay("pay")
    held = desk.outbox.find("pay")
    assert held is not None
    desk.clock.now += RESEND_AFTER_S
    desk.node.refusing.append(SendRefused("insufficient funds"))
    with pytest.raises(OutOfGas):
        desk.sender.outcome(held.id)
    desk.node.refusing.append(SendRefused("insufficient funds"))
    again = desk.beside()
    again.sender.catch_up()  # a start is no failure
    desk.clock.now += RESEND_AFTER_S
    desk.sender.outcome(held.id)
    desk.node.mine()
    assert desk.sender.outcome(held.id) is not None
    again.outbox.close()


@pytest.mark.parametrize("words", ["replacement transaction underpriced", "exceeds block gas limit"])
def test_why_the_node_does_not_take_a_transaction_is_told(desk: Desk, words: str) -> None:
    desk.node.refusing.append(SendRefused(words))
    assert desk.sender.reason(desk.pay("pay").id) == f"the node said: {words}"


def test_a_node_that_suggests_no_tip_is_asked_for_the_price(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(desk.node, "tip", lambda: None)
    assert desk.pay("pay").attempts[-1].tip == GWEI // 5


def test_a_chain_without_base_fee_is_refused_before_anything_is_signed(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.node.base_fee = None  # type: ignore[assignment]
    with pytest.raises(LedgerUnavailable, match="tells no base fee"):
        desk.pay("pay")
    assert desk.outbox.find("pay") is None


def test_waiting_costs_one_question_a_look(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    intent = desk.pay("pay")
    monkeypatch.setattr(desk.node, "receipt", lambda _: pytest.fail("it cannot have one"))
    assert desk.sender.outcome(intent.id) is None
