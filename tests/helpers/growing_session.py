"""Lines for a session file that grows in real time: recorded lines with current timestamps."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

_TIME = re.compile(rb'"(20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z)"')


def _parse(text: bytes) -> datetime:
    return datetime.fromisoformat(text.decode())


def shift_times(lines: Sequence[bytes], last: datetime) -> list[bytes]:
    """Return the lines with all timestamps shifted so that the latest is ``last``."""
    offset = last - max(_parse(text) for line in lines for text in _TIME.findall(line))

    def shift(match: re.Match[bytes]) -> bytes:
        at = _parse(match[1]) + offset
        return b'"' + at.isoformat(timespec="milliseconds")[:-6].encode() + b'Z"'

    return [_TIME.sub(shift, line) for line in lines]


def recorded_lines(path: Path, last: datetime | None = None) -> list[bytes]:
    """Return the lines of a recorded file, with line ends, shifted to end at ``last``.

    Args:
        last: timestamp of the last line; None: now.
    """
    return shift_times(path.read_bytes().splitlines(keepends=True), last or datetime.now(UTC))


def json_line(record: dict[str, object]) -> bytes:
    """Return a record as a line of a session file, with a line end."""
    return json.dumps(record, separators=(",", ":")).encode() + b"\n"


def timestamp_from_now(offset_s: float = 0.0) -> str:
    """Return the time ``offset_s`` seconds from now in the format of the agents."""
    at = datetime.now(UTC) + timedelta(seconds=offset_s)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
