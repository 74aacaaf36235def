"""A scenario of your own, played with the rules that the contract runs: would the relay live, and would work pay?"""

from pathlib import Path

import polars

import derelayl

simulation = derelayl.simulate(Path(__file__).with_name("own_scenario.toml"), seeds=3)
for claim in simulation.claims:
    print(f"{claim.answer:>12}  {claim.claim}")
print(f"altogether: {simulation.answer}")
earned = simulation.people.group_by("role", "strategy").agg(polars.mean("profit")).sort("role", "strategy")
for role, strategy, profit in earned.rows():
    print(f"{role}, {strategy}: {profit:+.2f} coins a round")
