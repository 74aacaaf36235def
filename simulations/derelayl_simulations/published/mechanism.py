"""One round of the published mechanism, vectorised over participants.

Chance is drawn first and apart from the rules, so that two implementations, or two rule sets, can run on the same luck.
Source: the public simulation of DeRelayL (arXiv:2605.02935). Coins are floating point, as published.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from .family import Floats, Ints, Lineage
from .parameters import PublishedParameters

GENESIS_OWNER = 0  # the participant who owns version 0
NO_MODEL = -1  # the best version of someone who never held a model
BILLIONTH = 1e9  # bids equal to a billionth of a coin tie; else the order in which floats were added would rank them
BLOCKS = 4  # deposit, encryption, testing, settlement: each made by one miner
DEPOSIT, ENCRYPTION, TESTING, SETTLEMENT = range(BLOCKS)


@dataclass(frozen=True, slots=True)
class Chance:
    """Everything random in one round, drawn whether needed or not."""

    order: Ints  # (participants,) a permutation: the first free ones train, and ties between bids fall in this order
    miners: Floats  # (BLOCKS,) in [0, 1): the share of the list of miners at which each block's maker stands
    success: Floats  # (participants,) in [0, 1): below p, this participant's training succeeds
    gain: Floats  # (participants,) standard normal: this participant's gain, before mean and deviation


def draw_chance(rng: np.random.Generator, participants: int) -> Chance:
    """Draw one round's luck."""
    return Chance(
        order=rng.permutation(participants),
        miners=rng.random(BLOCKS),
        success=rng.random(participants),
        gain=rng.standard_normal(participants),
    )


class Network:
    """Where everybody stands between two rounds; `play_round` moves it on."""

    def __init__(self, participants: int) -> None:
        self.round = 0  # rounds played
        self.coins = np.zeros(participants)
        self.trained = np.zeros(participants, np.int64)  # the version each last trained, 0 if none
        self.held = np.full(participants, NO_MODEL)  # the best version each holds a copy of
        self.held[GENESIS_OWNER] = 0
        self.owners: Ints = np.array([GENESIS_OWNER])  # best model first; nobody, once a round has selected nobody
        self.scores = np.zeros(1)  # performance points of each owner's latest model
        self.lineage = Lineage(participants, GENESIS_OWNER)


@dataclass(frozen=True, slots=True)
class RoundOutcome:
    """What happened in a round."""

    owners: int
    trainers: int  # who wanted to train
    matched: int  # trainers who found an owner
    models: int  # trainings that succeeded
    selected: int  # of the models, and so the owners of the next round
    minted: float  # coins
    burned: float  # coins
    common_ancestor_depth: int | None  # rounds, see Ancestry


@dataclass(frozen=True, slots=True)
class Pairs:
    """The matched trainers by rank, each with its owner and what training brought."""

    trainers: Ints  # (pairs,)
    owners: Ints  # (pairs,)
    seats: Ints  # (pairs,) the owner's place among the owners, which is its model's place in its generation
    bids: Floats  # (pairs,) coins
    deposits: Floats  # (pairs,) coins of the owner
    made: Ints  # (models,) places of the pairs whose training succeeded
    scores: Floats  # (models,) performance points


def play_round(network: Network, chance: Chance, parameters: PublishedParameters) -> RoundOutcome:
    """Play one round and update `network` in place; a network without owners only goes on to mine empty blocks."""
    owners = len(network.owners)
    version = network.round + 1
    trainers, miners = _cast_roles(network, chance, parameters)
    pairs = _train(_match(network, trainers, parameters), network, chance, parameters)

    best = (-pairs.scores).argsort(kind="stable")[: math.floor(parameters.selected_share * len(pairs.made))]
    selected = pairs.made[best]
    heirs, makers = pairs.trainers[selected], miners[(chance.miners * len(miners)).astype(np.int64)].tolist()
    burned = _burn(network, pairs, selected)
    fees = _pay_miners(network, makers, len(pairs.trainers), len(pairs.made), parameters)
    depth = _pay_ancestors(network, pairs.seats[selected], heirs)

    successful = pairs.trainers[pairs.made]
    network.trained[successful] = version
    network.held[successful] = version
    if len(successful):
        network.held[makers[ENCRYPTION]] = version
    network.owners, network.scores = heirs, pairs.scores[best]
    network.round = version
    return RoundOutcome(
        owners=owners,
        trainers=len(trainers),
        matched=len(pairs.trainers),
        models=len(pairs.made),
        selected=len(selected),
        minted=fees + len(selected) * (version + 1.0),
        burned=burned,
        common_ancestor_depth=depth,
    )


def _cast_roles(network: Network, chance: Chance, parameters: PublishedParameters) -> tuple[Ints, Ints]:
    """Split those who own nothing into this round's trainers and miners, both in the order of chance."""
    free = np.ones(parameters.participants, np.bool_)
    free[network.owners] = False
    line = chance.order[free[chance.order]]
    wanted = parameters.active - len(network.owners)
    return line[:wanted], line[wanted:]


def _match(network: Network, trainers: Ints, parameters: PublishedParameters) -> tuple[Ints, Floats]:
    """Return the trainers who find an owner, by rank, with their bids: one coin per version gained, if they have it."""
    bids = np.minimum(network.coins[trainers], network.round + 1 - network.trained[trainers])
    places = parameters.trainers_per_owner * len(network.owners)
    ranked = np.rint(bids * -BILLIONTH).argsort(kind="stable")[:places]
    return trainers[ranked], bids[ranked]


def _train(matched: tuple[Ints, Floats], network: Network, chance: Chance, parameters: PublishedParameters) -> Pairs:
    """Seat each owner's k trainers in turn and train."""
    trainers, bids = matched
    each = parameters.trainers_per_owner
    seats = _seats(parameters.participants, each)[: len(trainers)]
    owners = network.owners[seats]
    deposits = np.minimum(network.coins[owners], parameters.owner_deposit) / each
    made = np.flatnonzero(chance.success[trainers] < parameters.success_probability)
    gains = parameters.gain_mean + parameters.gain_deviation * chance.gain[trainers[made]]
    return Pairs(trainers, owners, seats, bids, deposits, made, network.scores[seats[made]] + gains)


@lru_cache(maxsize=8)
def _seats(trainers: int, each: int) -> Ints:
    """Return the owner's place for each matched trainer by rank."""
    seats = np.arange(trainers) // each
    seats.setflags(write=False)
    return seats


def _burn(network: Network, pairs: Pairs, selected: Ints) -> float:
    """Burn both deposits of every pair that was not selected; return the coins burned.

    Deposits are never moved into an escrow: nothing reads a balance between locking and settling.
    """
    lost = np.ones(len(pairs.trainers))
    lost[selected] = 0.0
    bids = pairs.bids * lost
    network.coins[pairs.trainers] -= bids
    each = np.bincount(pairs.seats, weights=pairs.deposits * lost, minlength=len(network.owners))
    # k rounded shares may add up to a hair more than the owner has.
    each = np.minimum(each, network.coins[network.owners])
    network.coins[network.owners] -= each
    return float(bids.sum() + each.sum())


def _pay_miners(network: Network, makers: list[int], pairs: int, models: int, parameters: PublishedParameters) -> float:
    """Mint the four blocks' fees to their makers; return their sum in coins."""
    fees = {
        DEPOSIT: parameters.deposit_fee * pairs,
        ENCRYPTION: parameters.hash_fee * models,
        TESTING: parameters.test_fee * parameters.test_cases + parameters.hash_fee * models,
        SETTLEMENT: parameters.ranking_fee * models * (1 + parameters.test_cases),
    }
    for block, fee in fees.items():
        network.coins[makers[block]] += fee
    return sum(fees.values())


def _pay_ancestors(network: Network, parents: Ints, trainers: Ints) -> int | None:
    """Mint each selected model's coins to its direct owner and to the owner recorded on every ancestor.

    The owner recorded on a model is who trained its parent, and the direct owner trained the selected model's parent:
    so whoever trained an ancestor gets a coin for it, and the genesis owner, recorded on version 0 too, one more.
    """
    ancestry = network.lineage.extend(parents, trainers)
    network.coins += ancestry.models
    network.coins[GENESIS_OWNER] += len(parents)
    return ancestry.depth
