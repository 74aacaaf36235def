"""Deposits with a signed allowance, and what a hostile token achieves by calling the ledger back: nothing."""

from __future__ import annotations

import eth_abi.abi
import pytest
from eth_utils.crypto import keccak

from derelayl_node.keys import sign_digest
from derelayl_protocol.ledger import commands, events
from derelayl_protocol.types import Address, Wei

from .evm import Evm, Reverted
from .game import Game
from .relay import KEYS, RULES, TRAINERS, WALLET, Relay, root

OWNER, STRANGER = TRAINERS[:2]
AMOUNT = Wei(500)
PERMIT_TYPE = "Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)"
NO_ALLOWANCE = keccak(text="ERC20InsufficientAllowance(address,uint256,uint256)")[:4]
REENTRANT = keccak(text="ReentrancyGuardReentrantCall()")[:4]
DEADLINE = 2**40


# --- permit -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def relay() -> Relay:
    """The owner has tokens, and has allowed nothing."""
    relay = Game().relay
    relay.token_call(OWNER, "approve(address,uint256)", relay.address, 0)
    return relay


def permit(relay: Relay, value: int = AMOUNT, deadline: int = DEADLINE) -> tuple[int, bytes, bytes]:
    """The owner's signature (v, r, s) that lets the ledger take `value`."""
    separator = relay.evm.call(relay.token, keccak(text="DOMAIN_SEPARATOR()")[:4])
    fields = eth_abi.abi.encode(
        ["bytes32", "address", "address", "uint256", "uint256", "uint256"],
        [keccak(text=PERMIT_TYPE), OWNER, relay.address, value, 0, deadline],
    )
    signature = sign_digest(KEYS[OWNER], keccak(b"\x19\x01" + separator + keccak(fields)))
    return 27 + signature[64], signature[:32], signature[32:64]


def deposit(relay: Relay, sender: Address, signature: tuple[int, bytes, bytes], deadline: int = DEADLINE) -> None:
    relay.evm.transact(sender, relay.ledger, relay.codec.call("depositWithPermit", AMOUNT, deadline, *signature))


def test_a_permit_of_another_account_or_amount_that_expired_moves_nothing(relay: Relay) -> None:
    for sender, signature, deadline in [
        (STRANGER, permit(relay), DEADLINE),
        (OWNER, permit(relay, value=AMOUNT - 1), DEADLINE),
        (OWNER, permit(relay, deadline=relay.evm.now - 1), relay.evm.now - 1),
        (OWNER, (27, bytes(32), bytes(32)), DEADLINE),
    ]:
        relay.token_call(sender, "approve(address,uint256)", relay.address, 0)
        with pytest.raises(Reverted) as caught:
            deposit(relay, sender, signature, deadline)
        assert caught.value.data[:4] == NO_ALLOWANCE


def test_a_permit_is_an_allowance_without_a_transaction(relay: Relay) -> None:
    free, wallet = relay.free(OWNER), relay.wallet(OWNER)
    deposit(relay, OWNER, permit(relay))
    assert (relay.free(OWNER), relay.wallet(OWNER)) == (free + AMOUNT, wallet - AMOUNT)


def test_a_permit_that_somebody_else_has_executed_does_no_harm(relay: Relay) -> None:
    v, r, s = permit(relay)
    relay.token_call(
        STRANGER,
        "permit(address,address,uint256,uint256,uint8,bytes32,bytes32)",
        *(OWNER, relay.address, AMOUNT, DEADLINE, v, r, s),
    )
    free = relay.free(OWNER)
    deposit(relay, OWNER, (v, r, s))
    assert relay.free(OWNER) == free + AMOUNT


def test_with_an_allowance_the_permit_does_not_matter(relay: Relay) -> None:
    relay.token_call(OWNER, "approve(address,uint256)", relay.address, AMOUNT)
    free = relay.free(OWNER)
    deposit(relay, OWNER, (0, bytes(32), bytes(32)))
    assert relay.free(OWNER) == free + AMOUNT


# --- reentrancy -------------------------------------------------------------------------------------------------------

TRIED, ANSWER = 0, 1
"""Slots of the hostile token: 1 for a call back that failed and 2 for one that did not; the first word it returned."""


INSTRUCTIONS = {
    "ADD": 0x01,
    "EQ": 0x14,
    "NOT": 0x19,
    "SHR": 0x1C,
    "CALLER": 0x33,
    "CALLDATALOAD": 0x35,
    "CODECOPY": 0x39,
    "MLOAD": 0x51,
    "MSTORE": 0x52,
    "SSTORE": 0x55,
    "JUMPI": 0x57,
    "GAS": 0x5A,
    "JUMPDEST": 0x5B,
    "CALL": 0xF1,
    "RETURN": 0xF3,
}


def assemble(text: str) -> bytes:
    """Machine code of instructions and of numbers in hex, each pushed in as many bytes as it is written with."""
    code = b""
    for item in text.split():
        if item in INSTRUCTIONS:
            code += bytes([INSTRUCTIONS[item]])
        else:
            number = bytes.fromhex(item)
            code += bytes([0x5F + len(number)]) + number
    return code


def hostile_token(call_back: bytes) -> bytes:
    """Creation code of a token in which everybody is rich and every transfer succeeds, after it has called back."""
    rich = "JUMPDEST 00 NOT 00 MSTORE 20 00 RETURN"
    text = (
        "00 CALLDATALOAD e0 SHR 70a08231 EQ {rich:04x} JUMPI "  # balanceOf(address)
        "{size:04x} {end:04x} 00 CODECOPY "
        "20 00 {size:04x} 00 00 CALLER GAS CALL 01 ADD 00 SSTORE "  # TRIED
        "00 MLOAD 01 SSTORE "  # ANSWER
        "01 00 MSTORE 20 00 RETURN "
        f"{rich}"
    )
    sizes = {"size": len(call_back), "rich": 0, "end": 0}
    sizes["end"] = len(assemble(text.format(**sizes)))
    sizes["rich"] = sizes["end"] - len(assemble(rich))
    runtime = assemble(text.format(**sizes)) + call_back
    create = "{size:04x} {start:04x} 00 CODECOPY {size:04x} 00 RETURN"
    start = len(assemble(create.format(size=0, start=0)))
    return assemble(create.format(size=len(runtime), start=start)) + runtime


def call_backs(relay: Relay) -> dict[str, bytes]:
    """Calls of everything that moves tokens."""
    return {
        "deposit": relay.codec.command(commands.Deposit(AMOUNT)),
        "withdraw": relay.codec.command(commands.Withdraw(AMOUNT)),
        "depositWithPermit": relay.codec.call("depositWithPermit", AMOUNT, DEADLINE, 27, bytes(32), bytes(32)),
    }


def transact(relay: Relay, ledger: bytes, data: bytes) -> list[events.Event]:
    receipt = relay.evm.transact(OWNER, ledger, data)
    return [relay.codec.event(topics, data) for address, topics, data in receipt.logs if address == ledger]


def free_in(evm: Evm, relay: Relay, ledger: bytes, owner: str) -> int:
    return int.from_bytes(evm.call(ledger, relay.codec.call("freeOf", owner)))


@pytest.mark.parametrize("inner", ["deposit", "withdraw", "depositWithPermit"])
@pytest.mark.parametrize("outer", ["deposit", "withdraw", "depositWithPermit"])
def test_a_token_that_calls_back_moves_nothing_twice(outer: str, inner: str) -> None:
    relay = Relay()
    token = relay.evm.deploy(hostile_token(call_backs(relay)[inner]))
    ledger = relay.deploy_ledger(token)
    if outer == "withdraw":
        transact(relay, ledger, call_backs(relay)["deposit"])
    transact(relay, ledger, call_backs(relay)[outer])
    assert relay.evm.slot(token, TRIED) == 1, "the call back was refused"
    assert relay.evm.slot(token, ANSWER).to_bytes(32, "big")[:4] == REENTRANT
    assert free_in(relay.evm, relay, ledger, OWNER) == (0 if outer == "withdraw" else AMOUNT)
    assert free_in(relay.evm, relay, ledger, "0x" + token.hex()) == 0


def test_a_token_that_calls_back_finds_the_books_in_order() -> None:
    """What moves no tokens is not locked: while it pays, the ledger already owes less."""
    relay = Relay()
    create = relay.codec.command(commands.CreateModel(RULES, root(0), Wei(1)))
    token = relay.evm.deploy(hostile_token(create))
    ledger = relay.deploy_ledger(token)
    recorded = transact(relay, ledger, call_backs(relay)["deposit"])
    assert recorded == [events.Deposited(OWNER, AMOUNT)], "the token itself has no free balance to found a model with"
    assert relay.evm.slot(token, TRIED) == 1


def test_wallets_of_the_tests_are_as_rich_as_they_think(relay: Relay) -> None:
    assert relay.wallet(OWNER) == WALLET - 10**9
