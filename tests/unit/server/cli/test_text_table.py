"""Tables for a terminal."""

from __future__ import annotations

import io

import pytest

from htmlgraph_server.cli.text_table import (
    Column,
    cell_width,
    fit,
    has_colour,
    table_lines,
)

COLUMNS = (Column("NAME", shrinks=True), Column("N", right=True), Column("NOTE"))


class Terminal(io.StringIO):
    """A stream that is a terminal."""

    def isatty(self) -> bool:
        """Return True."""
        return True


@pytest.mark.parametrize(
    ("environ", "expected"),
    [({}, True), ({"NO_COLOR": "1"}, False), ({"NO_COLOR": ""}, True), ({"TERM": "dumb"}, False)],
)
def test_has_colour_respects_no_color(environ: dict[str, str], expected: bool) -> None:
    """Colours are for terminals of people who want them (https://no-color.org)."""
    assert has_colour(Terminal(), environ) is expected
    assert not has_colour(io.StringIO(), environ)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("abc", 3), ("日本", 4), ("e\u0301", 1), ("a…", 2), ("", 0), ("\x1b[1;33mab\x1b[0m", 2)],
)
def test_cell_width_counts_cells(text: str, expected: int) -> None:
    """Wide characters use two cells, combining ones and colours none."""
    assert cell_width(text) == expected


@pytest.mark.parametrize(
    ("text", "width", "expected"),
    [("abc", 5, "abc  "), ("abcdef", 4, "abc…"), ("日本語", 4, "日… "), ("日本", 4, "日本")],
)
def test_fit_pads_or_cuts(text: str, width: int, expected: str) -> None:
    """The result has exactly the width."""
    assert fit(text, width) == expected
    assert cell_width(fit(text, width, right=True)) == width


def test_table_lines_align_and_omit_empty_columns() -> None:
    """Numbers are at the right; a column without values is left out."""
    rows = [("a", "1", ""), ("bcd", "20", "")]
    assert table_lines(COLUMNS, rows, foot=("all", "21", "")) == [
        "NAME   N",
        "a      1",
        "bcd   20",
        "────  ──",
        "all   21",
    ]


def test_table_lines_fit_a_width() -> None:
    """Only columns that may be cut are."""
    lines = table_lines(COLUMNS, [("a long name of an agent", "123", "noted")], 24)
    assert lines[1] == "a long name…  123  noted"


def test_table_lines_replace_control_characters() -> None:
    """Text of agents moves neither the cursor nor the lines."""
    lines = table_lines(COLUMNS, [("\x1b[31mred\nnext\u202e", "1", "\x07")])
    assert lines[1:] == ["\ufffd[31mred\ufffdnext\ufffd  1  \ufffd"]
