"""Settings of the property tests: the same examples on every run, more of them with HYPOTHESIS_PROFILE=ci."""

import os

from hypothesis import settings

settings.register_profile("quick", derandomize=True, deadline=None, max_examples=50)
settings.register_profile("ci", parent=settings.get_profile("quick"), max_examples=500)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))
