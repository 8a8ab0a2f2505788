"""Translates the statements of this package from SQLite to PostgreSQL.

They are written in what both have in common; what is left are the marks of parameters, the names
that are reserved in PostgreSQL, and lists of values, which become one array.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

_TOKEN = re.compile(
    r"""(?P<text>'(?:[^']|'')*'|"[^"]*")
    |(?P<list>\bIN\ \(\?(?:,\ \?)*\))
    |(?P<mark>\?)
    |(?P<name>(?<![\w"])(?:user|window)(?![\w"(]))
    |(?P<type>\bBLOB\b)
    |(?P<option>\ WITHOUT\ ROWID$)
    |(?P<percent>%)""",
    re.VERBOSE,
)


class Statement(NamedTuple):
    """A translated statement.

    Attributes:
        text: with ``%s`` in place of each parameter.
        lists: for each parameter the number of values that it is a list of; 0: one value. Empty:
            there are no lists.
    """

    text: str
    lists: tuple[int, ...]

    def parameters(self, values: Sequence[Any]) -> Sequence[Any]:
        """Return the parameters of the statement with these values."""
        values = [_storable(value) for value in values]
        if not self.lists:
            return values
        result: list[Any] = []
        start = 0
        for n_values in self.lists:
            end = start + (n_values or 1)
            result.append(values[start:end] if n_values else values[start])
            start = end
        return result


def _storable(value: Any) -> Any:
    # PostgreSQL has no texts with U+0000, SQLite has.
    return value.replace("\0", "\ufffd") if type(value) is str and "\0" in value else value


@lru_cache(maxsize=1_024)
def translate(statement: str) -> Statement:
    """Return a statement as PostgreSQL and psycopg expect it."""
    lists: list[int] = []

    def replace(match: re.Match[str]) -> str:
        token = match[0]
        if match["text"]:
            return token.replace("%", "%%")
        if match["list"]:
            lists.append(token.count("?"))
            return "= ANY(%s)"
        if match["mark"]:
            lists.append(0)
            return "%s"
        if match["type"] or match["option"]:
            return "bytea" if match["type"] else ""
        return "%%" if match["percent"] else f'"{token}"'

    text = _TOKEN.sub(replace, statement)
    return Statement(text, tuple(lists) if any(lists) else ())
