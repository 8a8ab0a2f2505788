"""Validates the settings of a grid: view, sort order, groups, columns, filter, selection.

The front end (static/grid/model/settings.js) has the same names. It ignores unknown ones; Python
rejects them.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from ..core.validation import MAX_ID_CHARS, format_value
from ..errors import ConfigError

_VIEWS = ("cards", "table", "compact")
_SORTS = tuple(
    "attention agent status activity since feature session project branch model tool tools tokens "
    "cost errors context".split()
)
"""Sort orders; a leading "-" reverses."""
_GROUPS = tuple("status feature session project branch model kind host parent".split())
_COLUMNS = tuple(
    "status agent project branch model context tools tokens cost errors activity sparkline since "
    "reason tool feature session kind pr host user parent".split()
)
_FILTERS = ("text", *_GROUPS[:-1], "agent", "parent")
"""Keys of a filter: "text" is a search string, the others are lists of values."""
_STATUSES = ("waiting", "cannot_work", "done", "active", "idle", "offline")
"""Statuses as the grid shows them; each agent has exactly one."""
_MAX_VALUES = 256
"""Maximum values per key of a filter."""


def check_view(value: object) -> str:
    """Return the view; ConfigError lists the valid ones."""
    return _one_of(value, "view", _VIEWS)


def check_sort(value: object) -> str:
    """Return the sort order; ConfigError lists the valid ones."""
    if value is None:
        return "attention"
    name = value.removeprefix("-") if isinstance(value, str) else value
    order = _one_of(name, "sort", _SORTS, '; a leading "-" reverses')
    return f"-{order}" if name != value else order


def check_group(value: object) -> str | None:
    """Return the field to group by; None and "": no groups."""
    return None if value in (None, "") else _one_of(value, "group_by", _GROUPS)


def check_columns(value: object) -> list[str] | None:
    """Return the columns of the table in order; None: the default columns."""
    if value is None:
        return None
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise ConfigError(
            f"columns: expected a list of {', '.join(_COLUMNS)}, got {format_value(value)}"
        )
    names = [_one_of(name, "columns", _COLUMNS) for name in value]
    duplicate = next((name for name in names if names.count(name) > 1), None)
    if duplicate is not None:
        raise ConfigError(f"columns: {duplicate!r} is listed twice")
    if not names:
        raise ConfigError(
            f"columns: expected some of {', '.join(_COLUMNS)}, or None, got an empty list"
        )
    return names


def check_selected(value: object) -> str | None:
    """Return the selected agent id; None: no agent is selected."""
    if value is None or (isinstance(value, str) and 0 < len(value) <= MAX_ID_CHARS):
        return value
    raise ConfigError(f"selected: expected an agent id or None, got {format_value(value)}")


def check_filter(value: object) -> dict[str, Any]:
    """Return the filter in normal form: values as lists, without empty ones.

    Args:
        value: None; a string to search for; or a dict of "text" (every word must occur in the
            agent's fields) and lists of values. Values of one key are alternatives; all keys must
            match; "" matches agents without a value.

    Raises:
        ConfigError: an unknown key or status, a wrong type, or more than 256 values.
    """
    if value is None:
        return {}
    if isinstance(value, str):
        value = {"text": value}
    if not isinstance(value, Mapping):
        raise ConfigError(
            f"filter: expected a string or a dict of {', '.join(_FILTERS)}, "
            f"got {format_value(value)}"
        )
    normalized: dict[str, Any] = {}
    for key, setting in value.items():
        _one_of(key, "filter", _FILTERS)
        checked = _search_text(setting) if key == "text" else _filter_values(str(key), setting)
        if checked:
            normalized[key] = checked
    return normalized


def check_names(arguments: Iterable[str], known: Iterable[str]) -> None:
    """Raise ConfigError if an argument is not known; traitlets would ignore it."""
    known = {name for name in known if not name.startswith("_")}
    for name in arguments:
        if name not in known:
            raise ConfigError(f"{name}: the grid has no such argument{_suggestion(name, known)}")


def _search_text(value: object) -> str:
    if value is None:
        return ""
    if not isinstance(value, str) or len(value) > MAX_ID_CHARS:
        raise ConfigError(
            f"filter text: expected at most {MAX_ID_CHARS} characters, got {format_value(value)}"
        )
    return value.strip()


def _filter_values(key: str, value: object) -> list[str]:
    if value is None:
        return []
    values = [value] if isinstance(value, str) else value
    if not isinstance(values, list | tuple | set | frozenset) or len(values) > _MAX_VALUES:
        raise ConfigError(
            f"filter {key}: expected a list of at most {_MAX_VALUES} strings, got "
            f"{format_value(value)}"
        )
    ordered = sorted(values, key=str) if isinstance(values, set | frozenset) else values
    for item in ordered:
        if not isinstance(item, str) or len(item) > MAX_ID_CHARS:
            raise ConfigError(f"filter {key}: expected strings, got {format_value(item)}")
        if key == "status":
            _one_of(item, "filter status", _STATUSES)
    return [str(item) for item in dict.fromkeys(ordered)]


def _one_of(value: object, name: str, choices: tuple[str, ...], hint: str = "") -> str:
    if isinstance(value, str) and value in choices:
        return value
    expected = f"expected one of {', '.join(choices)}{hint}"
    raise ConfigError(f"{name}: {expected}, got {format_value(value)}{_suggestion(value, choices)}")


def _suggestion(value: object, choices: Collection[str]) -> str:
    matches = (
        difflib.get_close_matches(value[:MAX_ID_CHARS], sorted(choices), n=1)
        if isinstance(value, str)
        else []
    )
    return f" (did you mean {matches[0]!r}?)" if matches else ""
