"""Write histories of the ledger as test vectors; see ledger/README.md here for their format.

Run ``python -m tests.vectors.generate_ledger`` after a change of the rules; a test checks that the files are current.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from derelayl_protocol.errors import Reason
from derelayl_protocol.ledger import commands as c
from derelayl_protocol.ledger.rules import model_id
from derelayl_protocol.ledger.settlement import seat_order
from derelayl_protocol.limits import MAX_AMOUNT_WEI, MAX_BIDS
from derelayl_protocol.types import NO_ROOT, UNAVAILABLE, WHOLE_MODEL, Address, ModelId, Ppm, Wei

from .history import GENESIS, JUDGES, OWNER, RULES, SALT, STRANGER, TRAINERS, History, root

HERE = Path(__file__).parent


def files() -> dict[str, str]:
    """Return the text of each vector file by its path in this folder."""
    contents = {
        "ledger/settled.json": [settled_rounds(), ties_and_twins(), opinions(), duplicates()],
        "ledger/signed.json": [signed_round()],
        "ledger/equivocation.json": [equivocations()],
        "ledger/stake_and_access.json": [stake_and_access()],
        "ledger/voids.json": [voids()],
        "ledger/refusals.json": [refusals()],
    }
    return {path: json.dumps(cases, indent=1) + "\n" for path, cases in contents.items()}


# --- histories --------------------------------------------------------------------------------------------------------


def settled_rounds() -> dict[str, Any]:
    """Offers, a bid without a place, a lost leg, a silent and a straying seat, royalties."""
    history = History()
    history.about(OWNER, c.OfferTip, GENESIS)
    history.lease(dict(zip(TRAINERS, (500, 300, 300), strict=False)))
    history.train("a", "b")
    history.judge((4_000, 2_500), (4_100, 8_000), None)
    history.settle()
    history.send(STRANGER, c.Fund(history.model, Wei(77)))
    history.lease(dict(zip(TRAINERS[3:], (50, 70, 60), strict=False)))
    history.train("c", None)
    history.judge((1_500, UNAVAILABLE), (1_400, UNAVAILABLE), (900, UNAVAILABLE))
    history.settle()
    history.lease(dict(zip(TRAINERS[6:], (400,), strict=False)))
    history.train("d")
    history.judge((999,), (999,), (999,))
    history.settle()
    history.send(STRANGER, c.CollectRoyalty(history.model, history.round.tips[0].root, 32))
    history.send(JUDGES[1], c.Unstake(history.model))
    history.send(TRAINERS[0], c.Withdraw(Wei(123)))
    return history.case("settled rounds")


def ties_and_twins() -> dict[str, Any]:
    """Equal bids, equal tips, two legs of one child, medians of equal halves, everything selected."""
    rules = replace(RULES, committee_size=2, selection_bps=10_000, legs_per_tip=3, agreement_ppm=Ppm(1))
    history = History(rules)
    history.lease(dict.fromkeys(TRAINERS[:4], 100))
    history.train("twin", "twin", "other")
    history.judge((5_000, 5_000, 5_000), (5_000, 6_000, 5_000))
    history.settle()
    history.about(history.round.tips[1].owner, c.OfferTip, history.round.tips[1].root)
    history.lease(dict.fromkeys(TRAINERS[5:10], 100))
    history.train("e", "f", "g", "h", "i")
    unavailable = (UNAVAILABLE, 2_000, UNAVAILABLE, -1, 20_000_000)
    history.judge(unavailable, (3_000, 2_000, UNAVAILABLE, -1, 20_000_000))
    history.settle()
    return history.case("ties and twins")


def opinions() -> dict[str, Any]:
    """Rounds of eight legs and five seats of unequal stakes that agree, disagree and stay silent: every rounding."""
    rules = replace(
        RULES, committee_size=5, legs_per_tip=8, selection_bps=5_000, agreement_ppm=Ppm(30_011), validator_bps=3_333,
        royalty_bps=667, emission=Wei(33_331),
    )  # fmt: skip
    history = History(rules, judges=5)
    for number, judge in enumerate(JUDGES):
        history.send(judge, c.Stake(history.model, Wei(377 * number + 1)))
    for number in range(3):
        history.lease({trainer: 1_000 + 7 * place for place, trainer in enumerate(TRAINERS[:8])})
        history.train(*(f"opinion {number} {leg}" for leg in range(8)))
        answers = [tuple(_opinion(number, seat, leg) for leg in range(8)) for seat in range(5)]
        history.judge(*(None if (number, seat) == (1, 3) else own for seat, own in enumerate(answers)))
        history.settle()
    return history.case("opinions")


def _opinion(number: int, seat: int, leg: int) -> int:
    """A score around that of the leg, wider for some seats; the last seat takes every leg for its neighbour."""
    told = (leg + 1) % 8 if seat == 4 else leg
    common, own = (
        int.from_bytes(hashlib.sha256(f"{number} {told} {who}".encode()).digest()[:4], "big") for who in ("all", seat)
    )
    return int(UNAVAILABLE) if own % 11 == 0 else common % 60_000 - 9_000 + own % (seat * 8_000 + 1)


def duplicates() -> dict[str, Any]:
    """Copies that most of the weight sees, that half of it sees, and copies of copies."""
    rules = replace(RULES, committee_size=4, quorum=2, legs_per_tip=32, selection_bps=7_500)
    history = History(rules)
    history.send(JUDGES[1], c.Stake(history.model, Wei(3_000)))
    alone, pairs, chain = (0, 1, 2, 3, 4, 5), (0, 0, 2, 2, 4, 5), (0, 0, 1, 3, 3, 5)
    for number, named in enumerate(((pairs, pairs, pairs, alone), (chain, pairs, chain, chain), (alone, chain, chain))):
        history.lease({trainer: 500 - 9 * place for place, trainer in enumerate(TRAINERS[:6])})
        history.train(*(f"copy {number} {leg}" for leg in range(6)))
        scores = (9_000, 9_000, 8_000, 7_000, 7_000, 1_500)
        answers = [scores] * len(named) + [None] * (4 - len(named))
        history.judge(*answers, originals=[*named, *[alone] * (4 - len(named))])
        history.settle()
    return history.case("duplicates")


def signed_round() -> dict[str, Any]:
    """A round in which strangers send what others have signed; what is late, double or uncovered is passed over."""
    history = History()
    first, second, third, fourth, poor = TRAINERS[:5]
    history.send(poor, c.Withdraw(Wei(499_951)))
    bids = [history.signed_bid(trainer, 90 - place, place) for place, trainer in enumerate((first, second, third))]
    expired = history.signed_bid(fourth, 80, seconds=0)
    history.about(STRANGER, c.BidBySig, (bids[0], expired, bids[1], history.signed_bid(poor, 50), bids[0]))
    history.about(fourth, c.PlaceBid, WHOLE_MODEL, Wei(85))
    history.about(OWNER, c.BidBySig, (history.signed_bid(fourth, 99), bids[2], *bids))
    history.match()
    children = [history.signed_child(leg, name) for leg, name in enumerate("ab")]
    history.about(STRANGER, c.SubmitBySig, (children[1],))
    history.about(STRANGER, c.SubmitBySig, (*children, children[0]))
    seats, scores = [seat.validator for seat in history.round.seats], ((4_000, 1_000), (4_000, 1_000), (4_100, 900))
    commits = [history.signed_commit(judge, own) for judge, own in zip(seats, scores, strict=True)]
    history.about(STRANGER, c.CommitBySig, (commits[1],))
    history.commit(seats[0], scores[0])
    history.about(STRANGER, c.CommitBySig, (*commits, commits[2]))
    reveals = [history.signed_reveal(judge, own) for judge, own in zip(seats, scores, strict=True)]
    history.reveal(seats[2], scores[2])
    history.about(STRANGER, c.RevealBySig, (*reveals[::-1], reveals[0]))
    history.settle()
    return history.case("a signed round")


def equivocations() -> dict[str, Any]:
    """Trainers that sign two children, validators that sign two reveals: before, after and without anything to lose."""
    history = History(replace(RULES, legs_per_tip=4, committee_size=4))
    history.about(OWNER, c.OfferTip, GENESIS)
    history.lease(dict(zip(TRAINERS, (401, 300, 200, 101), strict=False)))
    history.send(STRANGER, history.two_manifests(0, "a", "z"))
    history.train("a", "b", "c", None)
    history.send(TRAINERS[9], history.two_manifests(3, "d", "e"))
    seats = [seat.validator for seat in history.round.seats]
    history.send(STRANGER, history.two_reveals(seats[1], 1))
    scores = ((9_000, 4_000, 2_000, UNAVAILABLE), (2_000, 9_000, 4_000, UNAVAILABLE))
    history.judge(scores[0], scores[1], None, scores[0])
    history.send(STRANGER, history.two_manifests(2, "c", "y"))
    history.send(seats[0], history.two_reveals(seats[2], 77))
    history.settle()
    history.send(seats[0], c.Unstake(history.model))
    history.send(seats[0], c.Stake(history.model, Wei(2_345)))
    history.send(STRANGER, history.two_reveals(seats[0], 1))
    history.send(seats[3], c.Unstake(history.model))
    history.send(STRANGER, history.two_reveals(seats[3], 0))
    history.send(seats[1], c.Unstake(history.model))
    history.send(seats[1], c.Stake(history.model, Wei(1_000)))
    history.lease({TRAINERS[0]: 100})
    return history.case("equivocations")


def stake_and_access() -> dict[str, Any]:
    """Stakes that unbond and return, in parts and together; access bought to a lineage, and the fees collected."""
    history = History(replace(RULES, access_pot_bps=3_333))
    model = history.model
    history.send(JUDGES[0], c.Unstake(model))
    history.now += 400
    history.send(JUDGES[0], c.Stake(model, Wei(7_000)))
    history.send(JUDGES[1], c.Unstake(model))
    history.send(JUDGES[0], c.Unstake(model))
    history.now += 600
    history.send(JUDGES[0], c.Release(model))
    history.now += 400
    history.send(JUDGES[1], c.Release(model))
    history.send(JUDGES[0], c.Release(model))
    history.send(JUDGES[0], c.Stake(model, Wei(1_500)))
    history.lease({TRAINERS[0]: 100})
    history.train("a")
    history.judge((4_000,), (4_000,), (3_000,))
    history.settle()
    for buyer, name in ((STRANGER, "genesis"), (STRANGER, "a"), (TRAINERS[1], "a"), (TRAINERS[0], "a")):
        history.send(buyer, c.BuyAccess(model, root(name)))
    history.send(STRANGER, c.CollectRoyalty(model, root("a"), 1))
    history.send(STRANGER, c.CollectRoyalty(model, root("a"), 2))
    history.send(JUDGES[2], c.Unstake(model))
    return history.case("stake and access")


def voids() -> dict[str, Any]:
    """Each way in which a round ends without a settlement; tips that stall."""
    history = History(replace(RULES, selection_bps=10_000), judges=1)
    history.about(OWNER, c.OfferTip, GENESIS)
    history.lease(dict(zip(TRAINERS, (30, 20), strict=False)))
    for judge in JUDGES[1:4]:
        history.send(judge, c.Stake(history.model, Wei(2_000)))
    history.about(OWNER, c.OfferTip, GENESIS)
    history.lease(dict(zip(TRAINERS, (30, 20), strict=False)))
    history.advance()
    history.about(OWNER, c.OfferTip, GENESIS)
    history.lease(dict(zip(TRAINERS, (30, 20), strict=False)))
    history.train("a", None)
    history.commit(history.round.seats[1].validator, (1, UNAVAILABLE))
    history.advance()
    history.lease(dict(zip(TRAINERS, (30, 20), strict=False)))
    history.train("a", "b")
    for seat in history.round.seats[:2]:
        history.commit(seat.validator, (1, 2))
    history.advance()
    history.reveal(history.round.seats[0].validator, (1, 2))
    history.advance()
    assert history.round.number == 5
    _stall(history)
    return history.case("voids")


def _stall(history: History) -> None:
    """Make two tips, and leave the legs of one, then of the other unsubmitted; the last to stall clears the marks."""
    history.send(STRANGER, c.Fund(history.model, Wei(1)))
    history.lease(dict(zip(TRAINERS, (30, 20), strict=False)))
    history.train("one", "other")
    history.judge(*[(9_000, 8_000)] * 3)
    history.settle()
    first, second = (tip.root for tip in history.round.tips)
    history.about(history.round.tips[0].owner, c.OfferTip, first)
    history.lease(dict(zip(TRAINERS, (40, 30, 20), strict=False)))
    history.train(None, None, "c")
    history.judge(*[(UNAVAILABLE, UNAVAILABLE, 0)] * 3)
    history.settle()
    assert [tip.stalled for tip in history.round.tips] == [True, False]
    history.lease(dict(zip(TRAINERS, (40, 30, 20), strict=False)))
    assert [leg.parent for leg in history.round.legs] == [second, second, first]
    history.train("d", None, "e")
    history.judge(*[(0, UNAVAILABLE, 0)] * 3)
    history.settle()
    assert [tip.stalled for tip in history.round.tips] == [False, False], "half of them is enough"
    history.lease(dict(zip(TRAINERS, (40,), strict=False)))
    history.advance()
    history.lease(dict(zip(TRAINERS, (40,), strict=False)))
    history.advance()
    assert [tip.stalled for tip in history.round.tips] == [False, False], "all of them is none"


def refusals() -> dict[str, Any]:
    """Every reason for which the ledger refuses, at least once."""
    history = History()
    model, refused = history.model, history.refused
    refused(Reason.BAD_RULES, OWNER, c.CreateModel(replace(RULES, quorum=4), GENESIS, Wei(0)))
    refused(Reason.ZERO_ROOT, OWNER, c.CreateModel(RULES, NO_ROOT, Wei(0)))
    refused(Reason.MODEL_EXISTS, OWNER, c.CreateModel(RULES, GENESIS, Wei(0)))
    refused(Reason.UNKNOWN_MODEL, OWNER, c.Unstake(ModelId(root("nowhere"))))
    refused(Reason.ZERO_AMOUNT, OWNER, c.Deposit(Wei(0)))
    refused(Reason.AMOUNT_TOO_LARGE, OWNER, c.Deposit(Wei(MAX_AMOUNT_WEI + 1)))
    refused(Reason.INSUFFICIENT_BALANCE, OWNER, c.Deposit(Wei(500_001)))
    refused(Reason.STAKE_TOO_SMALL, STRANGER, c.Stake(model, Wei(999)))
    refused(Reason.NO_STAKE, STRANGER, c.Unstake(model))
    refused(Reason.BAD_STEPS, STRANGER, c.CollectRoyalty(model, GENESIS, 0))
    refused(Reason.UNKNOWN_CHECKPOINT, STRANGER, c.CollectRoyalty(model, root("a"), 1))
    refused(Reason.WRONG_ROUND, STRANGER, c.Advance(model, 2))
    refused(Reason.NOTHING_TO_ADVANCE, STRANGER, c.Advance(model, 1))
    refused(Reason.WRONG_PHASE, STRANGER, c.SettleRound(model, 1, (), ()))
    refused(Reason.BAD_SEGMENT, TRAINERS[0], c.PlaceBid(model, 1, 3, Wei(10)))
    refused(Reason.BID_TOO_SMALL, TRAINERS[0], c.PlaceBid(model, 1, 0, Wei(9)))
    refused(Reason.NOT_A_TIP, OWNER, c.OfferTip(model, 1, root("a")))
    refused(Reason.NOT_THE_OWNER, STRANGER, c.OfferTip(model, 1, GENESIS))
    history.about(OWNER, c.OfferTip, GENESIS)
    refused(Reason.ALREADY_OFFERED, OWNER, c.OfferTip(model, 1, GENESIS))
    for number, trainer in enumerate(TRAINERS[:MAX_BIDS]):
        history.about(trainer, c.PlaceBid, number % 3, Wei(10 + number))
        if number == 0:
            refused(Reason.ALREADY_BID, trainer, c.PlaceBid(model, 1, 0, Wei(10)))
    refused(Reason.TOO_MANY_BIDS, TRAINERS[MAX_BIDS], c.PlaceBid(model, 1, 0, Wei(10)))
    history.about(STRANGER, c.BidBySig, (history.signed_bid(TRAINERS[MAX_BIDS], 10),))
    history.about(TRAINERS[MAX_BIDS], c.PlaceBid, 0, Wei(11))
    refused(Reason.TOO_EARLY, STRANGER, c.MatchRound(model, 1, (), ()))
    history.now = history.round.deadline
    refused(Reason.TOO_LATE, OWNER, c.PlaceBid(model, 1, 0, Wei(10)))
    refused(Reason.WRONG_ORDER, STRANGER, c.MatchRound(model, 1, (), ()))
    history.match()
    first = history.round.legs[0].trainer
    refused(Reason.NO_SUCH_LEG, first, c.SubmitLeg(model, 1, 2, root("a")))
    refused(Reason.NOT_YOUR_LEASE, first, c.SubmitLeg(model, 1, 1, root("a")))
    refused(Reason.CHECKPOINT_EXISTS, first, c.SubmitLeg(model, 1, 0, GENESIS))
    history.about(first, c.SubmitLeg, 0, root("a"))
    refused(Reason.ALREADY_SUBMITTED, first, c.SubmitLeg(model, 1, 0, root("b")))
    history.advance()
    seats = [seat.validator for seat in history.round.seats]
    refused(Reason.NOT_SEATED, STRANGER, c.CommitScores(model, 1, root("x")))
    refused(Reason.ZERO_COMMITMENT, seats[0], c.CommitScores(model, 1, bytes(32)))
    history.commit(seats[0], (5_000, UNAVAILABLE))
    refused(Reason.ALREADY_COMMITTED, seats[0], c.CommitScores(model, 1, root("x")))
    copied = history.round.seats[0].commitment
    assert copied is not None
    history.about(seats[1], c.CommitScores, copied)
    history.advance()
    refused(Reason.STAKE_IN_USE, seats[2], c.Unstake(model))
    scores = (Ppm(5_000), UNAVAILABLE)
    refused(Reason.NOT_COMMITTED, seats[2], c.RevealScores(model, 1, scores, (0, 1), SALT))
    refused(Reason.BAD_SCORES, seats[0], c.RevealScores(model, 1, (Ppm(5_000), Ppm(0)), (0, 1), SALT))
    for originals in ((1, 1), (0, 0)):  # a later leg, one that was not submitted
        refused(Reason.BAD_SCORES, seats[0], c.RevealScores(model, 1, scores, originals, SALT))
    refused(Reason.COMMIT_MISMATCH, seats[1], c.RevealScores(model, 1, scores, (0, 1), SALT))
    history.reveal(seats[0], scores)
    refused(Reason.ALREADY_REVEALED, seats[0], c.RevealScores(model, 1, scores, (0, 1), SALT))
    history.advance()
    history.lease({TRAINERS[0]: 10})
    history.train("a")
    history.judge((5_000,), (4_000,), (4_500,))
    ranking = seat_order((0,), history.round.seats)
    refused(Reason.WRONG_SEAT_ORDER, STRANGER, c.SettleRound(model, 2, (0,), ranking[::-1]))
    _refused_proofs(history, seats[0])
    history.settle()
    _refused_purchases(history)
    refusals_seen = {step["refused"] for step in history.steps if "refused" in step}
    assert refusals_seen == {reason.value for reason in Reason}, "a reason is missing"
    return history.case("refusals")


def _refused_proofs(history: History, judge: Address) -> None:
    manifests, reveals = history.two_manifests(0, "a", "b"), history.two_reveals(judge, 1)
    history.refused(Reason.SAME_MESSAGE, STRANGER, replace(manifests, children=(root("a"), root("a"))))
    history.refused(Reason.BAD_SIGNATURE, STRANGER, replace(manifests, children=(root("b"), root("a"))))
    history.refused(Reason.BAD_SIGNATURE, STRANGER, replace(manifests, signatures=(bytes(64), bytes(64))))
    history.refused(Reason.BAD_SIGNATURE, STRANGER, replace(reveals, validator=STRANGER))
    history.refused(Reason.NOTHING_TO_SLASH, STRANGER, history.two_reveals(STRANGER, 1))


def _refused_purchases(history: History) -> None:
    model = history.model
    history.refused(Reason.NOTHING_UNBONDING, STRANGER, c.Release(model))
    history.send(STRANGER, c.BuyAccess(model, GENESIS))
    history.refused(Reason.ALREADY_BOUGHT, STRANGER, c.BuyAccess(model, GENESIS))
    open_rules = replace(RULES, access_fee=Wei(0))
    history.send(OWNER, c.CreateModel(open_rules, GENESIS, Wei(0)))
    history.refused(Reason.NOT_FOR_SALE, STRANGER, c.BuyAccess(model_id(OWNER, GENESIS, open_rules), GENESIS))


def main() -> None:
    """Write all files."""
    for path, text in files().items():
        (HERE / path).parent.mkdir(exist_ok=True)
        (HERE / path).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
