"""What a seat says of legs in a hurry, with a broken worker, with the wrong data; and what it costs to say nothing."""

import re
from collections.abc import Callable
from dataclasses import replace

import pytest
import trio

from derelayl_node import handoff
from derelayl_node.handoff import FetchFailed, Taken, keep_genesis
from derelayl_node.roles.judging import Judging, NoVerdict
from derelayl_node.roles.validator import COMMIT_RESERVE_SECONDS, ValidatorRole
from derelayl_node.testing.trainer import FAKE_ARCHITECTURE, FakeTrainer
from derelayl_protocol.checkpoint.manifest import Manifest
from derelayl_protocol.errors import LocalFault
from derelayl_protocol.ledger.commands import CommitScores
from derelayl_protocol.ledger.events import LegSettled, RoundSettled, ValidatorSlashed
from derelayl_protocol.ledger.phases import Phase
from derelayl_protocol.ledger.state import LegEntry, TipEntry
from derelayl_protocol.limits import BPS, MAX_BIDS
from derelayl_protocol.statement.words import short
from derelayl_protocol.types import UNAVAILABLE, ModelId, Ppm, Root
from derelayl_training.bar import MAX_BAR_TIPS
from derelayl_training.jobs import MIN_JUDGED_SAMPLES, Judged, JudgingJob, SampleCounts

from .relay import BID, LEDGER, RULES, Player, Relay


async def trained(relay: Relay) -> Player:
    """A round of two legs in COMMIT; returns one of its validators."""
    await relay.bid_and_match()
    await relay.train()
    assert relay.view.phase == Phase.COMMIT
    return relay.players["vera"]


def sealed(relay: Relay, player: Player) -> bool:
    return any(sender == player.key.address for sender, _ in relay.commands(CommitScores))


# --- this peer's own faults ---


@pytest.mark.parametrize(
    ("break_it", "reason"),
    [
        (lambda trainer: trainer.fail_next("the training worker ended with status -9"), "status -9"),
        (lambda trainer: setattr(trainer, "unfit", "the data are images, the network takes tables"), "are images"),
        (lambda trainer: setattr(trainer, "counts", SampleCounts(100, 3)), "3 held-out samples"),
        (lambda trainer: setattr(trainer, "pace", 0.1), "samples could be measured"),
    ],
    ids=["worker dead", "data changed", "too few samples", "too slow"],
)
async def test_a_seat_that_can_judge_nothing_says_nothing_of_others_and_why_in_its_status(
    relay: Relay, break_it: Callable[[FakeTrainer], None], reason: str
) -> None:
    vera = await trained(relay)
    break_it(vera.trainer)
    await vera.validator.step(relay.view)
    assert not sealed(relay, vera)
    assert reason in vera.validator.obstacle
    assert f"loses {RULES.slash_bps / BPS:.0%} of its stake" in vera.validator.obstacle


async def test_the_next_look_judges_again_and_clears_the_status(relay: Relay) -> None:
    vera = await trained(relay)
    vera.trainer.fail_next("the training worker ended with status -9")
    await vera.validator.step(relay.view)
    await vera.validator.step(relay.view)
    assert sealed(relay, vera)
    assert vera.validator.obstacle == ""


async def test_the_same_obstacle_is_told_once(relay: Relay, caplog: pytest.LogCaptureFixture) -> None:
    vera = await trained(relay)
    vera.trainer.unfit = "the data are images, the network takes tables"
    for _ in range(3):
        await vera.validator.step(relay.view)
    assert caplog.text.count("the data are images") == 1


async def test_a_judging_that_never_ends_is_given_up_in_time_and_seals_nothing(relay: Relay) -> None:
    vera = await trained(relay)
    vera.trainer.stuck = True
    await relay.clock.advance(RULES.commit_seconds - COMMIT_RESERVE_SECONDS - 0.5)
    with trio.fail_after(COMMIT_RESERVE_SECONDS):
        await vera.validator.step(relay.view)
    assert not sealed(relay, vera)
    assert "no time to measure leg 0" in vera.validator.obstacle


async def test_a_seat_without_any_peer_blames_nobody(relay: Relay) -> None:
    vera = await trained(relay)
    for name in relay.players:
        if name != "vera":
            relay.hub.leave(name)
    with pytest.raises(NoVerdict, match="no peer answered"):
        await Judging(vera.kit, relay.view, 0.3, seed=1).verdict()


async def test_a_parent_that_does_not_load_here_is_no_childs_fault(relay: Relay) -> None:
    vera = await trained(relay)
    parent = relay.view.legs[0].parent
    vera.trainer.refused.add(await vera.handoff.weights(await take(vera, parent)))
    await vera.validator.step(relay.view)
    assert not sealed(relay, vera)
    assert "cannot be loaded here" in vera.validator.obstacle


async def take(player: Player, root: Root) -> Root:
    await player.handoff.take(root, 10)
    return root


async def test_a_silent_seat_is_slashed_and_the_others_decide(relay: Relay) -> None:
    """The ledger's rules for it: the round settles by the seats that spoke, and only the silent one pays."""
    vera = await trained(relay)
    vera.trainer.unfit = "the data are images, the network takes tables"
    await relay.judge()
    await relay.clock.advance(RULES.commit_seconds)
    await relay.keep()
    await relay.judge()
    await relay.keep()
    slashed = [event for event in relay.events(ValidatorSlashed) if isinstance(event, ValidatorSlashed)]
    assert [(event.validator, event.amount) for event in slashed] == [
        (vera.key.address, RULES.validator_stake * RULES.slash_bps // BPS)
    ]
    assert len(relay.events(RoundSettled)) == 1
    legs = [event for event in relay.events(LegSettled) if isinstance(event, LegSettled)]
    assert UNAVAILABLE not in [leg.score for leg in legs]
    assert any(leg.selected and leg.bid_returned == BID for leg in legs)


# --- little time ---


async def test_a_slow_seat_judges_every_leg_on_fewer_samples(relay: Relay, caplog: pytest.LogCaptureFixture) -> None:
    vera = await trained(relay)
    vera.trainer.pace = 2 * 3 * MIN_JUDGED_SAMPLES / (RULES.commit_seconds - COMMIT_RESERVE_SECONDS)  # three files
    caplog.set_level("INFO")
    await vera.validator.step(relay.view)
    assert sealed(relay, vera)
    measured = re.search(r"legs \[0, 1\] measured on (\d+) samples", caplog.text)
    assert measured is not None
    assert MIN_JUDGED_SAMPLES <= int(measured[1]) < vera.trainer.counts.held


async def test_a_child_that_cannot_be_fetched_at_first_is_tried_again(relay: Relay) -> None:
    vera = await trained(relay)
    honest, tries = vera.handoff.take_child, []

    async def busy(
        model: ModelId, round_number: int, leg: LegEntry, parent: Manifest, deadline_seconds: float
    ) -> Taken:
        tries.append(leg.child)
        if len(tries) <= len(relay.view.legs):
            raise FetchFailed("it took longer than 5 s")
        return await honest(model, round_number, leg, parent, deadline_seconds)

    vera.handoff.take_child = busy  # type: ignore[method-assign]
    await vera.validator.step(relay.view)
    assert sealed(relay, vera)
    sealed_scores = vera.journal.read(relay.model, 1)
    assert sealed_scores is not None
    assert UNAVAILABLE not in sealed_scores.scores
    assert len(tries) == 4


async def test_a_copy_that_came_late_is_named_after_the_first_and_scores_of_the_first_stand(relay: Relay) -> None:
    """All are measured again beside it: what came late is asked about, and nothing else changes."""
    vera = await trained(relay)
    view = replace(relay.view, legs=(relay.view.legs[0], relay.view.legs[1], relay.view.legs[1]))
    honest, tries = vera.handoff.take_child, []

    async def late(
        model: ModelId, round_number: int, leg: LegEntry, parent: Manifest, deadline_seconds: float
    ) -> Taken:
        tries.append(leg.child)
        if len(tries) == 1:
            raise FetchFailed("it took longer than 5 s")
        return await honest(model, round_number, leg, parent, deadline_seconds)

    vera.handoff.take_child = late  # type: ignore[method-assign]
    verdict = await Judging(vera.kit, view, 10.0, seed=1).verdict()
    first, second = vera.trainer.judgings
    assert len(second.children) == 3 == len(first.children) + 1
    assert first.seed == second.seed
    assert verdict.originals == (0, 1, 1)
    assert UNAVAILABLE not in verdict.scores


async def test_all_legs_of_a_crowded_round_are_measured_on_the_same_samples_from_files_that_stay(
    relay: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handoff, "MAX_CACHED_WEIGHTS", 2)
    vera = await trained(relay)
    view = relay.view
    others = [await another_tip(relay, seed) for seed in range(4)]
    crowd = replace(view, legs=tuple(view.legs[0] for _ in range(MAX_BIDS)), tips=(*view.tips, *others))
    honest = vera.trainer.judge

    async def judge(job: JudgingJob, *, seconds: float) -> Judged:
        assert all(path.exists() for path in [tip.path for tip in job.tips] + [child.path for child in job.children])
        return await honest(job, seconds=seconds)

    vera.trainer.judge = judge  # type: ignore[method-assign]
    verdict = await Judging(vera.kit, crowd, 10.0, seed=1).verdict()
    (job,) = vera.trainer.judgings
    assert (len(job.tips), len(job.children)) == (5, MAX_BIDS)
    assert len(list((relay.folder / "vera" / "weights").glob("*.safetensors"))) == 2
    assert verdict.originals == (0,) * MAX_BIDS
    assert UNAVAILABLE not in verdict.scores


# --- the bar ---


async def another_tip(relay: Relay, seed: int, *, at: str = "vera") -> TipEntry:
    """A checkpoint that a player holds, as a tip of the round; scores rise with the seed."""
    player = relay.players[at]
    weights = await player.trainer.genesis(FAKE_ARCHITECTURE, 100 + seed, relay.folder / f"tip{seed}")
    root = keep_genesis(player.store, player.key, LEDGER, FAKE_ARCHITECTURE, weights)
    return TipEntry(root, player.key.address, Ppm(seed), offered=False)


async def test_the_bar_is_made_of_the_best_tips_that_are_here_and_fetches_none(
    relay: Relay, caplog: pytest.LogCaptureFixture
) -> None:
    vera = await trained(relay)
    here, elsewhere = await another_tip(relay, 1), await another_tip(relay, 2, at="vito")
    caplog.set_level("INFO")
    await Judging(vera.kit, replace(relay.view, tips=(*relay.view.tips, here, elsewhere)), 10.0, seed=1).verdict()
    (job,) = vera.trainer.judgings
    assert [tip.path.stem for tip in job.tips] == [here.root.hex(), relay.genesis.hex()]
    assert {child.parent for child in job.children} == {1}
    assert f"the bar is made without the tip {short(elsewhere.root)}" in caplog.text
    assert not vera.store.manifest(elsewhere.root)


async def test_tips_in_order_make_the_bar_up_to_a_limit(relay: Relay) -> None:
    vera = await trained(relay)
    others = [await another_tip(relay, seed) for seed in range(MAX_BAR_TIPS + 3)]
    await Judging(vera.kit, replace(relay.view, tips=(*relay.view.tips, *others)), 10.0, seed=1).verdict()
    (job,) = vera.trainer.judgings
    best = [tip.root.hex() for tip in reversed(others)][: MAX_BAR_TIPS - 1]
    assert [tip.path.stem for tip in job.tips if tip.path.stem in best] == best
    assert len(job.tips) == MAX_BAR_TIPS


async def test_a_better_tip_that_anyone_can_fetch_is_worth_nothing_as_a_child(relay: Relay) -> None:
    vera = await trained(relay)
    view = relay.view
    better = TipEntry(view.legs[0].child, view.legs[0].trainer, Ppm(9), offered=False)
    await vera.handoff.take(better.root, 10)
    verdict = await Judging(vera.kit, replace(view, tips=(*view.tips, better)), 10.0, seed=1).verdict()
    assert verdict.scores[0] <= 0


async def test_each_round_and_each_seat_draws_other_samples(relay: Relay) -> None:
    vera = await trained(relay)
    draws = iter(range(100))
    role = ValidatorRole(vera.kit, lambda: bytes([next(draws)]) * 32)
    for _ in range(2):
        await role._judge(relay.view)
    first, second = vera.trainer.judgings
    assert first.seed != second.seed != relay.view.number


# --- before a token moves ---


async def test_a_validator_whose_data_are_of_another_kind_does_not_pass_the_check(relay: Relay) -> None:
    vera = relay.players["vera"]
    vera.trainer.unfit = "the data are images, the network takes table rows: name data of that kind with --data"
    with pytest.raises(LocalFault, match="this peer cannot judge the model: the data are images"):
        await vera.validator.check_data()


async def test_a_validator_with_a_handful_of_samples_does_not_pass_the_check(relay: Relay) -> None:
    vera = relay.players["vera"]
    vera.trainer.counts = SampleCounts(train=100, held=MIN_JUDGED_SAMPLES - 1)
    with pytest.raises(LocalFault, match=f"15 held-out samples, and a validator needs {MIN_JUDGED_SAMPLES}"):
        await vera.validator.check_data()
    vera.trainer.counts = SampleCounts(train=0, held=MIN_JUDGED_SAMPLES)
    await vera.validator.check_data()


async def test_a_validator_with_few_samples_is_warned_before_it_stakes(
    relay: Relay, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    vera = relay.players["vera"]
    vera.trainer.counts = SampleCounts(train=0, held=20)
    await vera.validator.check_data()
    (warning,) = [record for record in caplog.records if "held-out samples" in record.message]
    assert warning.levelname == "WARNING"
    assert "is charged in" in warning.message
    assert "judging does not pay" in warning.message


async def test_the_check_of_the_data_fetches_no_weights(relay: Relay) -> None:
    vera = relay.players["vera"]
    await vera.validator.check_data()
    assert vera.store.roots() == ()
    assert vera.handoff.bytes_fetched == 0


async def test_a_trainer_whose_data_no_longer_fit_bids_no_more(relay: Relay) -> None:
    await relay.play_round()
    ann = relay.players["ann"]
    ann.trainer.unfit = "the data are images, the network takes table rows"
    await ann.trainer_role.step(relay.view)
    assert not relay.view.bids
    assert "the data are images" in ann.trainer_role.obstacle
    ann.trainer.unfit = ""
    await ann.trainer_role.step(relay.view)
    assert [bid.trainer for bid in relay.view.bids] == [ann.key.address]
    assert ann.trainer_role.obstacle == ""
