"""Values of a coding agent's JSON as fields of an event, pure: invalid values become None.

An event built from these values passes ``Event.checked``, whatever the JSON contains.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from ..core.ids import repository_name, shorten_id
from ..core.timestamps import EPOCH
from ..core.validation import MAX_ID_CHARS, MAX_INTEGER, is_in_range, parse_time
from ..errors import InvalidEvent
from .git_worktree import repository_folder

_KEYWORD = re.compile(r"[\w.:/+-]{1,64}")
_EMPTY: Mapping[str, Any] = {}


def string(value: object, limit: int | None = MAX_ID_CHARS) -> str | None:
    """Return ``value`` as a storable string of at most ``limit`` characters.

    None if it is empty or no string.

    Args:
        limit: None for no limit.
    """
    if not isinstance(value, str) or not value:
        return None
    if not value.isascii() or "\0" in value:
        value = value.replace("\0", "?").encode("utf-8", "replace").decode()
    return value[:limit]


def safe_keyword(value: object) -> str | None:
    """Return ``value`` if it looks like a keyword of a format; None if it could be prose."""
    return value if isinstance(value, str) and _KEYWORD.fullmatch(value) else None


def count(value: object) -> int | None:
    """Return ``value`` as an integer from 0 to MAX_INTEGER; None if it is none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return int(value) if 0 <= value <= MAX_INTEGER else None


def amount(value: object) -> float | None:
    """Return ``value`` as a number from 0 to MAX_INTEGER; None if it is none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if 0 <= value <= MAX_INTEGER else None


def timestamp(value: object) -> datetime | None:
    """Return the UTC datetime of an RFC 3339 string; None if it is none."""
    if not isinstance(value, str):
        return None
    try:
        return parse_time(value)
    except InvalidEvent:
        return None


def timestamp_of_seconds(value: object) -> datetime | None:
    """Return the UTC datetime of seconds since 1970; None if it is none of the years 2000-2199."""
    return time_after(EPOCH, seconds=value)


def time_after(start: datetime, **parts: object) -> datetime | None:
    """Return ``start + timedelta(**parts)``; None if it is none of the years 2000-2199.

    Args:
        parts: values of a file; one that is no number, or negative, makes the time unknown.
    """
    numbers = {unit: amount(value) for unit, value in parts.items()}
    try:
        at = start + timedelta(**{unit: n for unit, n in numbers.items() if n is not None})
    except OverflowError:
        return None
    return at if None not in numbers.values() and is_in_range(at) else None


def mapping(value: object) -> Mapping[str, Any]:
    """Return ``value`` if it is a JSON object, else an empty one."""
    return value if isinstance(value, Mapping) else _EMPTY


def mappings(value: object) -> list[Mapping[str, Any]]:
    """Return the JSON objects in a list; an empty list if ``value`` is no list."""
    return [item for item in value if isinstance(item, Mapping)] if isinstance(value, list) else []


def identifier(value: object) -> str | None:
    """Return ``value`` as an id of at most MAX_ID_CHARS characters; None if it is no string."""
    whole = string(value, None)
    return None if whole is None else shorten_id(whole)


def base_name(path: object) -> str | None:
    """Return the last name of a POSIX or Windows path; None if there is none."""
    whole = string(path, None)
    if whole is None:
        return None
    separator = "/" if "/" in whole else "\\"
    return string(whole.rstrip(separator).rpartition(separator)[2])


def project_name(cwd: object, name: str | None = None) -> str | None:
    """Return the name of the project in a working folder; None if there is none.

    Args:
        name: as the source reports it; None: the last name of the path.
    """
    name = name or base_name(cwd)
    return name if name is None or not isinstance(cwd, str) else repository_name(name, cwd)


def local_project_name(cwd: object) -> str | None:
    """Return the name of the project in a working folder of this machine, also of a git worktree.

    None if there is none.
    """
    whole = string(cwd, None)
    if whole is None:
        return None
    folder = repository_folder(whole)
    return project_name(cwd) if folder == whole else base_name(folder)


def label(value: object) -> str | None:
    """Return a name that people read as one line; None if it is no string or blank."""
    whole = string(value, None)
    return None if whole is None else string(" ".join(whole.split()))


def whole_path(value: object) -> str | None:
    """Return a path; None if it is no string or too long, because the start is another path."""
    whole = string(value, None)
    return whole if whole is not None and len(whole) < MAX_ID_CHARS else None


def branch_name(value: object) -> str | None:
    """Return the name of a git branch; None if there is none, as with a detached HEAD."""
    name = label(value)
    return None if name == "HEAD" else name


def pull_request(url: object, number: object) -> str | None:
    """Return the URL of a pull request, else ``#`` and its number; None if neither is known."""
    address, n = label(url), count(number)
    if address is not None and address.startswith(("https://", "http://")):
        return address
    return f"#{n}" if n else None


def without_none(**values: object) -> dict[str, Any] | None:
    """Return the values that are not None; None if all are."""
    return {name: value for name, value in values.items() if value is not None} or None


def milliseconds(start: datetime | None, end: datetime | None) -> int | None:
    """Return the milliseconds from ``start`` to ``end``; None if unknown or negative."""
    if start is None or end is None or end < start:
        return None
    return round((end - start).total_seconds() * 1000)
