"""Duplicates in function: can seats tell a disguised copy of a leg from an honest sibling, and from which τ on?

A seat correlates the changes of loss of two legs against their parent, sample by sample (Pearson), and takes them for
one training from τ on; the ledger follows more than half of the seats, here of SEATS_ASKED. Eight trainers train a leg
each from one parent; of two of them somebody makes DISGUISES, from those that cost nothing to one that costs a whole
training. *Excess* is the same of what both legs changed beyond the mean of the others: the partial correlation, given
that mean. *Taken for copies* are honest legs whose original is another trainer's leg; *caught* is a disguise that the
majority of seats correlates with the leg it was made of.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import torch
from torch import Tensor

from benchmarks.rows import Row, row
from derelayl_training.architectures import build
from derelayl_training.inputs import to_inputs

from .harness import Log, Measured
from .legs import State
from .siblings import KINDS, LEG_STEPS, SPLITS, STAGES, TRAINERS, Field, Losses, average, lay_out

SAMPLES = (20, 100, 500)
"""Held-out samples of a seat; a skewed deal may leave one with fewer than the most."""

SEATS_ASKED = 3
COPIED = (0, 1)
"""The trainers whose legs are disguised."""

TAUS = (0.90, 0.95, 0.97, 0.99)
HEAD_STEPS = 20
REGROUPED = 4
"""Groups of every GroupNorm: units change places within a group."""

EXCESS_TAUS = (0.80, 0.90, 0.95)
GUARDS = (1.0, 2.0)
"""Standard errors by which a correlation must be above τ, on Fisher's scale: artanh(r) - g / √(n - 3) >= artanh(τ)."""

CHEAP = ("permuted", "noise x1", "update x0.8", "head 20 steps more", "a tenth more steps")
"""Disguises for at most a tenth of a training (the head's steps are a third of its steps, but without the rest)."""

MEAN_OF_TWO = "mean of two trainings"
TRAINED = ("branched half way", "same person, twice", MEAN_OF_TWO)
"""Half a training, a whole one, none on top of two."""

RUINOUS = "noise x3"
"""Free, but it loses more than the leg has gained."""

DISGUISES = (*CHEAP, RUINOUS, *TRAINED)

FLOAT_ROOM = 1e-7
"""So that artanh(1) is a number."""


class DuplicatesTable:
    """What a seat's correlations tell."""

    name = "duplicates"

    def cases(self, quick: bool) -> Sequence[str]:
        """See Table."""
        kinds, splits = (("tables",), ("even",)) if quick else (tuple(KINDS), tuple(SPLITS))
        return [f"{kind}, {split}, {stage}" for kind in kinds for split in splits for stage in STAGES]

    def seeds(self, case: str, seeds: int) -> int:
        """See Table."""
        return seeds

    def measure(self, case: str, seed: int, quick: bool, log: Log) -> Measured:
        """See Table."""
        kind, split, stage = case.split(", ")
        there = lay_out(kind, split, seed, quick)
        parent = there.parent(stage, quick)
        siblings = [there.leg(parent, trainer) for trainer in range(TRAINERS)]
        judged = _Judged(there, parent)
        honest = [judged.changes(state) for state in siblings]
        measured: Measured = {
            "pairs": [
                judged.compare(honest[one], honest[other], _without(honest, one, other)) for one, other in _pairs()
            ],
            "disguises": {},
            "lost": {},
        }
        for copied in COPIED:
            for name, original, copy in disguises(there, parent, siblings[copied], copied):
                found = judged.compare(judged.changes(original), judged.changes(copy), _without(honest, copied))
                measured["disguises"].setdefault(name, []).append(found)
                lost = np.log(judged.on_test(copy) / judged.on_test(original))
                measured["lost"].setdefault(name, []).append(float(lost))
        return measured

    def rows(self, measured: Mapping[str, Sequence[Measured]]) -> list[Row]:
        """See Table."""
        rows = [one for case, runs in measured.items() for one in _rows_of_case(case, runs)]
        for stage in STAGES:
            runs = [run for case, found in measured.items() if case.endswith(stage) for run in found]
            rows += [one for name in DISGUISES for one in _rows_of_disguise(f"{stage}: {name}", name, runs)]
        everywhere = [run for found in measured.values() for run in found]
        return rows + [one for word, rule in RULES.items() for one in _rows_of_rule(word, rule, everywhere)]


TABLE = DuplicatesTable()


class _Judged:
    """The parent's losses at each seat asked, and everybody's changes against them."""

    def __init__(self, there: Field, parent: State) -> None:
        self._there = there
        self._seats = there.seats[:SEATS_ASKED]
        self._before = [there.losses(parent, seat, max(SAMPLES)) for seat in self._seats]

    def changes(self, state: State) -> list[Losses]:
        """At each seat, (N,) nats that the leg took off each sample."""
        now = (self._there.losses(state, seat, max(SAMPLES)) for seat in self._seats)
        return [before - after for before, after in zip(self._before, now, strict=True)]

    def compare(
        self, one: Sequence[Losses], other: Sequence[Losses], rest: Sequence[Sequence[Losses]]
    ) -> dict[str, list[list[float]]]:
        """By measure, for each of SAMPLES, what each seat finds on its first so many samples."""
        others = [np.mean([leg[seat] for leg in rest], 0) for seat in range(len(one))]
        at_seats = list(zip(one, other, others, strict=True))
        return {
            name: [[round(measure(*(v[:count] for v in seat)), 5) for seat in at_seats] for count in SAMPLES]
            for name, measure in MEASURES.items()
        }

    def on_test(self, state: State) -> float:
        return float(self._there.losses(state, self._there.test).mean())


def disguises(there: Field, parent: State, child: State, trainer: int) -> Iterable[tuple[str, State, State]]:
    """Each of DISGUISES with the leg it passes itself off beside: (name, original, disguised)."""
    rng = torch.Generator().manual_seed(there.seed)
    yield "permuted", child, permuted(child, rng)
    yield "noise x1", child, noisy(parent, child, 1, rng)
    yield RUINOUS, child, noisy(parent, child, 3, rng)
    yield "update x0.8", child, {name: parent[name] + 0.8 * (child[name] - parent[name]) for name in child}
    yield "head 20 steps more", child, head_trained(there, child, trainer, rng)
    yield "a tenth more steps", child, there.leg(child, trainer, LEG_STEPS // 10, turn=1)
    half = there.leg(parent, trainer, LEG_STEPS // 2, turn=2)
    branches = [there.leg(half, trainer, LEG_STEPS // 2, turn) for turn in (3, 4)]
    yield "branched half way", branches[0], branches[1]
    again = there.leg(parent, trainer, turn=5)
    yield "same person, twice", child, again
    yield MEAN_OF_TWO, child, average([child, again])


def permuted(child: State, rng: torch.Generator) -> State:
    """The same function with the hidden units of every block in another order."""
    state = {name: tensor.clone() for name, tensor in child.items()}
    for name in child:
        block, found, rest = name.partition(".first.0.weight")  # a convolution, its norm, the next convolution
        if found and not rest:
            order = _order(len(state[name]), REGROUPED, rng)
            for inner in ("first.0.weight", "first.1.weight", "first.1.bias"):
                state[f"{block}.{inner}"] = state[f"{block}.{inner}"][order]
            state[f"{block}.second.0.weight"] = state[f"{block}.second.0.weight"][:, order]
        for inward, outward in (("hidden", "outward"), ("hidden.0", "hidden.2")):  # of an MLP's and a transformer's
            block, found, rest = name.partition(f".{inward}.weight")
            if found and not rest and f"{block}.{outward}.weight" in child:
                order = _order(len(state[name]), 1, rng)
                state[name], bias = state[name][order], f"{block}.{inward}.bias"
                state[bias] = state[bias][order]
                state[f"{block}.{outward}.weight"] = state[f"{block}.{outward}.weight"][:, order]
    return state


def noisy(parent: State, child: State, times: float, rng: torch.Generator) -> State:
    """Noise on each tensor, `times` as large as its update."""

    def disturbed(before: Tensor, after: Tensor) -> Tensor:
        size = (after - before).pow(2).mean().sqrt()
        return after + times * size * torch.randn(after.shape, generator=rng)

    return {name: disturbed(parent[name], child[name]) for name in child}


def head_trained(there: Field, child: State, trainer: int, rng: torch.Generator) -> State:
    """The last layer trained HEAD_STEPS more, the rest as it is."""
    model = build(there.kind.network)
    model.load_state_dict(child)
    head = [tensor for name, tensor in model.named_parameters() if name.startswith("head.")]
    adamw = there.kind.recipe.optimiser == "adamw"
    rate = there.kind.rate
    optimiser = torch.optim.AdamW(head, rate) if adamw else torch.optim.SGD(head, rate, momentum=0.9)
    data = there.trainers[trainer]
    for _ in range(HEAD_STEPS):
        chosen = torch.randint(len(data.train_y), (there.kind.batch,), generator=rng).numpy()
        logits = model(to_inputs(data.train_x[chosen]))
        optimiser.zero_grad()
        torch.nn.functional.cross_entropy(logits, torch.from_numpy(data.train_y[chosen])).backward()
        optimiser.step()
    return {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}


def _order(units: int, groups: int, rng: torch.Generator) -> Tensor:
    size = units // groups
    return torch.cat([group * size + torch.randperm(size, generator=rng) for group in range(groups)])


def _plain(one: Losses, other: Losses, _others: Losses) -> float:
    return float(np.corrcoef(one, other)[0, 1])


def _excess(one: Losses, other: Losses, others: Losses) -> float:
    """The partial correlation of two legs' changes, given the mean of the others'."""
    both, mine, theirs = (float(np.corrcoef(*pair)[0, 1]) for pair in ((one, other), (one, others), (other, others)))
    return (both - mine * theirs) / np.sqrt((1 - mine**2) * (1 - theirs**2))


MEASURES = {"plain": _plain, "excess": _excess}


def _without(legs: Sequence[Sequence[Losses]], *left_out: int) -> list[Sequence[Losses]]:
    return [leg for number, leg in enumerate(legs) if number not in left_out]


def _pairs() -> list[tuple[int, int]]:
    return list(combinations(range(TRAINERS), 2))


def _majority(found: Sequence[float], tau: float, samples: int, guard: float = 0.0) -> bool:
    """Whether more than half of the seats find the correlation at τ or above, by the guard's standard errors."""
    highest = 1 - FLOAT_ROOM
    needed = np.arctanh(tau) + guard / np.sqrt(samples - 3)
    named = [np.arctanh(min(value, highest)) >= needed for value in found]
    return 2 * sum(named) > len(named)


@dataclass(frozen=True)
class Rule:
    """From when on a pair is taken for one training: the measure, τ and the guard."""

    tau: float
    guard: float = 0.0
    measure: str = "plain"

    def taken(self, run: Measured, at: int) -> float:
        """Share of the honest legs that the majority correlates with one of a lower number."""
        pairs = zip(_pairs(), run["pairs"], strict=True)
        return len({other for (_, other), found in pairs if self._names(found, at)}) / TRAINERS

    def caught(self, run: Measured, names: Sequence[str], at: int) -> float:
        """Share of these disguises that the majority correlates with what they were made of."""
        return float(np.mean([self._names(found, at) for name in names for found in run["disguises"][name]]))

    def _names(self, found: Mapping[str, Sequence[Sequence[float]]], at: int) -> bool:
        return _majority(found[self.measure][at], self.tau, SAMPLES[at], self.guard)


RULES = {
    **{f"tau {tau:.2f}": Rule(tau) for tau in TAUS},
    **{f"tau 0.95, guard {guard:g}": Rule(0.95, guard) for guard in GUARDS},
    **{f"excess, tau {tau:.2f}": Rule(tau, measure="excess") for tau in EXCESS_TAUS},
}
"""What is compared over everything together."""


def _rows_of_case(case: str, runs: Sequence[Measured]) -> list[Row]:
    rows = []
    for at, samples in enumerate(SAMPLES):
        name = f"{case}, {samples} samples"
        honest = [[value for found in run["pairs"] for value in found["plain"][at]] for run in runs]
        cheap = [
            [value for each in CHEAP for found in run["disguises"][each] for value in found["plain"][at]]
            for run in runs
        ]
        for metric, pairs, percent in (
            ("honest pairs, median", honest, 50),
            ("honest pairs, 95th percentile", honest, 95),
            ("cheap disguises, 5th percentile", cheap, 5),
        ):
            rows.append(row(name, metric, "r", [float(np.percentile(each, percent)) for each in pairs]))
        for word, rule in RULES.items():
            if not rule.guard:
                rows.append(row(name, f"taken, {word}", "share", [rule.taken(run, at) for run in runs]))
                rows.append(row(name, f"cheap caught, {word}", "share", [rule.caught(run, CHEAP, at) for run in runs]))
    return rows


def _rows_of_disguise(case: str, name: str, runs: Sequence[Measured]) -> list[Row]:
    """Of all kinds of data together, on 100 samples a seat; shares are of all runs, for in most they are 0 or 1."""
    at = SAMPLES.index(100)
    found = [[value for each in run["disguises"][name] for value in each["plain"][at]] for run in runs]
    rows = [row(case, "r", "r", [float(np.median(values)) for values in found])]
    for word, rule in RULES.items():
        if not rule.guard:
            rows.append(row(case, f"caught, {word}", "share", [_mean(rule.caught(run, (name,), at) for run in runs)]))
    lost = [float(np.median(run["lost"][name])) for run in runs]
    return [*rows, row(case, "loss above the original's", "nats of ln(loss)", lost)]


def _rows_of_rule(case: str, rule: Rule, runs: Sequence[Measured]) -> list[Row]:
    """Of everything together: means over all runs, for most runs have none or all."""
    rows = []
    for at, samples in enumerate(SAMPLES):
        name = f"all, {case}, {samples} samples"
        for metric, shares in (
            ("honest legs taken", [rule.taken(run, at) for run in runs]),
            ("cheap disguises caught", [rule.caught(run, CHEAP, at) for run in runs]),
            ("half trainings caught", [rule.caught(run, TRAINED[:1], at) for run in runs]),
        ):
            rows.append(row(name, metric, "share", [_mean(shares)]))
    return rows


def _mean(values: Iterable[float]) -> float:
    return float(np.mean(list(values)))
