"""Drawing all figures of a folder of results and writing the page."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from derelayl_protocol.errors import LocalFault

from ...search.searches import read
from ...study.results import Results, write_whole
from ...study.verdict import Statement, judge
from ..figures.landscape import draw_extinction, draw_response
from ..figures.money import draw_market, draw_money
from ..figures.phase import draw_best_response, draw_phases
from ..figures.quality import draw_quality
from ..figures.roles import draw_roles, draw_survival
from ..figures.sensitivity import draw_sobol, draw_tornado
from ..figures.sheet import Drawing
from ..figures.strategies import draw_deviations, draw_strategies
from ..figures.theory import draw_branching, draw_cheating, draw_issuance
from ..figures.versions import draw_versions
from ..figures.wealth import draw_coins, draw_inequality
from .page import Chapter, write_page

PAGE = "report.html"
FIGURES = "figures"

Draw = Callable[[Results], Drawing | None]

SWEPT: tuple[Draw, ...] = (draw_extinction, draw_response, draw_sobol, draw_tornado)
RELAY: tuple[Draw, ...] = (draw_versions, draw_survival, draw_quality)
MONEY: tuple[Draw, ...] = (draw_coins, draw_inequality, draw_money, draw_market)
PEOPLE: tuple[Draw, ...] = (draw_roles, draw_strategies)
THEORY: tuple[Draw, ...] = (draw_branching, draw_issuance, draw_cheating)


def build(results: Results) -> tuple[Path, list[Path]]:
    """Write report.html and figures/*.png into the folder; return their paths.

    Over the rounds, and in the verdict, stands the scenario itself, so not in a sweep whose points are all others.
    Raises LocalFault if no run of the first point is finished, and OSError if the disk refuses.
    """
    first = [number for number in results.finished() if number < len(results.study.seeds)]
    if not first:
        raise LocalFault(f"{results.folder} has no finished run of its first point yet: run it again")
    chapters = [chapter for chapter in _chapters(results) if chapter.drawings]
    folder = results.folder / FIGURES
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


def _chapters(results: Results) -> Iterator[Chapter]:
    yield Chapter("Over the parameters", _drawn(SWEPT, results))
    if not _has_the_scenario(results):
        return
    found = read(results.folder)
    searched = (
        [draw_deviations(results, found), draw_phases(results, found), draw_best_response(results, found)]
        if found
        else []
    )
    yield Chapter("The relay", _drawn(RELAY, results))
    yield Chapter("Coins", _drawn(MONEY, results))
    people = _drawn(PEOPLE, results)
    yield Chapter("People and strategies", [*people, *(drawing for drawing in searched if drawing)])
    yield Chapter("Theory", _drawn(THEORY, results))


def _has_the_scenario(results: Results) -> bool:
    """Tell whether the first point is the scenario as it is: in a single run, and in a sweep of one key at a time."""
    return not results.study.points[0]


def _drawn(draws: tuple[Draw, ...], results: Results) -> list[Drawing]:
    drawings = (draw(results) for draw in draws)
    return [drawing for drawing in drawings if drawing is not None]
