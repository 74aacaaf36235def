"""The bidder: whether the trainer wants a leg of this round, and for how much; why not, and what may help."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence

from derelayl_protocol.ledger.experience import Experience, Past, Tried, learnt, pause
from derelayl_protocol.ledger.selection import LegEnding
from derelayl_protocol.ledger.state import RoundView
from derelayl_protocol.limits import MAX_BIDS
from derelayl_protocol.spelling import exact_tokens
from derelayl_protocol.types import Wei

from .kit import Kit

log = logging.getLogger(__name__)

Recall = Callable[[int], Awaitable[Past | None]]
"""Tells what this account knows that bids in a round of this number; None while the log is not read so far."""

JUDGE = "or judge instead (--role validator)"

REMEDIES: Mapping[LegEnding, str] = {
    LegEnding.SELECTED: "a reward does not cover --leg-cost: cheaper legs (--steps, --device), or none",
    LegEnding.EXPIRED: "no children came in time: fewer --steps, a faster --device; this log says what went wrong",
    LegEnding.EQUIVOCATED: "two nodes sign with this key: stop one of them",
    LegEnding.UNAVAILABLE: "others could not fetch the children: make this node reachable (--p2p-host, --announce)",
    LegEnding.INSUFFICIENT: "on others' data the legs made the model no better, as happens with few data or few labels:"
    " more data of the kinds that the others have, a gentler leg (--method sparse --recipe keep=0.01,prox=0.1),"
    f" one --segment, {JUDGE}",
    LegEnding.OUTRANKED: f"others' legs gained more: more data or --steps, another --method or --segment, {JUDGE}",
    LegEnding.DUPLICATE: "the children were what others had handed in: data of your own, another --seed",
    LegEnding.VOIDED: "rounds ended without a verdict, so the training was for nothing: they need more validators",
}
"""What to do against legs that mostly ended so."""


class Bidder:
    """Bids by what the account's own recent legs brought, or always the same.

    What is decided is a pure function of the ledger's log and the time (`protocol/ledger/experience`), so a restarted
    node goes on where it stood. It never bids more than `most`.
    """

    def __init__(self, kit: Kit, most: Wei, leg_cost: Wei, recall: Recall | None) -> None:
        """`leg_cost` is what a leg costs beside its bid; without `recall` every bid is `most`."""
        self._kit = kit
        self._most = most
        self._leg_cost = leg_cost
        self._recall = recall
        self._past: tuple[int, Past] | None = None
        self._bid: tuple[int, Wei] | None = None
        self.obstacle = ""
        """Why it does not bid; "" while it would."""

    async def amount(self, view: RoundView) -> Wei | None:
        """What to bid in this round, the same at each look; None for nothing now. Raises what `recall` raises."""
        if self._recall is None:
            return self._most
        if self._bid is not None and self._bid[0] == view.number:
            return self._bid[1]
        past = await self._known(self._recall, view)
        if past is None:
            return None
        found = learnt(past.tries, self._leg_cost)
        legs = [tried for tried in past.tries if tried.ending is not None]
        if legs and not found.wants(self._elapsed(view, legs[-1])):
            self._pauses(legs[-found.lost :])
            return None
        self.obstacle = ""
        self._bid = view.number, self._amount(view, found, past.reward)
        return self._bid[1]

    async def _known(self, recall: Recall, view: RoundView) -> Past | None:
        if self._past is None or self._past[0] != view.number:
            past = await recall(view.number)
            self._past = None if past is None else (view.number, past)
        return None if self._past is None else self._past[1]

    def _elapsed(self, view: RoundView, newest: Tried) -> float:
        """Rounds since the newest leg, by number or by time: where nobody bids no round begins, and all would wait."""
        rules = self._kit.rules
        longest = rules.bid_seconds + rules.train_seconds + rules.commit_seconds + rules.reveal_seconds
        return max(view.number - newest.round, (self._kit.clock.now() - newest.time) / longest)

    def _amount(self, view: RoundView, found: Experience, reward: Wei) -> Wei:
        least = self._kit.rules.min_bid
        if len(view.bids) >= MAX_BIDS:  # a full round takes only what is above its lowest bid
            least = Wei(max(least, min(bid.amount for bid in view.bids) + 1))
        return Wei(int(found.bid(reward, least, self._most)))

    def _pauses(self, lost: Sequence[Tried]) -> None:
        wait, cost = pause(len(lost)), sum(self._leg_cost - tried.brought for tried in lost)
        endings = Counter(tried.ending for tried in lost if tried.ending is not None).most_common()
        told = (
            f"no bid before round {lost[-1].round + wait}, or as long as {wait} rounds take where fewer begin: the last"
            f" {len(lost)} legs lost {exact_tokens(cost)} tokens"
            f" ({', '.join(f'{count} {ending}' for ending, count in endings)}); {REMEDIES[endings[0][0]]};"
            " --bidding fixed bids all the same"
        )
        if told != self.obstacle:
            log.warning("%s", told)
        self.obstacle = told
