"""What happens in one run: peers, faults and adversaries, drawn from a number and nothing else.

Bounded so that the network's promises must hold: peer `p0` is honest, meets no fault and serves all, more than half of
the committee's stake is honest, and at no time are more honest peers down than `MOST_DOWN`.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass, fields, replace

from . import adversaries, faults
from .adversaries import Adversary, ColludingMinority, SilentConnections
from .faults import Fault, Kill

SEEDER = "p0"
TRAINERS = ("p1", "p2", "p3")
VALIDATORS = ("p4", "p5", "p6")
PEERS = (SEEDER, *TRAINERS, *VALIDATORS)

ROUNDS = 6
QUIET_ROUNDS = 2
"""Rounds at the end in which nothing goes wrong: what the oracle asks for holds after them."""

MOST_FAULTS = 6
MOST_DOWN = 1
"""Honest peers that are killed, paused, cut off or without chain, disk or gas at one time."""

OF_NOBODY: frozenset[type[Fault]] = frozenset({faults.Reorganise})
"""Faults of the chain as such."""

CRIPPLING: tuple[type[Fault], ...] = (
    faults.Kill,
    faults.Pause,
    faults.FullDisk,
    faults.Partition,
    faults.ChainDown,
    faults.RpcLies,
    faults.RpcLimits,
    faults.OutOfGas,
)
"""What a peer cannot do its part under."""

SHORTEST, LONGEST = 0.05, 1.0
"""Lengths of faults in rounds."""

EARLY_SHARE, EARLY_ROUNDS = 0.25, 0.15
"""So many kills come this early: while peers still join, which they do only once."""


@dataclass(frozen=True, slots=True)
class Plan:
    """One run. `number` draws it again."""

    number: int
    rounds: int
    faults: tuple[Fault, ...]
    adversaries: tuple[Adversary, ...]

    @property
    def relayed(self) -> bool:
        """Whether entries are signed and sent by `p0`, or each by its own account."""
        return self.number % 2 == 1

    @property
    def dishonest(self) -> frozenset[str]:
        return frozenset(name for adversary in self.adversaries for name in adversary.whom)

    @property
    def honest(self) -> tuple[str, ...]:
        return tuple(name for name in PEERS if name not in self.dishonest)

    @property
    def faults_end(self) -> float:
        """Rounds after which nothing goes wrong by accident any more."""
        return max((fault.end for fault in self.faults), default=0.0)

    def __str__(self) -> str:
        lines = [f"plan {self.number}: {self.rounds} rounds, {'relayed' if self.relayed else 'direct'}"]
        lines += [f"  {describe(fault)}" for fault in self.faults]
        lines += [f"  {describe(adversary)}" for adversary in self.adversaries]
        return "\n".join(lines)


def describe(event: Fault | Adversary) -> str:
    """A fault or adversary in a line: `from 1.20 for 0.40 rounds Kill(p3)`."""
    skip = ("start", "length", "whom")
    more = [f"{each.name}={getattr(event, each.name)}" for each in fields(event) if each.name not in skip]
    what = f"{type(event).__name__}({', '.join((*event.whom, *more))})"
    return f"from {event.start:.2f} for {event.length:.2f} rounds {what}" if isinstance(event, Fault) else what


def draw(
    number: int,
    *,
    rounds: int = ROUNDS,
    kinds: Iterable[type[Fault]] = faults.KINDS,
    bad: Iterable[type[Adversary]] = adversaries.KINDS,
) -> Plan:
    """The plan of this number; a world that cannot bring about every kind passes those that it can."""
    luck = random.Random(f"derelayl chaos {number}")
    villains = _villains(luck, tuple(bad))
    honest = [name for name in PEERS[1:] if all(name not in each.whom for each in villains)]
    happenings: list[Fault] = []
    for _ in range(luck.randint(1, MOST_FAULTS)):
        fault = _fault(luck, tuple(kinds), honest, rounds)
        if bearable((*happenings, fault)):
            happenings.append(fault)
    return Plan(number, rounds, tuple(sorted(happenings, key=lambda fault: fault.start)), villains)


def bearable(happenings: Iterable[Fault]) -> bool:
    """Whether at no time more than MOST_DOWN peers are crippled; two faults at one time may meet one peer."""
    down = [fault for fault in happenings if isinstance(fault, CRIPPLING)]
    return all(
        len({name for other in down if other.start <= fault.start < other.end for name in other.whom}) <= MOST_DOWN
        for fault in down
    )


def kill_one_in_each_leg(number: int, rounds: int = ROUNDS) -> Plan:
    """One of the seven peers, `p0` too, is killed while each round's legs are trained, and comes back soon: goodput."""
    luck = random.Random(f"derelayl goodput {number}")
    happenings = tuple(
        Kill(start=turn + luck.uniform(0.2, 0.5), length=luck.uniform(0.05, 0.15), whom=(luck.choice(PEERS),))
        for turn in range(rounds)
    )
    return Plan(number, rounds, happenings, ())


def _villains(luck: random.Random, kinds: tuple[type[Adversary], ...]) -> tuple[Adversary, ...]:
    """None, or one trainer, or one validator in the adversary's hands: two of three seats stay honest."""
    if not kinds or luck.random() < 0.3:
        return ()
    kind = luck.choice(kinds)
    if kind is ColludingMinority:
        return (ColludingMinority(whom=(luck.choice(VALIDATORS),), friends=(luck.choice(TRAINERS),)),)
    who = TRAINERS if kind in adversaries.TRAINERS else (*TRAINERS, *VALIDATORS)
    villain = kind(whom=(luck.choice(who),))
    return (replace(villain, number=500),) if isinstance(villain, SilentConnections) else (villain,)


def _fault(luck: random.Random, kinds: tuple[type[Fault], ...], honest: list[str], rounds: int) -> Fault:
    kind = luck.choice(kinds)
    early = kind is Kill and luck.random() < EARLY_SHARE
    start = round(luck.uniform(0, EARLY_ROUNDS if early else rounds - QUIET_ROUNDS - LONGEST), 3)
    length = round(luck.uniform(SHORTEST, LONGEST), 3)
    if kind in OF_NOBODY:
        return kind(start=start, length=0.0)
    fault = kind(start=start, length=length, whom=(luck.choice(honest),))
    if isinstance(fault, faults.RpcLies):
        return replace(fault, lie=luck.choice(list(faults.Lie)))
    if isinstance(fault, faults.RpcLimits):
        return replace(fault, refusal=luck.choice(list(faults.Refusal)))
    if isinstance(fault, faults.ClockJump):
        return replace(fault, seconds=luck.choice((-30.0, -3.0, 3.0, 30.0)))
    return fault
