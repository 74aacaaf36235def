"""Rule set "ledger": the contract's rules, vectorised over relays that lie side by side.

A round is `match` and `settle` with the world in between; reports may come between the two, everything else at any
time:

    book = Book.open(settings.rules(), relays=1000, accounts=100, budget=..., free=...)
    leases = match(book, Bids(account, amount), offered, draw_luck(rng, book.relays, account.shape[1]))
    outcome = settle(book, leases, submitted, committed, revealed, scores)
    collect_pending(book)
"""

from .book import Book
from .checkpoints import NOBODY, Checkpoints
from .luck import MatchLuck, draw_luck
from .matching import Bids, Leases, match
from .mechanism.port import CONTRACT, Evidence, Mechanism
from .reports import report_trainers, report_validators
from .royalties import buy_access, collect, collect_pending
from .settings import MAX_MONEY_WEI, ROUND_SECONDS, LedgerSettings, not_played, settings_of
from .settling import Ending, Outcome, settle

__all__ = [
    "CONTRACT",
    "MAX_MONEY_WEI",
    "NOBODY",
    "ROUND_SECONDS",
    "Bids",
    "Book",
    "Checkpoints",
    "Ending",
    "Evidence",
    "Leases",
    "LedgerSettings",
    "MatchLuck",
    "Mechanism",
    "Outcome",
    "buy_access",
    "collect",
    "collect_pending",
    "draw_luck",
    "match",
    "not_played",
    "report_trainers",
    "report_validators",
    "settings_of",
    "settle",
]
