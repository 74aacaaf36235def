"""What every Trainer must do; run against the fake and against the worker process.

Each check gets a `Case` of its own folder; add a check to CHECKS by writing a function named `check_...`.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from derelayl_node.ports import Trainer, TrainingFailed
from derelayl_protocol.ledger.scoring import score_ppm
from derelayl_protocol.types import WHOLE_MODEL
from derelayl_training.jobs import MIN_JUDGED_SAMPLES, Architecture, LegJob, TipFile, WeightsFile

from ...training.tiny import judging


@dataclass(frozen=True)
class Case:
    trainer: Trainer
    folder: Path
    architecture: Architecture
    other: Architecture  # known too, its tensors have other shapes
    data: str  # a data spec for `accuracy`
    steps: int  # enough for a leg to lower the loss at this learning rate
    learning_rate: float

    async def parent(self) -> WeightsFile:
        return await self.trainer.genesis(self.architecture, 7, self.folder / "parent.safetensors")

    def leg(self, child: str, **changes: Any) -> LegJob:
        job = LegJob(
            architecture=self.architecture,
            parent=self.folder / "parent.safetensors",
            child=self.folder / child,
            segment=WHOLE_MODEL,
            steps=self.steps,
            batch=16,
            learning_rate=self.learning_rate,
            seed=3,
        )
        return dataclasses.replace(job, **changes)


async def check_refuses_an_unknown_architecture(case: Case) -> None:
    with pytest.raises(TrainingFailed, match="unknown"):
        await case.trainer.genesis(Architecture("no-such-network", {}), 1, case.folder / "x")
    assert not (case.folder / "x").exists()


async def check_refuses_a_leg_on_a_segment_that_does_not_exist(case: Case) -> None:
    segments = len(set((await case.parent()).segment_of.values()))
    with pytest.raises(TrainingFailed, match=f"segment {segments}"):
        await case.trainer.train(case.leg("x", segment=segments))
    with pytest.raises(TrainingFailed, match=f"segment {segments}"):
        await case.trainer.check(case.leg("x", segment=segments))


async def check_a_check_trains_nothing(case: Case) -> None:
    parent = await case.parent()
    before = parent.path.read_bytes()
    await case.trainer.check(case.leg("x"))
    assert parent.path.read_bytes() == before
    assert not (case.folder / "x").exists()


async def check_refuses_a_leg_without_steps(case: Case) -> None:
    await case.parent()
    with pytest.raises(TrainingFailed, match="steps"):
        await case.trainer.train(case.leg("x", steps=0))


async def check_refuses_a_parent_of_another_architecture(case: Case) -> None:
    await case.trainer.genesis(case.other, 1, case.folder / "parent.safetensors")
    with pytest.raises(TrainingFailed):
        await case.trainer.train(case.leg("x"))
    assert not (case.folder / "x").exists()


async def check_refuses_a_truncated_parent(case: Case) -> None:
    parent = (await case.parent()).path
    parent.write_bytes(parent.read_bytes()[:-1])
    with pytest.raises(TrainingFailed):
        await case.trainer.train(case.leg("x"))


async def check_starts_a_leg_from_the_average_of_the_tips_that_load(case: Case) -> None:
    parent = await case.parent()
    await case.trainer.train(case.leg("sibling"))
    broken = case.folder / "broken"
    broken.write_bytes(parent.path.read_bytes()[:-1])
    tips = [TipFile(case.folder / "sibling"), TipFile(broken)]
    result = await case.trainer.train(case.leg("x", tips=tips, choosing_seconds=60.0))
    assert result.record["start"] == "average of 2"
    assert (await case.trainer.train(case.leg("y", tips=tips[1:], choosing_seconds=60.0))).record["start"] == "parent"
    assert "start" not in (await case.trainer.train(case.leg("z"))).record


async def check_starts_a_leg_from_its_parent_where_the_average_is_no_network(case: Case) -> None:
    tensors = load_file((await case.parent()).path)
    save_file({name: (-50 * tensor).astype(tensor.dtype) for name, tensor in tensors.items()}, case.folder / "ruin")
    job = case.leg("x", tips=[TipFile(case.folder / "ruin")], choosing_seconds=60.0)
    assert (await case.trainer.train(job)).record["start"] == "parent"
    await case.trainer.train(case.leg("y"))
    assert (case.folder / "x").read_bytes() == (case.folder / "y").read_bytes()


async def check_a_leg_on_a_segment_takes_only_that_from_the_average(case: Case) -> None:
    parent = await case.parent()
    await case.trainer.train(case.leg("sibling"))
    tips = [TipFile(case.folder / "sibling")]
    result = await case.trainer.train(case.leg("x", segment=0, tips=tips, choosing_seconds=60.0))
    assert result.record["start"] == "average of 2"
    before, after = load_file(parent.path), load_file(case.folder / "x")
    changed = {parent.segment_of[name] for name in before if before[name].tobytes() != after[name].tobytes()}
    assert changed == {0}


async def check_refuses_to_measure_accuracy_on_unknown_data(case: Case) -> None:
    parent = (await case.parent()).path
    with pytest.raises(TrainingFailed, match="unknown"):
        await case.trainer.accuracy(case.architecture, parent, "no-such-data")


async def check_judges_refused_files_as_none_and_the_others_still(case: Case) -> None:
    parent = (await case.parent()).path
    tensors = load_file(parent)
    name = sorted(tensors)[0]
    bad = {
        "missing": None,
        "lacking": {key: value for key, value in tensors.items() if key != name},
        "extra": {**tensors, "stowaway": np.zeros(1, np.float32)},
        "typed": {**tensors, name: tensors[name].astype(np.float16)},
        "shaped": {**tensors, name: tensors[name][..., :1].copy()},
        "infinite": {**tensors, name: np.full_like(tensors[name], np.nan)},
    }
    files = [case.folder / key for key in bad]
    for path, content in zip(files, bad.values(), strict=True):
        if content is not None:
            save_file(content, path)
    judged = await case.trainer.judge(judging(parent, *files, parent, architecture=case.architecture), seconds=60)
    assert judged.children[:-1] == (None,) * len(bad)
    assert judged.children[-1] is not None


async def check_judges_nothing_below_a_leased_tip_that_is_refused(case: Case) -> None:
    parent = (await case.parent()).path
    broken = case.folder / "broken"
    broken.write_bytes(parent.read_bytes()[:-1])
    with pytest.raises(TrainingFailed, match="leased tip broken cannot be loaded here"):
        await case.trainer.judge(judging(broken, parent, architecture=case.architecture), seconds=60)


async def check_leaves_another_tip_that_is_refused_out_of_the_bar(case: Case) -> None:
    parent = (await case.parent()).path
    broken = case.folder / "broken"
    broken.write_bytes(parent.read_bytes()[:-1])
    job = judging(parent, parent, architecture=case.architecture, tips=[broken])
    judged = await case.trainer.judge(job, seconds=60)
    assert judged.bar.tips == (0,)
    assert judged.children[0] is not None
    assert judged.children[0].loss == judged.bar.loss


async def check_hands_over_nothing_that_anyone_could_make_above_the_bar(case: Case) -> None:
    """The parent, another tip, or their average: whoever leases what, it is worth nothing."""
    first, second = case.folder / "first", case.folder / "second"
    await case.trainer.genesis(case.architecture, 7, first)
    await case.trainer.genesis(case.architecture, 8, second)
    one, other = load_file(first), load_file(second)
    average = case.folder / "average"
    save_file({name: mean_of(tensor, other[name]) for name, tensor in one.items()}, average)
    for parent, tip in ((first, second), (second, first)):
        job = judging(parent, first, second, average, architecture=case.architecture, tips=[tip])
        judged = await case.trainer.judge(job, seconds=60)
        for child in judged.children:
            assert child is not None
            assert score_ppm(judged.bar.loss, child.loss, child.error) <= 0


def mean_of(one: NDArray[Any], other: NDArray[Any]) -> NDArray[Any]:
    return ((one + other) / 2).astype(one.dtype) if one.dtype.kind == "f" else one


async def check_names_the_first_of_two_copies_as_the_original(case: Case) -> None:
    parent = (await case.parent()).path
    await case.trainer.train(case.leg("child"))
    child, copy = case.folder / "child", case.folder / "copy"
    copy.write_bytes(child.read_bytes())
    job = judging(parent, parent, child, copy, architecture=case.architecture)
    judged = await case.trainer.judge(job, seconds=60)
    assert [each.original for each in judged.children if each is not None] == [0, 1, 1]


async def check_a_judging_without_time_is_no_verdict(case: Case) -> None:
    parent = (await case.parent()).path
    with pytest.raises(TrainingFailed, match=f"within 0 s not even {MIN_JUDGED_SAMPLES} samples"):
        await case.trainer.judge(judging(parent, parent, architecture=case.architecture), seconds=0)


async def check_tells_how_many_samples_fit_a_network(case: Case) -> None:
    counts = await case.trainer.check(case.architecture)
    assert counts.train > 0
    assert counts.held >= MIN_JUDGED_SAMPLES
    with pytest.raises(TrainingFailed, match="unknown"):
        await case.trainer.check(Architecture("no-such-network", {}))


async def check_a_failure_does_not_spoil_the_next_job(case: Case) -> None:
    with pytest.raises(TrainingFailed):
        await case.trainer.train(case.leg("x", parent=case.folder / "absent"))
    assert (await case.parent()).path.exists()


async def check_genesis_repeats_for_a_seed_and_differs_between_seeds(case: Case) -> None:
    files = [case.folder / name for name in ("a", "b", "c")]
    for path, seed in zip(files, (1, 1, 2), strict=True):
        await case.trainer.genesis(case.architecture, seed, path)
    a, b, c = (path.read_bytes() for path in files)
    assert a == b
    assert a != c


async def check_every_tensor_belongs_to_one_segment(case: Case) -> None:
    weights = await case.parent()
    assert load_file(weights.path).keys() == weights.segment_of.keys()
    segments = set(weights.segment_of.values())
    assert segments == set(range(len(segments)))


async def check_the_same_leg_gives_the_same_bytes(case: Case) -> None:
    await case.parent()
    first, second, third = [case.leg("a"), case.leg("b"), case.leg("c", seed=4)]
    for job in (first, second, third):
        await case.trainer.train(job)
    assert first.child.read_bytes() == second.child.read_bytes()
    assert first.child.read_bytes() != third.child.read_bytes()


async def check_a_leg_changes_its_segment_and_no_other(case: Case) -> None:
    parent = await case.parent()
    before = load_file(parent.path)
    for segment in sorted(set(parent.segment_of.values())):
        result = await case.trainer.train(case.leg(f"segment{segment}", segment=segment))
        assert result.weights.segment_of == parent.segment_of
        after = load_file(result.weights.path)
        changed = {name for name in before if before[name].tobytes() != after[name].tobytes()}
        assert changed == {name for name, of in parent.segment_of.items() if of == segment}


async def check_a_leg_improves_and_reports_what_it_did(case: Case) -> None:
    parent = await case.parent()
    result = await case.trainer.train(case.leg("child"))
    assert result.steps == case.steps
    assert 0 < result.samples <= case.steps * 16
    assert 0 < result.loss_after < result.loss_before
    job = judging(parent.path, parent.path, result.weights.path, architecture=case.architecture)
    judged = await case.trainer.judge(job, seconds=60)
    old, new = judged.children
    assert old is not None
    assert new is not None
    assert 0 < new.loss < old.loss == judged.bar.loss < math.inf
    assert judged.samples >= MIN_JUDGED_SAMPLES
    assert old.error == 0
    accuracies = [
        await case.trainer.accuracy(case.architecture, p, case.data) for p in (parent.path, case.leg("child").child)
    ]
    assert 0 <= accuracies[0] < accuracies[1] <= 1


Check = Callable[[Case], Awaitable[None]]
CHECKS: dict[str, Check] = {name: value for name, value in list(globals().items()) if name.startswith("check_")}
