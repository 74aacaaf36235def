"""The deployed ledger as tests speak to it: commands in; events, views and reasons out."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import eth_abi.abi
import pytest
from eth_utils.crypto import keccak

from derelayl_node.evm.codec import Codec
from derelayl_node.evm.deploy import LIBRARIES, creation_code
from derelayl_node.evm.typed_data import sign_message
from derelayl_node.keys import NodeKey
from derelayl_protocol.encoding import word
from derelayl_protocol.errors import Reason, RuleViolation
from derelayl_protocol.ledger import commands, events, state
from derelayl_protocol.ledger.presets import MINIMAL
from derelayl_protocol.ledger.signed import SignedMessage
from derelayl_protocol.types import Address, LedgerId, ModelId, Root, Wei

from .evm import CHAIN_ID, SUPPLY, Evm, Reverted, account, account_key, artifact
from .storage import Storage

WALLET = Wei(10**24)
"""What every funded account starts with, outside the ledger."""

UNKNOWN = ModelId(b"\x77" * 32)
"""No model has this id."""

CREATOR = account(1)
TRAINERS = tuple(account(100 + number) for number in range(33))
VALIDATORS = tuple(account(200 + number) for number in range(60))

KEYS = {account(number): account_key(number) for number in (*range(20), *range(100, 133), *range(200, 260))}
"""Whoever signs anything in these tests."""

RULES = replace(
    MINIMAL,
    legs_per_tip=4,
    segments=3,
    bid_seconds=60,  # seeds follow from the rules, so the gas snapshot is of these lengths
    train_seconds=600,
    commit_seconds=120,
    reveal_seconds=120,
    offer_deposit=Wei(7),
    emission=Wei(1_000_003),
    unbonding_seconds=3_600,
)


def root(number: int) -> Root:
    """A root that no other number has."""
    return Root(hashlib.sha256(b"root" + word(number)).digest())


class Relay:
    """Token and ledger on an EVM of their own."""

    def __init__(self) -> None:
        self.evm = Evm()
        holder = eth_abi.abi.encode(["address", "uint256"], [account(0), SUPPLY])
        self.token = self.evm.deploy(creation_code("RelayToken", holder))
        self.libraries = {name: _spelt(self.evm.deploy(creation_code(name))) for name in LIBRARIES}
        self.ledger = self.deploy_ledger(self.token)
        self.address = _spelt(self.ledger)
        self.ledger_id = LedgerId(CHAIN_ID, self.address)
        self.codec = Codec(artifact("RelayLedger")["abi"])
        self.gas = 0  # of the latest command
        self._rounds: dict[ModelId, state.RoundView] = {}  # what `round` answered since the latest command

    def deploy_ledger(self, token: bytes) -> bytes:
        """Deploy another ledger, for that token, and return its address."""
        return self.evm.deploy(creation_code("RelayLedger", eth_abi.abi.encode(["address"], [token]), self.libraries))

    def signature(self, message: SignedMessage, signer: Address | NodeKey) -> bytes:
        """Sign a message for this ledger."""
        key = signer if isinstance(signer, NodeKey) else KEYS[signer]
        return sign_message(key, message, self.ledger_id)

    def fork(self) -> Relay:
        """Copy the ledger and its chain; the two go on apart."""
        other = copy.copy(self)
        other.evm = self.evm.fork()
        other._rounds = {}
        return other

    def fund_wallet(self, owner: Address, amount: Wei = WALLET) -> None:
        """Give tokens and let the ledger take them."""
        self.token_call(account(0), "transfer(address,uint256)", owner, amount)
        self.token_call(owner, "approve(address,uint256)", self.address, 2**256 - 1)

    def token_call(self, sender: Address, signature: str, *arguments: Any) -> bytes:
        """Transact with the token. Raises Reverted."""
        types = signature[signature.index("(") + 1 : -1].split(",")
        return self.evm.transact(
            sender, self.token, keccak(text=signature)[:4] + eth_abi.abi.encode(types, arguments)
        ).output

    def send(self, sender: Address, command: commands.Command) -> tuple[events.Event, ...]:
        """Execute a command and return its events. Raises RuleViolation, or Reverted for anything else."""
        data = self.codec.command(command)
        self._rounds.clear()
        try:
            receipt = self.evm.transact(sender, self.ledger, data)
        except Reverted as error:
            violation = self.codec.violation(error.data)
            if violation is None:
                raise
            raise violation from error
        self.gas = receipt.gas
        return tuple(self.codec.event(topics, data) for address, topics, data in receipt.logs if address == self.ledger)

    def refuses(self, reason: Reason, sender: Address, command: commands.Command) -> None:
        """Check that the ledger refuses the command for this reason."""
        with pytest.raises(RuleViolation) as caught:
            self.send(sender, command)
        assert caught.value.reason is reason

    def view(self, name: str, *arguments: Any) -> Any:
        """Call a view of the ledger. Raises RuleViolation or Reverted."""
        try:
            return self.codec.result(name, self.evm.call(self.ledger, self.codec.call(name, *arguments)))
        except Reverted as error:
            violation = self.codec.violation(error.data)
            if violation is None:
                raise
            raise violation from error

    def storage(self) -> Storage:
        """What the ledger and the token hold, past their views."""
        return Storage(self.evm, self.ledger, self.token)

    def wallet(self, owner: Address | bytes) -> Wei:
        """Tokens outside the ledger (or, asked for the ledger, in it)."""
        address = "0x" + owner.hex() if isinstance(owner, bytes) else owner
        data = keccak(text="balanceOf(address)")[:4] + eth_abi.abi.encode(["address"], [address])
        return Wei(int.from_bytes(self.evm.call(self.token, data)))

    def unbonding(self, model: ModelId, owner: Address) -> state.Unbonding:
        return state.Unbonding(*self.view("unbondingOf", model, owner))

    def free(self, owner: Address) -> Wei:
        return Wei(self.view("freeOf", owner))

    def stake(self, model: ModelId, owner: Address) -> Wei:
        return Wei(self.view("stakeOf", model, owner))

    def round(self, model: ModelId) -> state.RoundView:
        if model not in self._rounds:
            self._rounds[model] = self.codec.round_view(self.view("roundOf", model))
        return self._rounds[model]

    def checkpoint(self, model: ModelId, name: Root) -> state.CheckpointRecord | None:
        return self.codec.checkpoint(self.view("checkpointOf", model, name))

    def model(self, model: ModelId, roots: Sequence[Root] = ()) -> state.ModelState:
        """Everything of a model, with those of `roots` that are checkpoints; one call for each part."""
        rules, creator, genesis, budget, carry, settled, next_seed = self.view("modelOf", model)
        validators = tuple(Address(item.lower()) for item in self.view("validatorsOf", model))
        records = {name: self.checkpoint(model, name) for name in roots}
        return state.ModelState(
            rules=self.codec.rules(rules),
            creator=Address(creator.lower()),
            genesis=Root(genesis),
            budget=budget,
            carry=carry,
            settled_rounds=settled,
            next_seed=next_seed,
            current=self.round(model),
            checkpoints={name: record for name, record in records.items() if record is not None},
            stakes={owner: self.stake(model, owner) for owner in validators},
            validators=validators,
        )


def _spelt(address: bytes) -> Address:
    return Address("0x" + address.hex())
