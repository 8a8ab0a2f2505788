"""Costs of events and context windows, without importing genai-prices into this process.

The package would add 17 MB to the server, which it needs only once. So a short-lived child process
imports it and prints the table.
"""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from functools import cache, lru_cache
from itertools import chain

from ..core.model import Event, token_counts
from ..core.timestamps import to_micros, utc_now
from .model_price import ModelPrice, PriceList

logger = logging.getLogger(__name__)

COMMAND = (sys.executable or "python", "-P", "-m", f"{__package__}.genai_table")
"""The child process. -P keeps files in the current folder from shadowing modules."""
_TIMEOUT_S = 30.0
_loading = threading.Lock()


def price_of(event: Event) -> float | None:
    """Return the cost of a completion in US dollars, by its model and tokens.

    Returns:
        None if the model is not in the table, or the event has no token counts.
    """
    counts = [count or 0 for count in token_counts(event)]
    if event.model is None or not any(counts):
        return None
    model_price = _find_price(event.model)
    if model_price is None:
        return None
    return model_price.dollars(to_micros(event.timestamp or utc_now()), counts)


def context_window_of(model: str) -> int | None:
    """Return the context window of a model in tokens, by its name.

    Returns:
        None if the model is not in the table, or the table does not say.
    """
    model_price = _find_price(model)
    return None if model_price is None else model_price.context_window


def load() -> None:
    """Load the table in advance, so that the first event does not wait for it."""
    # Concurrent callers wait for one child process.
    with _loading:
        _lookup()


@lru_cache(maxsize=1024)
def _find_price(model: str) -> ModelPrice | None:
    load()
    return _lookup()(model)


@cache
def _lookup() -> Callable[[str], ModelPrice | None]:
    """Return the lookup function: that of the table, else that of the package itself."""
    try:
        return read_list(COMMAND).find
    except (OSError, subprocess.SubprocessError, TypeError, ValueError) as error:
        logger.warning("importing genai-prices here, as the child process failed: %s", error)
        from .genai_table import model_price_of

        return model_price_of


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
        first = next(rows, None)
        if first is None:
            raise ValueError("no output")
        return PriceList.from_rows(chain((first,), rows))
