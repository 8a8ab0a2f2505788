"""An agent's session file that grows in real time: recorded lines, with times of now."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

_TIME = re.compile(rb'"(20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z)"')


def _moment(text: bytes) -> datetime:
    return datetime.fromisoformat(text.decode())


def shift_times(lines: Sequence[bytes], last: datetime) -> list[bytes]:
    """Return the lines with all times moved by as much as brings the latest to ``last``."""
    found = [_moment(text) for line in lines for text in _TIME.findall(line)]
    by = last - max(found)

    def move(match: re.Match[bytes]) -> bytes:
        at = _moment(match[1]) + by
        return b'"' + at.isoformat(timespec="milliseconds")[:-6].encode() + b'Z"'

    return [_TIME.sub(move, line) for line in lines]


def recorded_lines(path: Path, last: datetime | None = None) -> list[bytes]:
    """Return the lines of a recorded file, with their ends, as if it had ended at ``last``.

    Args:
        last: time of its last line; None: now.
    """
    return shift_times(path.read_bytes().splitlines(keepends=True), last or datetime.now(UTC))


def json_line(record: dict[str, object]) -> bytes:
    """Return a record as a line of a session file, with its end."""
    return json.dumps(record, separators=(",", ":")).encode() + b"\n"


def timestamp_from_now(offset_s: float = 0.0) -> str:
    """Return the time so many seconds from now as agents write it."""
    at = datetime.now(UTC) + timedelta(seconds=offset_s)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
