"""The page of a report."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from derelayl_protocol.errors import LocalFault
from derelayl_simulations.scenarios.load import SweepSettings
from derelayl_simulations.show.report.build import build
from derelayl_simulations.study.plan import plan

from ..fakes import results_of, small


class Page(HTMLParser):
    """Collects what a page refers to and checks that its tags are closed."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.references: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.references += [value or "" for name, value in attrs if name in ("src", "href", "srcset", "action", "data")]
        if tag not in ("meta", "img", "link", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_a_study_without_a_finished_run_is_refused(tmp_path: Path) -> None:
    results = results_of(tmp_path / "out")
    for path in results.folder.glob("rounds/**/*.parquet"):
        path.unlink()
    with pytest.raises(LocalFault, match="has no finished run of its first point yet"):
        build(results)


def test_the_page_asks_nobody_for_anything_and_needs_no_script(tmp_path: Path) -> None:
    page, figures = build(results_of(tmp_path / "out"))
    text = page.read_text(encoding="utf-8")
    parser = Page()
    parser.feed(text)
    assert parser.open == []
    assert "script" not in parser.tags
    assert all(reference.startswith(("data:image/png;base64,", "#")) for reference in parser.references)
    assert not re.search(r"url\(|@import|https?://", text)
    assert parser.tags.count("img") == len(figures) > 0
    assert "prefers-color-scheme: dark" in text


def test_the_page_has_the_verdict_with_definitions_and_the_parameters(tmp_path: Path) -> None:
    study = plan(small(published={"k": 3}), range(3), {"published.trainers_per_owner": 3})
    text = build(results_of(tmp_path / "out", study))[0].read_text(encoding="utf-8")
    assert "Sustainable:" in text
    assert "share of seeds that are not extinct after 3 rounds" in text
    assert "published.trainers_per_owner" in text
    assert "3 of 3 runs finished" in text


def test_what_a_user_wrote_does_not_become_markup(tmp_path: Path) -> None:
    study = plan(small(question="Is <script>alert(1)</script> & co. harmless?"), range(2))
    text = build(results_of(tmp_path / "out", study))[0].read_text(encoding="utf-8")
    assert "<script>" not in text
    assert "&lt;script&gt;" in text


def test_a_second_report_replaces_the_first(tmp_path: Path) -> None:
    results = results_of(tmp_path / "out")
    first = build(results)[0].read_bytes()
    assert build(results)[0].read_bytes() == first


@pytest.mark.parametrize(("method", "judged"), [("grid", False), ("one-at-a-time", True)])
def test_a_sweep_is_judged_only_where_the_scenario_itself_is_played(tmp_path: Path, method: str, judged: bool) -> None:
    sweep = SweepSettings.model_validate({"method": method, "over": {"published.trainers_per_owner": [2, 3, 5]}})
    page, figures = build(results_of(tmp_path / "out", plan(small(), range(2), None, sweep)))
    assert ("Sustainable:" in page.read_text(encoding="utf-8")) is judged
    assert ("coins.png" in {path.name for path in figures}) is judged
