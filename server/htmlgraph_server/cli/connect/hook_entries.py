"""The hooks of htmlgraph-nb in the text of an agent's settings. Pure functions from text to text.

Agents use the form ``{"hooks": {EVENT: [{"matcher": …, "hooks": [HANDLER, …]}, …]}}``, or the flat
form ``{"hooks": {EVENT: [HANDLER, …]}}``. An element of an event's list is called a group.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from htmlgraph_nb.errors import InvalidJson

from .json_text import JsonLayout, JsonNode, append_item, parse_json, remove_item

HookGroup = dict[str, Any]
"""An optional ``matcher`` and the list ``hooks``; in the flat form a handler."""

_HOOK_COMMAND = re.compile(r"(?:^|[\\/\"'\s])htmlgraph-hook(?:\.exe)?[\"']?(?:\s|$)")
_HOOK_PATH = re.compile(r"/api/hooks/\w+/?$")


def is_htmlgraph_handler(handler: object) -> bool:
    """Return whether a handler runs htmlgraph-hook or POSTs to the server's route for hooks."""
    if not isinstance(handler, Mapping):
        return False
    command, url = handler.get("command"), handler.get("url")
    if isinstance(command, str) and _HOOK_COMMAND.search(command):
        return True
    return isinstance(url, str) and _HOOK_PATH.search(url) is not None


def htmlgraph_groups(text: str) -> dict[str, HookGroup]:
    """Return the groups with handlers of htmlgraph-nb in the settings, by event.

    Raises:
        InvalidJson: the text is not JSON, or its hooks have another form.
    """
    result: dict[str, HookGroup] = {}
    for event, groups in _events(_hooks(parse_json(text), text), text):
        for group in groups.items:
            if any(map(is_htmlgraph_handler, [group.value, *_handlers(group)])):
                result[event] = group.value
    return result


def add_groups(text: str, groups: Mapping[str, HookGroup]) -> str:
    """Return the settings with these groups, each at the end of its event's list.

    Raises:
        InvalidJson: as ``htmlgraph_groups``.
    """
    if not text.strip():
        settings = {"hooks": {event: [group] for event, group in groups.items()}}
        return json.dumps(settings, indent=2) + "\n"
    # Checks the form before the first edit.
    htmlgraph_groups(text)
    layout = JsonLayout.of(text)
    for event, group in groups.items():
        root = parse_json(text)
        hooks = _hooks(root, text)
        if hooks is None:
            text = append_item(text, root, {event: [group]}, 1, layout, "hooks")
            continue
        existing = hooks.get(event)
        if existing is None:
            text = append_item(text, hooks, [group], 2, layout, event)
        elif isinstance(existing.value, list):
            text = append_item(text, existing, group, 3, layout)
        else:
            raise InvalidJson(text, existing.start, f'a list [ … ] as "{event}"')
    return text


def remove_htmlgraph_handlers(text: str) -> str:
    """Return the settings without the handlers of htmlgraph-nb.

    Groups and lists that become empty are removed, too.

    Raises:
        InvalidJson: as ``htmlgraph_groups``.
    """
    while True:
        root = parse_json(text)
        shorter = _remove_first(root, _hooks(root, text), text)
        if shorter is None:
            return text
        text = shorter


def _remove_first(root: JsonNode, hooks: JsonNode | None, text: str) -> str | None:
    """Return the text without the first handler of htmlgraph-nb; None: there is no such handler."""
    for event, groups in _events(hooks, text):
        for group_index, group in enumerate(groups.items):
            # From the inside out: each container, and which of its items to remove.
            chain: list[tuple[JsonNode | None, int | None]] = [
                (groups, group_index),
                (hooks, None if hooks is None else hooks.index(event)),
                (root, root.index("hooks")),
            ]
            if is_htmlgraph_handler(group.value):
                return _remove_from_first_of(text, chain)
            for handler_index, handler in enumerate(_handlers(group)):
                if is_htmlgraph_handler(handler):
                    inner = (group.get("hooks"), handler_index)
                    return _remove_from_first_of(text, [inner, *chain])
    return None


def _remove_from_first_of(text: str, chain: list[tuple[JsonNode | None, int | None]]) -> str:
    """Remove the item from the first container that keeps other items, else from the last one."""
    for container, index in chain[:-1]:
        if container is not None and index is not None and len(container.items) > 1:
            return remove_item(text, container, index)
    container, index = chain[-1]
    assert container is not None
    assert index is not None
    return remove_item(text, container, index)


def _handlers(group: JsonNode) -> list[Any]:
    handlers = group.get("hooks")
    return handlers.value if handlers is not None and isinstance(handlers.value, list) else []


def _hooks(root: JsonNode, text: str) -> JsonNode | None:
    if root.keys is None:
        raise InvalidJson(text, root.start, "an object { … }")
    hooks = root.get("hooks")
    if hooks is not None and hooks.keys is None:
        raise InvalidJson(text, hooks.start, 'an object { … } as "hooks"')
    return hooks


def _events(hooks: JsonNode | None, text: str) -> list[tuple[str, JsonNode]]:
    if hooks is None or hooks.keys is None:
        return []
    events = []
    for event, groups in zip(hooks.keys, hooks.items, strict=True):
        if isinstance(groups.value, list):
            for group in groups.items:
                if group.keys is None:
                    raise InvalidJson(text, group.start, f'an object {{ … }} in "{event}"')
            events.append((event, groups))
    return events
