from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from derelayl_simulations.world.learning import age, gain
from derelayl_simulations.world.settings import LearningSettings

PLAIN = LearningSettings(rate=0.5, ceiling=2.0, forgetting=0.1, noise=0.0, roughness=0.0, drift=0.1)


def gained(settings: LearningSettings, level: float, **other: float) -> float:
    values = {"skill": 1.0, "quality": 1.0, "skew": 0.0, "luck": 0.0} | other
    arrays = {name: np.array([value]) for name, value in values.items()}
    return float(gain(settings, np.array([level]), **arrays)[0])


def test_training_a_model_better_than_the_data_makes_it_worse() -> None:
    assert gained(PLAIN, 2.0) == 0
    assert gained(PLAIN, 1.9, quality=0.9) < 0


def test_no_skill_covers_more_than_the_whole_distance() -> None:
    assert gained(PLAIN, 0.0, skill=1000.0) == 2.0


@given(level=st.floats(0, 1.9), further=st.floats(0.01, 0.1))
def test_the_better_the_model_the_less_a_leg_gains(level: float, further: float) -> None:
    assert gained(PLAIN, level + further) < gained(PLAIN, level)


@given(level=st.floats(0.01, 3), skew=st.floats(0.01, 1))
def test_skewed_data_make_a_model_forget_in_proportion_to_what_it_knows(level: float, skew: float) -> None:
    assert np.isclose(gained(PLAIN, level, skew=skew), gained(PLAIN, level) - 0.1 * skew * level)


def test_luck_counts_more_the_further_there_is_to_go() -> None:
    rough = PLAIN.model_copy(update={"noise": 0.01, "roughness": 0.1})
    near, far = (gained(rough, level, luck=1.0) - gained(rough, level) for level in (2.0, 0.0))
    assert np.isclose([near, far], [0.01, 0.21]).all()


def test_the_published_form_is_a_plain_normal_whatever_the_level() -> None:
    normal = LearningSettings(model="normal", gain_mean=1.0, gain_deviation=2.0)
    assert gained(normal, 0.0, luck=0.5) == gained(normal, 50.0, luck=0.5, skill=9, skew=1) == 2.0


def test_levels_fade_by_the_drift() -> None:
    assert age(PLAIN, np.array([2.0, 0.0])).tolist() == [1.8, 0.0]
