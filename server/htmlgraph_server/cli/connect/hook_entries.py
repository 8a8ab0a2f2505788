"""Our entries in an agent's hook settings, pure: text in, text out.

All agents share one form: ``{"hooks": {EVENT: [{"matcher": …, "hooks": [HANDLER, …]}, …]}}``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from htmlgraph_nb.errors import InvalidJson

from .json_text import Node, Style, append, parse, remove

Group = dict[str, Any]
"""One element of an event's list: an optional ``matcher`` and the list ``hooks``."""

_OURS = re.compile(r"(?:^|[\\/\"'\s])htmlgraph-hook(?:\.exe)?[\"']?(?:\s|$)")
_OUR_PATH = re.compile(r"/api/hooks/\w+/?$")


def is_ours(handler: object) -> bool:
    """Return whether a handler is one of ours: the hook command, or a POST to our route."""
    if not isinstance(handler, Mapping):
        return False
    command, url = handler.get("command"), handler.get("url")
    if isinstance(command, str) and _OURS.search(command):
        return True
    return isinstance(url, str) and _OUR_PATH.search(url) is not None


def connected(text: str) -> dict[str, Group]:
    """Return our groups in the settings by event.

    Raises:
        InvalidJson: the text is no JSON, or its hooks have another form.
    """
    found: dict[str, Group] = {}
    hooks = _hooks(parse(text), text)
    for event, groups in _events(hooks, text):
        for group in groups.items:
            if any(is_ours(one) for one in _handlers(group)):
                found[event] = group.value
    return found


def add(text: str, groups: Mapping[str, Group]) -> str:
    """Return the settings with these groups, each at the end of its event's list.

    Raises:
        InvalidJson: as ``connected``.
    """
    if not text.strip():
        whole = {"hooks": {event: [group] for event, group in groups.items()}}
        return json.dumps(whole, indent=2) + "\n"
    connected(text)
    style = Style.of(text)
    for event, group in groups.items():
        root = parse(text)
        hooks = _hooks(root, text)
        if hooks is None:
            text = append(text, root, {event: [group]}, 1, style, "hooks")
            continue
        known = hooks.get(event)
        if known is not None and not isinstance(known.value, list):
            raise InvalidJson(text, known.start, f'a list [ … ] as "{event}"')
        if known is None:
            text = append(text, hooks, [group], 2, style, event)
        else:
            text = append(text, known, group, 3, style)
    return text


def drop(text: str) -> str:
    """Return the settings without our handlers, and without the lists that this leaves empty.

    Raises:
        InvalidJson: as ``connected``.
    """
    while True:
        root = parse(text)
        less = _drop_one(root, _hooks(root, text), text)
        if less is None:
            return text
        text = less


def _drop_one(root: Node, hooks: Node | None, text: str) -> str | None:
    for event, groups in _events(hooks, text):
        for place, group in enumerate(groups.items):
            for at, handler in enumerate(_handlers(group)):
                if is_ours(handler):
                    return _without(text, (root, hooks, groups, group), event, place, at)
    return None


def _without(
    text: str, nested: tuple[Node, Node | None, Node, Node], event: str, place: int, at: int
) -> str:
    """Remove one handler, or the widest of what encloses it and would be empty without it."""
    root, hooks, groups, group = nested
    handlers = group.get("hooks")
    assert hooks is not None
    assert handlers is not None
    if len(handlers.items) > 1:
        return remove(text, handlers, at)
    if len(groups.items) > 1:
        return remove(text, groups, place)
    if len(hooks.items) > 1:
        return remove(text, hooks, _index(hooks, event))
    return remove(text, root, _index(root, "hooks"))


def _handlers(group: Node) -> list[Any]:
    handlers = group.get("hooks")
    return handlers.value if handlers is not None and isinstance(handlers.value, list) else []


def _index(node: Node, key: str) -> int:
    keys = node.keys or []
    return len(keys) - 1 - keys[::-1].index(key)


def _hooks(root: Node, text: str) -> Node | None:
    if root.keys is None:
        raise InvalidJson(text, root.start, "an object { … }")
    hooks = root.get("hooks")
    if hooks is not None and hooks.keys is None:
        raise InvalidJson(text, hooks.start, 'an object { … } as "hooks"')
    return hooks


def _events(hooks: Node | None, text: str) -> list[tuple[str, Node]]:
    if hooks is None or hooks.keys is None:
        return []
    found = []
    for event, groups in zip(hooks.keys, hooks.items, strict=True):
        if isinstance(groups.value, list):
            for group in groups.items:
                if group.keys is None:
                    raise InvalidJson(text, group.start, f'an object {{ … }} in "{event}"')
            found.append((event, groups))
    return found
