"""Between the ledger's dataclasses and the contract's ABI: commands to calls, logs to events, revert data to reasons.

Driven by tables: the contract's names are the camelCase of ours, and arguments, event fields and struct members have
the order of the dataclass fields; a signature is two words, `r` and `vs`. What the chain sends and we do not know is an
error that names it, never skipped.
"""

from __future__ import annotations

import re
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from enum import Enum
from typing import Any

from eth_abi.abi import decode, encode, is_encodable
from eth_abi.exceptions import DecodingError
from eth_typing import ABI, ABIComponent, ABIEvent, ABIFunction
from eth_utils.abi import (
    collapse_if_tuple,
    event_abi_to_log_topic,
    function_abi_to_4byte_selector,
    function_signature_to_4byte_selector,
    get_abi_input_names,
    get_abi_input_types,
    get_abi_output_types,
    get_all_event_abis,
    get_all_function_abis,
)

from derelayl_protocol.errors import LocalFault, Reason, RuleViolation
from derelayl_protocol.ledger import commands, events, state
from derelayl_protocol.ledger.duplicates import decode_originals, encode_originals
from derelayl_protocol.ledger.rules import Rules
from derelayl_protocol.ledger.signed import COMPACT_SIGNATURE_BYTES
from derelayl_protocol.limits import MAX_BIDS
from derelayl_protocol.spelling import to_hex
from derelayl_protocol.types import ADDRESS_BYTES, HASH_BYTES, Address

from ..ports import LedgerUnavailable
from .first_version import ADDED, FIRST, MEANT, without_added
from .typed_data import DOMAIN_VERSION

FUNCTIONS: Mapping[type, str] = {
    commands.Deposit: "deposit",
    commands.Withdraw: "withdraw",
    commands.CreateModel: "createModel",
    commands.Fund: "fund",
    commands.Stake: "stake",
    commands.Unstake: "unstake",
    commands.Release: "release",
    commands.PlaceBid: "bid",
    commands.OfferTip: "offer",
    commands.MatchRound: "matchRound",
    commands.SubmitLeg: "submit",
    commands.CommitScores: "commit",
    commands.RevealScores: "reveal",
    commands.SettleRound: "settle",
    commands.Advance: "advance",
    commands.CollectRoyalty: "collect",
    commands.BuyAccess: "buyAccess",
    commands.BidBySig: "bidBySig",
    commands.SubmitBySig: "submitBySig",
    commands.CommitBySig: "commitBySig",
    commands.RevealBySig: "revealBySig",
    commands.ReportManifests: "reportManifests",
    commands.ReportReveals: "reportReveals",
}
"""The contract's function for each command; its arguments are the command's fields in order."""

STANDARD_EVENTS = frozenset({"EIP712DomainChanged"})
"""Events that a standard has the contract declare (ERC-5267) and that it never emits."""

TOKEN_REASONS: dict[str, Reason] = {
    "ERC20InsufficientBalance(address,uint256,uint256)": Reason.INSUFFICIENT_BALANCE,
}
"""Errors of the token that break a rule of the ledger: a deposit of more than the wallet holds."""

INSUFFICIENT_ALLOWANCE = function_signature_to_4byte_selector("ERC20InsufficientAllowance(address,uint256,uint256)")
"""Selector of the token's error for a deposit that was not approved."""

UNFIT: Mapping[str, Reason] = {
    "rules": Reason.BAD_RULES,
    "amount": Reason.AMOUNT_TOO_LARGE,
    "budget": Reason.AMOUNT_TOO_LARGE,
    "number": Reason.WRONG_ROUND,
    "segment": Reason.BAD_SEGMENT,
    "leg": Reason.NO_SUCH_LEG,
    "steps": Reason.BAD_STEPS,
    "scores": Reason.BAD_SCORES,
    "bidOrder": Reason.WRONG_ORDER,
    "tipOrder": Reason.WRONG_ORDER,
    "legOrder": Reason.WRONG_ORDER,
    "seatOrder": Reason.WRONG_SEAT_ORDER,
}
"""The rule that a number breaks which is too large for the contract's type, by the contract's name for it."""

EACH_ITS_OWN = bytes(range(MAX_BIDS))
"""Originals of a seat that knew of none."""

ZERO_ADDRESS = Address(to_hex(bytes(ADDRESS_BYTES)))


@dataclass(frozen=True, slots=True)
class _Function:
    selector: bytes
    inputs: Sequence[ABIComponent]
    input_types: Sequence[str]
    outputs: Sequence[str]


@dataclass(frozen=True, slots=True)
class _EventShape:
    event: type
    names: tuple[str, ...]
    indexed: tuple[tuple[str, str], ...]  # (field, ABI type)
    plain: tuple[tuple[str, str], ...]


class Codec:
    """Encodes and decodes for one contract's ABI. Pure; immutable after construction."""

    def __init__(self, abi: ABI) -> None:
        """Read the ABI. Raises ValueError when it and the protocol's events or commands disagree."""
        self._functions = {item["name"]: _function(item) for item in get_all_function_abis(abi)}
        self._first_outputs = {
            item["name"]: get_abi_output_types(without_added(item)) for item in get_all_function_abis(abi)
        }
        events_of_ledger = [item for item in get_all_event_abis(abi) if item["name"] not in STANDARD_EVENTS]
        both = [*map(without_added, events_of_ledger), *events_of_ledger]  # a log's topic tells its version
        self._events = {event_abi_to_log_topic(item): _event_shape(item) for item in both}
        signatures = {f"{reason.value}()": reason for reason in Reason} | TOKEN_REASONS
        self._reasons = {function_signature_to_4byte_selector(text): reason for text, reason in signatures.items()}
        missing = [name for name in FUNCTIONS.values() if name not in self._functions]
        if missing:
            raise ValueError(f"the contract lacks the functions {', '.join(missing)}")

    # --- calls ------------------------------------------------------------------------------------------------------

    def command(self, command: commands.Command) -> bytes:
        """Call data of a command. Raises RuleViolation where a value does not even fit the contract's type."""
        name, arguments = FUNCTIONS[type(command)], _members(command)
        for part, value in zip(self._functions[name].inputs, arguments, strict=True):
            _check_fits(part, value)
        return self.call(name, *arguments)

    def call(self, name: str, *arguments: Any) -> bytes:
        """Call data of a function."""
        function = self._functions[name]
        plain = [
            bytes(argument) if kind == "bytes" else _plain(argument)
            for kind, argument in zip(function.input_types, arguments, strict=True)
        ]
        return function.selector + encode(function.input_types, plain)

    def result(self, name: str, data: bytes, version: str = DOMAIN_VERSION) -> Any:
        """What a function returned: its result, or a tuple where it has several. Raises LedgerUnavailable."""
        outputs = self._first_outputs[name] if version == FIRST else self._functions[name].outputs
        try:
            results = decode(outputs, data)
            return results[0] if len(results) == 1 else results
        except (DecodingError, OverflowError) as error:
            raise LedgerUnavailable(
                f"The ledger's answer to {name} cannot be decoded: check the network file."
            ) from error

    # --- events -----------------------------------------------------------------------------------------------------

    def topics(self, event: type) -> list[bytes]:
        """topic0 of an event class, in each version of the protocol in which it is another."""
        return [topic for topic, shape in self._events.items() if shape.event is event]

    def depends_on_version(self, name: str) -> bool:
        """Whether a function returns something else in version 1."""
        return self._first_outputs[name] != self._functions[name].outputs

    def event(self, topics: Sequence[bytes], data: bytes) -> events.Event:
        """The event of a log. Raises LedgerUnavailable for one that is unknown or does not decode."""
        shape = self._events.get(topics[0]) if topics else None
        if shape is None:
            raise LedgerUnavailable(
                f"The ledger emitted an unknown event {topics[0].hex() if topics else '(no name)'}: update derelayl."
            )
        if len(topics) != 1 + len(shape.indexed):
            raise LedgerUnavailable(
                f"An event {shape.event.__name__} has {len(topics)} topics: check the network file."
            )
        try:
            values = {
                name: decode([kind], topic)[0] for (name, kind), topic in zip(shape.indexed, topics[1:], strict=True)
            }
            plain = decode([kind for _, kind in shape.plain], data)
            values |= {name: value for (name, _), value in zip(shape.plain, plain, strict=True)}
            return typing.cast(events.Event, _build(shape.event, [values[name] for name in shape.names]))
        except (DecodingError, OverflowError, ValueError, TypeError) as error:
            raise LedgerUnavailable(
                f"An event {shape.event.__name__} cannot be decoded ({error}): update derelayl."
            ) from error

    # --- refusals ---------------------------------------------------------------------------------------------------

    def violation(self, revert_data: bytes, detail: str = "") -> RuleViolation | None:
        """The rule that the contract says was broken; None if the data names no rule of the protocol."""
        reason = self._reasons.get(revert_data[:4])
        return None if reason is None else RuleViolation(reason, detail)

    # --- state ------------------------------------------------------------------------------------------------------

    def round_view(self, value: Sequence[Any]) -> state.RoundView:
        """RoundView from what `roundOf` returned."""
        view: state.RoundView = _build(state.RoundView, value)
        return view

    def checkpoint(self, value: Sequence[Any]) -> state.CheckpointRecord | None:
        """CheckpointRecord from what `checkpointOf` returned; None where there is no checkpoint."""
        record: state.CheckpointRecord = _build(state.CheckpointRecord, value)
        return None if record.owner == ZERO_ADDRESS else record

    def rules(self, value: Sequence[Any]) -> Rules:
        """Rules from the contract's struct."""
        rules: Rules = _build(Rules, value)
        return rules


def camel(name: str) -> str:
    """`bid_order` to `bidOrder`, the contract's spelling."""
    return re.sub(r"_([a-z])", lambda match: match[1].upper(), name)


def checksum_free(address: str) -> Address:
    """The protocol's spelling of an address: lower case."""
    return Address(address.lower())


def _seat(item: Sequence[Any]) -> state.SeatEntry:
    validator, weight, commitment, revealed, scores = item[:5]
    (originals,) = item[5:] or (EACH_ITS_OWN,)
    return state.SeatEntry(
        validator=checksum_free(validator),
        weight=weight,
        commitment=None if commitment == bytes(32) else bytes(commitment),
        scores=tuple(scores) if revealed else None,
        originals=decode_originals(originals, len(scores)) if revealed else None,
    )


# --- tables from dataclasses ---


def _members(value: Any) -> list[Any]:
    """A command's arguments or a struct's members, as eth_abi takes them: a signature is two of them."""
    members: list[Any] = []
    for field in fields(value):
        member = getattr(value, field.name)
        if field.name == "signature":
            members += _halves(member)
        elif field.name == "originals":
            members.append(_words(member, value.scores))
        elif field.name == "signatures":
            members += zip(*map(_halves, member), strict=True)
        else:
            members.append(_plain(member))
    return members


def _halves(signature: bytes) -> tuple[bytes, bytes]:
    if len(signature) != COMPACT_SIGNATURE_BYTES:
        raise LocalFault(f"a signature has {len(signature)} bytes, the ledger takes {COMPACT_SIGNATURE_BYTES}")
    return signature[:HASH_BYTES], signature[HASH_BYTES:]


def _words(originals: Sequence[Any], scores: Sequence[Any]) -> Any:
    """The originals that go with these scores as a word, as a pair of words where both are pairs.

    Raises RuleViolation for what has no form in the contract: it would pad a list that is too short.
    """
    if scores and isinstance(scores[0], tuple):
        return tuple(map(_words, originals, scores))
    fits = len(originals) == len(scores) <= MAX_BIDS and all(0 <= original < MAX_BIDS for original in originals)
    if not fits:
        raise RuleViolation(Reason.BAD_SCORES, f"{list(originals)} are no originals of {len(scores)} legs")
    return encode_originals(originals)


def _plain(value: Any) -> Any:
    """A protocol value as eth_abi takes it."""
    if is_dataclass(value):
        return tuple(_members(value))
    if isinstance(value, tuple):
        return tuple(map(_plain, value))
    return value


def _check_fits(part: ABIComponent, value: Any) -> None:
    """Check a value against an input of the ABI; lists of structs member by member."""
    name, kind = part["name"], part["type"]
    if kind == "tuple[]":
        for entry in value:
            for component, member in zip(part["components"], entry, strict=True):
                _check_fits(component, member)
        return
    if kind == "bytes":  # an order, a byte for each number
        if not all(0 <= number < 256 for number in value):
            raise RuleViolation(UNFIT[name], f"{name} has a number that does not fit a byte")
        return
    for word in value if kind.startswith("bytes32[") else [value] if kind == "bytes32" else []:
        if len(word) != HASH_BYTES:  # eth_abi would pad a shorter one without a word
            raise LocalFault(f"{name} has {len(word)} bytes, the ledger takes {HASH_BYTES}")
    if not is_encodable(collapse_if_tuple(part), value):
        if name not in UNFIT:
            raise LocalFault(f"{name} cannot be sent to the ledger: {value!r:.80}")
        raise RuleViolation(UNFIT[name], f"{name} does not fit {collapse_if_tuple(part)}")


def _build(kind: Any, values: Sequence[Any]) -> Any:
    """An instance of a dataclass from ABI values in the order of its fields."""
    names = [field.name for field in fields(kind)]
    if len(names) != len(values):
        names = [name for name in names if camel(name) not in ADDED]
    if len(names) != len(values):
        raise ValueError(f"{kind.__name__} has {len(names)} fields, not {len(values)}")
    converters = _converters(kind)
    made = {name: converters[name](value) for name, value in zip(names, values, strict=True)}
    if "scores" in made:
        made["originals"] = decode_originals(made.get("originals", EACH_ITS_OWN), len(made["scores"]))
    return kind(**dict(MEANT.get(kind, {})) | made)


_CONVERTERS: dict[type, dict[str, Callable[[Any], Any]]] = {}


def _converters(kind: type) -> dict[str, Callable[[Any], Any]]:
    if kind not in _CONVERTERS:
        hints = typing.get_type_hints(kind)
        _CONVERTERS[kind] = {field.name: _converter(hints[field.name]) for field in fields(kind)}
    return _CONVERTERS[kind]


def _converter(hint: Any) -> Callable[[Any], Any]:
    if hint is Address:
        return checksum_free
    if hint is state.SeatEntry:
        return _seat
    if is_dataclass(hint):
        return lambda value: _build(hint, value)
    if isinstance(hint, type) and issubclass(hint, Enum):
        return lambda value: _convert(hint, value)
    if typing.get_origin(hint) is tuple:
        inner = _converter(typing.get_args(hint)[0])
        if hint == tuple[int, ...]:  # originals, as a word: `_build` knows how many there are
            return bytes
        return lambda value: tuple(inner(item) for item in value)
    return lambda value: value


def _convert(kind: Any, value: int) -> Any:
    try:
        return kind(value)
    except ValueError as error:
        raise LedgerUnavailable(f"The ledger uses {kind.__name__} {value}, unknown here: update derelayl.") from error


# --- tables from the ABI ---


def _function(item: ABIFunction) -> _Function:
    return _Function(
        selector=function_abi_to_4byte_selector(item),
        inputs=item["inputs"],
        input_types=get_abi_input_types(item),
        outputs=get_abi_output_types(item),
    )


def _event_shape(item: ABIEvent) -> _EventShape:
    event = {kind.__name__: kind for kind in typing.get_args(events.Event)}.get(item["name"])
    if event is None:
        raise ValueError(f"the contract has an event {item['name']} that the protocol does not know")
    names = tuple(str(name) for name in get_abi_input_names(item))
    known = tuple(camel(field.name) for field in fields(event))
    if names not in (known, tuple(name for name in known if name not in ADDED)):
        raise ValueError(f"the contract's event {item['name']} has other fields than the protocol's")
    indexed = tuple((part["name"], collapse_if_tuple(part)) for part in item["inputs"] if part["indexed"])
    plain = tuple((part["name"], collapse_if_tuple(part)) for part in item["inputs"] if not part["indexed"])
    return _EventShape(event=event, names=names, indexed=indexed, plain=plain)
