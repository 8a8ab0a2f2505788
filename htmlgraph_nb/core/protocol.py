"""The messages and their JSON encoding, size limits and close codes. No I/O.

PROTOCOL.md describes the messages and has an example of each.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum
from functools import lru_cache
from json.encoder import encode_basestring as _quote
from operator import attrgetter
from typing import Any

from ..errors import InvalidEvent, MessageTooLarge, WireError
from .model import LABELS, NO_LABELS, PRESENCE_COLUMNS, AgentPresence, labels_of
from .timestamps import to_rfc3339
from .validation import format_value, shorten, unknown_field, validate_string

PROTOCOL_VERSION = 1
STATE_PART_AGENTS = 500
"""Maximum number of agents in one presence_state message."""
MAX_CLIENT_FRAME_BYTES = 65_536
"""Maximum size of a message from a dashboard."""
MAX_JSON_VALUES = 500_000
"""Maximum number of values in one JSON text."""
MAX_FILTER_VALUES = 256
"""Maximum number of values in one list of a subscription."""
COLUMNS_TYPE = "application/vnd.htmlgraph.columns+json"
"""Content-Type of few rows of history as JSON lines, each with lists of the columns' values."""


class CloseCode(IntEnum):
    """WebSocket close codes of the server (RFC 6455 section 7.4; 4000 to 4999 are private use)."""

    GOING_AWAY = 1001
    """The server is shutting down: reconnect."""
    PROTOCOL_ERROR = 1002
    """The client broke a rule of the protocol: do not reconnect."""
    INVALID_TEXT = 1007
    """Text from the client is not UTF-8: do not send it again."""
    POLICY = 1008
    """Limit reached, or token or Origin rejected; see the reason. Reconnect late or not at all."""
    TOO_BIG = 1009
    """A message from the client is too large: do not send it again."""
    TRY_LATER = 1013
    """The messages of all connections are too large together: reconnect later."""
    BAD_PARAMETERS = 4400
    """Invalid query parameter: do not reconnect with the same URL."""
    STALLED = 4408
    """The client did not read for ``stall_timeout_s``: reconnect with a cursor."""

    @property
    def reconnect(self) -> bool:
        """Whether a client should reconnect automatically after this close code."""
        return self in (CloseCode.GOING_AWAY, CloseCode.TRY_LATER, CloseCode.STALLED)


@dataclass(frozen=True, slots=True)
class Cursor:
    """A position in the stream of changes: the random ``epoch`` of a store and the last ``seq``."""

    epoch: str
    seq: int

    def __str__(self) -> str:
        return f"{self.epoch}:{self.seq}"

    @classmethod
    def parse(cls, text: str) -> Cursor:
        """Return the cursor in the text ``EPOCH:SEQ``.

        Raises:
            WireError: any other text.
        """
        epoch, separator, seq = text.partition(":")
        if not (separator and text.isascii() and epoch.isalnum() and seq.isdecimal()):
            raise WireError(f"cursor: expected EPOCH:SEQ such as 5f3a…:1024, got {shorten(text)}")
        if len(epoch) > 64 or len(seq) > 16:
            raise WireError(
                f"cursor: expected EPOCH:SEQ such as 5f3a…:1024, got {len(text)} characters"
            )
        return cls(epoch, int(seq))


_UNCOUNTED_CHARS = 65_536
# Possessive, and an open string ends at the end: the time is linear in any text.
_STRING = re.compile(r'"(?:[^"\\]++|\\.)*+(?:"|\\?\Z)', re.DOTALL)
_OPTIONAL_FIELDS = PRESENCE_COLUMNS[8:]
_OPTIONAL_STRINGS = ("model", "project", "host", "parent_agent_id")
_optional_strings: Callable[[AgentPresence], tuple[str | None, ...]] = attrgetter(
    *_OPTIONAL_STRINGS
)
_OMITTED_IF_EMPTY = frozenset(
    {"attention", "unseen", "alive", "total_errors", "session_tokens", "unpriced_tokens"}
)
_encoder = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False)
_ascii_encoder = json.JSONEncoder(separators=(",", ":"), allow_nan=False)


def encode_json(message: Any) -> str:
    """Return ``message`` as compact JSON that can always be encoded as UTF-8."""
    text = _encoder.encode(message)
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            # In JSON a lone surrogate must be escaped.
            return _ascii_encoder.encode(message)
    return text


def presence_to_wire(presence: AgentPresence) -> dict[str, Any]:
    """Return the presence as a wire object, without optional fields that are null.

    Flags that are false and totals that are 0 are omitted, too, but not ``hooks`` or the context.
    The eight required fields come first.
    """
    wire = presence.to_dict()
    for name in _OPTIONAL_FIELDS:
        value = wire[name]
        if value is None or (not value and name in _OMITTED_IF_EMPTY):
            del wire[name]
    return wire


def presence_json(presence: AgentPresence) -> str:
    """Return ``encode_json(presence_to_wire(presence))``, twice as fast, for the hot path."""
    p = presence
    parts = [
        f'{{"agent_id":{_quote(p.agent_id)},"status":"{p.status._value_}","current_feature_id":',
        "null" if p.current_feature_id is None else _quote(p.current_feature_id),
        ',"last_tool_name":',
        "null" if p.last_tool_name is None else _quote(p.last_tool_name),
        f',"last_activity":"{to_rfc3339(p.last_activity)}"'
        f',"total_tools_executed":{p.total_tools_executed}'
        f',"total_cost_tokens":{p.total_cost_tokens},"session_id":',
        "null" if p.session_id is None else _quote(p.session_id),
        f',"detail":{_quote(p.detail)}',
    ]
    if p.reason is not None:
        parts.append(f',"reason":{_quote(p.reason)}')
    if p.since is not None:
        parts.append(f',"since":"{to_rfc3339(p.since)}"')
    if p.attention:
        parts.append(',"attention":true')
    for name, value in zip(_OPTIONAL_STRINGS, _optional_strings(p), strict=True):
        if value is not None:
            parts.append(f',"{name}":{_quote(value)}')
    if p.cost_usd is not None:
        parts.append(f',"cost_usd":{p.cost_usd!r}')
    if p.total_errors:
        parts.append(f',"total_errors":{p.total_errors}')
    parts.append(f',"seq":{p.seq}')
    labels = labels_of(p)
    if labels != NO_LABELS:
        parts.append(_labels_json(labels))
    if p.context_tokens is not None:
        parts.append(f',"context_tokens":{p.context_tokens}')
    if p.context_window is not None:
        parts.append(f',"context_window":{p.context_window}')
    if p.context_source is not None:
        parts.append(f',"context_source":{_quote(p.context_source)}')
    for name, at in (
        ("compacted_at", p.compacted_at),
        ("detail_since", p.detail_since),
        ("detail_until", p.detail_until),
    ):
        if at is not None:
            parts.append(f',"{name}":"{to_rfc3339(at)}"')
    if p.unseen:
        parts.append(',"unseen":true')
    if p.hooks is not None:
        parts.append(',"hooks":true' if p.hooks else ',"hooks":false')
    if p.alive:
        parts.append(',"alive":true')
    if p.session_tokens:
        parts.append(f',"session_tokens":{p.session_tokens}')
    if p.session_cost_usd is not None:
        parts.append(f',"session_cost_usd":{p.session_cost_usd!r}')
    if p.unpriced_tokens:
        parts.append(f',"unpriced_tokens":{p.unpriced_tokens}')
    parts.append("}")
    text = "".join(parts)
    return text if text.isascii() else encode_json(presence_to_wire(p))


@lru_cache(maxsize=1024)
def _labels_json(labels: tuple[str | None, ...]) -> str:
    """Return the members of LABELS; agents rarely change them, so they are cached."""
    known = zip(LABELS, labels, strict=True)
    return "".join([f',"{name}":{_quote(label)}' for name, label in known if label is not None])


def presence_update(presence_json: str, agent_json: str, seq: int, at: str) -> str:
    """Return a presence_update message made of encoded parts, so that each is encoded only once."""
    return (
        '{"type":"presence_update","event_type":"presence_update","agent_id":'
        f'{agent_json},"presence":{presence_json},"timestamp":"{at}","seq":{seq}}}'
    )


def presence_message(presence: AgentPresence, at: datetime) -> dict[str, Any]:
    """Return the presence_update message as a dict, with every presence field."""
    return {
        "type": "presence_update",
        "event_type": "presence_update",
        "agent_id": presence.agent_id,
        "presence": presence.to_dict(),
        "timestamp": to_rfc3339(at),
        "seq": presence.seq,
    }


def presence_removed(agent_id: str, seq: int, at: datetime) -> str:
    """Return the presence_removed message of an agent."""
    return encode_json(
        {"type": "presence_removed", "agent_id": agent_id, "timestamp": to_rfc3339(at), "seq": seq}
    )


def presence_state(
    cursor: Cursor, agents: Sequence[str], removed: Iterable[str], *, full: bool, at: datetime
) -> list[str]:
    """Return presence_state messages, split into parts of STATE_PART_AGENTS agents.

    Args:
        cursor: position of the state.
        agents: encoded presence objects.
        removed: ids of removed agents; sent with the last part.
        full: the client must remove all agents that no part contains.
        at: timestamp of the messages.
    """
    count = max(1, -(-len(agents) // STATE_PART_AGENTS))
    texts = []
    for part in range(count):
        rows = agents[part * STATE_PART_AGENTS : (part + 1) * STATE_PART_AGENTS]
        removed_json = encode_json(list(removed)) if part == count - 1 else "[]"
        texts.append(
            f'{{"type":"presence_state","epoch":"{cursor.epoch}","seq":{cursor.seq},'
            f'"full":{"true" if full else "false"},"part":{part + 1},"parts":{count},'
            f'"agents":[{",".join(rows)}],"removed":{removed_json},"timestamp":"{to_rfc3339(at)}"}}'
        )
    return texts


def error_object(code: str, message: str, field: str | None = None) -> dict[str, Any]:
    """Return the error object of HTTP responses and WebSocket messages."""
    return {"error": {"code": code, "message": message, "field": field}}


def error_message(code: str, message: str, field: str | None = None) -> str:
    """Return an error message for a dashboard; the connection stays open."""
    return encode_json({"type": "error", **error_object(code, message, field)})


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not allowed")


def count_json_values(text: str, *, outside_strings: bool = False) -> int:
    """Return the number of commas and opening brackets of a JSON text, about that of its values.

    Args:
        outside_strings: do not count characters in strings; this takes longer.
    """
    part = _STRING.sub("", text) if outside_strings else text
    return part.count(",") + part.count("[") + part.count("{")


def _has_too_many_values(text: str) -> bool:
    """Return whether parsing a text would take long: time depends on values, not on characters."""
    # Few texts need the exact number.
    return (
        count_json_values(text) > MAX_JSON_VALUES
        and count_json_values(text, outside_strings=True) > MAX_JSON_VALUES
    )


def decode_json(text: str | bytes, what: str = "message") -> Any:
    """Return the value of a JSON text.

    Args:
        what: name of the text in error messages.

    Raises:
        WireError: invalid JSON (NaN and Infinity included) or UTF-8, nested too deeply, or more
            than MAX_JSON_VALUES.
    """
    try:
        # json.loads would also accept UTF-16 and UTF-32.
        decoded = text if isinstance(text, str) else text.decode("utf-8-sig")
        if len(decoded) > _UNCOUNTED_CHARS and _has_too_many_values(decoded):
            raise WireError(f"{what}: at most {MAX_JSON_VALUES} values and keys allowed")
        return json.loads(decoded, parse_constant=_refuse_constant)
    except RecursionError:
        raise WireError(f"{what}: nested too deeply") from None
    except UnicodeDecodeError as error:
        raise WireError(f"{what}: invalid UTF-8: {error.reason} at byte {error.start}") from None
    except ValueError as error:
        raise WireError(f"{what}: invalid JSON: {error}") from None


def decode(text: str | bytes, limit: int | None = None) -> dict[str, Any]:
    """Return the message in one frame.

    Args:
        text: payload of the frame.
        limit: maximum number of characters or bytes; None: no limit.

    Raises:
        MessageTooLarge: longer than ``limit``.
        WireError: anything but a JSON object with a string ``type``.
    """
    if limit is not None and len(text) > limit:
        raise MessageTooLarge(f"message: at most {limit} characters allowed, got {len(text)}")
    message = decode_json(text)
    if not isinstance(message, dict):
        raise WireError(f"message: expected an object, got {format_value(message)}")
    if not isinstance(message.get("type"), str):
        raise WireError(f"type: expected a string, got {format_value(message.get('type'))}")
    return message


@dataclass(frozen=True, slots=True)
class Filter:
    """Selects the changes that a dashboard receives; an empty set selects all.

    Filters are hashable, so that clients with equal filters share their frames.
    """

    agents: frozenset[str] = frozenset()
    sessions: frozenset[str] = frozenset()
    features: frozenset[str] = frozenset()
    event_types: frozenset[str] = frozenset()
    statuses: frozenset[str] = frozenset()

    @classmethod
    def from_dict(cls, message: Mapping[str, Any]) -> Filter:
        """Return the filter of a subscribe message.

        Raises:
            InvalidEvent: an unknown field, or a value that is not a list of ids.
        """
        lists: dict[str, frozenset[str]] = {}
        for name, values in message.items():
            if name == "type":
                continue
            if name not in cls.__slots__:
                raise unknown_field(name, dict.fromkeys(cls.__slots__))
            if not isinstance(values, list):
                raise InvalidEvent(
                    f"{name}: expected an array of strings, got {format_value(values)}", name
                )
            if len(values) > MAX_FILTER_VALUES:
                raise InvalidEvent(
                    f"{name}: at most {MAX_FILTER_VALUES} items allowed, got {len(values)}", name
                )
            lists[name] = frozenset(validate_string(value, name) for value in values)
        return cls(**lists)

    @property
    def narrows_agents(self) -> bool:
        """Whether this filter excludes any agents."""
        return bool(self.agents or self.sessions or self.features or self.statuses)

    def matches(self, presence: AgentPresence) -> bool:
        """Return whether the filter selects this agent."""
        return (
            (not self.agents or presence.agent_id in self.agents)
            and (not self.sessions or presence.session_id in self.sessions)
            and (not self.features or presence.current_feature_id in self.features)
            and (not self.statuses or presence.status.value in self.statuses)
        )

    def matches_type(self, event_type: str) -> bool:
        """Return whether the filter selects messages of this event_type."""
        return not self.event_types or event_type in self.event_types


MATCH_ALL = Filter()
