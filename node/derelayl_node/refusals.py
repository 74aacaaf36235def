"""The ledger's refusals as sentences for people: what is wrong, with the numbers that are known, and what to do."""

from __future__ import annotations

from collections.abc import Mapping

from derelayl_protocol.errors import Reason, RuleViolation

AGAIN = "the round has moved on meanwhile: look at it again (derelayl model show), and try again"
NODE = "a node sends this at the right time: let `derelayl node run` do it"

SENTENCES: Mapping[Reason, str] = {
    Reason.BAD_RULES: "the ledger does not take these rules: check them with `derelayl model rules FILE`",
    Reason.MODEL_EXISTS: "you have registered this very model before: choose another --seed for another one",
    Reason.UNKNOWN_MODEL: "the ledger has no such model; `derelayl model list` shows those that it has",
    Reason.UNKNOWN_CHECKPOINT: "the model has no such accepted checkpoint: see its tips with `derelayl model show`",
    Reason.CHECKPOINT_EXISTS: "the ledger has this checkpoint already: a leg must bring forth a new one",
    Reason.ZERO_ROOT: "no checkpoint has a root of zeros: pass the root that was announced",
    Reason.AMOUNT_TOO_LARGE: "the ledger takes no amount as large as this: pass a smaller one",
    Reason.ZERO_AMOUNT: "the amount is nothing: pass more than 0",
    Reason.INSUFFICIENT_BALANCE: "neither the free balance nor the wallet holds that much: send the account tokens",
    Reason.WRONG_ROUND: AGAIN,
    Reason.WRONG_PHASE: AGAIN,
    Reason.TOO_EARLY: "it is not time yet for this: `derelayl stake show` and `derelayl model show` tell when",
    Reason.TOO_LATE: "the time for this is over: take part in the next round",
    Reason.BID_TOO_SMALL: "the bid is below the model's min_bid (derelayl model show): raise --bid",
    Reason.ALREADY_BID: "the account has bid in this round: wait for the next one",
    Reason.TOO_MANY_BIDS: "every place of the round has a higher bid: raise --bid, or wait for the next round",
    Reason.BAD_SEGMENT: "the model has no such segment (derelayl model show): choose another --segment",
    Reason.NOT_A_TIP: "this checkpoint is no tip any more: see the tips with `derelayl model show`",
    Reason.NOT_THE_OWNER: "the checkpoint belongs to another account: run this with its owner's HOME",
    Reason.ALREADY_OFFERED: "the tip is offered in this round already: nothing is left to do",
    Reason.WRONG_ORDER: AGAIN,
    Reason.NO_SUCH_LEG: "the round has no such leg: see it with `derelayl model show`",
    Reason.NOT_YOUR_LEASE: "the leg is leased to another account: hand in your own only",
    Reason.ALREADY_SUBMITTED: "the leg's child has been handed in: nothing is left to do",
    Reason.NOT_SEATED: "the account has no seat in this round: wait until it is drawn",
    Reason.ALREADY_COMMITTED: "the seat's scores are sealed already: nothing is left to do",
    Reason.ZERO_COMMITMENT: f"a seal of zeros seals nothing: {NODE}",
    Reason.NOT_COMMITTED: "the seat has sealed no scores that it could reveal: wait for the next round",
    Reason.ALREADY_REVEALED: "the seat's scores are revealed already: nothing is left to do",
    Reason.COMMIT_MISMATCH: "these are not the scores that were sealed: run the node with the HOME that sealed them",
    Reason.BAD_SCORES: f"the round has another number of legs than these scores: {NODE}",
    Reason.WRONG_SEAT_ORDER: AGAIN,
    Reason.STAKE_IN_USE: "the account has a seat in the running round: try again when the round is over",
    Reason.NO_STAKE: "the account is no validator of this model: `derelayl stake add` makes it one",
    Reason.STAKE_TOO_SMALL: "the stake would stay below the model's least: add more (derelayl stake show)",
    Reason.NOTHING_UNBONDING: "nothing is unbonding: unstake first, with `derelayl stake unstake`",
    Reason.NOTHING_TO_ADVANCE: AGAIN,
    Reason.BAD_STEPS: f"royalties climb more steps, or fewer, than the ledger takes in one call: {NODE}",
    Reason.NOT_FOR_SALE: "the model's checkpoints are open to everybody: pull without buying",
    Reason.ALREADY_BOUGHT: "the account has bought this checkpoint: pull it",
    Reason.BAD_SIGNATURE: "a signature is not of the account that it is said to be of: ask for a new one",
    Reason.SAME_MESSAGE: "two times the same message proves nothing: report two different ones",
    Reason.NOTHING_TO_SLASH: "whoever is reported has nothing left to lose: nothing is left to do",
}

NOTHING_LEFT = frozenset(
    {
        Reason.ALREADY_BID,
        Reason.ALREADY_OFFERED,
        Reason.ALREADY_SUBMITTED,
        Reason.ALREADY_COMMITTED,
        Reason.ALREADY_REVEALED,
    }
)
"""What is refused has been done: the look at the round that asked for it was older than that."""

PASSING = frozenset(
    {Reason.WRONG_ROUND, Reason.WRONG_PHASE, Reason.TOO_EARLY, Reason.NOT_A_TIP, Reason.INSUFFICIENT_BALANCE}
)
"""Refusals that may end within the phase: our look at the round or our clock is not the ledger's, or tokens come in."""


def may_pass(refusal: RuleViolation) -> bool:
    """Whether the same thing may be taken later in the same phase; any other refusal is told once and stands."""
    return refusal.reason in PASSING | NOTHING_LEFT


def sentence_of(refusal: RuleViolation) -> str:
    """One sentence with reason, numbers and remedy, and last the name of the contract's error with its numbers."""
    return f"{SENTENCES[refusal.reason]} ({refusal})"
