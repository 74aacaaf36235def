"""A log whose rate no stranger sets."""

from __future__ import annotations

import io
import logging

import pytest

from derelayl_node.sparing import MAX_LINES, PERIOD_SECONDS, SparingHandler


class Log:
    """A logger with the handler, its output and its clock."""

    def __init__(self) -> None:
        self.now = 0.0
        self.output = io.StringIO()
        handler = SparingHandler(lambda: self.now)
        handler.setStream(self.output)
        self.logger = logging.Logger("tried")
        self.logger.addHandler(handler)

    @property
    def lines(self) -> list[str]:
        return self.output.getvalue().splitlines()


@pytest.mark.parametrize("level", [logging.INFO, logging.WARNING, logging.ERROR])
def test_a_flood_from_one_place_is_bounded_whatever_it_says(level: int) -> None:
    log = Log()
    for number in range(1000):
        log.logger.log(level, f"a stranger says {number}")
    assert len(log.lines) == MAX_LINES


def test_what_was_left_out_is_told_once_with_the_next_line_of_any_place() -> None:
    log = Log()
    for _ in range(1000):
        log.logger.info("flood")
    log.now += PERIOD_SECONDS
    for _ in range(2):
        log.logger.info("something else")
    assert log.lines[MAX_LINES:] == [
        f"{1000 - MAX_LINES} more lines like one above were left out within 60 s",
        "something else",
        "something else",
    ]


def test_another_place_and_another_period_are_heard() -> None:
    log = Log()
    for _ in range(2):
        for _ in range(MAX_LINES):
            log.logger.info("flood")
        log.now += PERIOD_SECONDS
    log.logger.info("quiet")
    assert len(log.lines) == 2 * MAX_LINES + 1


def test_debug_lines_are_all_there() -> None:
    log = Log()
    for _ in range(2 * MAX_LINES):
        log.logger.debug("detail")
    assert len(log.lines) == 2 * MAX_LINES
