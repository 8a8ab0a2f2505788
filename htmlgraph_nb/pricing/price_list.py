"""What an answer costs, in a process that stays small.

The package with the prices takes 18 MB, most of it code that is needed once: a short-lived process
loads it and tells what it found.
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

logger = logging.getLogger("htmlgraph.prices")

COMMAND = (sys.executable or "python", "-P", "-m", f"{__package__}.genai_table")
"""Without -P a file of the current folder could stand in for a module."""
_MOST_S = 30.0
_loading = threading.Lock()


def price_of(event: Event) -> float | None:
    """Return the US dollars of an answer that does not tell them itself.

    Returns:
        None where the model is not in the table, or the event tells no tokens by kind.
    """
    counts = [count or 0 for count in token_counts(event)]
    if event.model is None or not any(counts):
        return None
    tariff = _tariff(event.model)
    if tariff is None:
        return None
    return tariff.dollars(to_micros(event.timestamp or utc_now()), counts)


def load() -> None:
    """Load the prices, so that no event waits for them."""
    # Whoever asks meanwhile waits, and does not start a process as well.
    with _loading:
        _finder()


@lru_cache(maxsize=1024)
def _tariff(model: str) -> ModelPrice | None:
    load()
    return _finder()(model)


@cache
def _finder() -> Callable[[str], ModelPrice | None]:
    """Return what finds the tariff of a model: the list, else the package itself."""
    try:
        return read_list(COMMAND).find
    except (OSError, subprocess.SubprocessError, TypeError, ValueError) as error:
        logger.warning("no other process could read the prices, so this one does: %s", error)
        from .genai_table import tariff_of

        return tariff_of


def read_list(command: tuple[str, ...]) -> PriceList:
    """Return the list that a process writes.

    Raises:
        OSError: it cannot be started.
        subprocess.SubprocessError: it failed, or takes longer than 30 s.
        TypeError, ValueError: what it wrote is no list.
    """
    # Files, and lines one by one: what is read at once takes memory that is not given back.
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as log:
        status = subprocess.run(  # noqa: S603 - this project's own module
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=log,
            timeout=_MOST_S,
            check=False,
            # Ctrl-C is for who waits for it, and stops that one in its own way.
            start_new_session=True,
            creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
        ).returncode
        output.seek(0)
        log.seek(0)
        if status:
            words = log.read().decode(errors="replace").strip().rpartition("\n")[2]
            raise subprocess.SubprocessError(f"it ended with status {status}: {words}")
        rows = map(json.loads, output)
        first = next(rows, None)
        if first is None:
            raise ValueError("it wrote nothing")
        return PriceList.from_rows(chain((first,), rows))
