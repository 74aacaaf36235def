"""The rival of the gas benchmark, contracts/test/naive/NaiveLedger.sol, and what plays rounds on it."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from eth_abi.abi import decode, encode
from eth_utils.crypto import keccak
from tests.contracts.evm import CHAIN_ID, SUPPLY, Evm, account
from tests.contracts.relay import CREATOR, KEYS, TRAINERS, VALIDATORS, root

from derelayl_node.evm.deploy import creation_code
from derelayl_node.evm.typed_data import domain_separator
from derelayl_node.keys import sign_digest
from derelayl_protocol.ledger.rules import Rules
from derelayl_protocol.spelling import from_hex, to_hex
from derelayl_protocol.types import Address, LedgerId

CONTRACTS = Path(__file__).parents[1] / "contracts"
FORGE = CONTRACTS / "node_modules" / ".bin" / "forge"
SOURCE = "test/naive/NaiveLedger.sol"
FREE = 10**9
COMMIT_TYPE = keccak(text="Commit(address validator,uint256 round,bytes32 commitment,uint256 nonce)")


@cache
def compiled() -> tuple[bytes, int]:
    """Creation code of the rival and its size at run time, compiled now if need be."""
    if not FORGE.exists() or shutil.which("node") is None:
        raise SystemExit("the rival is compiled by forge: run `make contracts-setup` (needs Node, Linux on x86-64)")
    subprocess.run([str(FORGE), "build", "--quiet", SOURCE], cwd=CONTRACTS, check=True)
    built: dict[str, Any] = json.loads((CONTRACTS / "out" / "NaiveLedger.sol" / "NaiveLedger.json").read_text())
    code, runtime = (from_hex(built[part]["object"]) for part in ("bytecode", "deployedBytecode"))
    return code, len(runtime)


@dataclass
class NaiveGame:
    """One model of the rival, with funded trainers and staked validators."""

    rules: Rules
    validators: int
    phase_seconds: int = 600
    evm: Evm = field(default_factory=Evm)
    gas: dict[str, list[int]] = field(default_factory=dict)
    number: int = 1
    deploy_gas: int = 0

    def __post_init__(self) -> None:
        token = encode(["address", "uint256"], [account(0), SUPPLY])
        self.token = self.evm.deploy(creation_code("RelayToken", token))
        settings = "uint256,uint256,uint256,uint256,int256,int256,uint256,uint256,uint256,uint256,uint256"
        rules, seconds = self.rules, self.phase_seconds
        values = (rules.legs_per_tip, rules.selection_bps, seconds, rules.committee_size, rules.margin_ppm)
        shares = (rules.gamma_bps, rules.trainer_bps, rules.royalty_bps, rules.validator_bps, rules.emission)
        types = ["address", f"({settings})", "bytes32"]
        arguments = encode(types, [self.token, (*values, rules.agreement_ppm, *shares), root(0)])
        receipt = self.evm.transact(CREATOR, b"", compiled()[0] + arguments)
        self.ledger, self.deploy_gas = _created(CREATOR), receipt.gas
        for owner in (CREATOR, *TRAINERS, *VALIDATORS[: self.validators]):
            self._call(account(0), self.token, "transfer(address,uint256)", owner, FREE)
            self._call(owner, self.token, "approve(address,uint256)", self.ledger, FREE)
            self.send(owner, "deposit(uint256)", FREE)
        self.send(CREATOR, "fund(uint256)", FREE // 10)
        for index, owner in enumerate(VALIDATORS[: self.validators]):
            self.send(owner, "stake(uint256)", rules.validator_stake + index)
        self.gas.clear()

    def send(self, sender: Address, signature: str, *arguments: Any) -> int:
        """Transact and note the gas under the function's name."""
        used = self._call(sender, self.ledger, signature, *arguments)
        self.gas.setdefault(signature[: signature.index("(")], []).append(used)
        return used

    def play(self, bids: Sequence[int], rows: Sequence[Sequence[int]], by_signature: bool = False) -> None:
        """A whole round in which every leg is submitted and every seat answers; row i is for seat i."""
        for trainer, amount in zip(TRAINERS[self.number :], bids, strict=False):
            self.send(trainer, "bid(uint256,uint256)", 255, amount)
        self.evm.now += self.phase_seconds
        self.send(CREATOR, "matchRound()")
        for leg, trainer in enumerate(self._accounts("trainersOf")):
            self.send(trainer, "submit(uint256,bytes32)", leg, root(1000 * self.number + leg))
        seats = self._accounts("seatsOf")
        for seat, row in zip(seats, rows, strict=True):
            sealed = ["address", "uint256", "int256[]", "bytes32"]
            seal = keccak(encode(sealed, [seat, self.number, row, root(seat_salt(seat))]))
            if by_signature:
                self.send(CREATOR, "commitBySig(address,bytes32,bytes)", seat, seal, self._signature(seat, seal))
            else:
                self.send(seat, "commit(bytes32)", seal)
        for seat, row in zip(seats, rows, strict=True):
            self.send(seat, "reveal(int256[],bytes32)", row, root(seat_salt(seat)))
        self.send(CREATOR, "settle()")
        self.number += 1

    def _signature(self, seat: Address, seal: bytes) -> bytes:
        nonce = int.from_bytes(self.evm.call(self.ledger, _data("nonces(address)", seat)))
        words = ["bytes32", "address", "uint256", "bytes32", "uint256"]
        message = keccak(encode(words, [COMMIT_TYPE, seat, self.number, seal, nonce]))
        domain = domain_separator(LedgerId(CHAIN_ID, Address(to_hex(self.ledger))))
        signature = sign_digest(KEYS[seat], keccak(b"\x19\x01" + domain + message))
        return signature[:64] + bytes([27 + signature[64]])

    def _accounts(self, view: str) -> tuple[Address, ...]:
        answer: tuple[Address, ...] = decode(
            ["address[]"], self.evm.call(self.ledger, _data(f"{view}(uint256)", self.number))
        )[0]
        return answer

    def _call(self, sender: Address, to: bytes, signature: str, *arguments: Any) -> int:
        return self.evm.transact(sender, to, _data(signature, *arguments)).gas


def seat_salt(seat: Address) -> int:
    """A number from which the seat's salt is made."""
    return int(seat[-8:], 16)


def _data(signature: str, *arguments: Any) -> bytes:
    types = [kind for kind in signature[signature.index("(") + 1 : -1].split(",") if kind]
    return keccak(text=signature)[:4] + encode(types, arguments)


def _created(sender: Address) -> bytes:
    """The address of a sender's first contract."""
    return keccak(b"\xd6\x94" + from_hex(sender) + b"\x80")[12:]
