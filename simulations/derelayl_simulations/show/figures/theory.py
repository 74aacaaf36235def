"""Formulas beside simulations. The formulas are derived in `theory`; all of them are ours."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, NullFormatter

from ...ledger import LedgerSettings
from ...study.results import Results
from ...study.statistics import alive_band, mean, mean_band, proportion
from ...theory import branching, cheating, issuance
from ...theory.trial import bought_judges, honest_judges, try_useless_leg, with_committee
from .sheet import (
    BLACK,
    OKABE_ITO,
    ORANGE,
    RED,
    T_BAND,
    WILSON_BAND,
    Drawing,
    finish,
    legend,
    line,
    rounds_axis,
    sheet,
)

MOST_HORIZON = 100_000  # rounds that a formula is drawn for
LOWEST = 1.0  # coins: below it there is nothing to see
TRIAL_SEED = 20_260_502
TRIAL_RELAYS = 1_000  # relays that try a useless leg at each dot
VALIDATORS = 30  # of each of them
SEATS = (1, 3, 5, 9)
CAUTIONS = (0.0, 0.25, 0.5, 1.0, 1.5, 2.5)  # standard errors that honest judges stay below what they measure
BIDS = (0.1, 0.5, 1.0)  # bid of the useless leg, as a share of the reward


def draw_branching(results: Results) -> Drawing | None:
    """Draw owners and survival under the published rule: the exact chain, its fixed point, and the runs."""
    scenario = results.study.at(0)
    if scenario.rules != "published" or scenario.published.active > branching.MAX_ACTIVE:
        return None
    parameters, rounds = scenario.published, scenario.rounds
    x = np.arange(1, rounds + 1, dtype=np.float64)
    figure, (owners, alive) = sheet(1, 2, 4.2)
    table = results.matrix("owners")
    line(owners, x, mean_band(np.where(table > 0, table, np.nan)), 0, "simulated, of seeds alive")
    owners.plot(
        x,
        branching.expected_owners(parameters, rounds),
        color=BLACK,
        linestyle="--",
        linewidth=1.2,
        label="exact chain",
    )
    fixed = branching.steady_owners(parameters)
    if fixed > 0:
        owners.axhline(
            fixed, color=RED, linewidth=1.0, linestyle=":", label=f"o* = (s·p·q·N − c)/(1 + s·p) = {fixed:.1f}"
        )
    owners.set(ylabel="owners")
    owners.set_ylim(bottom=0)
    line(alive, x, alive_band(results.extinct_rounds(), rounds), 0, "simulated")
    alive.plot(x, branching.alive(parameters, rounds), color=BLACK, linestyle="--", linewidth=1.2, label="exact chain")
    alive.set(ylim=(0, 1.02), ylabel="share of seeds alive")
    for axes in (owners, alive):
        rounds_axis(axes, rounds)
        legend(axes)
    growth, lone = branching.growth(parameters), branching.can_branch(parameters)
    text = f"While owners are scarce they multiply by k·p·s = {growth:.3g} a round; " + (
        "a lone owner can become two (floor(s·k) ≥ 2)."
        if lone
        else "yet a lone owner never becomes two (floor(s·k) < 2, or k·p·s ≤ 1)."
    )
    note = f"owners: {T_BAND}; alive: {WILSON_BAND}"
    return finish(figure, results, "theory-branching", "Theory: fixed point and branching", text, note)


def draw_issuance(results: Results) -> Drawing | None:
    """Draw the supply of the published rule against its square law, or the ledger's emission against its bound."""
    scenario = results.study.at(0)
    published = scenario.rules == "published"
    rules = LedgerSettings() if published else scenario.ledger
    relays = 1 if published else scenario.world.relays
    horizon = min(max(scenario.rounds, 8 * rules.halving_rounds), MOST_HORIZON)
    x = np.arange(1, horizon + 1, dtype=np.float64)
    figure, (axes,) = sheet(1, 1, 4.6)
    column, label = ("supply", "supply of the published rule") if published else ("minted", "emission of the ledger")
    table = results.matrix(column)
    band = mean_band(table if published else np.nancumsum(table, axis=1))
    line(axes, x[: scenario.rounds], band, 0, f"simulated {label}", linewidth=4)
    least, most = issuance.published_supply(scenario.published, horizon)
    label = "published rule: o*·(R² + 3R)/2 + fees, less what bids may burn"
    axes.fill_between(
        x, np.maximum(least, LOWEST), most, facecolor="none", edgecolor=BLACK, linestyle="--", label=label
    )
    budget, coin = rules.wei(rules.budget), rules.wei_per_coin / relays
    bound = issuance.emitted(rules.rules(), budget, horizon) / coin
    axes.plot(x, bound, color=ORANGE, linestyle="-.", linewidth=1.6, label="ledger: most that can be emitted by then")
    limit = issuance.emission_limit(rules.rules(), budget) / coin
    axes.axhline(limit, color=RED, linestyle=":", linewidth=1.2, label=f"ledger: most ever, {limit:,.0f} coins")
    axes.set_ylim(bottom=LOWEST)
    axes.set(xscale="log", yscale="log", xlabel="round", ylabel="coins", xlim=(1, horizon))
    axes.xaxis.set_major_locator(LogLocator())
    axes.xaxis.set_minor_formatter(NullFormatter())
    legend(axes)
    text = (
        "The published rule mints a coin for every ancestor of every selected model, so supply grows with the square "
        "of the rounds. Our ledger hands a royalty on, the share γ of it at each step, and mints nothing for it: what "
        f"is emitted halves every {rules.halving_rounds:,} settled rounds and is never more than the budget."
    )
    title = "Theory: growth of the supply, and its bound"
    return finish(figure, results, "theory-issuance", title, text, T_BAND)


def draw_cheating(results: Results) -> Drawing | None:
    """Draw when a useless leg and a bought committee stop paying: formula and trials under the ledger's rules."""
    scenario = results.study.at(0)
    if scenario.rules != "ledger":
        return None
    rules = scenario.ledger
    reward = rules.emission * rules.trainer_share
    if reward <= 0 or rules.emission > rules.budget or BIDS[0] * reward < rules.min_bid:
        return None  # nothing to gain by a useless leg, or no bid to compare it with
    figure, (judging, stake) = sheet(1, 2, 4.8)
    _judging(judging, rules, reward, scenario.world.judging.noise or rules.margin)
    _stake(stake, rules)
    text = (
        "Left: a useless leg gets the reward W if the committee lets it pass and loses its bid b if not; it stops "
        "paying where it is found out with probability W/(W + b) (triangles). Right: who holds more than half of the "
        f"seats decides; a useless leg with a bid of {BIDS[0]:g} W pays above the dotted line (triangles: the greatest "
        "share at which it does not). Lines: formula. Dots: "
        f"rounds played under the ledger's rules, {TRIAL_RELAYS} relays each."
    )
    note = f"trials with seed {TRIAL_SEED}, {VALIDATORS} validators of one stake; bars: 95 % confidence"
    return finish(figure, results, "theory-cheating", "Theory: when cheating stops paying", text, note)


def _judging(axes: Axes, rules: LedgerSettings, reward: float, noise: float) -> None:
    found_out = np.linspace(0, 1, 101)
    for place, share in enumerate(BIDS):
        bid = share * reward
        axes.plot(
            found_out,
            cheating.useless_leg_profit(found_out, reward, bid) / reward,
            color=OKABE_ITO[place],
            label=f"b = {share:g} W",
        )
        axes.plot(cheating.enough_judging(reward, bid), 0, "^", color=OKABE_ITO[place], markersize=8)
        for number, caution in enumerate(CAUTIONS):
            rng = np.random.default_rng([TRIAL_SEED, place, number])
            trial = try_useless_leg(rules, TRIAL_RELAYS, VALIDATORS, bid, honest_judges(noise, caution), rng)
            expected = 1 - cheating.passes(0.0, noise, rules.margin, rules.committee_size, caution)
            profit = mean(trial.profit / reward)
            axes.errorbar(
                expected,
                profit.estimate,
                yerr=profit.high - profit.estimate,
                fmt="o",
                markersize=4,
                color=OKABE_ITO[place],
            )
    axes.axhline(0, color=BLACK, linewidth=0.8)
    axes.set(
        xlim=(0, 1),
        xlabel=f"chance that {rules.committee_size} judges find a useless leg out",
        ylabel="profit of a useless leg, in W",
    )
    legend(axes)


def _stake(axes: Axes, rules: LedgerSettings) -> None:
    bought = np.arange(VALIDATORS + 1)
    for place, seats in enumerate(SEATS):
        curve = [cheating.captured(int(number), VALIDATORS, seats) for number in bought]
        axes.plot(bought / VALIDATORS, curve, color=OKABE_ITO[place], label=f"{seats} seat{'s' if seats > 1 else ''}")
        safe = cheating.safe_bought_share(1.0, BIDS[0], VALIDATORS, seats)
        axes.plot(safe, curve[round(safe * VALIDATORS)], "^", color=OKABE_ITO[place], markersize=8)
        for number in bought[3:-3:4]:
            rng = np.random.default_rng([TRIAL_SEED, seats, int(number)])
            trial = try_useless_leg(
                with_committee(rules, seats), TRIAL_RELAYS, VALIDATORS, rules.min_bid, bought_judges(int(number)), rng
            )
            found = proportion(int(trial.passed.sum()), TRIAL_RELAYS)
            bars = [[found.estimate - found.low], [found.high - found.estimate]]
            axes.errorbar(number / VALIDATORS, found.estimate, yerr=bars, fmt="o", markersize=4, color=OKABE_ITO[place])
    axes.axhline(1 - cheating.enough_judging(1.0, BIDS[0]), color=BLACK, linewidth=0.6, linestyle=":")
    axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="bought share of the stake", ylabel="chance of a bought majority")
    legend(axes)
