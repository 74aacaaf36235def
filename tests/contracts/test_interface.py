"""What the contracts offer, and what they do not: nobody can pause, upgrade, repair or mint."""

from __future__ import annotations

import eth_abi
import pytest
from eth_utils import keccak

from derelayl_node.chain.codec import FUNCTIONS
from derelayl_protocol.errors import Reason

from .evm import SUPPLY, Reverted, account, artifact
from .game import Game
from .relay import CREATOR, TRAINERS, WALLET, Relay

VIEWS = {
    "token",
    "freeOf",
    "stakeOf",
    "validatorsOf",
    "checkpointOf",
    "modelOf",
    "roundOf",
    "verifyLeaf",
    "chunkLeaf",
}

ERC20 = {"name", "symbol", "decimals", "totalSupply", "balanceOf", "allowance", "transfer", "transferFrom", "approve"}
BURNABLE = {"burn", "burnFrom"}
PERMIT = {"permit", "nonces", "DOMAIN_SEPARATOR", "eip712Domain"}

LIBRARY_ERRORS = {"SafeCastOverflowedUintDowncast", "SafeERC20FailedOperation", "ReentrancyGuardReentrantCall"}
"""Of OpenZeppelin: an amount beyond 128 bits, a token that answers false, a token that calls back."""

MAX_RUNTIME_BYTES = 24_576
"""Of EIP-170."""


def names(contract: str, kind: str) -> set[str]:
    return {item["name"] for item in artifact(contract)["abi"] if item["type"] == kind}


def test_ledger_has_a_function_for_each_command_and_views_and_nothing_else() -> None:
    assert names("RelayLedger", "function") == VIEWS | set(FUNCTIONS.values())


def test_token_has_the_standard_functions_and_nothing_else() -> None:
    assert names("RelayToken", "function") == ERC20 | BURNABLE | PERMIT


@pytest.mark.parametrize("contract", ["RelayLedger", "RelayToken"])
def test_contract_takes_no_ether_and_has_no_fallback(contract: str) -> None:
    abi = artifact(contract)["abi"]
    assert not [item for item in abi if item["type"] in ("fallback", "receive")]
    assert not [item for item in abi if item.get("stateMutability") == "payable"]


def test_ledger_has_an_error_for_each_reason() -> None:
    assert names("RelayLedger", "error") == {reason.value for reason in Reason} | LIBRARY_ERRORS
    reasons = [item for item in artifact("RelayLedger")["abi"] if item["type"] == "error"]
    assert not [item for item in reasons if item["inputs"] and item["name"] not in LIBRARY_ERRORS]


def test_views_change_nothing() -> None:
    mutability = {item["name"]: item["stateMutability"] for item in artifact("RelayLedger")["abi"] if "outputs" in item}
    assert {name for name, kind in mutability.items() if kind in ("view", "pure")} == VIEWS


@pytest.mark.parametrize("contract", ["RelayLedger", "RelayToken"])
def test_runtime_code_fits_a_block_chain_and_has_no_delegatecall(contract: str) -> None:
    code = bytes.fromhex(artifact(contract)["deployedBytecode"][2:])
    assert len(code) < MAX_RUNTIME_BYTES
    assert 0xF4 not in opcodes(code), "delegatecall would let other code act as the contract"
    assert 0xFF not in opcodes(code), "selfdestruct"


def opcodes(code: bytes) -> set[int]:
    """The instructions of a contract, without what they push and without the metadata at the end."""
    end, position, found = len(code) - int.from_bytes(code[-2:]) - 2, 0, set()
    while position < end:
        found.add(code[position])
        position += 1 + (code[position] - 0x5F if 0x60 <= code[position] <= 0x7F else 0)
    return found


def test_whole_supply_is_minted_once() -> None:
    relay = Relay()
    assert relay.wallet(account(0)) == SUPPLY
    with pytest.raises(Reverted):
        relay.token_call(account(0), "mint(address,uint256)", account(0), 1)


def test_burning_lowers_the_supply() -> None:
    relay = Relay()
    relay.token_call(account(0), "burn(uint256)", 5)
    supply = relay.evm.call(relay.token, keccak(text="totalSupply()")[:4])
    assert int.from_bytes(supply) == SUPPLY - 5


def test_deposit_without_allowance_moves_nothing() -> None:
    relay = Relay()
    relay.token_call(account(0), "transfer(address,uint256)", TRAINERS[0], WALLET)
    data = keccak(text="deposit(uint256)")[:4] + eth_abi.encode(["uint256"], [5])
    with pytest.raises(Reverted) as caught:
        relay.evm.transact(TRAINERS[0], relay.ledger, data)
    assert caught.value.data[:4] == keccak(text="ERC20InsufficientAllowance(address,uint256,uint256)")[:4]
    assert (relay.wallet(TRAINERS[0]), relay.free(TRAINERS[0])) == (WALLET, 0)


def test_ledger_names_its_token() -> None:
    game = Game()
    assert game.relay.view("token") == "0x" + game.relay.token.hex()
    assert game.relay.free(CREATOR) == game.free - game.budget
