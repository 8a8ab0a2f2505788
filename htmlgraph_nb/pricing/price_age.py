"""Notes for people about prices that may be out of date. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta

MAX_LAG = timedelta(days=60)
"""Longest time by which completions may be newer than the price table without a note; the table had
a change at least every 47 days in 2026."""
UPDATE = "pip install --upgrade genai-prices"
_MAX_NAMES = 5


def age_note(version: str, changed: date, newest: date) -> str | None:
    """Return a note that completions are much newer than the price table; None if they are not.

    Args:
        version: that of genai-prices.
        changed: date of the latest change in the table.
        newest: date of the newest completion.
    """
    if newest - changed <= MAX_LAG:
        return None
    return (
        f"the latest price in genai-prices {version} is of {changed}, and there are completions of "
        f"{newest}; prices may have changed since. To get the current ones: {UPDATE}"
    )


def guess_note(models: Sequence[str]) -> str | None:
    """Return a note about models that the table has only under similar names; None without any.

    Args:
        models: their names.
    """
    if not models:
        return None
    more = f" and {len(models) - _MAX_NAMES} more" if len(models) > _MAX_NAMES else ""
    return (
        f"the price table does not know {', '.join(models[:_MAX_NAMES])}{more}; the price is that "
        f"of a model whose name begins the same. To get the current table: {UPDATE}"
    )
