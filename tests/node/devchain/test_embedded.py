"""The embedded chain: its file, its pool, its clock."""

import sqlite3
from pathlib import Path

import pytest
from eth_typing import Address as RawAddress

from derelayl_node.devchain import kv
from derelayl_node.devchain.embedded import BLOCK_GAS_LIMIT, CallFailed, CallRequest, EmbeddedChain, NotFound, Reverted
from derelayl_node.devchain.kv import ChainFileError
from derelayl_node.devchain.pool import MAX_NONCE_GAP, Refused

from ..evm.world import ALICE, BOB, CAROL, ManualClock, TickingClock, open_embedded, transfer

RETURN_TIMESTAMP = bytes.fromhex("425f5260205ff3")  # TIMESTAMP, to memory, RETURN 32 bytes
REVERT_WITH_TIMESTAMP = bytes.fromhex("425f5260205ffd")
INVALID = b"\xfe"


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "chain.sqlite"


# --- the file ---


def block_of(chain: EmbeddedChain, hash_: bytes) -> int:
    """The number of the block that a transaction is in."""
    _, block, _ = chain.transaction(hash_)
    assert block is not None
    return int(block.block_number)


def test_a_file_that_is_no_database_is_refused(file: Path, clock: ManualClock) -> None:
    file.write_text("these are not the blocks you are looking for " * 100)
    with pytest.raises(ChainFileError, match="is not a chain file: choose another path"):
        open_embedded(file, clock)
    assert file.read_text().startswith("these")


def test_a_database_of_another_program_is_refused_untouched(file: Path, clock: ManualClock) -> None:
    with sqlite3.connect(file) as connection:
        connection.execute("create table notes (text)")
    connection.close()
    before = file.read_bytes()
    with pytest.raises(ChainFileError, match="database of another program"):
        open_embedded(file, clock)
    assert file.read_bytes() == before


def test_values_in_memory_have_a_bound_and_none_is_lost(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kv, "CACHED_BYTES", 10 * (kv.ENTRY_BYTES + 100 + 32))
    store = kv.SqliteKV(file)
    keys = [bytes([number]) * 32 for number in range(30)]
    for key in (*keys, *keys):  # what is written again counts once
        store[key] = key[:1] * 100
        store.flush()
        assert len(store._cache) <= 10
    assert all(store[key] == key[:1] * 100 for key in keys)
    assert len(store._cache) == 10
    for key in keys:
        del store[key]
    store.flush()
    assert store._cached_bytes == len(store._cache) == 0
    store[keys[0]] = bytes(2 * kv.CACHED_BYTES)  # too large to be kept, and nothing else goes for good
    store.flush()
    assert store[keys[0]] == bytes(2 * kv.CACHED_BYTES)
    store.close()


def test_a_truncated_file_is_refused_with_a_remedy(file: Path) -> None:
    chain = open_embedded(file, TickingClock())
    for nonce in range(10):
        chain.send_raw(transfer(ALICE, nonce))
    chain.close()
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2])
    with pytest.raises(ChainFileError, match="is damaged: restore it"):
        open_embedded(file, ManualClock())


def test_a_file_in_use_is_refused(file: Path, clock: ManualClock) -> None:
    chain = open_embedded(file, clock)
    with pytest.raises(ChainFileError, match="Another process uses"):
        open_embedded(file, clock)
    chain.close()
    open_embedded(file, clock).close()


def test_a_chain_of_another_id_is_refused(file: Path, clock: ManualClock) -> None:
    open_embedded(file, clock).close()
    with pytest.raises(ChainFileError, match="holds the chain 31337, not 5"):
        open_embedded(file, clock, chain_id=5)


def test_blocks_balances_and_receipts_survive_reopening(file: Path) -> None:
    clock = TickingClock()
    chain = open_embedded(file, clock)
    sent = [chain.send_raw(transfer(ALICE, nonce)) for nonce in range(5)]
    head = chain.head().hash
    chain.close()
    chain = open_embedded(file, clock)
    assert chain.head().hash == head
    assert [block_of(chain, hash_) for hash_ in sent] == [1, 2, 3, 4, 5]
    assert chain.state().get_balance(RawAddress(b"\xee" * 20)) == 5
    chain.close()


# --- the clock ---


def test_transactions_of_one_second_wait_and_share_the_next_block(file: Path, clock: ManualClock) -> None:
    chain = open_embedded(file, clock)
    chain.send_raw(transfer(ALICE, 0))
    assert chain.head().timestamp == clock.now
    late = [chain.send_raw(transfer(ALICE, 1)), chain.send_raw(transfer(BOB, 0)), chain.send_raw(transfer(ALICE, 2))]
    assert chain.mine_due()
    assert chain.head().block_number == 1
    clock.now += 1
    assert not chain.mine_due()
    assert chain.head().timestamp == clock.now
    assert {block_of(chain, hash_) for hash_ in late} == {2}
    chain.close()


def test_no_block_is_made_while_the_clock_is_behind_the_head(file: Path, clock: ManualClock) -> None:
    chain = open_embedded(file, clock)
    chain.send_raw(transfer(ALICE, 0))
    clock.now -= 3_600
    hash_ = chain.send_raw(transfer(ALICE, 1))
    assert chain.transaction(hash_)[1] is None
    clock.now += 3_601
    chain.mine_due()
    assert chain.head().timestamp == clock.now
    chain.close()


def test_timestamps_never_run_ahead_of_the_clock(file: Path, clock: ManualClock) -> None:
    chain = open_embedded(file, clock)
    nonce = 0
    for step in (0.3, 0.3, 0.5, 0.1, 1.0, 0.2, 7.7, 0.4, 0.4, 0.4, 0.9, 0.1, 0.1):
        clock.now += step
        for _ in range(3):
            chain.send_raw(transfer(ALICE, nonce))
            nonce += 1
        assert chain.head().timestamp <= clock.now
    times = [chain.header_by_number(number).timestamp for number in range(chain.head().block_number + 1)]
    assert times == sorted(set(times))
    chain.close()


def test_a_call_after_an_idle_hour_sees_the_time_of_now(file: Path, clock: ManualClock) -> None:
    chain = open_embedded(file, clock)
    chain.send_raw(transfer(ALICE, 0))
    clock.now += 3_600
    assert int.from_bytes(chain.call(CallRequest(data=RETURN_TIMESTAMP)), "big") == clock.now
    with pytest.raises(Reverted) as refusal:
        chain.estimate(CallRequest(data=REVERT_WITH_TIMESTAMP))
    assert int.from_bytes(refusal.value.data, "big") == clock.now
    chain.close()


def test_a_call_at_an_old_block_sees_its_time(file: Path, clock: ManualClock) -> None:
    chain = open_embedded(file, clock)
    chain.send_raw(transfer(ALICE, 0))
    old, clock.now = int(clock.now), clock.now + 100
    at = chain.header_by_number(1)
    assert int.from_bytes(chain.call(CallRequest(data=RETURN_TIMESTAMP), at), "big") == old
    chain.close()


# --- the pool ---


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"", "invalid transaction"),
        (b"\x02\xc0", "invalid transaction"),
        (bytes(200_000), "oversized data"),
        (transfer(ALICE, 0, chainId=1), "invalid chain id"),
        (transfer(CAROL, 0), "insufficient funds"),
        (transfer(ALICE, 0, gas=20_000), "intrinsic gas too low"),
        (transfer(ALICE, 0, gas=BLOCK_GAS_LIMIT + 1), "exceeds block gas limit"),
        (transfer(ALICE, MAX_NONCE_GAP + 1), "nonce too high"),
    ],
    ids=["empty", "garbage", "oversized", "chain id", "no funds", "little gas", "much gas", "nonce gap"],
)
def test_what_can_never_be_mined_is_refused(file: Path, clock: ManualClock, raw: bytes, message: str) -> None:
    chain = open_embedded(file, clock)
    with pytest.raises(Refused, match=message):
        chain.send_raw(raw)
    chain.close()


def test_a_transaction_counts_once(file: Path, clock: ManualClock) -> None:
    chain = open_embedded(file, clock)
    chain.send_raw(transfer(ALICE, 0))
    with pytest.raises(Refused, match="already known"):
        chain.send_raw(transfer(ALICE, 0))
    with pytest.raises(Refused, match="nonce too low"):
        chain.send_raw(transfer(ALICE, 0, value=2))
    chain.send_raw(transfer(ALICE, 1))
    with pytest.raises(Refused, match="already known"):
        chain.send_raw(transfer(ALICE, 1))
    chain.close()


def test_a_waiting_transaction_is_replaced_only_by_a_dearer_one(file: Path, clock: ManualClock) -> None:
    chain = open_embedded(file, clock)
    chain.send_raw(transfer(ALICE, 0))
    cheap = chain.send_raw(transfer(ALICE, 1))
    with pytest.raises(Refused, match="underpriced"):
        chain.send_raw(transfer(ALICE, 1, value=2))
    dear = chain.send_raw(transfer(ALICE, 1, value=2, maxFeePerGas=4 * 10**9, maxPriorityFeePerGas=12))
    clock.now += 1
    chain.mine_due()
    assert chain.transaction(dear)[1] is not None
    with pytest.raises(NotFound):
        chain.transaction(cheap)
    chain.close()


def test_a_gap_of_nonces_waits_until_it_is_filled(file: Path) -> None:
    chain = open_embedded(file, TickingClock())
    later = chain.send_raw(transfer(ALICE, 1))
    assert chain.transaction(later)[1] is None
    chain.send_raw(transfer(ALICE, 0))
    assert chain.transaction(later)[1] is not None
    chain.close()


def test_waiting_transactions_survive_reopening_and_are_then_mined_once(file: Path, clock: ManualClock) -> None:
    chain = open_embedded(file, clock)
    sent = [chain.send_raw(transfer(ALICE, nonce)) for nonce in range(4)]
    chain.close()
    clock.now += 1
    chain = open_embedded(file, clock)
    assert not chain.mine_due()
    assert [block_of(chain, hash_) for hash_ in sent] == [1, 2, 2, 2]
    chain.close()
    chain = open_embedded(file, clock)
    assert not chain.mine_due()
    assert chain.head().block_number == 2
    chain.close()


def test_what_does_not_fit_into_a_block_waits_for_the_next(file: Path) -> None:
    clock = ManualClock()
    chain = open_embedded(file, clock)
    half = BLOCK_GAS_LIMIT * 2 // 5
    sent = [chain.send_raw(transfer(ALICE, nonce, gas=half)) for nonce in range(3)]
    numbers = []
    for _ in range(3):
        clock.now += 1
        chain.mine_due()
    numbers = [block_of(chain, hash_) for hash_ in sent]
    assert numbers == sorted(numbers)
    assert all(chain.header_by_number(number).gas_used <= BLOCK_GAS_LIMIT for number in numbers)
    chain.close()


def test_a_failing_opcode_is_no_refusal_of_the_contract(file: Path, clock: ManualClock) -> None:
    chain = open_embedded(file, clock)
    with pytest.raises(CallFailed, match="InvalidInstruction"):
        chain.call(CallRequest(data=INVALID))
    chain.close()


def test_an_estimate_suffices(file: Path) -> None:
    chain = open_embedded(file, TickingClock())
    request = CallRequest(sender=bytes.fromhex(ALICE.address[2:]), data=RETURN_TIMESTAMP)
    gas = chain.estimate(request)
    hash_ = chain.send_raw(transfer(ALICE, 0, to=None, value=0, data=RETURN_TIMESTAMP, gas=gas))
    header = chain.transaction(hash_)[1]
    assert chain.receipts(header)[0].state_root == b"\x01"
    chain.close()
