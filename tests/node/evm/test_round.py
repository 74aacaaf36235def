"""One round from bid to royalty through the ledger port on the real contract: each view decodes at each phase."""

import hashlib

from derelayl_node.evm.client import EvmLedger, open_ledger
from derelayl_node.keys import NodeKey
from derelayl_protocol.encoding import word
from derelayl_protocol.ledger.commands import (
    Advance,
    CollectRoyalty,
    CommitScores,
    CreateModel,
    Deposit,
    MatchRound,
    OfferTip,
    PlaceBid,
    RevealScores,
    SettleRound,
    Stake,
    SubmitLeg,
)
from derelayl_protocol.ledger.events import CommitteeSeated, LegLeased, LegSettled, RoundSettled
from derelayl_protocol.ledger.phases import Phase
from derelayl_protocol.ledger.rules import model_id
from derelayl_protocol.ledger.state import LegEntry, SeatEntry
from derelayl_protocol.types import NO_ROOT, UNAVAILABLE, Ppm, Root, Wei

from .world import ALICE, BOB, CAROL, COIN, RULES, World

GENESIS, CHILD = Root(b"\x07" * 32), Root(b"\x08" * 32)
MODEL = model_id(ALICE.address, GENESIS, RULES)
SALT = b"\x55" * 32
SCORES = (Ppm(250_000), UNAVAILABLE)


async def _funded(world: World, key: NodeKey, alice: EvmLedger | None) -> EvmLedger:
    ledger = await open_ledger(world.url, key, world.addresses, world.folder / f"{key.address}.outbox")
    if alice is not None:
        await alice.give(key.address, Wei(10_000), COIN)
    await ledger.send(Deposit(Wei(10_000)))
    return ledger


def _seal(validator: NodeKey) -> bytes:
    account = int(validator.address, 16)
    words = [
        word(1),
        word(account),
        SALT,
        *(word(score) for score in SCORES),
        bytes(range(len(SCORES))).ljust(32, b"\0"),
    ]
    return hashlib.sha256(MODEL + b"".join(words)).digest()


async def test_a_whole_round_decodes_at_each_phase_and_pays(world: World) -> None:
    alice = await _funded(world, ALICE, None)
    bob, carol = await _funded(world, BOB, alice), await _funded(world, CAROL, alice)
    await alice.send(CreateModel(RULES, GENESIS, Wei(5_000)))
    await carol.send(Stake(MODEL, Wei(40)))
    await alice.send(OfferTip(MODEL, 1, GENESIS))
    await bob.send(PlaceBid(MODEL, 1, 255, Wei(30)))
    await alice.send(PlaceBid(MODEL, 1, 2, Wei(20)))
    view = await alice.round(MODEL)
    assert [(bid.trainer, bid.segment, bid.amount) for bid in view.bids] == [
        (BOB.address, 255, 30),
        (ALICE.address, 2, 20),
    ]
    assert view.tips[0].offered

    world.clock.now += RULES.bid_seconds
    matched = await carol.send(MatchRound(MODEL, 1, (0, 1), (0,)))
    assert [event.trainer for event in matched if isinstance(event, LegLeased)] == [BOB.address, ALICE.address]
    assert CommitteeSeated(MODEL, 1, (CAROL.address,)) in matched
    view = await alice.round(MODEL)
    assert view.phase is Phase.TRAIN
    assert view.legs[1] == LegEntry(ALICE.address, GENESIS, ALICE.address, 2, Wei(20), Wei(5), NO_ROOT)
    assert view.seats == (SeatEntry(CAROL.address, Wei(40)),)

    await bob.send(SubmitLeg(MODEL, 1, 0, CHILD))
    world.clock.now += RULES.train_seconds
    await bob.send(Advance(MODEL, 1))
    await carol.send(CommitScores(MODEL, 1, _seal(CAROL)))
    assert (await alice.round(MODEL)).seats == (SeatEntry(CAROL.address, Wei(40), _seal(CAROL), None),)
    await carol.send(RevealScores(MODEL, 1, SCORES, tuple(range(len(SCORES))), SALT))
    view = await alice.round(MODEL)
    assert view.phase is Phase.SETTLE
    assert view.seats[0].scores == SCORES

    settled = await bob.send(SettleRound(MODEL, 1, (0,), (0,)))
    legs = [event for event in settled if isinstance(event, LegSettled)]
    assert [(leg.child, leg.score, leg.selected) for leg in legs] == [
        (CHILD, SCORES[0], True),
        (NO_ROOT, UNAVAILABLE, False),
    ]
    assert any(isinstance(event, RoundSettled) for event in settled)
    state = await alice.model(MODEL)
    assert set(state.checkpoints) == {GENESIS, CHILD}
    assert (state.checkpoints[CHILD].owner, state.checkpoints[CHILD].parent) == (BOB.address, GENESIS)
    assert (state.current.number, state.current.phase, state.settled_rounds) == (2, Phase.BID, 1)
    waiting = state.checkpoints[GENESIS].pending
    assert waiting == legs[0].royalty > 0
    (collected,) = await carol.send(CollectRoyalty(MODEL, GENESIS, 1))
    assert (collected.owner, collected.kept) == (ALICE.address, waiting)  # type: ignore[union-attr]
    for ledger in (alice, bob, carol):
        ledger.close()
