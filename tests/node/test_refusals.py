"""What the ledger refuses reaches a person as a sentence, and ends no running peer."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from derelayl_node.pace import Pace
from derelayl_node.peer import HOLDUPS, Activity, Peer
from derelayl_node.ports import LedgerUnavailable
from derelayl_node.refusals import SENTENCES, sentence_of
from derelayl_node.roles.validator import StakeTooLow
from derelayl_node.rounds import RoundWatch
from derelayl_node.testing.clock import FakeClock
from derelayl_protocol.errors import Reason, RuleViolation
from derelayl_protocol.types import ModelId


@pytest.mark.parametrize("reason", Reason)
def test_every_refusal_is_a_sentence_with_a_remedy_and_its_numbers(reason: Reason) -> None:
    told = sentence_of(RuleViolation(reason, "3 of 5 tokens"))
    assert len(SENTENCES[reason].split()) > 6
    assert ": " in SENTENCES[reason] or "; " in SENTENCES[reason]
    assert told.endswith(f"({reason.value}: 3 of 5 tokens)")


def joining(refusal: Exception) -> Any:
    async def join() -> None:
        raise refusal

    settings = SimpleNamespace(works_with_data=False)
    return SimpleNamespace(
        settings=settings, roles=SimpleNamespace(validator=SimpleNamespace(join=join)), activity=Activity()
    )


@pytest.mark.parametrize(
    ("refusal", "told"),
    [
        (StakeTooLow("7 tokens of 50"), "validator: 7 tokens of 50"),
        (RuleViolation(Reason.INSUFFICIENT_BALANCE, "50 tokens are needed"), "send the account tokens"),
    ],
)
async def test_a_validator_that_cannot_stake_is_told_so_and_its_peer_goes_on(refusal: Exception, told: str) -> None:
    peer = joining(refusal)
    await Peer.join(peer)
    assert told in peer.activity.last_holdup


async def test_a_silent_chain_still_ends_a_start() -> None:
    with pytest.raises(LedgerUnavailable):
        await Peer.join(joining(LedgerUnavailable("silent")))


def test_a_refusal_holds_a_role_up_and_ends_no_peer() -> None:
    assert issubclass(RuleViolation, HOLDUPS)


async def test_a_chain_that_has_lost_the_model_is_asked_again(nursery: Any) -> None:
    refused: list[float] = []
    clock = FakeClock()

    class Lost:
        async def round(self, model: ModelId) -> None:
            refused.append(clock.now())
            raise RuleViolation(Reason.UNKNOWN_MODEL)

    watch = RoundWatch(Lost(), clock, ModelId(bytes(32)), Pace(clock, 1.0))  # type: ignore[arg-type]
    watch.missed(LedgerUnavailable("no log yet"))
    nursery.start_soon(watch.run)
    for _ in range(3):
        await clock.advance(30)
    assert len(refused) >= 3
    assert watch.latest is None
