"""Reentrant token: a token that calls the ledger back while the ledger moves it, and what it gets out of that."""

from __future__ import annotations

import pytest
from eth_utils.crypto import keccak
from tests.contracts.evm import account
from tests.contracts.relay import RULES, Relay, root

from derelayl_protocol.ledger import commands
from derelayl_protocol.types import Address, Wei

VICTIM = account(1)
GUARD = keccak(text="ReentrancyGuardReentrantCall()")[:4]
BALANCE_OF = keccak(text="balanceOf(address)")[:4]


def token_runtime(callback: bytes) -> bytes:
    """Code of a token that says everybody owns 2**255 of it and that every transfer went well.

    Before a transfer it calls its caller with `callback` and logs two words: the answer's first, and whether it
    succeeded.
    """
    size = f"{len(callback):04x}"

    def code(offset: int, balance: int) -> bytes:
        parts = [
            f"5f3560e01c63{BALANCE_OF.hex()}1460{balance:02x}57",  # balanceOf jumps to `balance`
            f"61{size}61{offset:04x}5f39",  # copy the callback from behind this code to memory 0
            f"60205f61{size}5f5f335af1",  # call(gas, caller, 0, 0, size, 0, 32)
            "60205260405fa0",  # store success at 32, log memory 0 to 64
            "60015f5260205ff3",  # return 1
            "5b600160ff1b5f5260205ff3",  # balance: return 2**255
        ]
        return bytes.fromhex("".join(parts))

    length = len(code(0, 0))
    return code(offset=length, balance=length - 12) + callback


def creation(runtime: bytes) -> bytes:
    """Code that deploys `runtime`, which follows it."""
    return bytes.fromhex(f"61{len(runtime):04x}80600a5f395ff3") + runtime


class Reentered:
    """A ledger whose token calls it back with one command, sent by the token itself."""

    def __init__(self, callback: bytes) -> None:
        self.relay = Relay()
        self.relay.token = self.relay.evm.deploy(creation(token_runtime(callback)))
        self.relay.ledger = self.relay.deploy_ledger(self.relay.token)
        self.token = Address("0x" + self.relay.token.hex())

    def send(self, sender: Address, command: commands.Command) -> tuple[bool, bytes]:
        """Send a command that moves the token; return how its callback went, and the answer."""
        receipt = self.relay.evm.transact(sender, self.relay.ledger, self.relay.codec.command(command))
        ((_, _, logged),) = [log for log in receipt.logs if log[0] == self.relay.token]
        return bool(int.from_bytes(logged[32:])), logged[:32]


def encoded(command: commands.Command) -> bytes:
    return Relay().codec.command(command)


@pytest.mark.parametrize("callback", [commands.Deposit(Wei(7)), commands.Withdraw(Wei(7))], ids=["deposit", "withdraw"])
@pytest.mark.parametrize("outer", [commands.Deposit(Wei(10)), commands.Withdraw(Wei(10))], ids=["deposit", "withdraw"])
def test_moving_the_token_cannot_be_re_entered(outer: commands.Command, callback: commands.Command) -> None:
    """The token has a balance of its own, so without the guard its callback would go through."""
    case = Reentered(encoded(callback))
    case.send(VICTIM, commands.Deposit(Wei(100)))
    case.send(case.token, commands.Deposit(Wei(100)))
    before = case.relay.free(VICTIM)
    succeeded, answer = case.send(VICTIM, outer)
    assert not succeeded
    assert answer[:4] == GUARD
    moved = 10 if isinstance(outer, commands.Deposit) else -10
    assert case.relay.free(VICTIM) == before + moved
    assert case.relay.free(case.token) == 100


def test_during_a_withdrawal_the_balance_has_gone_down_already() -> None:
    case = Reentered(Relay().codec.call("freeOf", VICTIM))
    case.send(VICTIM, commands.Deposit(Wei(100)))
    succeeded, answer = case.send(VICTIM, commands.Withdraw(Wei(30)))
    assert succeeded
    assert int.from_bytes(answer) == 70


def test_what_needs_no_token_can_be_called_back_and_finds_the_books_in_order() -> None:
    """Creating a model in the middle of somebody's deposit spends the token's own free balance, nobody else's."""
    case = Reentered(encoded(commands.CreateModel(RULES, root(0), Wei(60))))
    succeeded, _ = case.send(VICTIM, commands.Deposit(Wei(100)))
    assert not succeeded, "the victim's balance covers a budget of 60, the token's does not"
    assert case.relay.free(VICTIM) == 100
    succeeded, _ = case.send(case.token, commands.Deposit(Wei(70)))
    assert succeeded
    assert case.relay.free(case.token) == 10
    assert case.relay.free(VICTIM) == 100
