"""Which signed entries of a round count: for passing them on, and for sending them to the ledger. Pure functions.

What is wrong however the round stands is its author's fault. What only our view of the round speaks against is ignored:
the view may be a little old.
"""

from __future__ import annotations

from derelayl_protocol.errors import Ignored, PeerFault, RuleViolation
from derelayl_protocol.ledger.bidding import has_place
from derelayl_protocol.ledger.commands import SignedBid, SignedCommit
from derelayl_protocol.ledger.duplicates import check_originals
from derelayl_protocol.ledger.entries import LeasedChild, SignedEntry
from derelayl_protocol.ledger.judging import NO_COMMITMENT
from derelayl_protocol.ledger.phases import Phase
from derelayl_protocol.ledger.rules import Rules
from derelayl_protocol.ledger.scoring import check_scores, commitment
from derelayl_protocol.ledger.signed import Recover
from derelayl_protocol.ledger.state import RoundView
from derelayl_protocol.types import NO_ROOT, WHOLE_MODEL

from .duties import has_bid, lease_of, may_still_enter, open_lease, seat_of


def check_entry(entry: SignedEntry, view: RoundView, rules: Rules, now: float, recover: Recover) -> None:
    """Raise PeerFault for what no honest account signs, Ignored for what the running round has no use for.

    An entry may be a phase early: its author saw the round go on before we did. Reveals and children are taken until
    the round ends, also a second one of a seat or lease, which proves equivocation.
    """
    if entry.round != view.number:
        raise Ignored(f"it is about round {entry.round}, but round {view.number} is running")
    if isinstance(entry.content, SignedBid):
        _check_bid(entry.content, rules)
        useful = may_still_enter(view, now) and _bid_is_open(entry.content, view, now)
    elif isinstance(entry.content, LeasedChild):
        if entry.content.child == NO_ROOT:
            raise PeerFault("it hands over nothing")
        useful = _says_something_new(entry.content, view)
    elif isinstance(entry.content, SignedCommit):
        if entry.content.commitment == NO_COMMITMENT:
            raise PeerFault("it commits to nothing")
        seat = seat_of(view, entry.account)
        useful = view.phase in (Phase.TRAIN, Phase.COMMIT) and seat is not None and seat.commitment is None
    else:
        useful = view.phase in (Phase.COMMIT, Phase.REVEAL, Phase.SETTLE) and seat_of(view, entry.account) is not None
    if not useful:
        raise Ignored(f"round {view.number} does not take it from {entry.account}")
    if recover(entry.message, entry.content.signature) != entry.account:
        raise PeerFault(f"the signature is not that of {entry.account}")


def may_be_posted(entry: SignedEntry, view: RoundView, now: float) -> bool:
    """Whether the ledger takes an entry that has passed `check_entry` now: one that it refuses spoils a whole batch."""
    if isinstance(entry.content, SignedBid):
        return may_still_enter(view, now) and _bid_is_open(entry.content, view, now)
    if isinstance(entry.content, LeasedChild):
        lease = open_lease(view, entry.account, now)
        return lease is not None and lease[1].parent == entry.content.parent
    seat = seat_of(view, entry.account)
    if seat is None or now >= view.deadline:
        return False
    if isinstance(entry.content, SignedCommit):
        return view.phase == Phase.COMMIT and seat.commitment is None
    if view.phase != Phase.REVEAL or seat.commitment is None or seat.scores is not None:
        return False
    try:
        check_scores(entry.content.scores, view.legs)
        check_originals(entry.content.originals, view.legs)
    except RuleViolation:
        return False
    scores, originals, salt = entry.content.scores, entry.content.originals, entry.content.salt
    return commitment(entry.model, entry.round, entry.account, salt, scores, originals) == seat.commitment


def _check_bid(bid: SignedBid, rules: Rules) -> None:
    if bid.segment >= rules.segments and bid.segment != WHOLE_MODEL:
        raise PeerFault(f"it bids for segment {bid.segment}, but the model has {rules.segments} segments")
    if bid.amount < rules.min_bid:
        raise PeerFault(f"it bids {bid.amount} wei, but the minimum is {rules.min_bid}")


def _bid_is_open(bid: SignedBid, view: RoundView, now: float) -> bool:
    return now < bid.expiry and has_place(view.bids, bid.amount) and not has_bid(view, bid.trainer)


def _says_something_new(handed: LeasedChild, view: RoundView) -> bool:
    """Whether the ledger has not this child of the lease, and no proof yet that its trainer has signed two.

    So whoever floods peers with children of its lease is heard until the first report is mined, which costs it the bid.
    """
    lease = lease_of(view, handed.trainer)
    if lease is None:
        return False
    leg = lease[1]
    return leg.parent == handed.parent and leg.child != handed.child and not leg.disqualified
