"""The table-driven codec: every command, every event, every reason; and strangers are named."""

import dataclasses
import typing
from dataclasses import replace

import pytest
from eth_abi.abi import encode
from eth_utils.crypto import keccak

from derelayl_node.evm.codec import FUNCTIONS, Codec
from derelayl_node.evm.deploy import artifact
from derelayl_node.ports import LedgerUnavailable
from derelayl_protocol.errors import LocalFault, Reason, RuleViolation
from derelayl_protocol.ledger import commands, events
from derelayl_protocol.ledger.phases import Phase, VoidReason
from derelayl_protocol.ledger.rules import Rules
from derelayl_protocol.types import Address, ModelId, Ppm, Root, Timestamp, Wei

from .world import RULES

ABI = artifact("RelayLedger")["abi"]
CODEC = Codec(ABI)
MODEL, ROOT = ModelId(b"\x01" * 32), Root(b"\x02" * 32)
SAMPLES = {int: 3, bool: True, bytes: b"\x05" * 32, Rules: RULES, Phase: Phase.COMMIT, VoidReason: VoidReason(2)}
WHO = Address("0x" + "ab" * 20)
SIGNATURE = b"\x0a" * 32 + b"\x0b" * 32
BID = commands.SignedBid(WHO, 255, Wei(40), Timestamp(99), SIGNATURE)
REVEAL = commands.SignedReveal(WHO, (Ppm(1),), (0,), bytes(32), SIGNATURE)
REVEALS = commands.ReportReveals(
    MODEL, 1, WHO, ((Ppm(1), Ppm(-2)), ()), ((0, 0), ()), (bytes(32), bytes(ROOT)), (SIGNATURE, SIGNATURE)
)


def _sample(hint: typing.Any) -> typing.Any:
    if hint is Address:
        return WHO
    if typing.get_origin(hint) is tuple:
        return (_sample(typing.get_args(hint)[0]),) * 2
    return SAMPLES[getattr(hint, "__supertype__", hint)]


def _event(kind: type) -> events.Event:
    hints = typing.get_type_hints(kind)
    return kind(**{field.name: _sample(hints[field.name]) for field in dataclasses.fields(kind)})


def _flat(value: typing.Any) -> typing.Any:
    return dataclasses.astuple(value) if dataclasses.is_dataclass(value) and not isinstance(value, type) else value


def _log(event: events.Event) -> tuple[list[bytes], bytes]:
    """What a contract would emit; written here by hand from the ABI."""
    shape = next(item for item in ABI if item["type"] == "event" and item["name"] == type(event).__name__)

    def kind(part: typing.Any) -> str:
        return f"({','.join(kind(inner) for inner in part['components'])})" if part["type"] == "tuple" else part["type"]

    values = [_flat(getattr(event, field.name)) for field in dataclasses.fields(event)]
    if isinstance(event, events.ScoresRevealed):
        values[-2] = bytes(event.originals).ljust(32, b"\0")
    topics = [keccak(text=f"{shape['name']}({','.join(kind(part) for part in shape['inputs'])})")]
    plain_types, plain = [], []
    for part, value in zip(shape["inputs"], values, strict=True):
        if part["indexed"]:
            topics.append(encode([kind(part)], [value]))
        else:
            plain_types.append(kind(part))
            plain.append(value)
    return topics, encode(plain_types, plain)


@pytest.mark.parametrize("kind", typing.get_args(events.Event), ids=lambda kind: kind.__name__)
def test_each_event_decodes_to_its_dataclass(kind: type) -> None:
    event = _event(kind)
    assert CODEC.event(*_log(event)) == event


def test_an_unknown_event_is_named() -> None:
    with pytest.raises(LedgerUnavailable, match="unknown event abab"):
        CODEC.event([b"\xab" * 32], b"")
    with pytest.raises(LedgerUnavailable, match="unknown event"):
        CODEC.event([], b"")


def test_an_event_with_missing_topics_or_data_is_refused() -> None:
    topics, data = _log(_event(events.BidPlaced))
    with pytest.raises(LedgerUnavailable, match="BidPlaced has 3 topics"):
        CODEC.event(topics[:-1], data)
    with pytest.raises(LedgerUnavailable, match="BidPlaced cannot be decoded"):
        CODEC.event(topics, data[:-32])
    with pytest.raises(LedgerUnavailable, match="BidPlaced cannot be decoded"):
        CODEC.event([*topics[:-1], b"\xff" * 32], data)


def test_an_unknown_phase_is_named() -> None:
    topics, data = _log(_event(events.PhaseChanged))
    with pytest.raises(LedgerUnavailable, match="Phase 9"):
        CODEC.event(topics, (9).to_bytes(32, "big") + data[32:])


def test_every_command_has_a_function_with_as_many_arguments() -> None:
    inputs = {item["name"]: item["inputs"] for item in ABI if item["type"] == "function"}
    assert set(FUNCTIONS) == set(typing.get_args(commands.Command))
    for kind, name in FUNCTIONS.items():
        members = dataclasses.fields(kind)
        assert len(inputs[name]) == len(members) + any(member.name == "signatures" for member in members)


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        (commands.Deposit(Wei(2**256)), Reason.AMOUNT_TOO_LARGE),
        (commands.Deposit(Wei(-1)), Reason.AMOUNT_TOO_LARGE),
        (commands.PlaceBid(MODEL, 1, 256, Wei(1)), Reason.BAD_SEGMENT),
        (commands.PlaceBid(MODEL, 2**64, 0, Wei(1)), Reason.WRONG_ROUND),
        (commands.MatchRound(MODEL, 1, (256,), ()), Reason.WRONG_ORDER),
        (commands.SubmitLeg(MODEL, 1, 999, ROOT), Reason.NO_SUCH_LEG),
        (commands.RevealScores(MODEL, 1, (Ppm(2**63),), (0,), bytes(32)), Reason.BAD_SCORES),
        (commands.RevealScores(MODEL, 1, (Ppm(5), Ppm(6)), (0,), bytes(32)), Reason.BAD_SCORES),
        (commands.RevealScores(MODEL, 1, (Ppm(5),), (32,), bytes(32)), Reason.BAD_SCORES),
        (commands.RevealScores(MODEL, 1, (Ppm(5),), (-1,), bytes(32)), Reason.BAD_SCORES),
        (commands.RevealBySig(MODEL, 1, (replace(REVEAL, originals=()),)), Reason.BAD_SCORES),
        (commands.SettleRound(MODEL, 1, (0,), (256,)), Reason.WRONG_SEAT_ORDER),
        (commands.BidBySig(MODEL, 1, (replace(BID, segment=256),)), Reason.BAD_SEGMENT),
        (commands.BidBySig(MODEL, 1, (BID, replace(BID, amount=Wei(2**256)))), Reason.AMOUNT_TOO_LARGE),
        (commands.RevealBySig(MODEL, 1, (replace(REVEAL, scores=(Ppm(2**63),)),)), Reason.BAD_SCORES),
        (replace(REVEALS, scores=((Ppm(0),), (Ppm(2**63),)), originals=((0,), (0,))), Reason.BAD_SCORES),
        (replace(REVEALS, round=2**64), Reason.WRONG_ROUND),
        (commands.CollectRoyalty(MODEL, ROOT, 256), Reason.BAD_STEPS),
        (commands.CreateModel(dataclasses.replace(RULES, segments=256), ROOT, Wei(0)), Reason.BAD_RULES),
    ],
)
def test_a_number_too_large_for_the_contract_breaks_the_rule_it_belongs_to(
    command: commands.Command, reason: Reason
) -> None:
    with pytest.raises(RuleViolation) as refusal:
        CODEC.command(command)
    assert refusal.value.reason is reason


@pytest.mark.parametrize("length", [0, 31, 33])
def test_a_root_of_another_length_is_never_padded(length: int) -> None:
    with pytest.raises(LocalFault, match="root has"):
        CODEC.command(commands.CollectRoyalty(MODEL, Root(bytes(length)), 1))


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (commands.BidBySig(MODEL, 1, (replace(BID, signature=bytes(65)),)), "signature has 65 bytes"),
        (replace(REVEALS, signatures=(bytes(64), bytes(63))), "signature has 63 bytes"),
        (replace(REVEALS, salts=(bytes(32), bytes(31))), "salts has 31 bytes"),
        (commands.RevealBySig(MODEL, 1, (replace(REVEAL, salt=bytes(33)),)), "salt has 33 bytes"),
        (commands.BidBySig(MODEL, 1, (replace(BID, expiry=Timestamp(2**64)),)), "expiry cannot be sent"),
    ],
)
def test_what_a_list_or_a_proof_holds_has_its_length(command: commands.Command, message: str) -> None:
    with pytest.raises(LocalFault, match=message):
        CODEC.command(command)


def test_a_signature_is_two_words() -> None:
    data = CODEC.command(commands.BidBySig(MODEL, 1, (BID,)))
    assert data[4:] == encode(
        ["bytes32", "uint64", "(address,uint8,uint256,uint64,bytes32,bytes32)[]"],
        [MODEL, 1, [(WHO, 255, 40, 99, b"\x0a" * 32, b"\x0b" * 32)]],
    )
    data = CODEC.command(REVEALS)
    kinds = ["bytes32", "uint64", "address", "int64[][2]", *["bytes32[2]"] * 4]
    first, second = b"\x0a" * 32, b"\x0b" * 32
    words = [[bytes(32)] * 2, [bytes(32), ROOT], [first, first], [second, second]]
    assert data[4:] == encode(kinds, [MODEL, 1, WHO, [[1, -2], []], *words])


def test_several_results_are_a_tuple_and_one_is_itself() -> None:
    assert CODEC.result("unbondingOf", encode(["uint256", "uint64"], [5, 6])) == (5, 6)
    assert CODEC.result("accessOf", encode(["bool"], [True])) is True


@pytest.mark.parametrize("reason", list(Reason))
def test_each_reason_is_read_from_its_selector(reason: Reason) -> None:
    violation = CODEC.violation(keccak(text=f"{reason.value}()")[:4])
    assert violation is not None
    assert violation.reason is reason


def test_other_revert_data_is_no_violation() -> None:
    assert CODEC.violation(b"") is None
    assert CODEC.violation(b"\xde\xad\xbe\xef") is None


def test_a_contract_without_a_function_or_with_a_strange_event_is_refused() -> None:
    with pytest.raises(ValueError, match="lacks the functions settle"):
        Codec([item for item in ABI if item.get("name") != "settle"])
    with pytest.raises(ValueError, match="event Surprise"):
        Codec([*ABI, {"type": "event", "name": "Surprise", "inputs": []}])
    with pytest.raises(ValueError, match="Staked has other fields"):
        Codec([*ABI, {"type": "event", "name": "Staked", "inputs": []}])
