"""How good the models become."""

from __future__ import annotations

from ...study.results import Results
from .sheet import T_BAND, Drawing, finish, legend, lines, rounds_axis, sheet


def draw_quality(results: Results) -> Drawing | None:
    """Draw the models' quality over the rounds."""
    if not results.has("quality"):
        return None
    figure, (axes,) = sheet(1, 1, 4.6)
    lines(axes, results, [("quality", "best tip"), ("quality_mean", "mean of the tips")])
    unit = "performance points" if results.study.scenario.rules == "published" else "nats gained since genesis"
    axes.set(ylabel=unit)
    rounds_axis(axes, results.study.at(0).rounds)
    legend(axes)
    text = "What the relay is for: the gain of the tips over the genesis model."
    return finish(figure, results, "quality", "Model quality", text, T_BAND)
