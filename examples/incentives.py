# %% [markdown]
# # Choosing the rules of a relay
#
# A mechanism designer's first hour with `derelayl_simulations`: load a scenario, play it, look for deviations that pay,
# try a strategy and a rule of one's own, compare, and fit a world to a network's history. `make notebook` makes this
# page from `examples/incentives.py`; worlds are small here, so that it runs in seconds. What the project itself claims
# is measured with more people, rounds and seeds: docs/SIMULATION.md.

# %%
import matplotlib.pyplot as plt
import numpy as np

from derelayl_simulations import (
    Payment,
    Trainer,
    calibrate,
    deviations_of,
    hold_out,
    load,
    offer,
    play_history,
    run,
)

small = load("honest").with_values({"world.relays": 1, "world.participants": 60, "rounds": 60, "search.rounds": 30})
print(small.question)

# %% [markdown]
# ## Play it
# `run` plays one seed and returns a table with an entry for each round. Keys are dotted, as in a scenario's file.

# %%
played = [run(small, seed) for seed in range(4)]
figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3), layout="constrained")
for each in played:
    left.plot(each.table["quality"], color="#0072b2", alpha=0.6)
for name, colour in (("trainer", "#0072b2"), ("validator", "#d55e00"), ("owner", "#009e73")):
    mean = np.mean([each.table[f"profit_{name}"] for each in played], axis=0)
    right.plot(mean, color=colour, label=name)
left.set(title="Quality, nats (four seeds)", xlabel="round")
right.set(title="Profit of the role, coins a round", xlabel="round")
right.legend(frameon=False)
plt.show()

# %% [markdown]
# ## Does cheating pay?
# Each deviation is played by a small group in a world of its own, with the same people and the same luck as the honest
# one. Its gain is what the group earns beyond what it would earn by staying honest, in money a round and person.
# *multi* is a control: honest work with several accounts. A sybil that gains less than it gains nothing by its copies.

# %%
SEEDS = range(4)
TRIED = ["copier", "averager", "hopper", "sybil", "half-sybil"]
searched = small.with_values({"search.trainer": TRIED, "search.validator": ["guesser"], "search.control": ["multi"]})


def gains(scenario, seeds=SEEDS):
    """Return each deviation's mean gain and its standard error over seeds."""
    found = deviations_of(scenario, list(seeds))
    several = {name: np.array([each[name].gain for each in found]) for name in found[0]}
    return {name: (values.mean(), values.std(ddof=1) / np.sqrt(len(values))) for name, values in several.items()}


today = gains(searched)
figure, axes = plt.subplots(figsize=(6, 2.8), layout="constrained")
axes.barh(
    list(today), [mean for mean, _ in today.values()], xerr=[error for _, error in today.values()], color="#56b4e9"
)
axes.axvline(0, color="black", linewidth=0.8)
axes.set(title="Gain beyond honesty, money a round and person")
plt.show()

# %% [markdown]
# ## A strategy of your own
# A strategy says where it departs from honest work. `offer` gives it a name for the scenarios of this process; a name
# for others is an entry point of a package (docs/EXTENDING.md).


# %%
class Waiter(Trainer):
    """Bids when it has seen the others' bids, a little more than the lowest of them."""

    late = True

    def bid(self, market, mine):
        lowest = market.placed[market.placed > 0].min(initial=market.floor)
        return (market.usual[mine] > 0) * lowest * 1.01


offer("waiter", Waiter)
mean, error = gains(searched.with_values({"search.trainer": ["waiter"]}))["waiter"]
print(f"waiting gains {mean:+.2f} ± {error:.2f}")

# %% [markdown]
# ## A rule of your own
# Who is paid how much for a selected leg is a rule, too: here the best three legs, alike. What the contract does not
# run is marked as such wherever it is shown.


# %%
class Podium(Payment):
    """Pays the best three of the selected legs alike."""

    def weights(self, gains):
        score = np.where(gains.selected, gains.score, np.iinfo(np.int64).min)
        place = np.argsort(np.argsort(-score, axis=1, kind="stable"), axis=1, kind="stable")
        return (gains.selected & (place < 3)).astype(np.int64)


offer("top-three", Podium)
RULES = ("proportional", "best", "top-three")
worlds = {name: searched.with_values({"mechanism.payment": name}) for name in RULES}
print(worlds["top-three"].not_run())

# %%
print(f"{'payment':<14}{'quality':>8}{'trainers':>10}{'sybil':>8}{'multi':>8}")
for name, world in worlds.items():
    ends = [run(world, seed) for seed in SEEDS]
    quality = np.mean([each.table["quality"][-20:].mean() for each in ends])
    income = np.mean([each.table["profit_trainer"][-20:].mean() for each in ends])
    found = gains(world)
    print(f"{name:<14}{quality:>8.2f}{income:>10.2f}{found['sybil'][0]:>8.2f}{found['multi'][0]:>8.2f}")

# %% [markdown]
# ## Fit the world to a network
# `derelayl sim calibrate --network network.toml` reads what a network's ledger recorded. Here another scenario stands
# in for the network, so that the truth is known: its legs learn more slowly and its judges err more than usual.

# %%
TRUTH = {"world.learning.rate": 0.25, "world.judging.noise": 0.04, "world.learning.drift": 0.01}
history = play_history(small.with_values({**TRUTH, "world.churn": False}), seed=7)
fitted = calibrate(history)
for key, each in fitted.estimates().items():
    truth = small.values()[key] if key not in TRUTH else TRUTH[key]
    print(f"{key:<28}{each.value:>7.3f}  [{each.low:.3f}, {each.high:.3f}]   truth {truth:.3f}")
print("not told:", *fitted.untold(), sep="\n- ")

# %% [markdown]
# Would the fitted world have predicted the last quarter of the rounds, from a fit to the others alone?

# %%
result = hold_out(history, 0.25, small, worlds=16)
for each in result.predictions:
    print(f"{each.name:<36} inside {each.covered:.0%}, error {each.error:.3f}, of the mean {each.mean:.3f}")
print(result.sentence())

# %% [markdown]
# The fit is uncertain, and a verdict should not hang on that: ask it of worlds that are each as likely.

# %%
for draw in (1, 2, 3):
    found = gains(fitted.scenario(searched, draw), seeds=range(2))
    print(f"draw {draw}: sybil {found['sybil'][0]:+.2f}, half sybil {found['half-sybil'][0]:+.2f}")
