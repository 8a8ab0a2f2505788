"""Prints rows of figures as one aligned table."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any


def print_table(heads: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print rows under heads; align numbers to the right, print None as a dash."""
    cells = [[_cell(value) for value in row] for row in rows]
    widths = [
        max(len(row[column]) for row in [list(heads), *cells]) for column in range(len(heads))
    ]
    for line in [list(heads), *cells]:
        first, *others = line
        text = [first.ljust(widths[0])]
        text += [value.rjust(width) for value, width in zip(others, widths[1:], strict=True)]
        print("  ".join(text))
    print(flush=True)


def print_figures(
    figures: Sequence[Any],
    heads: Sequence[str],
    row: Callable[[Any], Sequence[object]],
    *,
    as_json: bool,
) -> None:
    """Print dataclasses of figures as JSON, or each as a row of a table."""
    if as_json:
        print(json.dumps([asdict(item) for item in figures], indent=2))
    else:
        print_table(heads, [row(item) for item in figures])


def _cell(value: object) -> str:
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:,.2f}" if abs(value) < 10 else f"{value:,.1f}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def quantile(ordered: Sequence[float], q: float) -> float | None:
    """Return the ``q`` quantile of sorted values; None if there are none."""
    return ordered[min(len(ordered) - 1, int(q * len(ordered)))] if ordered else None
