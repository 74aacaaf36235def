"""Statements: each reason why money came, went or did not come is a sentence, and the lines add up to the balance.

`AuditedRelay` compares every line's balance with the ledger's state after every command.
"""

from __future__ import annotations

import pytest

from derelayl_protocol.ledger import events as ev
from derelayl_protocol.ledger.commands import (
    BuyAccess,
    CollectRoyalty,
    Deposit,
    Fund,
    Release,
    Stake,
    Unstake,
    Withdraw,
)
from derelayl_protocol.ledger.phases import Phase, VoidReason
from derelayl_protocol.ledger.rules import Rules
from derelayl_protocol.statement.books import Books
from derelayl_protocol.statement.places import Pocket, free
from derelayl_protocol.statement.reasons import VOIDED, of_leg, void_of
from derelayl_protocol.statement.reconciliation import Held, reconcile
from derelayl_protocol.statement.story import Story
from derelayl_protocol.statement.teller import Teller
from derelayl_protocol.statement.transfers import Kind
from derelayl_protocol.statement.words import short
from derelayl_protocol.types import UNAVAILABLE, Address, ModelId, Timestamp, Wei

from .relay import GENESIS, JUDGES, OWNER, RULES, STRANGER, TRAINERS, root, with_rules
from .statements import AuditedRelay

TIP = short(GENESIS)
OPEN = with_rules(selection_bps=10_000)


def leg(number: int, round: int = 1) -> str:
    return f"leg {short(root(f'round {round} leg {number}'))}"


def judged(*scores: int, rules: Rules = RULES, children: tuple[str, ...] = ()) -> AuditedRelay:
    """A relay that has settled a round of legs with these scores; leg i bid 200 - i wei, the last bid is the bond."""
    relay = AuditedRelay(rules)
    relay.lease(*(200 - number for number in range(len(scores))))
    for number in range(len(scores)):
        relay.submit(number, children[number] if children else None)
    relay.judge(*[scores] * len(relay.round.seats))
    relay.settle()
    return relay


def above(rest: int, *, bond: int) -> str:
    """What a bid above the bond of its round is told."""
    one = f"each leg of round 1 is held by one bond, the lowest bid that won a leg: {bond} wei"
    return f"{one}; what your bid was above it, {rest} wei, was returned"


# --- legs that were not selected --------------------------------------------------------------------------------------


def test_below_the_cut_off_says_the_score_the_cut_off_and_what_was_lost() -> None:
    relay = judged(1_204, 2_310)
    assert relay.told(TRAINERS[0], Kind.BID_FORFEITED) == [
        f"{leg(0)} was not selected (outranked): score 1,204 ppm, cut-off 2,310 ppm; your bid of 199 wei was forfeited"
    ]
    assert relay.told(OWNER, Kind.OFFER_FORFEITED) == [
        f"{leg(0)} was not selected (outranked): score 1,204 ppm, cut-off 2,310 ppm; "
        f"it continues your checkpoint {TIP}, so your deposit of 5 wei was forfeited"
    ]


def test_of_equal_scores_the_rule_that_decides_is_named() -> None:
    (text,) = judged(2_000, 2_000).told(TRAINERS[1], Kind.BID_FORFEITED)
    assert "cut-off 2,000 ppm, where of equal scores the lower leg number goes first" in text


def test_under_the_margin_names_the_margin() -> None:
    (text,) = judged(3_000, 204).told(TRAINERS[1], Kind.BID_FORFEITED)
    assert text.startswith(f"{leg(1)} was not selected (insufficient): score 204 ppm, margin 1,000 ppm; your bid")


def test_unavailable_to_the_committee() -> None:
    (text,) = judged(3_000, UNAVAILABLE).told(TRAINERS[1], Kind.BID_FORFEITED)
    why = "the committee could not fetch it, or it did not fit its lease or gave no finite loss"
    assert f"{leg(1)} was not selected (unavailable): {why}" in text


def test_a_child_that_another_leg_of_the_round_brought_too() -> None:
    relay = judged(3_000, 2_000, rules=OPEN, children=("same", "same"))
    (text,) = relay.told(TRAINERS[1], Kind.BID_FORFEITED)
    assert "was not selected (duplicate): score 2,000 ppm, but leg 0 brought the same child and ranks higher" in text


def test_a_leg_that_most_of_the_committee_calls_a_copy_of_another() -> None:
    relay = AuditedRelay(with_rules(selection_bps=10_000, legs_per_tip=3))
    relay.lease(200, 199, 198)
    relay.train()
    relay.judge(*[(3_000, 2_999, 2_000)] * 3, originals=(0, 0, 2))
    relay.settle()
    why = "score 2,999 ppm, but leg 0 ranks higher and changes the model in the same way"
    assert relay.told(TRAINERS[1], Kind.BID_FORFEITED) == [
        f"{leg(1)} was not selected (duplicate): {why}; your bid of 198 wei was forfeited"
    ]


def test_a_copy_that_only_one_seat_of_three_sees_is_none() -> None:
    relay = AuditedRelay(OPEN)
    relay.lease(200, 199)
    relay.train()
    scores, (first, *others) = (3_000, 2_000), relay.seated()
    for act in (relay.commit, relay.reveal):
        act(first, scores, (0, 0))
        for judge in others:
            act(judge, scores)
    relay.settle()
    assert len(relay.round.tips) == 2


def test_originals_of_a_seat_that_names_too_few_are_of_no_weight() -> None:
    """No ledger takes them: a log that contradicts itself, told by hand."""
    story = Story(ModelId(root("model")), 1, OPEN, weights={JUDGES[0]: Wei(1)})
    for number in range(2):
        story.note(ev.LegLeased(story.model, 1, number, TRAINERS[number], GENESIS, 0))
    story.note(ev.ScoresRevealed(story.model, 1, JUDGES[0], (), (0,), bytes(32)))
    assert story.classes() == {0: 0, 1: 1}


def test_a_child_that_became_a_checkpoint_while_the_leg_was_judged() -> None:
    """The ledger refuses a known child at submission, so no relay gets here: the story is told by hand."""
    story = Story(ModelId(root("model")), 4, OPEN)
    about = (story.model, story.number)
    zero, child = Wei(0), root("child")
    story.note(ev.BidPlaced(*about, TRAINERS[0], 0, Wei(9)))
    story.note(ev.LegLeased(*about, 0, TRAINERS[0], GENESIS, 0))
    story.note(ev.LegSubmitted(*about, 0, TRAINERS[0], GENESIS, child))
    assert story.legs[0].score == UNAVAILABLE
    story.note(ev.LegSettled(*about, 0, child, 5_000, False, zero, zero, zero, Wei(9)))  # type: ignore[arg-type]
    assert of_leg(story, 0).endswith(
        "was not selected (duplicate): score 5,000 ppm, but its child was a checkpoint already"
    )


def test_a_trainer_caught_signing_two_children_is_told_what_it_lost_and_its_reporter_what_it_earned() -> None:
    relay = AuditedRelay()
    relay.lease(200, 100)
    relay.do(STRANGER, relay.two_manifests(0))
    relay.train()
    relay.judge(*[(3_000, 2_000)] * 3)
    relay.settle()
    crime = "two children under leg 0 of round 1"
    assert relay.told(TRAINERS[0], Kind.EQUIVOCATION) == [
        f"{short(STRANGER)} proved that you had signed {crime}: your bid of 100 wei is lost"
    ]
    assert relay.told(TRAINERS[0], Kind.NOT_SELECTED) == [
        f"{leg(0)} was not selected (equivocated): its trainer had signed two children under the lease; "
        "your bid had already been lost for signing two children"
    ]
    assert relay.told(STRANGER, Kind.REPORTER_REWARD) == [
        f"you proved that {short(TRAINERS[0])} had signed {crime}: 40 wei of the 100 wei it lost"
    ]
    (returned,) = (text for text in relay.told(OWNER, Kind.OFFER_RETURNED) if "two children" in text)
    assert returned.endswith("through no fault of yours; your deposit of 5 wei for it was returned")


def test_an_equivocator_in_a_voided_round_gets_nothing_back() -> None:
    relay = AuditedRelay()
    relay.lease(200, 100)
    relay.do(STRANGER, relay.two_manifests(0))
    relay.train()
    relay.advance()
    (text,) = relay.told(TRAINERS[0], Kind.NOT_SELECTED)
    assert "signed two children" in text
    assert relay.told(TRAINERS[0], Kind.BID_RETURNED) == [above(100, bond=100)]


def test_nothing_submitted_costs_the_bid_and_frees_the_deposit() -> None:
    relay = AuditedRelay()
    relay.lease(200, 100)
    relay.train(1)
    relay.judge(*[(3_000, UNAVAILABLE)] * 3)
    relay.settle()
    late = "leg 1 of round 1 expired: nothing was submitted in time"
    assert relay.told(TRAINERS[1], Kind.BID_FORFEITED) == [f"{late}; your bid of 100 wei was forfeited"]
    assert f"{late}, through no fault of yours; your deposit of 5 wei for it was returned" in relay.told(OWNER)


# --- bids and deposits that return ------------------------------------------------------------------------------------


def test_a_bid_that_found_no_tip_returns() -> None:
    relay = AuditedRelay()
    relay.lease(300, 200, 100)
    assert relay.told(TRAINERS[2], Kind.BID_RETURNED) == [
        "no tip was left for you in round 1; your bid of 100 wei was returned"
    ]
    assert relay.told(TRAINERS[0], Kind.LEASE) == [
        f"your bid won leg 0 of round 1, with a bond of 200 wei: continue checkpoint {TIP} and train the whole model"
    ]


def test_a_bid_that_a_higher_one_displaced_returns() -> None:
    relay = AuditedRelay()
    relay.bid(TRAINERS[0], 100)
    first = relay.audit.events
    books, displaced = Books(first), ev.BidDisplaced(relay.model, 1, TRAINERS[0], TRAINERS[1], Wei(100))
    books.note(displaced)
    (line,) = Teller(books).tell(displaced, len(first))
    assert books.story(relay.model, 1).bids == {}
    assert (line.account, line.amount, line.kind) == (TRAINERS[0], 100, Kind.BID_RETURNED)
    assert line.sentence == (
        f"all places of round 1 were taken and {short(TRAINERS[1])} bid more; your bid of 100 wei was returned"
    )


def test_the_unused_part_of_an_offer_returns() -> None:
    relay = AuditedRelay()
    relay.offer(OWNER, GENESIS)
    relay.bid(TRAINERS[0], segment=2)
    relay.match()
    assert relay.told(OWNER, Kind.OFFER_DEPOSIT, Kind.OFFER_RETURNED) == [
        f"you offered your checkpoint {TIP} in round 1: a deposit of 10 wei, 5 wei for each of 2 legs",
        f"not all legs that may continue your checkpoint {TIP} were leased; 5 wei of your deposit was returned",
    ]
    (bid,) = relay.told(TRAINERS[0], Kind.BID)
    assert bid == f"you bid 100 wei for segment 2 in round 1 of model {short(relay.model)}"


def test_a_committee_that_is_too_small_returns_everything() -> None:
    relay = AuditedRelay(judges=1)
    relay.lease(200)
    void = "round 1 was voided: fewer validators could be seated than the quorum"
    assert relay.told(TRAINERS[0], Kind.BID_RETURNED) == [f"{void}; your bid of 200 wei was returned"]
    assert relay.told(OWNER, Kind.OFFER_RETURNED) == [f"{void}; 10 wei of your deposit was returned"]
    assert relay.told(None) == [f"{void}; 0.0 forfeited and 0.0 slashed go into the next pot"]


def test_a_committee_that_fails_returns_what_was_submitted_and_is_slashed() -> None:
    relay = AuditedRelay()
    relay.lease(200, 100)
    relay.train(1)
    first, second, third = relay.seated()
    for judge in (first, second):
        relay.commit(judge, (3_000, UNAVAILABLE))
    relay.advance()
    relay.reveal(first, (3_000, UNAVAILABLE))
    relay.advance()
    void = "round 1 was voided: fewer seats revealed than the quorum"
    lost = f"{leg(0)} was voided with round 1: fewer seats revealed than the quorum"
    returned = f"{lost}; your bid of 100 wei was returned"
    assert relay.told(TRAINERS[0], Kind.BID_RETURNED) == [above(100, bond=100), returned]
    assert f"{lost}, through no fault of yours; your deposit of 5 wei for it was returned" in (relay.told(OWNER))
    assert relay.told(first, Kind.NOT_PAID) == [f"{void}; nobody is paid"]
    (silent,), (absent,) = relay.told(second, Kind.SLASHED), relay.told(third, Kind.SLASHED)
    assert silent.startswith("you did not reveal your scores in round 1: 100 wei of your stake (10 %) was slashed")
    assert absent.startswith("you committed to no scores in round 1")
    assert relay.told(None) == [f"{void}; 100 wei forfeited and 200 wei slashed go into the next pot"]


def test_every_way_to_void_a_round_has_words() -> None:
    assert set(VOIDED) == set(VoidReason)
    assert void_of(Story(ModelId(root("m")), 3, RULES)) == "round 3 was voided"


# --- what is paid -----------------------------------------------------------------------------------------------------


def test_a_selected_leg_is_paid_its_part_of_the_gain() -> None:
    relay = judged(3_000, 1_000, rules=OPEN)
    assert relay.told(TRAINERS[0], Kind.BID_RETURNED, Kind.TRAINER_REWARD) == [
        above(1, bond=199),
        f"{leg(0)} was selected: score 3,000 ppm; your bid of 199 wei was returned",
        f"{leg(0)}: your gain of 3,000 ppm out of 4,000 ppm selected in the round earned 4,500 wei of "
        "the trainers' 6,000 wei (60 % of the pot of 10,000 wei)",
    ]
    assert relay.told(OWNER, Kind.ROYALTY_WAITING)[0] == (
        f"{leg(0)} was built on your checkpoint {TIP}: 1,875 wei of the royalties' 2,500 wei "
        "(25 % of the pot of 10,000 wei) is waiting there to be collected"
    )
    assert relay.told(OWNER, Kind.OFFER_RETURNED)[0] == (
        f"{leg(0)}, which continues your checkpoint {TIP}, was selected; your deposit of 5 wei was returned"
    )


def test_a_selected_leg_of_an_empty_pot_hears_that_there_was_nothing() -> None:
    relay = judged(3_000, rules=with_rules(emission=0))
    assert relay.told(TRAINERS[0], Kind.NOT_PAID) == [
        f"{leg(0)} earned nothing: its share of the pot is less than a wei"
    ]
    assert relay.told(None) == [
        "round 1 was settled: 1 of 1 submitted legs selected; the pot of 0.0 was nothing; 0.0 are carried "
        "over to the next round"
    ]


def test_a_pot_is_told_with_its_sources() -> None:
    relay = judged(500, 400)
    relay.lease(300, 250)
    relay.train()
    relay.judge((3_000, 2_000), (3_000, 2_000), None)
    relay.settle()
    assert relay.told(None)[1] == (
        "round 2 was settled: 1 of 2 submitted legs selected; the pot of 10,751 wei was 396 wei carried over, "
        "255 wei forfeited, 100 wei slashed, 10,000 wei emitted from the budget; 540 wei are carried over "
        "to the next round"
    )


def test_a_seat_that_agrees_is_paid_and_told_how_much_of_the_most() -> None:
    relay = judged(3_000, 2_000)
    for judge in [account for account in JUDGES if relay.told(account, Kind.SEAT)]:
        assert relay.told(judge, Kind.SEAT) == ["you were drawn into the committee of round 1"]
        assert relay.told(judge, Kind.VALIDATOR_REWARD) == [
            "your agreement of 1,000,000 ppm with the committee across the legs of round 1 earned 510 wei of "
            "a seat's share of 510 wei (15 % of the pot of 10,204 wei, divided by 3 seats)"
        ]


def opinions(*scores: tuple[int, ...] | None, rules: Rules = RULES) -> tuple[AuditedRelay, tuple[Address, ...]]:
    """A settled round of two legs with these scores by seat, and the seats."""
    relay = AuditedRelay(rules)
    relay.lease(200, 100)
    relay.train()
    seats = relay.seated()
    relay.judge(*scores)
    relay.settle()
    return relay, seats


def test_a_seat_that_fits_the_wrong_legs_is_charged_and_the_round_tells_of_it() -> None:
    relay, seats = opinions((3_000, 2_000), (3_000, 2_000), (2_000, 3_000))
    assert relay.told(seats[2], Kind.CHARGED) == [
        "your scores in round 1 fitted the wrong legs better than the right ones (disagreement 1,000,000 ppm): "
        "505 wei of your stake was charged"
    ]
    assert "505 wei of it charged to validators" in relay.told(None)[0]


def test_a_constant_answer_earns_nothing_and_hears_why() -> None:
    relay, seats = opinions((3_000, 2_000), (3_000, 2_000), (2_500, 2_500))
    (text,) = relay.told(seats[2], Kind.NOT_PAID)
    assert text.startswith("your scores in round 1 fitted the right legs no better than all legs")


def test_a_seat_alone_has_nobody_to_agree_with() -> None:
    relay, seats = opinions((3_000, 2_000), None, None, rules=with_rules(quorum=1, slash_bps=0))
    assert relay.told(seats[0], Kind.NOT_PAID) == [
        "you alone revealed in round 1: there is nobody to agree with, so nothing is paid"
    ]
    assert relay.told(seats[1], Kind.NOT_PAID) == [
        "you did not reveal your scores in round 1: nothing is paid, and there was nothing to slash"
    ]


def test_a_seat_that_never_committed_is_told_so_even_if_nothing_is_slashed() -> None:
    relay = AuditedRelay(with_rules(slash_bps=0))
    relay.lease(200)
    relay.train()
    first, second, third = relay.seated()
    for judge in (first, second):
        relay.commit(judge, (3_000,))
    relay.advance()
    for judge in (first, second):
        relay.reveal(judge, (3_000,))
    relay.settle()
    (absent,), (single,) = relay.told(third, Kind.NOT_PAID), relay.told(first, Kind.NOT_PAID)
    assert absent.startswith("you committed to no scores in round 1: nothing is paid")
    assert single.startswith("round 1 had a single submitted leg, so there is no other to compare with")


def test_a_pot_without_a_share_for_validators() -> None:
    rules = with_rules(trainer_bps=7_500, validator_bps=0)
    relay, seats = opinions((3_000, 2_000), (3_000, 2_000), (3_000, 2_000), rules=rules)
    assert relay.told(seats[0], Kind.NOT_PAID) == ["the pot of round 1 left nothing for validators"]


def test_a_seat_whose_stake_is_gone_cannot_be_charged() -> None:
    relay = AuditedRelay()
    relay.lease(200, 100)
    seats = relay.seated()
    relay.do(STRANGER, relay.two_reveals(seats[2], 9))
    relay.train()
    relay.judge((3_000, 2_000), (3_000, 2_000), (2_000, 3_000))
    relay.settle()
    assert relay.told(seats[2], Kind.NOT_PAID) == [
        "your scores in round 1 earned nothing, and your stake is empty: nothing to charge"
    ]


# --- royalties, access, stakes, the purse -----------------------------------------------------------------------------


def test_royalties_are_told_where_they_wait_and_where_they_went() -> None:
    relay = judged(3_000)
    relay.lease(200)
    relay.train()
    relay.judge(*[(3_000,)] * 3)
    relay.settle()
    first = next(name for name, record in relay.held.checkpoints.items() if record.round == 1)
    waiting = relay.held.checkpoints[first].pending
    relay.do(STRANGER, CollectRoyalty(relay.model, first, 2))
    half = waiting // 2
    assert relay.told(TRAINERS[0], Kind.ROYALTY) == [
        f"{waiting - half:,} wei of what was pending at your checkpoint {short(first)} was paid out, "
        f"{half:,} wei went on to its parent {TIP}"
    ]
    assert relay.told(OWNER, Kind.ROYALTY_WAITING)[-1] == (
        f"{half:,} wei came from checkpoint {short(first)} and is waiting at its parent, your checkpoint {TIP}"
    )
    (paid,) = relay.told(OWNER, Kind.ROYALTY)
    assert paid.endswith(f"wei of what was pending at your checkpoint {TIP} was paid out")


def test_a_royalty_that_is_passed_on_whole_says_so() -> None:
    relay = judged(3_000, rules=with_rules(gamma_bps=10_000))
    first = next(name for name, record in relay.held.checkpoints.items() if record.round == 1)
    relay.do(STRANGER, BuyAccess(relay.model, first))
    relay.do(STRANGER, CollectRoyalty(relay.model, first, 1))
    assert relay.told(TRAINERS[0], Kind.ROYALTY) == [
        f"all 73 wei that waited at your checkpoint {short(first)} went on to its parent {TIP}"
    ]


def test_access_is_told_to_buyer_and_owner() -> None:
    relay = AuditedRelay()
    relay.do(STRANGER, BuyAccess(relay.model, GENESIS))
    assert relay.told(STRANGER, Kind.ACCESS) == [
        f"you bought access to checkpoint {TIP} for 103 wei, 30 wei of it for the pot"
    ]
    assert relay.told(OWNER, Kind.ROYALTY_WAITING) == [
        f"{short(STRANGER)} bought access to your checkpoint {TIP}: 73 wei of the fee of 103 wei "
        "is waiting there to be collected"
    ]


def test_a_stake_from_its_lock_to_its_release() -> None:
    relay = AuditedRelay(judges=1)
    model = short(relay.model)
    relay.do(JUDGES[0], Unstake(relay.model))
    release_time = relay.now + RULES.unbonding_seconds
    relay.now = release_time
    relay.do(JUDGES[0], Release(relay.model))
    assert relay.told(JUDGES[0], Kind.STAKE, Kind.UNBONDING, Kind.STAKE_RELEASED) == [
        f"you staked 1,000 wei as validator of model {model}",
        f"you stopped validating model {model}: your stake of 1,000 wei is unbonding and can be released "
        f"from {release_time} (Unix time) on",
        "your unbonded stake of 1,000 wei was released",
    ]


def test_a_validator_that_equivocated_loses_what_is_bonded_and_what_is_not() -> None:
    relay = AuditedRelay(judges=1)
    judge = JUDGES[0]
    relay.do(judge, Unstake(relay.model))
    relay.do(judge, Stake(relay.model, Wei(2_000)))
    relay.do(STRANGER, relay.two_reveals(judge, 7))
    proof = f"{short(STRANGER)} proved that you had signed two different reveals for round 7"
    assert relay.told(judge, Kind.EQUIVOCATION) == [
        f"{proof}: your stake of 2,000 wei is lost",
        f"{proof}: your unbonding stake of 1,000 wei is lost",
    ]
    assert relay.told(STRANGER, Kind.REPORTER_REWARD) == [
        f"you proved that {short(judge)} had signed two different reveals for round 7: "
        "1,200 wei of the 3,000 wei it lost"
    ]


def test_the_purse_has_plain_words() -> None:
    relay = AuditedRelay()
    relay.do(STRANGER, Deposit(Wei(5)))
    relay.do(STRANGER, Fund(relay.model, Wei(7)))
    relay.do(STRANGER, Withdraw(Wei(9)))
    assert relay.told(STRANGER)[1:] == [
        "you deposited 5 wei from your wallet",
        f"you put 7 wei behind the emission of model {short(relay.model)}",
        "you withdrew 9 wei to your wallet",
    ]


# --- a log that ends in the middle, and reconciliation ----------------------------------------------------------------


def test_what_is_held_back_is_told_when_the_log_ends_in_a_transaction() -> None:
    relay = AuditedRelay()
    relay.lease(300, 200, 100)
    cut = next(place for place, event in enumerate(relay.audit.events) if isinstance(event, ev.BidReturned))
    desk = Books()
    teller = Teller(desk)
    for number, event in enumerate(relay.audit.events[: cut + 1]):
        desk.note(event)
        last = teller.tell(event, number)
    assert last == []
    (line,) = teller.finish()
    assert (line.event, line.account, line.amount, line.kind) == (cut, TRAINERS[0], 100, Kind.BID_RETURNED)
    assert teller.finish() == []


def held(relay: AuditedRelay) -> Held:
    """What a contract with the relay's state would say."""
    times = {(relay.model, account): leaving.release_time for account, leaving in relay.held.unbonding.items()}
    return Held(relay.audit.books.held(), times, relay.audit.books.total())


def test_books_that_equal_the_contract_have_no_difference() -> None:
    relay = AuditedRelay()
    relay.do(JUDGES[0], Unstake(relay.model))
    relay.lease(200, 100)
    outcome = reconcile(relay.audit.books, held(relay))
    assert (outcome.differences, outcome.surplus, outcome.total) == ((), 0, relay.audit.books.total())
    assert outcome.compared > len(relay.audit.books.held())


@pytest.mark.parametrize("off", [-1, 1])
def test_every_kind_of_difference_is_named(off: int) -> None:
    relay = AuditedRelay()
    relay.do(JUDGES[0], Unstake(relay.model))
    relay.lease(200, 100)
    true = held(relay)
    for place, amount in true.amounts.items():
        outcome = reconcile(
            relay.audit.books, Held({**true.amounts, place: Wei(amount + off)}, true.release_times, true.tokens)
        )
        (difference,) = outcome.differences
        assert (difference.what, difference.held - difference.booked) == (place.pocket, off)
    assert {place.pocket for place in true.amounts} == set(Pocket) - {Pocket.WALLET, Pocket.PENDING, Pocket.CARRY}
    short_of = reconcile(relay.audit.books, Held(true.amounts, true.release_times, Wei(true.tokens + off)))
    assert len(short_of.differences) == (off < 0)
    assert short_of.surplus == max(0, off)


def test_a_balance_that_only_one_side_knows_and_another_release_time_are_differences() -> None:
    relay = AuditedRelay()
    relay.do(JUDGES[0], Unstake(relay.model))
    true = held(relay)
    nobody = free(Address("0x" + "5" * 40))
    times = {(relay.model, JUDGES[0]): Timestamp(1)}
    found = reconcile(relay.audit.books, Held({**true.amounts, nobody: Wei(1)}, times, true.tokens)).differences
    assert [(one.what, one.booked, one.held) for one in found] == [
        ("free balance", 0, 1),
        ("release time", relay.now + RULES.unbonding_seconds, 1),
    ]
    without = {place: amount for place, amount in true.amounts.items() if place.pocket != Pocket.UNBONDING}
    (lost,) = reconcile(relay.audit.books, Held(without, true.release_times, true.tokens)).differences
    assert (lost.what, lost.booked, lost.held) == ("unbonding stake", 1_000, 0)


def test_a_phase_change_alone_is_no_line() -> None:
    relay = AuditedRelay()
    before = len(relay.audit.lines)
    relay.audit.take([ev.PhaseChanged(relay.model, 1, Phase.BID, Timestamp(9))])
    assert len(relay.audit.lines) == before
