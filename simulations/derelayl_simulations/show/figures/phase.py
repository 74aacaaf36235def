"""Where strategies go when people imitate what earns more, or change to what is best for them."""

from __future__ import annotations

import matplotlib
import numpy as np
from matplotlib.axes import Axes

from ...search.searches import Searches, Way
from ...study.results import Floats, Results
from .sheet import BLACK, OKABE_ITO, STYLES, Drawing, finish, legend, sheet

ARROWS = 8  # on each way
STILL = 0.01  # a step shorter than this has no direction to show


def draw_phases(results: Results, found: Searches) -> Drawing | None:
    """Draw the replicator: shares over its steps, and the ways from several starts in the plane of two strategies."""
    if not found.replicator:
        return None
    first = found.replicator[0]
    across = first.strategies.index("honest")
    up = _strongest(found, first.strategies, across)
    figure, (steps, plane) = sheet(1, 2, 4.4)
    _stack(steps, first)
    shades = matplotlib.colormaps["viridis"](np.linspace(0.0, 0.85, len(found.replicator)))
    for way, shade in zip(found.replicator, shades, strict=True):
        shares = np.array(way.shares)
        _way(plane, shares[:, across], shares[:, up], shade)
    plane.plot([0, 1], [1, 0], color=BLACK, linewidth=0.6, linestyle=":")
    plane.set(xlim=(0, 1), ylim=(0, 1), xlabel="share honest", ylabel=f"share {first.strategies[up]}", aspect="equal")
    plane.set_title("from several starts: ○ start, ● end", loc="left", fontsize=10)
    text = (
        "Replicator dynamics over the trainers' strategies: those that earn more than the average are imitated. Every "
        "step plays the world with that mix; below the dotted line others have the rest."
    )
    return finish(figure, results, "phases", "Phase portrait of strategies", text, _note(found))


def draw_best_response(results: Results, found: Searches) -> Drawing | None:
    """Draw the shares while parts of the people change, one after another, to what is best for them."""
    way = found.best_response
    if way is None or len(way.shares) < 2:
        return None
    figure, (axes,) = sheet(1, 1, 4.4)
    shares = np.array([*way.shares, way.shares[-1]])  # the last state has a width too
    x = np.arange(len(shares)) - 0.5
    for place, name in enumerate(way.strategies):
        colour, dashes = OKABE_ITO[place % len(OKABE_ITO)], STYLES[place // len(OKABE_ITO) % len(STYLES)]
        axes.step(x, shares[:, place], where="post", color=colour, linestyle=dashes, label=name.replace("/", ": "))
    axes.set(xlabel="changes", ylabel="share of the role", ylim=(0, 1.02), xlim=(x[0], x[-1]))
    legend(axes, loc="center left", bbox_to_anchor=(1.01, 0.5))
    end = "nobody finds anything better at the end" if way.settled else "the search ended before anybody was content"
    text = f"Parts of each role in turn try every deviation on the same luck and keep what brings them most: {end}."
    return finish(figure, results, "best-response", "Best response", text, _note(found))


def _strongest(found: Searches, strategies: tuple[str, ...], honest: int) -> int:
    """Return the dishonest strategy with the largest share at the end of the first way."""
    last = np.array(found.replicator[0].shares[-1])
    last[honest] = -1.0
    return int(np.argmax(last))


def _stack(axes: Axes, way: Way) -> None:
    shares = np.array(way.shares)
    x = np.arange(len(shares))
    order = np.argsort(-shares[-1], kind="stable")
    shades = matplotlib.colormaps["viridis"](np.linspace(0.0, 1.0, len(order)))
    axes.stackplot(
        x,
        shares[:, order].T,
        labels=[way.strategies[place] for place in order],
        colors=shades,
        linewidth=0.3,
        edgecolor="white",
    )
    axes.set(xlim=(0, len(shares) - 1), ylim=(0, 1), xlabel="step", ylabel="share of the trainers")
    axes.set_title("from mostly honest", loc="left", fontsize=10)
    handles, labels = axes.get_legend_handles_labels()
    legend(axes, handles=handles[::-1], labels=labels[::-1], loc="center left", bbox_to_anchor=(1.01, 0.5))


def _way(axes: Axes, x: Floats, y: Floats, shade: Floats) -> None:
    axes.plot(x, y, color=shade, linewidth=1.4)
    for step in np.unique(np.linspace(0, len(x) - 2, ARROWS).astype(int)):
        if np.hypot(x[step + 1] - x[step], y[step + 1] - y[step]) > STILL:
            arrow = {"arrowstyle": "->", "color": shade}
            axes.annotate("", (x[step + 1], y[step + 1]), (x[step], y[step]), arrowprops=arrow)
    axes.plot(x[0], y[0], "o", markerfacecolor="white", markeredgecolor=shade)
    axes.plot(x[-1], y[-1], "o", color=shade)


def _note(found: Searches) -> str:
    return f"one seed ({found.seeds[0]}), so without a band"
