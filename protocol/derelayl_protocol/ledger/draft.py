"""The draft of the next state: what one command has changed so far, thrown away when the command is refused."""

from __future__ import annotations

from dataclasses import replace

from ..errors import Reason, RuleViolation
from ..limits import MAX_AMOUNT_WEI
from ..spelling import to_hex
from ..types import Address, ModelId, Timestamp, Wei
from .events import Event, PhaseChanged
from .phases import Phase
from .signed import Recover, SignedMessage
from .state import LedgerState, ModelState, RoundView


class Draft:
    """Copies of the state's top-level maps, and the events so far. Lives for one command; the state never changes."""

    def __init__(self, state: LedgerState, sender: Address, now: Timestamp, recover: Recover) -> None:
        self.sender = sender
        self.now = now
        self._recover = recover
        self.wallets = dict(state.wallets)
        self.free = dict(state.free)
        self.models = dict(state.models)
        self.events: list[Event] = []

    def state(self) -> LedgerState:
        """The state after the command."""
        return LedgerState(self.wallets, self.free, self.models)

    def emit(self, event: Event) -> None:
        """Record an event."""
        self.events.append(event)

    def pay(self, account: Address, amount: Wei) -> None:
        """Add to an account's free balance."""
        if amount:
            self.free[account] = Wei(self.free.get(account, 0) + amount)

    def spend(self, account: Address, amount: Wei) -> None:
        """Take from an account's free balance. Raises RuleViolation(INSUFFICIENT_BALANCE)."""
        take(self.free, account, amount)

    def check_signature(self, signer: Address, message: SignedMessage, signature: bytes) -> None:
        """Raise RuleViolation(BAD_SIGNATURE) unless `signer` has signed the message."""
        if self._recover(message, signature) != signer:
            raise RuleViolation(Reason.BAD_SIGNATURE, f"{signer} has not signed this {type(message).__name__}")

    def model(self, model: ModelId) -> ModelState:
        """Look up a model. Raises RuleViolation(UNKNOWN_MODEL)."""
        if model not in self.models:
            raise RuleViolation(Reason.UNKNOWN_MODEL, to_hex(model))
        return self.models[model]

    def put_round(self, model: ModelId, round: RoundView) -> None:
        """Replace a model's running round."""
        self.models[model] = replace(self.models[model], current=round)

    def enter(self, model: ModelId, phase: Phase, seconds: int) -> None:
        """Put the running round into `phase`, which ends `seconds` from now; 0 means that it has no deadline."""
        round = self.models[model].current
        deadline = Timestamp(self.now + seconds if seconds else 0)
        self.put_round(model, replace(round, phase=phase, deadline=deadline))
        self.emit(PhaseChanged(model, round.number, phase, deadline))


def take(balances: dict[Address, Wei], account: Address, amount: Wei) -> None:
    """Take from a balance; an empty one leaves the map. Raises RuleViolation(INSUFFICIENT_BALANCE)."""
    rest = balances.get(account, 0) - amount
    if rest < 0:
        raise RuleViolation(Reason.INSUFFICIENT_BALANCE, f"{account} has {rest + amount} wei, needed are {amount}")
    balances[account] = Wei(rest)
    if not rest:
        del balances[account]


def check_amount(amount: Wei) -> None:
    """Raise RuleViolation: ZERO_AMOUNT or AMOUNT_TOO_LARGE."""
    if amount == 0:
        raise RuleViolation(Reason.ZERO_AMOUNT)
    check_size(amount)


def check_size(amount: Wei) -> None:
    """Raise RuleViolation(AMOUNT_TOO_LARGE); a negative number is a huge one to the EVM."""
    if not 0 <= amount <= MAX_AMOUNT_WEI:
        raise RuleViolation(Reason.AMOUNT_TOO_LARGE, f"{amount} wei, allowed are {MAX_AMOUNT_WEI}")
