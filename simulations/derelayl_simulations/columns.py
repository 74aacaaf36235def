"""The columns of a run's table, one row a round. What a rule set or a scenario does not have is NaN."""

from __future__ import annotations

from collections.abc import Iterable

LAGS = 11  # versions behind the newest that are told apart: 0 … 10
ROLES = ("trainer", "owner", "validator")

SHARES: dict[str, str] = {
    "share_latest": "% of participants whose best version is the newest there is",
    **{f"share_behind_{lag}": f"% of participants whose best version is {lag} behind" for lag in range(1, LAGS)},
    "share_older": f"% of participants whose best version is {LAGS} or more behind the newest",
    "share_none": "% of participants who never held a model",
}  # fmt: skip

COLUMNS: dict[str, str] = {
    "round": "number, from 1",
    "participants": "people who are there (published: all; ledger: those who have not left)",
    "owners": "people who own a model that can be continued in the round",
    "trainers": "people who want to train (ledger: who bid)",
    "matched": "legs leased (published: trainers who found an owner)",
    "models": "legs submitted (published: trainings that succeeded)",
    "selected": "models selected",
    **SHARES,
    "supply": "coins held after the round (ledger: all coins on it but the budgets)",
    "minted": "coins that came into circulation by the rules (ledger: emission drawn from the budgets)",
    "budget": "coins that are left behind the emission, of all relays",
    "burned": "coins destroyed in the round (ledger: none, forfeits go to the pot)",
    "gini": "Gini coefficient of the coins held by those who are there, 0 … 1",
    "coins_mean": "coins a person",
    "coins_min": "coins of the poorest person",
    "coins_max": "coins of the richest person",
    "live_tips": "models that can be continued in the next round",
    "common_ancestor_depth": "rounds from the live tips back to their last common ancestor; NaN without tips",
    "inflation": "coins minted in the round as a share of the supply before it; NaN where there was none",
    "relays_alive": "share of the relays that selected a leg in the last `dead_after` rounds (published: 1 or 0)",
    "quality": "nats that the best tip has gained since genesis, mean over relays (published: performance points)",
    "quality_mean": "the same of the average tip",
    "demand": "accesses that consumers bought in the round",
    "price": "money per coin, mean over relays",
    "revenue": "money that consumers paid in the round",
    "profit_trainer": "coins a round that the median trainer earns by training, after costs, over the window",
    "profit_owner": "coins a round that the median owner earns by owning, over the window",
    "profit_validator": "coins a round that the median validator earns by judging, after costs, over the window",
    "beyond_alone_money": "money a round that the median member earns, over the window, beyond what the best model of "
    "its own data alone would earn it for nothing",
    "beyond_alone_nats": "nats by which the model within the median member's reach is better than that model",
    "participation_trainer": "% of the world's trainers who are there",
    "participation_owner": "% of participants who own a model that can be continued in the round",
    "participation_validator": "% of the world's validators who are there",
    "audits": "scores that the committees revealed in the round",
    "slashed": "coins slashed from stakes or charged to them in the round",
}

WHOLE = frozenset({
    "round", "participants", "owners", "trainers", "matched", "models", "selected", "live_tips",
    "common_ancestor_depth", "demand", "audits",
})  # fmt: skip
"""Columns of whole numbers, in a run of one relay or of published rules."""


def profit_column(strategy: str) -> str:
    """Name the column of what people of a strategy earn."""
    return f"profit_{strategy}"


def share_column(strategy: str) -> str:
    """Name the column of how many follow a strategy."""
    return f"share_{strategy}"


def strategy_columns(strategies: Iterable[str]) -> dict[str, str]:
    """Describe the columns that a run has beyond COLUMNS: two for each strategy present, in the given order."""
    described: dict[str, str] = {}
    for name in strategies:
        described[profit_column(name)] = f"coins a round that a person playing {name} earns on average, over the window"
        described[share_column(name)] = f"% of those who are there who play {name}"
    return described
