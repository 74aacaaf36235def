"""Drawing all figures of a folder of results and writing the page."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from derelayl_plugins import FIGURES as GROUP
from derelayl_plugins import plugin, plugins, resolve
from derelayl_protocol.errors import LocalFault

from ...search.searches import read
from ...study.results import Results, write_whole
from ...study.verdict import Statement, judge
from ..figures import FIGURES, PARAMETERS, PEOPLE, SEARCHED, sheet
from ..figures.sheet import Drawing
from .page import Chapter, write_page

PAGE = "report.html"
FOLDER = "figures"
FIGURES_PACKAGE = sheet.__package__


def build(results: Results, foreign: Sequence[str] = ()) -> tuple[Path, list[Path]]:
    """Write report.html and figures/*.png into the folder; return their paths. `foreign` names figures of plug-ins.

    Over the rounds, and in the verdict, stands the scenario itself, so not in a sweep whose points are all others.
    Raises LocalFault if no run of the first point is finished or a plug-in cannot draw, OSError if the disk refuses.
    """
    first = [number for number in results.finished() if number < len(results.study.seeds)]
    if not first:
        raise LocalFault(f"{results.folder} has no finished run of its first point yet: run it again")
    chapters = [chapter for chapter in _chapters(results, foreign) if chapter.drawings]
    folder = results.folder / FOLDER
    folder.mkdir(exist_ok=True)
    paths = []
    for drawing in (drawing for chapter in chapters for drawing in chapter.drawings):
        paths.append(folder / f"{drawing.name}.png")
        write_whole(paths[-1], drawing.png)
    page = results.folder / PAGE
    write_whole(page, write_page(results, verdict_of(results), chapters).encode())
    return page, paths


def verdict_of(results: Results) -> list[Statement]:
    """Judge the scenario, with the deviations that were tried; nothing for a sweep that does not play it."""
    if not _has_the_scenario(results):
        return []
    found = read(results.folder)
    return judge(results, found.gains() if found else None)


def _chapters(results: Results, foreign: Sequence[str]) -> Iterator[Chapter]:
    added = [_drawn_by_plugin(name, results) for name in foreign]  # first, so that a fault leaves no half a report
    for title, figures in FIGURES.items():
        if title != PARAMETERS and not _has_the_scenario(results):
            continue
        drawings = [_function(place)(results) for place in figures.values()]
        if title == PEOPLE and (found := read(results.folder)):
            drawings += [_function(place)(results, found) for place in SEARCHED.values()]
        yield Chapter(title, [drawing for drawing in drawings if drawing is not None])
    yield Chapter("Of plug-ins", [drawing for drawing in added if drawing is not None])


def _function(place: str) -> Callable[..., Drawing | None]:
    function: Callable[..., Drawing | None] = resolve(f"{FIGURES_PACKAGE}.{place}")
    return function


def _drawn_by_plugin(name: str, results: Results) -> Drawing | None:
    """Draw a plug-in's figure. Raises LocalFault: no plug-in of that name, or one that cannot, with its package."""
    offered = plugin(GROUP, name)
    if offered is None:
        there = ", ".join(plugins(GROUP)) or "none"
        raise LocalFault(f"no installed package offers a figure {name!r}; there are {there}")
    draw = offered.load()
    with offered.blamed():
        drawing = draw(results)
        if drawing is not None and not isinstance(drawing, Drawing):
            raise TypeError(f"it gave {type(drawing).__name__}, a Drawing is needed")
    return drawing and replace(drawing, name=f"plugin-{name}")


def _has_the_scenario(results: Results) -> bool:
    """Tell whether the first point is the scenario as it is: in a single run, and in a sweep of one key at a time."""
    return not results.study.points[0]
