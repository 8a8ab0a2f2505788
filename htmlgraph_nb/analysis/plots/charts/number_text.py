"""Numbers, dollars and names as short texts for axes, titles and hover texts."""

from __future__ import annotations

from .chart import NumberUnit
from .time_axis import duration_text

_MAX_LABEL_CHARS = 56
_MAX_VALUE_CHARS = 80
_PREFIXES = ((1e9, "G"), (1e6, "M"), (1e3, "k"))


def si_number(value: float) -> str:
    """Return a number with three digits: 1234567 is "1.23M"."""
    for size, sign in _PREFIXES:
        # 999,999 is rounded to 1M, not to 1e+03k.
        if abs(value) >= 0.9995 * size:
            return f"{_three_digits(value / size)}{sign}"
    return _three_digits(value)


def _three_digits(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 99.95 else f"{value:.3g}"


def usd_text(value: float) -> str:
    """Return US dollars: "$12.30", "$1,234", "$0.0042"."""
    digits = 0 if abs(value) >= 1000 else 2 if abs(value) >= 0.1 or value == 0 else 4
    return f"${value:,.{digits}f}"


def unit_text(value: float, unit: NumberUnit) -> str:
    """Return a value with its unit."""
    if unit == "usd":
        return usd_text(value)
    if unit == "percent":
        return f"{value:.0f} %"
    if unit == "ms":
        return duration_text(value * 1000)
    return si_number(value)


def tick_text(value: float, unit: NumberUnit) -> str:
    """Return the label of a tick."""
    if unit != "usd":
        return unit_text(value, unit)
    if value and not 0.01 <= abs(value) < 1e6:
        return f"${si_number(value)}"
    return f"${value or 0:,.2f}".removesuffix(".00")


def count_text(count: int, noun: str) -> str:
    """Return a count and what is counted: "1 agent", "1,234 agents"."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def short_label(name: str) -> str:
    """Return a name on one line, shortened."""
    line = " ".join(name.split())
    return line if len(line) <= _MAX_LABEL_CHARS else f"{line[: _MAX_LABEL_CHARS - 1].rstrip()}…"


def shown_value(value: object) -> str:
    """Return the repr of an argument, shortened, for an error message."""
    text = repr(value)
    return text if len(text) <= _MAX_VALUE_CHARS else f"{text[: _MAX_VALUE_CHARS - 1]}…"
