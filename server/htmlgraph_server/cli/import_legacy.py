"""``htmlgraph-nb import htmlgraph``: the older HtmlGraph project's database into this one."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable

from htmlgraph_nb.core.timestamps import utc_now
from htmlgraph_nb.errors import StoreUnavailable
from htmlgraph_nb.legacy_import.importer import LegacyImporter, LegacyImportReport
from htmlgraph_nb.legacy_import.tail import DEFAULT_PATH, DatabaseTail
from htmlgraph_nb.presence import PresenceManager

from .progress import bar

Say = Callable[[str], None]
AGENT = "htmlgraph"
POLL_S = 0.25
_NAMED = 5


def import_database(
    manager: PresenceManager, path: str | None, say: Say, watch: bool = False
) -> None:
    """Import what the database holds and tell what was done.

    Args:
        path: of the other project's database; None: DEFAULT_PATH in this folder.
        watch: follow the file until the user interrupts.

    Raises:
        CapacityError, StoreError, InvalidEvent: as LegacyImporter.
    """
    tail = DatabaseTail(path or DEFAULT_PATH)
    importer = LegacyImporter(manager, tail)
    with bar(tail.n_rows(), "rows") as progress:
        importer.import_new(utc_now(), progress.update)
    for line in _lines(importer.report, tail, manager.db_path):
        say(line)
    if not watch:
        return
    say(f"following {tail.path}; Ctrl-C ends it")
    with contextlib.suppress(KeyboardInterrupt):
        _follow(importer, tail, say)


def _follow(importer: LegacyImporter, tail: DatabaseTail, say: Say) -> None:
    absent = False
    while True:
        time.sleep(POLL_S)
        if not tail.changed():
            continue
        try:
            importer.import_new(utc_now())
            absent = False
        except StoreUnavailable as error:
            # Said once: it may be locked, or put in place anew.
            if not absent:
                say(str(error))
            absent = True


def _lines(report: LegacyImportReport, tail: DatabaseTail, db: str) -> list[str]:
    lines = [
        f"{report.accepted:,} events and {report.resources:,} features and tracks of {tail.path} "
        f"are new in {db}, {report.known:,} were there already"
    ]
    if report.covered:
        lines.append(
            f"{report.covered:,} events are left out: hooks, session files or telemetry told of "
            "that time"
        )
    if tail.n_broken:
        more = "; …" if tail.n_broken > _NAMED else ""
        shown = "; ".join(tail.broken[:_NAMED])
        lines.append(f"{tail.n_broken:,} broken rows are left out: {shown}{more}")
    return lines
