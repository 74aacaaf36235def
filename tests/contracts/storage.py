"""The ledger read from its storage, by the compiler's layout: a hundred times as fast as through the contract's views.

What is wrong in a view is for other tests; this shows everything that the contract has written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import fields
from functools import lru_cache
from typing import Any

from eth_utils.crypto import keccak

from derelayl_node.evm.codec import camel
from derelayl_protocol.encoding import word
from derelayl_protocol.ledger import state
from derelayl_protocol.ledger.phases import Phase
from derelayl_protocol.ledger.rules import Rules
from derelayl_protocol.types import NO_ROOT, UNAVAILABLE, WHOLE_MODEL, Address, ModelId, Ppm, Root, Timestamp, Wei

from .evm import Evm, artifact

SCORE_BITS = 27
NOT_SCORED = 1 << (SCORE_BITS - 1)
"""The 27 bits that stand for UNAVAILABLE."""

BIDS_OF_A_WORD = 16
"""Bids that a word of marks is about."""

WHOLE = 64
"""What stands for WHOLE_MODEL in a mark."""

HEAVY = (1 << 96) - 1
"""The weight of a seat whose weight lies elsewhere."""

NO_ONE = Address("0x" + "00" * 20)

ReadSlot = Callable[[int], int]


class Place:
    """A variable in storage. Members by name, elements by index or key, `value` for what is neither."""

    __slots__ = ("_kind", "_offset", "_read", "_slot", "_types")

    def __init__(self, read: ReadSlot, types: dict[str, Any], kind: str, slot: int, offset: int = 0) -> None:
        self._read, self._types, self._kind, self._slot, self._offset = read, types, types[kind], slot, offset

    def __getattr__(self, name: str) -> Any:
        """A member of a struct: its value if it is a number, else its place."""
        member = _member(self._types, self._kind, name)
        return self._at(member["type"], self._slot + int(member["slot"]), member["offset"])

    def __getitem__(self, key: Any) -> Any:
        """An element of an array or a mapping: its value if it is a number, else its place."""
        if self._kind["encoding"] == "mapping":
            return self._at(self._kind["value"], _mapped(key, self._slot))
        start = self._slot if self._kind["encoding"] == "inplace" else int.from_bytes(keccak(word(self._slot)))
        size = -(-int(self._types[self._kind["base"]]["numberOfBytes"]) // 32)
        return self._at(self._kind["base"], start + key * size)

    def __len__(self) -> int:
        """The length of a dynamic array."""
        return self._read(self._slot)

    def _at(self, kind: str, slot: int, offset: int = 0) -> Any:
        shape = self._types[kind]
        if shape["encoding"] != "inplace" or "members" in shape or "base" in shape:
            return Place(self._read, self._types, kind, slot, offset)
        return _number(kind, (self._read(slot) >> 8 * offset) % 256 ** int(shape["numberOfBytes"]))


class Words:
    """A contract's words, each read once for as long as nobody writes to it."""

    def __init__(self, evm: Evm, address: bytes) -> None:
        self._evm, self._address = evm, address
        self._words: dict[int, int] = {}
        self.asked: set[int] = set()

    def read(self, slot: int) -> int:
        self.asked.add(slot)
        word = self._words.get(slot)
        if word is None:
            word = self._words[slot] = self._evm.slot(self._address, slot)
        return word

    def forget(self, written: set[tuple[bytes, int]]) -> None:
        for address, slot in written:
            if address == self._address:
                self._words.pop(slot, None)


class Storage:
    """One ledger's storage, and the balances of its token. It is the only one to ask its EVM what was written."""

    def __init__(self, evm: Evm, ledger: bytes, token: bytes) -> None:
        self._evm = evm
        self._words, self._token_words = Words(evm, ledger), Words(evm, token)
        self._ledger = _root(self._words, "RelayLedger")
        self._token = _root(self._token_words, "RelayToken")
        self._models: dict[ModelId, tuple[Any, set[int], state.ModelState]] = {}

    def refresh(self) -> None:
        """Look at what has been written since the last call of this."""
        written = self._evm.written()
        self._words.forget(written)
        self._token_words.forget(written)
        slots = {slot for _, slot in written}
        self._models = {name: known for name, known in self._models.items() if slots.isdisjoint(known[1])}

    def free(self, owner: Address) -> Wei:
        return Wei(self._ledger["freeOf"][owner])

    def wallet(self, owner: Address) -> Wei:
        return Wei(self._token["_balances"][owner])

    def model(self, model: ModelId, roots: Iterable[Root], accounts: Iterable[Address]) -> state.ModelState:
        """Everything of a model, see `_decoded`; the same object again if none of its words was written."""
        asked_for = frozenset(roots), tuple(accounts)
        known = self._models.get(model)
        if known is None or known[0] != asked_for:
            self._words.asked = set()
            decoded = self._decoded(model, *asked_for)
            known = self._models[model] = asked_for, self._words.asked, decoded
        return known[2]

    def _decoded(self, model: ModelId, roots: Iterable[Root], accounts: Iterable[Address]) -> state.ModelState:
        """Everything of a model: of the checkpoints those of `roots`; what unbonds or was bought, for `accounts`."""
        stored, owners = self._ledger["_models"][model], list(accounts)
        checkpoints = {root: record for root in roots if (record := _checkpoint(stored, root)) is not None}
        validators = tuple(stored.validators[number] for number in range(len(stored.validators)))
        entries = {owner: stored.validatorOf[owner] for owner in {*owners, *validators}}
        buyers = {root: frozenset(owner for owner in owners if stored.bought[root][owner]) for root in checkpoints}
        assert {owner: entry.position for owner, entry in entries.items() if entry.position} == {
            owner: number + 1 for number, owner in enumerate(validators)
        }
        return state.ModelState(
            rules=Rules(**{field.name: getattr(stored.rules, camel(field.name)) for field in fields(Rules)}),
            creator=stored.creator,
            genesis=Root(stored.genesis),
            budget=Wei(stored.budget),
            carry=Wei(stored.carry),
            settled_rounds=stored.round.settledRounds,
            next_seed=stored.nextSeed,
            current=_round(stored, checkpoints),
            checkpoints=checkpoints,
            stakes={owner: Wei(entries[owner].stake) for owner in validators},
            validators=validators,
            unbonding={
                owner: state.Unbonding(Wei(entry.unbonding), Timestamp(entry.releaseTime))
                for owner, entry in entries.items()
                if entry.unbonding
            },
            buyers={root: accounts for root, accounts in buyers.items() if accounts},
        )


# --- the ledger's structs ---


def _checkpoint(model: Any, root: Root) -> state.CheckpointRecord | None:
    stored = model.checkpoints[root]
    if stored.owner == NO_ONE:
        return None
    parent = stored.parent if any(stored.parent) else model.trunk[word(stored.round)]
    return state.CheckpointRecord(stored.owner, Root(parent), Ppm(stored.score), stored.round, Wei(stored.pending))


def _round(model: Any, checkpoints: dict[Root, state.CheckpointRecord]) -> state.RoundView:
    stored = model.round
    bids = tuple(
        state.BidEntry(bid.trainer, _segment(stored, number), Wei(bid.amount))
        for number, bid in ((number, stored.bids[number]) for number in range(_bid_count(stored)))
    )
    places = word(stored.tips)[::-1][: stored.tipCount]
    tips = {place: _tip(stored, place, checkpoints) for place in places}
    return state.RoundView(
        number=stored.number,
        phase=Phase(stored.phase),
        deadline=Timestamp(stored.deadline),
        seed=stored.seed,
        bids=bids,
        tips=tuple(tips.values()),
        legs=tuple(_leg(model, number, bids, tips) for number in range(stored.legCount)),
        seats=tuple(_seat(stored, number) for number in range(stored.seatCount)),
    )


def _bid_count(stored: Any) -> int:
    first: int = stored.bidMarks[0]
    if (first >> 5) % 2**11 != stored.number % 2**11:
        return 0
    count = first % 2**5
    return count + stored.bidMarks[1] % 2**5 if count == BIDS_OF_A_WORD else count


def _segment(stored: Any, number: int) -> int:
    mark = stored.bidMarks[number // BIDS_OF_A_WORD] >> (16 + 15 * (number % BIDS_OF_A_WORD)) & 0x7FFF
    code: int = mark >> 8
    return WHOLE_MODEL if code == WHOLE else code


def _tip(stored: Any, place: int, checkpoints: dict[Root, state.CheckpointRecord]) -> state.TipEntry:
    root = Root(stored.children[1 - stored.side][place])
    record = checkpoints[root]
    offered, stalled = bool(stored.offered >> place & 1), bool(stored.stalled >> place & 1)
    return state.TipEntry(root, record.owner, record.score, offered, stalled)


def _leg(model: Any, number: int, bids: tuple[state.BidEntry, ...], tips: dict[int, state.TipEntry]) -> state.LegEntry:
    stored = model.round
    lease = word(stored.leases[number // 16])[::-1][2 * (number % 16) :][:2]
    bid, tip = bids[lease[0]], tips[lease[1]]
    return state.LegEntry(
        trainer=bid.trainer,
        parent=tip.root,
        owner=tip.owner,
        segment=bid.segment,
        bid=Wei(0 if stored.equivocated >> number & 1 else stored.bond),
        deposit=Wei(model.rules.offerDeposit) if tip.offered else Wei(0),
        child=Root(stored.children[stored.side][number]) if stored.submitted >> number & 1 else NO_ROOT,
    )


def _seat(stored: Any, number: int) -> state.SeatEntry:
    seat = stored.seats[number]
    revealed = stored.revealed >> number & 1
    scores, originals = _scores(seat, stored.legCount) if revealed else (None, None)
    return state.SeatEntry(
        validator=seat.validator,
        weight=Wei(seat.heavy if seat.weight == HEAVY else seat.weight),
        commitment=seat.commitment if stored.committed >> number & 1 else None,
        scores=scores,
        originals=originals,
    )


def _scores(seat: Any, legs: int) -> tuple[tuple[Ppm, ...], tuple[int, ...]]:
    """Scores and originals."""
    entries = [seat.scores[leg // 8] >> 32 * (leg % 8) & 0xFFFFFFFF for leg in range(legs)]
    numbers = [entry % (1 << SCORE_BITS) for entry in entries]
    scores = tuple(
        UNAVAILABLE if number == NOT_SCORED else Ppm(number - (1 << SCORE_BITS) * (number >> (SCORE_BITS - 1)))
        for number in numbers
    )
    return scores, tuple(entry >> SCORE_BITS for entry in entries)


# --- layouts ---


def _root(words: Words, name: str) -> dict[str, Any]:
    layout = _layout(name)
    return {
        item["label"]: Place(words.read, layout["types"], item["type"], int(item["slot"])) for item in layout["storage"]
    }


@lru_cache
def _layout(name: str) -> dict[str, Any]:
    layout: dict[str, Any] = artifact(name)["storageLayout"]
    return layout


_MEMBERS: dict[int, dict[str, Any]] = {}


def _member(types: dict[str, Any], kind: dict[str, Any], name: str) -> Any:
    if id(kind) not in _MEMBERS:
        _MEMBERS[id(kind)] = {item["label"]: item for item in kind.get("members", [])}
    try:
        return _MEMBERS[id(kind)][name]
    except KeyError:
        raise AttributeError(f"{kind['label']} has no {name}") from None


@lru_cache(maxsize=100_000)
def _mapped(key: bytes | str, slot: int) -> int:
    data = key if isinstance(key, bytes) else bytes.fromhex(key[2:])
    return int.from_bytes(keccak(data.rjust(32, b"\0") + word(slot)))


def _number(kind: str, value: int) -> Any:
    if kind == "t_address":
        return Address(f"0x{value:040x}")
    if kind == "t_bytes32":
        return word(value)
    if kind.startswith("t_int"):
        bits = int(kind.removeprefix("t_int"))
        return value - (1 << bits) * (value >> (bits - 1))
    return value
