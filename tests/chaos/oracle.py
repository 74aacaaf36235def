"""What must hold after a run, as pure functions of facts. Each violation is a sentence; none is the wish.

A world collects `Facts` when its plan is over and at least `QUIET_ROUNDS` have gone by without a fault.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from derelayl_protocol.ledger import events as ev
from derelayl_protocol.ledger.rules import Rules
from derelayl_protocol.spelling import to_hex
from derelayl_protocol.statement.books import Books
from derelayl_protocol.statement.places import Place, Pocket, holder
from derelayl_protocol.statement.reconciliation import Held, reconcile
from derelayl_protocol.statement.transfers import LogContradiction
from derelayl_protocol.types import NO_ROOT, UNAVAILABLE, Address, ModelId, Root, Wei

NOTHING = Wei(0)

AGREE_BLOCKS = 3
"""Blocks that an honest peer's index may lie behind the chain once the faults are over: a poll, and its answer."""


@dataclass(frozen=True, slots=True)
class Intent:
    """What a peer meant to do once, and every transaction for it that the chain has executed."""

    what: str
    transactions: tuple[bytes, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerFacts:
    """What an honest peer holds at the end; what a world cannot find out it leaves at its default.

    `block` is the newest that its index has, `lineage` names each accepted checkpoint's parent as the index tells it
    (NO_ROOT for genesis), `balances` what its statements say of places in the ledger. `stake_meant` is what its
    settings told it to stake. `roots` are complete in its store, and `damaged` are files there that are not what they
    are called.
    """

    name: str
    account: Address
    block: int
    lineage: Mapping[Root, Root]
    balances: Mapping[Place, Wei] | None = None
    stake_meant: Wei = NOTHING
    intents: tuple[Intent, ...] = ()
    roots: frozenset[Root] | None = None
    damaged: tuple[str, ...] = ()
    orphans: tuple[str, ...] = ()
    descriptors: tuple[int, int] = (0, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """A finished run. `events` are the ledger's on the canonical chain from the first block on.

    `lineage` is the ledger's own: each accepted checkpoint's parent. `held` is what its views say of every place.
    `invalid` says for each lease (round, trainer) whose child must not be accepted why. `trained` counts the steps that
    honest trainers took under each lease, those of legs that came to nothing too; a leg has `steps`.
    """

    model: ModelId
    rules: Rules
    events: tuple[ev.Event, ...]
    held: Held
    lineage: Mapping[Root, Root]
    head: int
    peers: tuple[PeerFacts, ...]
    invalid: Mapping[tuple[int, Address], str] = field(default_factory=dict)
    trained: Mapping[tuple[int, Address], int] = field(default_factory=dict)
    steps: int = 1
    leaks: tuple[str, ...] = ()
    rounds_expected: int = 0
    descriptors_allowed: int = 0

    @property
    def honest(self) -> frozenset[Address]:
        return frozenset(peer.account for peer in self.peers)


Check = Callable[[Facts], Iterator[str]]


def violations(facts: Facts) -> tuple[str, ...]:
    """Everything that must not be; empty after a good run."""
    return tuple(
        f"{check.__name__.strip('_').replace('_', ' ')}: {found}" for check in CHECKS for found in check(facts)
    )


def goodput(facts: Facts) -> float:
    """Share of trained steps that end in a ranked leg: one that was submitted and that the committee could judge.

    Of rounds that are over; 1.0 if nobody trained. What was trained again under one lease counts as ranked once.
    """
    over = {event.round for event in facts.events if isinstance(event, ev.RoundSettled | ev.RoundVoided)}
    total = sum(steps for (number, _), steps in facts.trained.items() if number in over)
    good = sum(min(facts.trained.get(lease, 0), facts.steps) for lease in _ranked(facts))
    return good / total if total else 1.0


def rounds_lost(facts: Facts) -> int:
    """Rounds that ended without a settlement although somebody had bid."""
    return sum(isinstance(event, ev.RoundVoided) for event in facts.events)


# --- What the ledger shows --------------------------------------------------------------------------------------------


def _nothing_invalid_accepted(facts: Facts) -> Iterator[str]:
    leases = _leases(facts)
    for event in facts.events:
        if isinstance(event, ev.LegSettled) and event.selected and (event.round, event.leg) in leases:
            why = facts.invalid.get((event.round, leases[event.round, event.leg].trainer))
            if why is not None:
                yield f"round {event.round}: {to_hex(event.child)} was accepted: {why}"


def _paid_once(facts: Facts) -> Iterator[str]:
    settled = [event for event in facts.events if isinstance(event, ev.LegSettled)]
    leases = _leases(facts)
    pots = {event.round: event.pot for event in facts.events if isinstance(event, ev.RoundSettled)}
    for (number, leg), count in Counter((event.round, event.leg) for event in settled).items():
        if count > 1:
            yield f"round {number} leg {leg} was settled {count} times"
    for event in settled:
        lease = leases.get((event.round, event.leg))
        if lease is None:
            yield f"round {event.round} leg {event.leg} was settled and never leased"
        elif event.selected and lease.trainer in facts.honest:
            if event.bid_returned == 0:
                yield f"round {event.round} leg {event.leg}: the bid of the selected {lease.trainer} did not come back"
            if event.reward == 0 and event.score > 0 and pots.get(event.round, 0) >= 100:
                yield f"round {event.round} leg {event.leg}: the selected {lease.trainer} got no reward"


def _nothing_sent_twice(facts: Facts) -> Iterator[str]:
    for peer in facts.peers:
        staked = sum(e.amount for e in facts.events if isinstance(e, ev.Staked) and e.account == peer.account)
        if staked > peer.stake_meant:
            yield f"{peer.name} staked {staked} wei and was told to stake {peer.stake_meant}"
        yield from _needless_deposits(facts, peer)
        for intent in peer.intents:
            if len(set(intent.transactions)) > 1:
                yield f"{peer.name}: {intent.what} was executed {len(set(intent.transactions))} times"


def _needless_deposits(facts: Facts, peer: PeerFacts) -> Iterator[str]:
    """A deposit although the one before lay unused and was enough for what came next: a peer deposits what it lacks."""
    unused, doubted, enough = 0, 0, 0
    for event in facts.events:
        account, amount = _drawn(event)
        if isinstance(event, ev.Deposited) and event.account == peer.account:
            if unused:
                doubted, enough = event.amount, unused
            unused += event.amount
        elif account == peer.account:
            if doubted and amount <= enough:
                yield f"{peer.name} deposited {doubted} wei although what it had deposited before lay unused"
            unused, doubted = 0, 0
    if doubted and doubted == enough:
        yield f"{peer.name} deposited {doubted} wei twice"


def _drawn(event: ev.Event) -> tuple[Address | None, int]:
    """Whose free balance an event draws on, and how much."""
    match event:
        case ev.Staked() | ev.Funded() | ev.Withdrawn():
            return event.account, event.amount
        case ev.AccessBought():
            return event.account, event.fee
        case ev.BidPlaced():
            return event.trainer, event.amount
        case ev.TipOffered():
            return event.owner, event.deposit
    return None, 0


def _nobody_honest_equivocated(facts: Facts) -> Iterator[str]:
    for event in facts.events:
        if isinstance(event, ev.TrainerEquivocated) and event.trainer in facts.honest:
            yield f"round {event.round}: {event.trainer} signed two children under one lease"
        if isinstance(event, ev.ValidatorEquivocated) and event.validator in facts.honest:
            yield f"round {event.round}: {event.validator} signed two reveals"


def _conserved(facts: Facts) -> Iterator[str]:
    try:
        books = Books(facts.events)
    except LogContradiction as error:
        yield f"the events contradict one another: {error}"
        return
    for difference in reconcile(books, facts.held).differences:
        yield (
            f"{difference.what} of {difference.whose}: the events say {difference.booked}, "
            f"the ledger holds {difference.held}"
        )


def _rounds_go_on(facts: Facts) -> Iterator[str]:
    over = sum(isinstance(event, ev.RoundSettled | ev.RoundVoided) for event in facts.events)
    if over < facts.rounds_expected:
        yield f"{over} rounds are over, at least {facts.rounds_expected} should be"


# --- What the peers hold ----------------------------------------------------------------------------------------------


def _lineage_equals_ledger(facts: Facts) -> Iterator[str]:
    accepted = {event.child for event in facts.events if isinstance(event, ev.LegSettled) and event.selected}
    for root in accepted ^ {root for root, parent in facts.lineage.items() if parent != NO_ROOT}:
        yield f"{to_hex(root)} is {'selected in the log and no checkpoint' if root in accepted else 'in no log'}"
    for peer in facts.peers:
        for root in sorted(set(peer.lineage) | set(facts.lineage)):
            told, known = peer.lineage.get(root), facts.lineage.get(root)
            if told != known:
                yield f"{peer.name} has {to_hex(root)} {_after(told)}, the ledger {_after(known)}"


def _peers_agree(facts: Facts) -> Iterator[str]:
    for peer in facts.peers:
        if not facts.head - AGREE_BLOCKS <= peer.block <= facts.head:
            yield f"{peer.name} has read to block {peer.block}, the chain has block {facts.head}"
        if peer.balances is None:
            continue
        for place in sorted(set(peer.balances) | set(facts.held.amounts), key=lambda each: (each.pocket, holder(each))):
            told, known = peer.balances.get(place, Wei(0)), facts.held.amounts.get(place, Wei(0))
            if place.pocket != Pocket.WALLET and told != known:
                yield f"{peer.name} tells {told} wei as {place.pocket} of {holder(place)}, the ledger holds {known}"


def _accepted_checkpoints_are_somewhere(facts: Facts) -> Iterator[str]:
    known = [peer.roots for peer in facts.peers if peer.roots is not None]
    for root in facts.lineage:
        if known and not any(root in roots for roots in known):
            yield f"no honest peer has the accepted checkpoint {to_hex(root)}"


def _no_orphan_and_no_leak(facts: Facts) -> Iterator[str]:
    yield from facts.leaks
    for peer in facts.peers:
        for damaged in peer.damaged:
            yield f"{peer.name} holds the damaged {damaged}"
        for orphan in peer.orphans:
            yield f"{peer.name} left {orphan} behind"
        before, after = peer.descriptors
        if after - before > facts.descriptors_allowed:
            yield f"{peer.name} had {before} descriptors open after its start and {after} at the end"


CHECKS: tuple[Check, ...] = (
    _no_orphan_and_no_leak,
    _nothing_invalid_accepted,
    _paid_once,
    _nothing_sent_twice,
    _nobody_honest_equivocated,
    _conserved,
    _rounds_go_on,
    _lineage_equals_ledger,
    _peers_agree,
    _accepted_checkpoints_are_somewhere,
)


def _leases(facts: Facts) -> dict[tuple[int, int], ev.LegLeased]:
    return {(event.round, event.leg): event for event in facts.events if isinstance(event, ev.LegLeased)}


def _ranked(facts: Facts) -> Iterator[tuple[int, Address]]:
    leases = _leases(facts)
    for event in facts.events:
        if isinstance(event, ev.LegSettled) and event.child != NO_ROOT and event.score != UNAVAILABLE:
            yield event.round, leases[event.round, event.leg].trainer


def _after(parent: Root | None) -> str:
    return "not at all" if parent is None else "as genesis" if parent == NO_ROOT else f"after {to_hex(parent)}"
