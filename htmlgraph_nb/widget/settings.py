"""What a grid's view can be set to: layouts, sort orders, groups, columns, filters; checks only.

The front end (static/grid/model/settings.js) has the same names; it ignores unknown ones, Python
refuses them.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Any

from ..core.validation import MAX_ID_CHARS, shorten, type_name
from ..errors import ConfigError

VIEWS = ("cards", "table", "compact")
SORTS = tuple(
    "attention agent status activity since feature session project model tool tools tokens cost "
    "errors".split()
)
"""Sort orders; with a leading "-" descending."""
GROUPS = ("status", "feature", "session", "project", "model", "host", "parent")
COLUMNS = tuple(
    "agent status feature tool session activity tools tokens cost model project host errors "
    "sparkline since reason parent".split()
)
FILTERS = ("text", "status", "feature", "session", "project", "model", "host", "agent", "parent")
"""Keys of a filter; "text" is searched for, the others are lists of values."""
STATUSES = ("active", "idle", "offline", "waiting")
MAX_VALUES = 256
"""Most values of one key of a filter."""


def check_view(value: object) -> str:
    """Return the layout; ConfigError lists what is possible."""
    return _one_of(value, "view", VIEWS)


def check_sort(value: object) -> str:
    """Return the sort order; ConfigError lists what is possible."""
    if value is None:
        return "attention"
    name = value.removeprefix("-") if isinstance(value, str) else value
    found = _one_of(name, "sort", SORTS, 'each also with a leading "-" for descending')
    return f"-{found}" if name != value else found


def check_group(value: object) -> str | None:
    """Return the field to group by; None and "" mean no groups."""
    return None if value in (None, "") else _one_of(value, "group_by", GROUPS)


def check_columns(value: object) -> list[str] | None:
    """Return the columns of a table in their order; None means the front end's own choice."""
    if value is None:
        return None
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise ConfigError(f"columns is {type_name(value)}, expected a list of {', '.join(COLUMNS)}")
    names = [_one_of(name, "columns", COLUMNS) for name in value]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ConfigError(f"columns names {twice!r} twice")
    if not names:
        raise ConfigError(f"columns is empty, expected some of {', '.join(COLUMNS)}, or None")
    return names


def check_selected(value: object) -> str | None:
    """Return the agent id; None means that no agent is selected."""
    if value is None or (isinstance(value, str) and 0 < len(value) <= MAX_ID_CHARS):
        return value
    raise ConfigError(f"selected is {_seen(value)}, expected an agent's id, or None")


def check_filter(value: object) -> dict[str, Any]:
    """Return the filter in its one form: values as lists, nothing that is empty.

    Args:
        value: None; a text to search for; or a dict of "text" (every word must occur in an
            agent's texts) and lists of values: those of one key are alternatives, keys narrow each
            other, and "" among the values means: none.

    Raises:
        ConfigError: another key, another type, more than 256 values, or a status that is none.
    """
    if value is None:
        return {}
    if isinstance(value, str):
        value = {"text": value}
    if not isinstance(value, Mapping):
        raise ConfigError(
            f"filter is {type_name(value)}, expected a text or a dict of {_filters()}"
        )
    found: dict[str, Any] = {}
    for key, wanted in value.items():
        if key not in FILTERS:
            raise ConfigError(f"filter has the key {_seen(key)}{_near(key, FILTERS)}, {_filters()}")
        checked = _text(wanted) if key == "text" else _values(str(key), wanted)
        if checked:
            found[key] = checked
    return found


def _filters() -> str:
    return f"expected {', '.join(FILTERS)}"


def _text(value: object) -> str:
    if value is None:
        return ""
    if not isinstance(value, str) or len(value) > MAX_ID_CHARS:
        raise ConfigError(
            f"filter text is {_seen(value)}, expected at most {MAX_ID_CHARS} characters"
        )
    return value.strip()


def _values(key: str, value: object) -> list[str]:
    if value is None:
        return []
    values = [value] if isinstance(value, str) else value
    if not isinstance(values, list | tuple | set | frozenset) or len(values) > MAX_VALUES:
        raise ConfigError(
            f"filter {key} is {type_name(value)}, expected a list of at most {MAX_VALUES} texts"
        )
    ordered = sorted(values, key=str) if isinstance(values, set | frozenset) else values
    for one in ordered:
        if not isinstance(one, str) or len(one) > MAX_ID_CHARS:
            raise ConfigError(f"filter {key} holds {_seen(one)}, expected texts")
        if key == "status":
            _one_of(one, "filter status", STATUSES)
    return [str(one) for one in dict.fromkeys(ordered)]


def _one_of(value: object, name: str, choices: tuple[str, ...], more: str = "") -> str:
    if isinstance(value, str) and value in choices:
        return value
    listed = f"expected one of {', '.join(choices)}{f' ({more})' if more else ''}"
    raise ConfigError(f"{name} is {_seen(value)}{_near(value, choices)}, {listed}")


def _seen(value: object) -> str:
    return shorten(value) if isinstance(value, str) else type_name(value)


def _near(value: object, choices: tuple[str, ...]) -> str:
    near = (
        difflib.get_close_matches(value[:MAX_ID_CHARS], choices, n=1)
        if isinstance(value, str)
        else []
    )
    return f" (did you mean {near[0]!r}?)" if near else ""
