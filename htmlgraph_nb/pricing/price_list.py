"""Costs of events and context windows, without importing genai-prices into this process.

The package would add 17 MB to the server, which it needs only once. So a short-lived child process
imports it and prints the table.
"""

from __future__ import annotations

import json
import logging
import math
import subprocess
import sys
import tempfile
import threading
from datetime import date
from functools import cache, lru_cache
from importlib import metadata
from typing import Any, NamedTuple

from ..core.model import Event, token_counts
from ..core.timestamps import to_micros, utc_now
from .model_price import PriceList
from .price_age import age_note, guess_note
from .price_rules import Lookup, Priced, find_price, terms_of

logger = logging.getLogger(__name__)

COMMAND = (sys.executable or "python", "-P", "-m", f"{__package__}.genai_table")
"""The child process. -P keeps files in the current folder from shadowing modules."""
_TIMEOUT_S = 30.0
_MAX_GUESSED = 100
_loading = threading.Lock()


def price_of(event: Event) -> float | None:
    """Return the cost of a completion in US dollars, by its model, tokens and terms.

    Returns:
        None if the price of the model under these terms is unknown, or the event has no counts.
    """
    counts = [count or 0 for count in token_counts(event)]
    searches = event.web_searches or 0
    if event.model is None or not (searches or any(counts)):
        return None
    priced = _find_price(event.model, event.speed, event.service_tier, event.inference_geo)
    if priced is None:
        return None
    dollars = priced.price.dollars(to_micros(event.timestamp or utc_now()), counts, searches)
    if math.isnan(dollars):
        return None
    if priced.is_guess and len(_guessed) < _MAX_GUESSED:
        _guessed.add(event.model)
    return dollars


def context_window_of(model: str) -> int | None:
    """Return the context window of a model in tokens, by its name.

    Returns:
        None if the model is not in the table, or the table does not say.
    """
    priced = _find_price(model)
    return None if priced is None else priced.price.context_window


def load() -> None:
    """Load the table in advance, so that the first event does not wait for it."""
    # Concurrent callers wait for one child process.
    with _loading:
        _table()


def table_status(today: date) -> dict[str, Any] | None:
    """Return the version and age of the table, and notes about it; None: it is not loaded yet.

    Args:
        today: the current date, UTC.

    Returns:
        ``version``, ``date`` (of its latest change) and ``notes``, a list of sentences.
    """
    if not _table.cache_info().currsize:
        return None
    table = _table()
    notes = [age_note(table.version, table.changed, today), guess_note(sorted(_guessed))]
    return {
        "version": table.version,
        "date": table.changed.isoformat(),
        "notes": [note for note in notes if note is not None],
    }


class _Table(NamedTuple):
    find: Lookup
    version: str
    changed: date


_guessed: set[str] = set()


@lru_cache(maxsize=1024)
def _find_price(
    model: str,
    speed: str | None = None,
    service_tier: str | None = None,
    inference_geo: str | None = None,
) -> Priced | None:
    load()
    return find_price(model, terms_of(speed, service_tier, inference_geo), _table().find)


@cache
def _table() -> _Table:
    """Return the table of a child process, else that of the package itself; warn if it is old."""
    version, today = metadata.version("genai-prices"), utc_now().date()
    try:
        prices = read_list(COMMAND)
        table = _Table(prices.find, version, prices.changed)
    except (OSError, subprocess.SubprocessError, TypeError, ValueError) as error:
        logger.warning("importing genai-prices here, as the child process failed: %s", error)
        from .genai_table import find_listing, newest_change

        table = _Table(find_listing, version, newest_change(today))
    if (note := age_note(version, table.changed, today)) is not None:
        logger.warning("%s", note)
    return table


def read_list(command: tuple[str, ...]) -> PriceList:
    """Return the table printed by a child process.

    Raises:
        OSError: the process cannot be started.
        subprocess.SubprocessError: it failed, or took longer than 30 s.
        TypeError, ValueError: its output is invalid.
    """
    # Temporary files, read line by line: a pipe read at once would keep its memory.
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as log:
        status = subprocess.run(  # noqa: S603 - this project's own module
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=log,
            timeout=_TIMEOUT_S,
            check=False,
            # Ctrl-C must not reach the child, the caller handles it.
            start_new_session=True,
            creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
        ).returncode
        output.seek(0)
        log.seek(0)
        if status:
            last_line = log.read().decode(errors="replace").strip().rpartition("\n")[2]
            raise subprocess.SubprocessError(f"exit status {status}: {last_line}")
        rows = map(json.loads, output)
        changed = next(rows, None)
        if changed is None:
            raise ValueError("no output")
        return PriceList.from_rows(rows, date.fromisoformat(changed))
