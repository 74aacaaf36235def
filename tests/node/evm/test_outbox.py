"""Exactly once: whatever crashes between the decision and the receipt."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from derelayl_node.devchain.embedded import EmbeddedChain
from derelayl_node.evm.outbox import IntentState, Outbox, SignedTransaction, command_key, waiting_in
from derelayl_node.evm.provider import CallReverted, Rpc, SendRefused
from derelayl_node.evm.sender import REPLACE_AFTER_S, RESEND_AFTER_S, SEARCH_AFTER_S, Sender
from derelayl_node.ports import LedgerUnavailable
from derelayl_protocol.ledger import commands
from derelayl_protocol.types import Address, ModelId, Root, Wei

from .world import ALICE, BOB, CAROL, CHAIN_ID, SINK, ManualClock, World, transfer

IDENTITY = "5 unknown 0xledger 0xalice"
MODEL = ModelId(b"\x01" * 32)
TO = Address(SINK)


class Crash(BaseException):
    """The process ends here."""


def _signed(nonce: int) -> SignedTransaction:
    return SignedTransaction(bytes([nonce]) * 32, b"raw", 21_000, 5, 1, 0.0)


# --- keys of commands ---


def test_a_commands_key_is_its_content_in_every_process() -> None:
    bid = commands.PlaceBid(MODEL, 1, 255, Wei(7))
    script = (
        "from derelayl_node.evm.outbox import command_key; from derelayl_protocol.ledger.commands import PlaceBid;"
        "print(command_key(PlaceBid(b'\\x01' * 32, 1, 255, 7)))"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "99"}
    other = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True, timeout=60
    )
    assert other.stdout.strip() == command_key(bid)


def test_different_contents_have_different_keys() -> None:
    root = Root(b"\x02" * 32)
    keys = [
        command_key(command)
        for command in (
            commands.PlaceBid(MODEL, 1, 255, Wei(7)),
            commands.PlaceBid(MODEL, 1, 255, Wei(8)),
            commands.PlaceBid(MODEL, 2, 255, Wei(7)),
            commands.SubmitLeg(MODEL, 1, 0, root),
            commands.OfferTip(MODEL, 1, root),
            commands.MatchRound(MODEL, 1, (0, 1), ()),
            commands.MatchRound(MODEL, 1, (0,), (1,)),
            commands.MatchRound(MODEL, 1, (), (0, 1)),
        )
    ]
    assert len(set(keys)) == len(keys)


# --- the file ---


def test_a_key_holds_one_nonce_however_often_it_is_reserved(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "outbox", IDENTITY)
    first = outbox.reserve("a", 5, _signed)
    assert outbox.reserve("a", 9, _signed) == first == outbox.find("a")
    assert outbox.reserve("b", 5, _signed).nonce == 6
    assert outbox.reserve("c", 40, _signed).nonce == 40
    outbox.close()


def test_a_released_key_takes_those_derived_from_it_along_and_no_other(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "outbox", IDENTITY)
    keys = ("a", "a/deposit", "a/deposit/approval", "ab", "a_/deposit", "b/a")
    intents = {key: outbox.reserve(key, 0, _signed) for key in keys}
    outbox.release("a")
    assert [key for key in keys if outbox.find(key) is None] == ["a", "a/deposit", "a/deposit/approval"]
    assert outbox.reserve("a", 0, _signed).nonce == len(keys)
    assert outbox.get(intents["a"].id) == intents["a"]
    outbox.close()


def test_a_signature_that_fails_takes_neither_key_nor_nonce(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "outbox", IDENTITY)

    def sign(nonce: int) -> SignedTransaction:
        raise Crash

    with pytest.raises(Crash):
        outbox.reserve("a", 5, sign)
    assert outbox.find("a") is None
    assert outbox.reserve("b", 5, _signed).nonce == 5
    outbox.close()


def test_two_openers_of_a_file_never_share_a_nonce(tmp_path: Path) -> None:
    one, two = (Outbox(tmp_path / "outbox", IDENTITY) for _ in range(2))
    nonces = [(one if turn % 2 else two).reserve(f"key {turn}", 0, _signed).nonce for turn in range(6)]
    assert nonces == list(range(6))
    assert one.reserve("key 0", 0, _signed).nonce == 0
    one.close()
    two.close()


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ("6 a1 0xledger 0xalice", r"another ledger \(0xledger on chain 5\): give each network its own"),
        ("5 a1 0xother 0xbob", r"another ledger \(0xledger on chain 5\): give each network its own"),
        ("5 a1 0xledger 0xbob", r"another account \(0xalice\): put its key back"),
        ("5 b2 0xledger 0xalice", r"another chain .* began with block a1: check the chain's URL, or, .* made anew"),
        ("deployment on 5 by 0xalice", r"something else \(5 a1 0xledger 0xalice\): choose another folder"),
    ],
)
def test_the_outbox_of_anything_else_is_refused_and_says_what_differs(tmp_path: Path, other: str, said: str) -> None:
    Outbox(tmp_path / "outbox", "5 a1 0xledger 0xalice").close()
    with pytest.raises(LedgerUnavailable, match=said):
        Outbox(tmp_path / "outbox", other)


def test_an_outbox_is_its_chains_also_where_an_address_does_not_keep_the_first_block(tmp_path: Path) -> None:
    for origin in ("unknown", "unknown", "a1", "unknown", "a1"):
        Outbox(tmp_path / "outbox", f"5 {origin} 0xledger 0xalice").close()
    with pytest.raises(LedgerUnavailable, match="began with block a1"):
        Outbox(tmp_path / "outbox", "5 b2 0xledger 0xalice")


@pytest.mark.parametrize("content", [b"no database " * 1_000, b"SQLite format 3\x00" + b"\xff" * 5_000])
def test_a_damaged_outbox_is_refused_with_a_remedy(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "outbox").write_bytes(content)
    with pytest.raises(LedgerUnavailable, match=r'do not delete it; .*docs/NODE.md .* "A damaged outbox"'):
        Outbox(tmp_path / "outbox", IDENTITY)
    with pytest.raises(LedgerUnavailable, match="do not delete it"):
        waiting_in(tmp_path / "outbox")


def test_an_outbox_with_a_damaged_page_is_refused_before_anything_is_sent(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "outbox", IDENTITY)
    for number in range(200):
        outbox.reserve(f"key {number}", 0, _signed)
    outbox.close()
    content = bytearray((tmp_path / "outbox").read_bytes())
    middle = len(content) // 2 // 4096 * 4096
    content[middle : middle + 4096] = b"\xff" * 4096
    (tmp_path / "outbox").write_bytes(content)
    with pytest.raises(LedgerUnavailable, match="A damaged outbox"):
        Outbox(tmp_path / "outbox", IDENTITY)


def test_who_moved_a_damaged_outbox_away_goes_on_and_what_the_ledger_guards_happens_once(world: World) -> None:
    """The way out that docs/NODE.md describes: the chain's own count of transactions gives the next nonce."""
    clock = ManualClock()
    sender, outbox = _sender(world, clock)
    sender.submit("pay", TO, b"", 7)
    outbox.close()
    (world.folder / "outbox").write_bytes(b"damaged" * 1_000)
    for suffix in ("-wal", "-shm"):
        (world.folder / f"outbox{suffix}").unlink(missing_ok=True)
    assert world.rpc.pending(ALICE.address) == 0
    (world.folder / "outbox").rename(world.folder / "outbox.damaged")
    sender, outbox = _sender(world, clock)
    assert sender.outcome(sender.submit("another", TO, b"", 100).id) is not None
    assert _received(world) == 107
    assert outbox.find("pay") is None, "what was sent before is not known: whoever asks for it again has it again"
    outbox.close()


def test_an_outbox_says_how_many_may_be_on_their_way_and_is_left_alone(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "outbox", IDENTITY)
    first, _ = outbox.reserve("a", 0, _signed), outbox.reserve("b", 0, _signed)
    outbox.mark(first, IntentState.MINED)
    assert waiting_in(tmp_path / "outbox") == 1
    outbox.close()


def test_a_failed_intent_gives_its_key_back_and_a_mined_one_keeps_it(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "outbox", IDENTITY)
    failed, mined = outbox.reserve("a", 0, _signed), outbox.reserve("b", 0, _signed)
    outbox.mark(failed, IntentState.FAILED)
    outbox.mark(mined, IntentState.MINED)
    assert outbox.find("a") is None
    assert outbox.find("b") is not None
    assert outbox.unsettled(chain_nonce=2) == ()
    assert [intent.id for intent in outbox.unsettled(chain_nonce=1)] == [mined.id]
    outbox.close()


# --- sending ---


class FaultyRpc(Rpc):
    """An Rpc with a hook before and after a transaction is sent."""

    def __init__(self, rpc: Rpc, *, before: Callable[[], Any] = lambda: None, after: Callable[[], Any] = lambda: None):
        super().__init__(rpc._w3, "http://faulty")
        self._before, self._after = before, after

    def send_raw(self, raw: bytes) -> None:
        self._before()
        super().send_raw(raw)
        self._after()


def _raise(error: BaseException) -> Callable[[], Any]:
    def fail() -> None:
        raise error

    return fail


def _sender(world: World, clock: ManualClock, rpc: Rpc | None = None) -> tuple[Sender, Outbox]:
    outbox = Outbox(world.folder / "outbox", IDENTITY)
    return Sender(rpc or world.rpc, ALICE, outbox, CHAIN_ID, clock), outbox


def _received(world: World) -> int:
    return world.rpc.balance(TO)


@pytest.mark.parametrize("point", ["before the commit", "after the commit", "after the send"])
def test_a_crash_at_any_point_pays_exactly_once(world: World, point: str, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = ManualClock()
    if point == "before the commit":
        sender, outbox = _sender(world, clock)
        monkeypatch.setattr(outbox, "_insert_attempt", lambda *_: _raise(Crash())())
    elif point == "after the commit":
        sender, outbox = _sender(world, clock, FaultyRpc(world.rpc, before=_raise(Crash())))
    else:
        sender, outbox = _sender(world, clock, FaultyRpc(world.rpc, after=_raise(Crash())))
    with pytest.raises(Crash):
        sender.submit("pay", TO, b"", 7)
    outbox.close()

    sender, outbox = _sender(world, clock)
    sender.catch_up()
    for _ in range(2):
        receipt = sender.outcome(sender.submit("pay", TO, b"", 7).id)
        assert receipt is not None
        assert receipt.succeeded
    assert _received(world) == 7
    outbox.close()


def test_a_lost_connection_while_sending_is_made_good_by_the_next_call(world: World) -> None:
    clock = ManualClock()
    broken = FaultyRpc(world.rpc, before=_raise(LedgerUnavailable("the cable is out")))
    sender, outbox = _sender(world, clock, broken)
    intent = sender.submit("pay", TO, b"", 7)
    assert "the cable is out" in sender.reason(intent.id)
    outbox.close()
    sender, outbox = _sender(world, clock)
    sender.submit("another", TO, b"", 100)
    assert _received(world) == 107
    outbox.close()


def test_a_refused_call_stores_nothing_and_may_be_tried_again(world: World) -> None:
    sender, outbox = _sender(world, ManualClock())
    with pytest.raises(CallReverted):
        sender.submit("bad", world.addresses.ledger.address, b"\xde\xad\xbe\xef")
    assert outbox.find("bad") is None
    sender.submit("bad", TO, b"", 1)
    assert _received(world) == 1
    outbox.close()


def test_an_account_without_coins_is_told_so_before_anything_is_stored(world: World) -> None:
    outbox = Outbox(world.folder / "outbox", IDENTITY)
    sender = Sender(world.rpc, CAROL, outbox, CHAIN_ID, ManualClock())
    with pytest.raises(LedgerUnavailable, match="send it some coins"):
        sender.submit("pay", TO, b"")
    assert outbox.find("pay") is None
    outbox.close()


def test_a_transaction_that_the_node_forgot_is_sent_again(world: World) -> None:
    clock = ManualClock()
    sent: list[int] = []

    class Forgetful(Rpc):
        def send_raw(self, raw: bytes) -> None:
            sent.append(len(sent))
            if len(sent) > 2:
                super().send_raw(raw)

    sender, outbox = _sender(world, clock, Forgetful(world.rpc._w3, "http://forgetful"))
    intent = sender.submit("pay", TO, b"", 7)
    assert sender.outcome(intent.id) is None
    assert len(sent) == 1, "not before a while has passed"
    for _ in range(2):
        clock.now += RESEND_AFTER_S
        sender.outcome(intent.id)
    assert sender.outcome(intent.id) is not None
    assert _received(world) == 7
    outbox.close()


def test_a_stuck_transaction_is_replaced_and_only_one_of_them_counts(world: World) -> None:
    clock = ManualClock()
    held: list[bytes] = []

    class Stuck(Rpc):
        def send_raw(self, raw: bytes) -> None:
            if not held or raw == held[0]:
                held.append(raw)
            else:
                super().send_raw(raw)

    sender, outbox = _sender(world, clock, Stuck(world.rpc._w3, "http://stuck"))
    intent = sender.submit("pay", TO, b"", 7)
    clock.now += REPLACE_AFTER_S
    assert sender.outcome(intent.id) is None
    first, second = outbox.get(intent.id).attempts
    assert second.max_fee * 100 >= first.max_fee * 112
    assert second.tip > first.tip
    assert sender.outcome(intent.id) is not None
    with pytest.raises(SendRefused, match="nonce too low"):
        world.rpc.send_raw(first.raw)
    assert _received(world) == 7
    outbox.close()


def test_a_nonce_that_another_program_used_is_noticed_and_the_payment_made_later(world: World) -> None:
    clock = ManualClock()
    sender, outbox = _sender(world, clock, FaultyRpc(world.rpc, before=_raise(SendRefused("dropped"))))
    intent = sender.submit("pay", TO, b"", 7)
    world.rpc.send_raw(transfer(ALICE, intent.nonce, value=1_000))
    assert sender.outcome(intent.id) is None, "a node may be late with its receipts"
    clock.now += SEARCH_AFTER_S
    with pytest.raises(LedgerUnavailable, match="use it in one place only"):
        sender.outcome(intent.id)
    outbox.close()
    sender, outbox = _sender(world, clock)
    sender.submit("pay", TO, b"", 7)
    assert _received(world) == 1_007
    outbox.close()


def test_a_payment_that_the_chain_lost_in_a_rollback_is_made_again(world: World, tmp_path: Path) -> None:
    """The same account, first on a chain that then loses its last block, as anvil does when it is killed."""
    clock = ManualClock()
    sender, outbox = _sender(world, clock)
    intent = sender.submit("pay", TO, b"", 7)
    assert sender.outcome(intent.id) is not None
    nonce = intent.nonce
    outbox.close()

    class RolledBack(Rpc):
        """Answers as if our transaction had never been mined, until it is sent again."""

        again = False

        def nonce(self, account: Address, block: int | None = None) -> int:
            return super().nonce(account, block) if self.again else nonce

        def receipt(self, transaction: bytes) -> Any:
            return super().receipt(transaction) if self.again else None

        def send_raw(self, raw: bytes) -> None:
            assert raw == outbox.get(intent.id).attempts[0].raw
            self.again = True

    sender, outbox = _sender(world, clock, RolledBack(world.rpc._w3, "http://rolled-back"))
    sender.catch_up()
    assert sender.outcome(intent.id) is not None
    assert _received(world) == 7
    outbox.close()


def test_a_contract_that_refuses_only_when_mined_frees_the_key(world: World) -> None:
    class Optimist(Rpc):
        def estimate(self, *_: Any, **__: Any) -> int:
            return 100_000

    sender, outbox = _sender(world, ManualClock(), Optimist(world.rpc._w3, "http://optimist"))
    intent = sender.submit("bad", world.addresses.ledger.address, b"\xde\xad\xbe\xef")
    receipt = sender.outcome(intent.id)
    assert receipt is not None
    assert not receipt.succeeded
    assert outbox.get(intent.id).state is IntentState.FAILED
    assert outbox.find("bad") is None
    outbox.close()


def test_the_world_is_what_these_tests_think(world: World) -> None:
    assert isinstance(world.chain, EmbeddedChain)
    assert world.rpc.balance(BOB.address) > 0
