"""Tables, times and colours of a terminal. Text of agents is only ever text."""

from __future__ import annotations

import os
import re
import shutil
import sys
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TextIO

from htmlgraph_nb.client.agent_view import visible_text

_COLOURS = {"waiting": "1;33", "cannot_work": "31", "done": "36", "active": "32", "dim": "2"}
_PAINT = re.compile(r"\x1b\[[0-9;]*m")
_GAP = "  "
_MIN_WIDTH = 8
_ELLIPSIS = "…"


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table.

    Attributes:
        head: its name.
        right: whether values are aligned at the right, as numbers.
        shrinks: whether its texts may be cut, so that the table fits a terminal.
    """

    head: str
    right: bool = False
    shrinks: bool = False


def has_colour(stream: TextIO, environ: Mapping[str, str]) -> bool:
    """Return whether to colour the text for a stream: a terminal, and ``NO_COLOR`` is not set."""
    return stream.isatty() and not environ.get("NO_COLOR") and environ.get("TERM") != "dumb"


def terminal_width() -> int | None:
    """Return the number of cells of a line of the terminal; None if stdout is none."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def paint(text: str, name: str) -> str:
    """Return text in a colour of this program (a state of an agent, or "dim"), if stdout has one.

    Texts are padded before: a terminal shows no cell for the codes of a colour.
    """
    code = _COLOURS.get(name)
    if code is None or not has_colour(sys.stdout, os.environ):
        return text
    return f"\x1b[{code}m{text}\x1b[0m"


def cell_width(text: str) -> int:
    """Return the number of cells that a terminal uses for a text; none for colours of ``paint``."""
    if "\x1b" in text:
        text = _PAINT.sub("", text)
    if text.isascii():
        return len(text)
    return sum(map(_char_width, text))


def _char_width(char: str) -> int:
    if unicodedata.combining(char) or unicodedata.category(char) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


def fit(text: str, width: int, right: bool = False) -> str:
    """Return a text in exactly ``width`` cells: padded, or cut with an ellipsis."""
    used = cell_width(text)
    if used > width:
        text, used = _cut(text, width)
    padding = " " * (width - used)
    return padding + text if right else text + padding


def _cut(text: str, width: int) -> tuple[str, int]:
    kept, used = "", 0
    for char in text:
        if used + _char_width(char) > width - 1:
            break
        kept += char
        used += _char_width(char)
    return kept + _ELLIPSIS, used + 1


def table_lines(
    columns: Sequence[Column],
    rows: Sequence[Sequence[str]],
    width: int | None = None,
    colours: Sequence[str] = (),
    foot: Sequence[str] = (),
) -> list[str]:
    """Return a table as lines: heads, then rows; without empty columns.

    Args:
        rows: a text for each column.
        width: most cells of a line; columns that shrink are cut. None: nothing is cut.
        colours: a name for ``paint`` for each row.
        foot: a last row, below a line.
    """
    texts = [[visible_text(text) for text in row] for row in rows]
    shown = [i for i in range(len(columns)) if any(row[i] for row in texts)]
    heads = [columns[i].head for i in shown]
    body = [[row[i] for i in shown] for row in texts]
    last = [[foot[i] for i in shown]] if foot else []
    chosen = [columns[i] for i in shown]
    widths = [max(map(cell_width, cells)) for cells in zip(heads, *body, *last, strict=True)]
    if width is not None:
        _shrink(widths, chosen, width)

    def line(cells: Sequence[str]) -> str:
        parts = [
            fit(cell, size, column.right)
            for cell, size, column in zip(cells, widths, chosen, strict=True)
        ]
        return _GAP.join(parts).rstrip()

    lines = [paint(line(heads), "dim")]
    for i, cells in enumerate(body):
        lines.append(paint(line(cells), colours[i] if i < len(colours) else ""))
    if last:
        lines.append(paint(_GAP.join("─" * size for size in widths), "dim"))
        lines.append(line(last[0]))
    return lines


def _shrink(widths: list[int], columns: Sequence[Column], limit: int) -> None:
    """Make the widest columns that shrink narrower, until the line fits or all are small."""
    flexible = [i for i, column in enumerate(columns) if column.shrinks]
    excess = sum(widths) + len(_GAP) * (len(widths) - 1) - limit
    while excess > 0 and flexible:
        widest = max(flexible, key=lambda i: widths[i])
        if widths[widest] <= _MIN_WIDTH:
            return
        widths[widest] -= 1
        excess -= 1


def pair_lines(rows: Sequence[tuple[str, str]]) -> list[str]:
    """Return names and values as the lines of a two-column table."""
    width = max(len(name) for name, _ in rows)
    return [f"{name:<{width}}{_GAP}{value}".rstrip() for name, value in rows]


def plural(n: int, noun: str) -> str:
    """Return a count with its noun, as ``1 agent`` or ``2,000 agents``."""
    return f"{n:,} {noun}{'' if n == 1 else 's'}"
