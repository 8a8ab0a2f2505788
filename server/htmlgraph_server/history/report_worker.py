"""Answers requests for reports of the history, in a child process of the server.

It stays alive between requests, because importing pandas takes longer than most reports. Standard
input has one JSON object a line, see ``report_process.ReportRequest``; each answer is a line with
a JSON object, ``n_bytes`` and ``error``, and the body with that number of bytes.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import time
import warnings
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, BinaryIO

from htmlgraph_nb.core.protocol import encode_json
from htmlgraph_nb.core.timestamps import from_micros, to_rfc3339, utc_now
from htmlgraph_nb.errors import HtmlgraphError, InvalidEvent
from htmlgraph_nb.reports.report_arguments import SessionSelection

from .export_worker import set_up_process

logger = logging.getLogger(__name__)

MAX_TABLES = 8
"""Most tables kept for further requests."""
MIN_AGE_S = 1.0
AGE_FACTOR = 4
"""A table may be as old as this many times the time that its computation took."""


class TableCache:
    """Tables of the last requests.

    A table is used again while the database has not changed, and shortly after: with busy agents
    the database changes each moment, and a table would else be computed for each letter of a
    search.

    Args:
        clock: returns monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._tables: OrderedDict[str, tuple[str, str, float, float, Any]] = OrderedDict()

    def get(self, key: str, cursor: str, compute: Callable[[], Any]) -> tuple[Any, str, str]:
        """Return a table, the cursor up to which it includes all events, and its time.

        Args:
            key: what the table is of.
            cursor: of the database now.
            compute: returns the table.
        """
        known = self._tables.get(key)
        started = self._clock()
        if known is not None:
            table_cursor, at, computed, seconds, table = known
            is_young = started - computed < max(MIN_AGE_S, AGE_FACTOR * seconds)
            if table_cursor == cursor or is_young:
                self._tables.move_to_end(key)
                return table, table_cursor, at
        at = to_rfc3339(utc_now())
        table = compute()
        done = self._clock()
        self._tables[key] = (cursor, at, done, done - started, table)
        self._tables.move_to_end(key)
        while len(self._tables) > MAX_TABLES:
            self._tables.popitem(last=False)
        return table, cursor, at


def answer(request: dict[str, Any], tables: TableCache) -> bytes:
    """Return the body of the answer to a request.

    Raises:
        InvalidEvent: an argument is invalid.
        StoreError: the database cannot be read.
    """
    # pandas belongs into this process only; the server imports this module, too.
    from htmlgraph_nb.reports import cost_report, report_text, session_report

    kind, path, zone = request["report"], request["path"], request["zone"]
    since, until = (
        None if request[name] is None else from_micros(request[name]) for name in ("since", "until")
    )
    head = {"tz": zone, "since": _time(since), "until": _time(until)}
    if kind == "costs":
        by, freq = tuple(request["by"]), request["freq"]
        report, cursor, at = tables.get(
            json.dumps([kind, path, zone, request["since"], request["until"], by, freq]),
            request["cursor"],
            lambda: cost_report.load_cost_report(path, since, until, by, freq, zone),
        )
        if request["format"] == "csv":
            return report_text.csv_text(report.rows).encode()
        costs = report_text.json_costs(report, request["limit"])
        return _body({"at": at, "cursor": cursor, **head, "by": by, "freq": freq, **costs})
    table, cursor, at = tables.get(
        json.dumps([kind, path, zone, request["since"], request["until"]]),
        request["cursor"],
        lambda: session_report.load_sessions(path, since, until, zone),
    )
    selection = SessionSelection(
        request["search"], request["filters"], request["sessions"], request["sort"]
    )
    found = session_report.select_sessions(table, selection)
    shown = found.head(request["limit"])
    if request["format"] == "csv":
        return report_text.csv_text(shown).encode()
    return _body(
        {
            "at": at,
            "cursor": cursor,
            **head,
            "sessions": report_text.json_rows(shown),
            "n_sessions": len(found),
            "n_all": len(table),
            "facets": session_report.facets_of(table),
        }
    )


def _time(value: Any) -> str | None:
    return None if value is None else to_rfc3339(value)


def _body(value: Any) -> bytes:
    return (encode_json(value) + "\n").encode()


def main() -> int:
    """Answer the requests of standard input until it ends; return 0."""
    set_up_process()
    logging.basicConfig(format="%(asctime)s %(levelname)s report worker: %(message)s")
    # They name lines of a notebook; what concerns a report is in its notes.
    warnings.simplefilter("ignore")
    # Whatever a library prints must not end up between the answers.
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    tables = TableCache()
    for line in sys.stdin.buffer:
        try:
            _send(out, answer(json.loads(line), tables))
        except InvalidEvent as error:
            _send(out, b"", {"message": error.message, "field": error.field, "invalid": True})
        except HtmlgraphError as error:
            _send(out, b"", {"message": str(error), "field": None, "invalid": False})
        except BrokenPipeError:
            # The server was killed.
            os._exit(1)
    return 0


def _send(out: BinaryIO, body: bytes, error: dict[str, Any] | None = None) -> None:
    out.write(json.dumps({"n_bytes": len(body), "error": error}).encode() + b"\n" + body)
    out.flush()


if __name__ == "__main__":
    sys.exit(main())
