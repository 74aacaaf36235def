"""The strict reading of what a chain's node answers: a value of another form is refused."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from derelayl_protocol.spelling import Misspelled, from_hex, to_hex
from derelayl_protocol.types import ADDRESS_BYTES, HASH_BYTES, Address, Timestamp

from ..ports import BlockRef, LedgerUnavailable

Json = Any


@dataclass(frozen=True, slots=True)
class Block:
    """A block's header, as far as a client needs it; `base_fee` in wei per gas, None if the node tells none."""

    ref: BlockRef
    parent: bytes
    base_fee: int | None
    bloom: bytes


@dataclass(frozen=True, slots=True)
class RawLog:
    """One log as the node gave it, not yet decoded."""

    address: Address
    topics: tuple[bytes, ...]
    data: bytes
    block_number: int
    block_hash: bytes
    transaction: bytes
    index: int


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of a mined transaction."""

    succeeded: bool
    block_number: int
    block_hash: bytes
    contract: Address | None
    gas_used: int
    logs: tuple[RawLog, ...]


class Reader:
    """Reads the answers of the chain at one place. Every method raises LedgerUnavailable for another form."""

    def __init__(self, blame: Callable[[], str]) -> None:
        """`blame` is called for each answer of another form, and gives the name of who gave it."""
        self._blame = blame

    def nonsense(self, what: str, value: Json) -> LedgerUnavailable:
        """The error for an answer that is none: `what` it is."""
        return LedgerUnavailable(f"The chain at {self._blame()} sent {what}: {value!r:.120}")

    def quantity(self, value: Json) -> int:
        """A whole number in hex."""
        if not isinstance(value, str) or not value.startswith("0x"):
            raise self.nonsense("no quantity", value)
        try:
            return int(value, 16)
        except ValueError as error:
            raise self.nonsense("no quantity", value) from error

    def data(self, value: Json, length: int | None = None) -> bytes:
        """Bytes in hex, `length` of them if it is given."""
        try:
            found = from_hex(value if isinstance(value, str) else "")
        except Misspelled as error:
            raise self.nonsense("no hex data", value) from error
        if length is not None and len(found) != length:
            raise self.nonsense(f"not {length} bytes", value)
        return found

    def address(self, value: Json) -> Address:
        """An address."""
        return Address(to_hex(self.data(value, ADDRESS_BYTES)))

    def items(self, value: Json) -> Sequence[Json]:
        """A list."""
        if not isinstance(value, list):
            raise self.nonsense("no list", value)
        return value

    def _field(self, value: Json, name: str) -> Json:
        if not isinstance(value, Mapping) or name not in value:
            raise self.nonsense(f"an object without {name}", value)
        return value[name]

    def block(self, value: Json) -> Block:
        """A block, with or without its transactions."""
        ref = BlockRef(
            number=self.quantity(self._field(value, "number")),
            hash=self.data(self._field(value, "hash"), HASH_BYTES),
            time=Timestamp(self.quantity(self._field(value, "timestamp"))),
        )
        return Block(
            ref=ref,
            parent=self.data(self._field(value, "parentHash"), HASH_BYTES),
            base_fee=None if value.get("baseFeePerGas") is None else self.quantity(value["baseFeePerGas"]),
            bloom=self.data(self._field(value, "logsBloom"), 256),
        )

    def transactions(self, value: Json) -> Mapping[tuple[Address, int], bytes]:
        """The hashes of a block's transactions, by sender and nonce."""
        return {
            (self.address(self._field(item, "from")), self.quantity(self._field(item, "nonce"))): self.data(
                self._field(item, "hash"), HASH_BYTES
            )
            for item in self.items(self._field(value, "transactions"))
        }

    def log(self, value: Json) -> RawLog:
        """One log."""
        return RawLog(
            address=self.address(self._field(value, "address")),
            topics=tuple(self.data(topic, HASH_BYTES) for topic in self.items(self._field(value, "topics"))),
            data=self.data(self._field(value, "data")),
            block_number=self.quantity(self._field(value, "blockNumber")),
            block_hash=self.data(self._field(value, "blockHash"), HASH_BYTES),
            transaction=self.data(self._field(value, "transactionHash"), HASH_BYTES),
            index=self.quantity(self._field(value, "logIndex")),
        )

    def receipt(self, value: Json) -> Receipt:
        """A receipt."""
        contract = value.get("contractAddress") if isinstance(value, Mapping) else None
        return Receipt(
            succeeded=self.quantity(self._field(value, "status")) == 1,
            block_number=self.quantity(self._field(value, "blockNumber")),
            block_hash=self.data(self._field(value, "blockHash"), HASH_BYTES),
            contract=None if contract is None else self.address(contract),
            gas_used=self.quantity(self._field(value, "gasUsed")),
            logs=tuple(self.log(item) for item in self.items(self._field(value, "logs"))),
        )
