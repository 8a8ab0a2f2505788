"""Bodies of ``/api/events``, messages of clients on both sockets, and of servers at clients."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from unittest.mock import patch

from htmlgraph_nb.core.mirror import Mirror
from htmlgraph_nb.core.model import Event
from htmlgraph_nb.core.protocol import (
    MAX_CLIENT_FRAME_BYTES,
    Cursor,
    Filter,
    decode,
    decode_json,
    encode_json,
)
from htmlgraph_nb.errors import InvalidEvent, MessageTooLarge, WireError
from htmlgraph_server.decoding import json_steps as json_steps_module
from htmlgraph_server.decoding.json_steps import json_steps
from htmlgraph_server.handlers.parsing import finish, ndjson_steps, parse_events
from tests.fuzz.oracle import check_error, check_events, check_roster, require
from tests.fuzz.targets import split_variant

_INVALID = object()


def run(data: bytes) -> None:
    """Read a body or a message, and check what comes out."""
    variant, body = split_variant(data, tuple(_VARIANTS))
    try:
        _VARIANTS[variant](body)
    except (WireError, InvalidEvent, MessageTooLarge) as error:
        check_error(error)


def _events(body: bytes) -> None:
    _check(parse_events(_decoded(body)), body)


def _decoded(body: bytes) -> Any:
    """Return the value of a JSON text, which both decoders must read alike."""
    try:
        expected = decode_json(body, "body")
    except WireError:
        expected = _INVALID
    try:
        # Steps of 64 characters; longer numbers are refused then.
        with patch.object(json_steps_module, "STEP_CHARS", 64):
            value = finish(json_steps(body, "body"))
    except WireError as error:
        check_error(error)
    else:
        require(expected is not _INVALID, "invalid JSON is accepted when decoded in steps")
        require(value == expected, "JSON has another value when decoded in steps")
    return decode_json(body, "body")


def _ndjson(body: bytes) -> None:
    _check(finish(ndjson_steps(body)), body)


def _check(events: list[Event], body: bytes) -> None:
    check_events(events, len(body))
    check_roster(events)


def _subscribe(body: bytes) -> None:
    message = decode(body, MAX_CLIENT_FRAME_BYTES)
    encode_json(message)
    filter_ = Filter.from_dict(message)
    lists = {name: sorted(getattr(filter_, name)) for name in Filter.__slots__}
    text = encode_json({"type": "subscribe", **lists})
    require(Filter.from_dict(json.loads(text)) == filter_, "the filter does not round trip")


def _cursor(body: bytes) -> None:
    cursor = Cursor.parse(body.decode("utf-8", "replace"))
    require(Cursor.parse(str(cursor)) == cursor, "the cursor does not round trip")


def _server(body: bytes) -> None:
    """Apply messages of a server; an invalid one must leave the copy usable."""
    mirror = Mirror()
    for line in body.split(b"\n")[:50]:
        try:
            changed = mirror.apply(decode(line))
        except WireError as error:
            check_error(error)
            continue
        require(all(isinstance(name, str) for name in changed), "an id that is no string")
        require(mirror.cursor is None or isinstance(str(mirror.cursor), str), "no cursor")
        for agent_id, presence in mirror.agents.items():
            require(agent_id == presence.agent_id, "an agent under another id")
            encode_json(presence.to_dict())


_VARIANTS: dict[str, Callable[[bytes], None]] = {
    "events": _events,
    "ndjson": _ndjson,
    "subscribe": _subscribe,
    "cursor": _cursor,
    "server": _server,
}
