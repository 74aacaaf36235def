"""The page of a report: one HTML file with its images inside, no request to anywhere, no script."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from ...study.results import Results
from ...study.verdict import Statement, decided, overall
from ..figures.sheet import Drawing
from ..presentation import number, span

STYLE = """
:root { color-scheme: light dark; --ink: #1a1a1a; --soft: #5a5a5a; --paper: #ffffff; --line: #d5d5d5; --tint: #f4f4f2 }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e8e6e3; --soft: #a5a29c; --paper: #16181a; --line: #3a3d40; --tint: #202326 }
}
body { margin: 0 auto; max-width: 66rem; padding: 1.5rem; background: var(--paper); color: var(--ink);
       font: 1rem/1.5 system-ui, sans-serif }
h1 { font-size: 1.7rem; margin: 0 } h2 { margin: 2.5rem 0 0.5rem; border-bottom: 1px solid var(--line) }
h3 { margin: 1.5rem 0 0.3rem } p { margin: 0.4rem 0 } .soft { color: var(--soft) } a { color: inherit }
table { border-collapse: collapse; width: 100%; margin: 0.8rem 0; font-size: 0.92rem }
th, td { text-align: left; padding: 0.35rem 0.6rem; border-bottom: 1px solid var(--line); vertical-align: top }
td.right, th.right { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap }
figure { margin: 0.6rem 0 1.8rem } img { width: 100%; height: auto; background: #fff; border-radius: 4px }
figcaption { color: var(--soft); font-size: 0.85rem } summary { cursor: pointer }
pre { overflow-x: auto; background: var(--tint); padding: 0.8rem }
.answer { font-weight: 600 }
.big { font-size: 1.2rem; padding: 0.6rem 0.9rem; background: var(--tint); border-radius: 4px }
nav a { margin-right: 1rem }
"""

SIGNS = {"yes": "✓ yes", "no": "✗ no", "undecided": "? undecided", "not measured": "– not measured"}
"""Answers are told by words and signs, never by colour alone."""


@dataclass(frozen=True, slots=True)
class Chapter:
    """Figures that belong together."""

    title: str
    drawings: Sequence[Drawing]


def write_page(results: Results, statements: Sequence[Statement], chapters: Sequence[Chapter]) -> str:
    """Return the page as HTML."""
    scenario = results.study.scenario
    title = f"{scenario.name}: incentives of a relay"
    body = [
        f"<h1>{escape(scenario.name)}</h1>",
        f"<p>{escape(' '.join(scenario.question.split()))}</p>",
        f'<p class="soft">{escape(_played(results))}</p>',
        *(f'<p class="big">Not what the contract runs: {escape(each)}.</p>' for each in results.study.not_run()),
        "<nav>"
        + "".join(f'<a href="#c{place}">{escape(each.title)}</a>' for place, each in enumerate(chapters))
        + "</nav>",
        *_verdict(statements, scenario.verdict.confidence),
        *(part for place, chapter in enumerate(chapters) for part in _chapter(place, chapter)),
        *_parameters(results),
    ]
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{STYLE}</style></head>\n<body>\n" + "\n".join(body) + "\n</body></html>\n"
    )


def _played(results: Results) -> str:
    study = results.study
    points = f", {len(study.points)} points by {study.method}" if study.over else ""
    finished = len(results.finished())
    return (
        f"Rules: {study.scenario.rules}. {len(study.seeds)} seeds ({study.seeds[0]} … {study.seeds[-1]}){points}, "
        f"{study.scenario.rounds} rounds, "
        f"{finished} of {study.runs} runs finished. derelayl {results.package}, {results.commit}."
    )


def _verdict(statements: Sequence[Statement], confidence: float) -> Iterable[str]:
    if not statements:
        return
    answer = overall(statements)
    yield "<h2>Verdict</h2>"
    yield f'<p class="big">Sustainable: <span class="answer">{escape(SIGNS[answer])}</span></p>'
    each_answer = decided(statements).items()
    yield f"<p>{escape('; '.join(f'decided by {who}: {SIGNS[found]}' for who, found in each_answer))}</p>"
    yield (
        '<p class="soft">Yes if every measured claim holds, no if one does not; undecided where an interval leaves '
        "both open: play more seeds.</p>"
    )
    heads = ("claim", "decided by", "answer", "estimate", f"{100 * confidence:g} % interval", "definition and unit")
    yield f"<table><tr>{''.join(f'<th>{head}</th>' for head in heads)}</tr>"
    for each in statements:
        estimate = number(each.found.estimate) if each.found else ""
        interval = span(each.found) if each.found else ""
        yield (
            f"<tr><td>{escape(each.claim)}</td><td>{each.decided_by}</td>"
            f'<td class="answer">{escape(SIGNS[each.answer])}</td>'
            f'<td class="right">{estimate}</td><td class="right">{interval}</td>'
            f'<td class="soft">{escape(each.definition)}; in {escape(each.unit)}'
            f"{'. ' + escape(each.bound) if each.bound else ''}</td></tr>"
        )
    yield "</table>"


def _chapter(place: int, chapter: Chapter) -> Iterable[str]:
    yield f'<h2 id="c{place}">{escape(chapter.title)}</h2>'
    for drawing in chapter.drawings:
        image = base64.b64encode(drawing.png).decode()
        yield f"<h3>{escape(drawing.title)}</h3><p>{escape(drawing.text)}</p>"
        yield (
            f'<figure><img alt="{escape(drawing.title)}: {escape(drawing.text)}" src="data:image/png;base64,{image}">'
            f"<figcaption>{escape(drawing.caption)}</figcaption></figure>"
        )


def _parameters(results: Results) -> Iterable[str]:
    study = results.study
    yield "<h2>Parameters</h2>"
    if study.changed:
        yield "<p>Not as the scenario has them:</p>" + _table(study.changed)
    if study.over:
        yield "<p>Swept over:</p>" + _table(study.over)
    document = json.dumps(study.scenario.model_dump(mode="json"), indent=1, ensure_ascii=False)
    yield f"<details><summary>The whole scenario</summary><pre>{escape(document)}</pre></details>"


def _table(values: Any) -> str:
    rows = (f"<tr><td>{escape(key)}</td><td>{escape(json.dumps(value))}</td></tr>" for key, value in values.items())
    return f"<table>{''.join(rows)}</table>"
