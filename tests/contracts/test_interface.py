"""What the contracts offer, and what they do not: nobody can pause, upgrade, repair or mint."""

from __future__ import annotations

import re

import eth_abi.abi
import pytest
from eth_utils.crypto import keccak

from derelayl_node.evm.codec import FUNCTIONS
from derelayl_node.evm.deploy import LIBRARIES
from derelayl_protocol.errors import Reason

from .evm import ARTIFACTS, SUPPLY, Reverted, account, artifact
from .game import Game
from .relay import CREATOR, TRAINERS, WALLET, Relay

VIEWS = {
    "token",
    "freeOf",
    "stakeOf",
    "unbondingOf",
    "validatorsOf",
    "checkpointOf",
    "accessOf",
    "modelOf",
    "roundOf",
    "verifyLeaf",
    "chunkLeaf",
    "eip712Domain",
}

WITH_PERMIT = {"depositWithPermit"}
"""A deposit whose allowance comes with it; there is no command of its own for it."""

ERC20 = {"name", "symbol", "decimals", "totalSupply", "balanceOf", "allowance", "transfer", "transferFrom", "approve"}
BURNABLE = {"burn", "burnFrom"}
PERMIT = {"permit", "nonces", "DOMAIN_SEPARATOR", "eip712Domain"}

LIBRARY_ERRORS = {
    "SafeCastOverflowedUintDowncast",
    "SafeERC20FailedOperation",
    "ReentrancyGuardReentrantCall",
    "InvalidShortString",
    "StringTooLong",
}
"""Of OpenZeppelin: an amount beyond 128 bits, a token that answers false or calls back, a name that is too long."""

SOURCES = ARTIFACTS.parent / "src"

MAX_RUNTIME_BYTES = 24_576
"""Of EIP-170."""

PUSH20, CREATE, CALLCODE, DELEGATECALL, CREATE2, SELFDESTRUCT = 0x73, 0xF0, 0xF2, 0xF4, 0xF5, 0xFF
"""Instructions."""


def names(contract: str, kind: str) -> set[str]:
    return {item["name"] for item in artifact(contract)["abi"] if item["type"] == kind}


def test_ledger_has_a_function_for_each_command_and_views_and_nothing_else() -> None:
    assert names("RelayLedger", "function") == VIEWS | WITH_PERMIT | set(FUNCTIONS.values())


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


@pytest.mark.parametrize("contract", [*LIBRARIES, "RelayLedger", "RelayToken"])
def test_runtime_code_fits_a_block_chain_and_cannot_destroy_itself_or_run_as_its_caller(contract: str) -> None:
    code = runtime_code(contract)
    assert len(code) < MAX_RUNTIME_BYTES
    found = set(instructions(code).values())
    assert SELFDESTRUCT not in found
    assert CALLCODE not in found
    assert CREATE not in found
    assert CREATE2 not in found


@pytest.mark.parametrize("contract", [*LIBRARIES, "RelayToken"])
def test_only_the_ledger_lets_other_code_act_for_it(contract: str) -> None:
    assert DELEGATECALL not in instructions(runtime_code(contract)).values()


def test_the_ledger_lets_only_its_libraries_act_for_it() -> None:
    """No source asks for a delegatecall, so the compiler makes one only for a linked library, whose address is in the
    code and which no storage and no caller can change. Calls that look alike may share the instruction."""
    places = [place for some in artifact("RelayLedger")["deployedLinkReferences"].values() for place in some]
    found = instructions(runtime_code("RelayLedger"))
    assert {found[place - 1] for place in places} == {PUSH20}
    assert 0 < list(found.values()).count(DELEGATECALL) <= len(places)
    sources = {path: path.read_text(encoding="utf-8") for path in SOURCES.rglob("*.sol")}
    assert [path for path, text in sources.items() if re.search("delegatecall", re.sub("//.*", "", text), re.I)] == []


@pytest.mark.parametrize("contract", [*LIBRARIES, "RelayLedger", "RelayToken"])
def test_sources_have_no_owner_no_pause_and_no_way_to_be_replaced(contract: str) -> None:
    """No function of such a name, whoever may call it, and no storage that could hold who may."""
    forbidden = re.compile("owner$|admin|pause|upgrade|implementation|initialize|mint|govern|setFee|sweep|rescue", re.I)
    abi_names = {item["name"] for item in artifact(contract)["abi"] if item["type"] == "function"}
    slots = {item["label"] for item in (artifact(contract)["storageLayout"] or {}).get("storage", [])}
    assert not [name for name in abi_names | slots if forbidden.search(name)]


def runtime_code(contract: str) -> bytes:
    """The code on the chain, libraries at address zero."""
    content = artifact(contract)
    code = content["deployedBytecode"][2:]
    for places in content["deployedLinkReferences"].values():
        for place in places:
            code = code[: 2 * place] + "00" * 20 + code[2 * place + 40 :]
    return bytes.fromhex(code)


def instructions(code: bytes) -> dict[int, int]:
    """The instructions of a contract by place, without what they push and without the metadata at the end."""
    end, position, found = len(code) - int.from_bytes(code[-2:]) - 2, 0, {}
    while position < end:
        found[position] = code[position]
        position += 1 + (code[position] - 0x5F if 0x60 <= code[position] <= 0x7F else 0)
    return found


def test_no_command_changes_the_supply() -> None:
    game = Game()
    game.play(*[(5000, 3000, -100)] * 3)
    supply = game.relay.evm.call(game.relay.token, keccak(text="totalSupply()")[:4])
    assert int.from_bytes(supply) == SUPPLY


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
    data = keccak(text="deposit(uint256)")[:4] + eth_abi.abi.encode(["uint256"], [5])
    with pytest.raises(Reverted) as caught:
        relay.evm.transact(TRAINERS[0], relay.ledger, data)
    assert caught.value.data[:4] == keccak(text="ERC20InsufficientAllowance(address,uint256,uint256)")[:4]
    assert (relay.wallet(TRAINERS[0]), relay.free(TRAINERS[0])) == (WALLET, 0)


def test_ledger_names_its_token() -> None:
    game = Game()
    assert game.relay.view("token") == "0x" + game.relay.token.hex()
    assert game.relay.free(CREATOR) == game.free - game.budget
