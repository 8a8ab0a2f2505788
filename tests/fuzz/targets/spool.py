"""Spool files, as a whole and in parts."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from typing import Any
from unittest.mock import patch

from htmlgraph_nb.ingest.spool import events_from_spool, spool_line
from htmlgraph_server.background import spool_reader
from tests.fuzz.oracle import NOW, check_events, check_roster, require
from tests.fuzz.targets import split_variant


def run(data: bytes) -> None:
    """Read a file twice, the second time in parts, and write its events to a file again."""
    _, body = split_variant(data, ("spool",))
    calls: list[tuple[str, Mapping[str, Any]]] = []
    events, broken = events_from_spool(body, NOW, lambda *call: calls.append(call))
    n_lines = body.count(b"\n") + 1
    require(all(1 <= number <= n_lines for number in broken), "the number of no line")
    require(broken == sorted(set(broken)), "a line is broken twice")
    check_events(events, len(body))
    check_roster([event.checked() for event in events])
    for agent, payload in calls:
        require(isinstance(payload, dict), f"{agent}: a hook call that is no object")
    # Lines of up to 512 bytes, in reads of 64.
    with patch.multiple(spool_reader, _PART_BYTES=64, MAX_SPOOL_BYTES=512):
        parts = list(spool_reader._parts(io.BytesIO(body)))
    in_parts = [event for part in parts for event in events_from_spool(part, NOW)[0]]
    if max(map(len, body.split(b"\n"))) <= 512:
        require(in_parts == events, "reading in parts gives other events")
    else:
        require(len(in_parts) <= len(events), "reading in parts gives more events")
    _check_kept(events)


def _check_kept(events: list[Any]) -> None:
    """Check that valid events are the same after they were kept for lack of room."""
    kept = [event.checked() for event in events]
    lines = b"".join(spool_line(event) + b"\n" for event in kept)
    again, broken = events_from_spool(lines, NOW)
    require((again, broken) == (kept, []), "events that were kept differ")
    require(all(json.loads(line) for line in lines.splitlines()), "a kept line is no JSON")
