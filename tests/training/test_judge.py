"""What a seat's worker measures: within its time, on one draw of its samples, above what anyone could have made."""

from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

from derelayl_protocol.errors import LocalFault
from derelayl_protocol.ledger.scoring import score_ppm
from derelayl_protocol.types import WHOLE_MODEL
from derelayl_training.architectures import build
from derelayl_training.bar import Candidate, candidates
from derelayl_training.data import Split
from derelayl_training.jobs import MIN_JUDGED_SAMPLES, Architecture, ChildFile, JudgedChild, JudgingJob, TipFile, drawn
from derelayl_training.judge import judge, losses_of_files
from derelayl_training.train import write_genesis
from derelayl_training.weights import load_candidate, load_weights, save_weights

from .tiny import ARCHITECTURE, OTHER_ARCHITECTURE, Crash, judging, tiny_images

CUT = Architecture("mlp", {"features": 4, "classes": 2, "width": 8, "depth": 2, "segments": 2})


class Ticking:
    """A clock that goes on by `step` seconds at each look."""

    def __init__(self, step: float) -> None:
        self._step, self._now = step, 0.0

    def __call__(self) -> float:
        self._now += self._step
        return self._now


@pytest.fixture
def other(tmp_path: Path) -> Path:
    return write_genesis(ARCHITECTURE, 9, tmp_path / "other").path


def found(judged_child: JudgedChild | None) -> JudgedChild:
    assert judged_child is not None
    return judged_child


# --- refusals ---


def test_a_judging_without_time_for_the_least_number_of_samples_is_none(parent: Path, split: Split) -> None:
    with pytest.raises(LocalFault, match=rf"within 2 s not even {MIN_JUDGED_SAMPLES} samples of 2 files"):
        judge(build(ARCHITECTURE), judging(parent, parent), split.held_x, split.held_y, seconds=2, clock=Ticking(1.0))


def test_a_leased_tip_that_does_not_load_is_no_childs_fault(parent: Path, split: Split, tmp_path: Path) -> None:
    foreign = write_genesis(OTHER_ARCHITECTURE, 1, tmp_path / "foreign").path
    with pytest.raises(LocalFault, match="leased tip foreign cannot be loaded here"):
        judge(build(ARCHITECTURE), judging(foreign, parent), split.held_x, split.held_y)


def test_a_child_without_a_finite_loss_is_none_and_the_rest_is_judged(parent: Path, split: Split, other: Path) -> None:
    tensors = load_file(other)
    save_file({name: np.full_like(tensor, 1e38) for name, tensor in tensors.items()}, other)
    first, second = judge(build(ARCHITECTURE), judging(parent, other, parent), split.held_x, split.held_y).children
    assert first is None
    assert found(second).original == 1


def test_a_judging_that_is_withdrawn_ends_between_two_batches(parent: Path) -> None:
    images, labels = tiny_images(1000)
    batches = iter(range(3))

    def notice() -> None:
        if next(batches, None) is None:
            raise Crash

    with pytest.raises(Crash):
        judge(build(ARCHITECTURE), judging(parent, parent), images, labels, seconds=60, notice=notice)


# --- samples ---


def test_a_seat_draws_other_samples_with_another_seed_and_the_same_with_the_same(parent: Path, other: Path) -> None:
    images, labels = tiny_images(200)

    def with_seed(seed: int) -> tuple[int, float]:
        judged = judge(build(ARCHITECTURE), judging(parent, other, seed=seed), images, labels)
        return judged.samples, found(judged.children[0]).loss

    assert with_seed(1) == with_seed(1)
    assert with_seed(1)[0] == 150
    assert with_seed(1)[1] != with_seed(2)[1]


@pytest.mark.parametrize(("held", "expected"), [(16, 16), (20, 16), (24, 18), (1000, 750)])
def test_a_draw_is_three_quarters_and_never_too_few(held: int, expected: int) -> None:
    assert drawn(held) == expected


def test_with_time_enough_the_whole_draw_is_measured(parent: Path, other: Path) -> None:
    images, labels = tiny_images(400)
    model = build(ARCHITECTURE)
    judged = judge(model, judging(parent, other, seed=5), images, labels, seconds=60)
    part = np.random.default_rng(5).permutation(400)[: judged.samples]
    before, after = losses_of_files(model, [parent, other], images[part], labels[part])
    assert before is not None
    assert after is not None
    assert judged.samples == 300
    assert judged.bar.loss == pytest.approx(before.mean, rel=1e-9)
    assert found(judged.children[0]).loss == pytest.approx(after.mean, rel=1e-9)
    assert found(judged.children[0]).error == pytest.approx(after.error, rel=1e-6)


def test_when_time_is_short_all_are_measured_on_the_same_fewer_samples(parent: Path, other: Path) -> None:
    images, labels = tiny_images(1000)
    judged = judge(build(ARCHITECTURE), judging(parent, other, parent), images, labels, seconds=40, clock=Ticking(1.0))
    first, second = (found(child) for child in judged.children)
    assert MIN_JUDGED_SAMPLES < judged.samples < 750
    assert second.loss == judged.bar.loss  # the same samples: nothing of the difference is chance
    assert second.error == 0
    assert first.error is not None
    assert first.error > 0


def test_what_there_is_no_time_for_is_left_out_of_the_bar_and_the_legs_are_judged(parent: Path, other: Path) -> None:
    images, labels = tiny_images(1000)
    job = judging(parent, other, tips=[other, other, other])
    judged = judge(build(ARCHITECTURE), job, images, labels, seconds=16, clock=Ticking(1.0))
    assert 0 < judged.left_out < len(candidates([WHOLE_MODEL] * 4, [0])) - 1
    assert judged.samples >= MIN_JUDGED_SAMPLES
    assert judged.children[0] is not None


def test_fewer_samples_widen_the_error(parent: Path, other: Path) -> None:
    images, labels = tiny_images(1000)
    errors = []
    for seconds in (16, 1000):
        judged = judge(build(ARCHITECTURE), judging(parent, other), images, labels, seconds=seconds, clock=Ticking(1.0))
        error = found(judged.children[0]).error
        assert error is not None
        errors.append(error)
    assert errors[0] > 1.5 * errors[1]


# --- the bar ---


@settings(max_examples=20, deadline=None)
@given(seeds=st.lists(st.integers(0, 50), min_size=1, max_size=6, unique=True), draw=st.integers(0, 100))
def test_whatever_is_leased_what_anyone_could_make_scores_at_most_0(
    tmp_path_factory: pytest.TempPathFactory, seeds: list[int], draw: int
) -> None:
    """Handing over the parent, another tip, or any average that the bar is made of is worth nothing."""
    folder = tmp_path_factory.mktemp("bar")
    images, labels = tiny_images(60)
    tips = [write_genesis(ARCHITECTURE, seed, folder / f"tip{seed}").path for seed in seeds]
    model = build(ARCHITECTURE)
    made = []
    for number, candidate in enumerate(candidates([WHOLE_MODEL] * len(tips), [0])):
        load_candidate(model, tips, candidate)
        save_weights(model, folder / f"made{number}")
        made.append(folder / f"made{number}")
    for leased in range(len(tips)):
        files = [tips[leased], *(tip for tip in tips if tip != tips[leased])]
        judged = judge(model, judging(files[0], *made, tips=files[1:], seed=draw), images, labels)
        scores = [score_ppm(judged.bar.loss, found(child).loss, found(child).error) for child in judged.children]
        assert max(scores[: len(tips)]) <= 0  # of every tip
        if leased == 0 or len(tips) <= 4:  # beyond that each lease has averages of its own
            assert max(scores) <= 0


@settings(max_examples=12, deadline=None)
@given(
    segments=st.lists(st.sampled_from([0, 1, WHOLE_MODEL]), min_size=1, max_size=4),
    draw=st.integers(0, 1000),
    data=st.data(),
)
def test_compositions_score_at_most_0_on_the_leases_that_they_are_made_for(
    tmp_path_factory: pytest.TempPathFactory, segments: list[int], draw: int, data: st.DataObject
) -> None:
    """With as many leases as there are tips, and segments trained at random."""
    folder = tmp_path_factory.mktemp("bar")
    rng = np.random.default_rng(draw)
    features, labels = rng.normal(size=(60, 4)).astype(np.float32), rng.integers(0, 2, 60)
    model = build(CUT)
    tips = [write_genesis(CUT, draw + place, folder / f"tip{place}").path for place in range(len(segments))]
    leased = sorted(data.draw(st.sets(st.sampled_from(range(len(tips))), min_size=1)))
    children = []
    for number, candidate in enumerate(candidates(segments, leased)):
        load_candidate(model, tips, candidate)
        path = folder / f"made{number}"
        save_weights(model, path)
        children.append(ChildFile(path, candidate.base))
    files = [TipFile(tip, segment) for tip, segment in zip(tips, segments, strict=True)]
    judged = judge(model, JudgingJob(CUT, files, children, 0.95, draw), features, labels)
    assert max(score_ppm(judged.bar.loss, found(own).loss, found(own).error) for own in judged.children) <= 0


def test_two_leases_share_one_bar(parent: Path, other: Path, split: Split) -> None:
    files = [TipFile(parent), TipFile(other)]
    children = [ChildFile(parent, 0), ChildFile(other, 0), ChildFile(parent, 1), ChildFile(other, 1)]
    judged = judge(build(ARCHITECTURE), JudgingJob(ARCHITECTURE, files, children, 0.95, 1), split.held_x, split.held_y)
    assert all(found(child).loss >= judged.bar.loss for child in judged.children)


def test_a_sibling_s_segment_in_the_leased_tip_is_part_of_the_bar(tmp_path: Path) -> None:
    first, second = (write_genesis(CUT, seed, tmp_path / f"{seed}").path for seed in (1, 2))
    composed, theirs = tmp_path / "composed", build(CUT).names_of(1)
    one, other = load_file(first), load_file(second)
    save_file({name: (other if name in theirs else one)[name] for name in one}, composed)
    model = build(CUT)
    load_candidate(model, [first, second], Candidate((0, 1), segment=1))
    made = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    load_weights(model, composed)
    assert all(torch.equal(made[name], tensor) for name, tensor in model.state_dict().items())
    rows = np.random.default_rng(0).normal(size=(40, 4)).astype(np.float32)
    job = JudgingJob(CUT, [TipFile(first, 0), TipFile(second, 1)], [ChildFile(composed, 0)], 0.95, 1)
    judged = judge(model, job, rows, (rows[:, 0] > 0).astype(np.int64))
    assert judged.bar.loss <= found(judged.children[0]).loss


def test_an_average_takes_integers_from_the_leased_tip_and_rounds_to_the_tensors_own_type(tmp_path: Path) -> None:
    model = build(ARCHITECTURE)
    model.register_buffer("batches_seen", torch.tensor(0))
    paths, tensors = [tmp_path / f"{number}" for number in range(3)], []
    for number, path in enumerate(paths):
        write_genesis(ARCHITECTURE, number, path)
        tensors.append({**load_file(path), "batches_seen": np.array(number)})
        save_file(tensors[-1], path)
    load_candidate(model, paths, Candidate((0, 1, 2), base=1))
    made = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
    assert made["batches_seen"] == 1
    for name, tensor in made.items():
        if tensor.dtype == np.int64:
            np.testing.assert_array_equal(tensor, tensors[1][name])
        else:
            mean = np.mean([own[name].astype(np.float64) for own in tensors], axis=0).astype(tensor.dtype)
            np.testing.assert_array_equal(tensor, mean)


# --- originals ---


def test_a_copy_that_was_retouched_is_named_after_the_first_and_another_parents_child_is_not(
    parent: Path, other: Path, tmp_path: Path, split: Split
) -> None:
    touched = {name: tensor * np.float32(1.0001) for name, tensor in load_file(other).items()}
    save_file(touched, tmp_path / "touched")
    own = write_genesis(ARCHITECTURE, 4, tmp_path / "own").path
    tips = [TipFile(parent), TipFile(own)]
    files = [(other, 0), (own, 0), (tmp_path / "touched", 0), (other, 1)]
    job = JudgingJob(ARCHITECTURE, tips, [ChildFile(path, place) for path, place in files], 0.95, 1)

    def named(alike: float) -> list[int]:
        judged = judge(build(ARCHITECTURE), replace(job, alike=alike), split.held_x, split.held_y)
        return [found(child).original for child in judged.children]

    assert named(0.95)[2:] == [0, 3]
    assert named(0) == [0, 1, 2, 3]


def test_every_subset_of_a_few_tips_is_in_the_bar() -> None:
    made = {frozenset(each.tips) for each in candidates([WHOLE_MODEL] * 4, [2])}
    everything = {frozenset(p for p, chosen in enumerate(c) if chosen) for c in product((0, 1), repeat=4)}
    assert made == everything - {frozenset()}
