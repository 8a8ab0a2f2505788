"""The space of a person identified by a proxy or JupyterHub: that of a group, or an own one."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable

from htmlgraph_nb.errors import ConfigError

from .identity import DEFAULT_SPACE
from .token_table import check_space

_RESERVED = ("user-", "service-")
_MAX_SLUG_CHARS = 40


def person_space(name: str, groups: Iterable[str], kind: str = "user") -> str:
    """Return the space of a person: of the first group in alphabetical order, or an own one.

    Args:
        name: the name of the person.
        groups: the names of the groups.
        kind: ``user`` or ``service``; the own space is ``user-NAME``.
    """
    first = min((group for group in groups if group), default=None)
    if first is None:
        return _space(f"{kind}-{name}", is_plain=_is_plain(name))
    # A group must not get the space of the server's owner, or of a person.
    is_plain = first != DEFAULT_SPACE and not first.startswith(_RESERVED) and _is_plain(first)
    return _space(first if is_plain else f"group-{first}", is_plain=is_plain)


def _is_plain(text: str) -> bool:
    # Two names must never be one space, so all others get a hash, which begins with "-x".
    return re.search(r"-x[0-9a-f]{16}$", text) is None


def _space(text: str, *, is_plain: bool) -> str:
    """Return a text as the name of a space; a hash makes a text unique that is no such name."""
    try:
        if is_plain:
            return check_space(text)
    except ConfigError:
        # The name has other characters, or is too long.
        pass
    # Surrogates cannot arrive in a header, but the function takes any text.
    key = f"{is_plain}:{text}".encode(errors="surrogatepass")
    slug = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:_MAX_SLUG_CHARS].strip("-")
    return f"{slug or 'space'}-x{hashlib.sha256(key).hexdigest()[:16]}"
