"""JSON Schemas of what goes over HTTP, derived from the dataclasses and bounds of the core."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import Any

from htmlgraph_nb.core.model import (
    MAX_TYPE_CHARS,
    PRESENCE_COLUMNS,
    TOKEN_FIELDS,
    Event,
    PresenceStatus,
)
from htmlgraph_nb.core.validation import MAX_EXTRA_BYTES, MAX_ID_CHARS, MAX_INTEGER
from htmlgraph_nb.storage.schema import HISTORY_COLUMNS

from ..history.activity_counts import MAX_AGENTS, MAX_MINUTES
from ..hub.broadcast_messages import FEATURE_STATUSES, LINK_TYPES

Schema = dict[str, Any]

NO_NUL = r"^[^\x00]*$"


def text(limit: int = MAX_ID_CHARS, description: str = "") -> Schema:
    """Return the schema of an id or name."""
    schema: Schema = {"type": "string", "minLength": 1, "maxLength": limit, "pattern": NO_NUL}
    return {**schema, "description": description} if description else schema


def _time(description: str) -> Schema:
    return {"type": "string", "format": "date-time", "description": description}


def _count(description: str) -> Schema:
    return {"type": "integer", "minimum": 0, "maximum": MAX_INTEGER, "description": description}


def or_null(schema: Schema) -> Schema:
    """Return the schema of the same value or null."""
    allowed = {**schema, "type": [schema["type"], "null"]}
    if "enum" in schema:
        allowed["enum"] = [*schema["enum"], None]
    return allowed


_TOKENS = {
    "input_tokens": "Uncached input tokens.",
    "cache_read_tokens": "Input tokens read from a cache.",
    "cache_write_5m_tokens": "Input tokens written to a cache of five minutes.",
    "cache_write_1h_tokens": "Input tokens written to a cache of one hour.",
    "output_tokens": "Output tokens, reasoning included.",
}

_EVENT: dict[str, Schema] = {
    "agent_id": text(description="Who did it."),
    "event_type": {**text(MAX_TYPE_CHARS, "Open text; see PROTOCOL.md."), "default": "activity"},
    "timestamp": _time("When, in the years 2000 to 2199; absent: on arrival."),
    "event_id": text(description="Idempotence key: the same id twice changes nothing."),
    "session_id": text(description="The agent's session."),
    "tool_name": text(description="The tool that was used."),
    "tool_use_id": text(description="The call that a start and an end belong to."),
    "feature_id": text(description="What the agent works on."),
    "model": text(description="The model that answered."),
    "status": {"type": "string", "enum": ["ok", "error"], "description": "How it ended."},
    **{name: _count(_TOKENS[name]) for name in TOKEN_FIELDS},
    "cost_tokens": _count("All tokens; absent: the sum of the five kinds."),
    "cost_usd": {
        "type": "number",
        "minimum": 0,
        "maximum": MAX_INTEGER,
        "description": "US dollars, where the agent itself reports them.",
    },
    "duration_ms": _count("Milliseconds."),
    "parent_agent_id": text(description="The agent that started this one."),
    "project": text(description="The project's name."),
    "host": text(description="The machine's name."),
    "source": text(description="Which connector made the event."),
    "extra": {
        "type": "object",
        "description": f"Anything else, at most {MAX_EXTRA_BYTES} bytes of JSON.",
    },
}


def _event() -> Schema:
    names = [field.name for field in fields(Event)]
    return {
        "type": "object",
        "required": ["agent_id"],
        "additionalProperties": False,
        "properties": {
            name: _EVENT[name] if name == "agent_id" else or_null(_EVENT[name]) for name in names
        },
        "example": {
            "agent_id": "claude-1",
            "event_type": "tool_execute",
            "tool_name": "Read",
            "session_id": "s-1",
        },
    }


_PRESENCE: dict[str, Schema] = {
    "agent_id": text(),
    "status": {"type": "string", "enum": [status.value for status in PresenceStatus]},
    "current_feature_id": or_null(text()),
    "last_tool_name": or_null(text()),
    "last_activity": _time("The agent's last sign, UTC."),
    "total_tools_executed": _count("Tools of the current session."),
    "total_cost_tokens": _count("All tokens that the agent has spent."),
    "session_id": or_null(text()),
    "detail": {
        "type": "string",
        "enum": (
            "working tool waiting_permission waiting_input background error done unknown"
        ).split(),
    },
    "reason": {"type": ["string", "null"], "description": "Which evidence, in one sentence."},
    "since": or_null(_time("When this status began, UTC.")),
    "attention": {"type": "boolean", "description": "It waits for a person."},
    "model": or_null(text()),
    "project": or_null(text()),
    "host": or_null(text()),
    "parent_agent_id": or_null(text()),
    "cost_usd": {"type": ["number", "null"], "description": "Null where it is not known."},
    "total_errors": _count("Tools and turns of the current session that ended in an error."),
    "seq": _count("Number of the change that made this state."),
}


def _presence() -> Schema:
    return {
        "type": "object",
        "required": list(PRESENCE_COLUMNS),
        "additionalProperties": False,
        "properties": {name: _PRESENCE[name] for name in PRESENCE_COLUMNS},
    }


def _explained() -> Schema:
    rule = record({"rule": {"type": "string"}, "fits": {"type": "boolean"}})
    evidence = record(
        {
            "what": {"type": "string"},
            "about": {"type": ["string", "null"]},
            "at": _time("When, UTC."),
        }
    )
    explanation = record(
        {
            "rules": {
                "type": "array",
                "items": rule,
                "description": "Those that were asked, in their order; only the last fits.",
            },
            "evidence": {"type": "array", "items": evidence, "description": "The newest first."},
        }
    )
    return record({**_presence()["properties"], "explanation": explanation})


def _history_event() -> Schema:
    known = {**_EVENT, "seq": _count("Number of the event in this database.")}
    columns = {
        name: known[name] if name == "seq" else or_null(known[name]) for name in HISTORY_COLUMNS
    }
    return {
        "type": "object",
        "required": ["seq"],
        "additionalProperties": False,
        "properties": columns,
    }


def record(properties: dict[str, Schema], optional: Sequence[str] = ()) -> Schema:
    """Return the schema of an object with exactly these properties."""
    return {
        "type": "object",
        "required": [name for name in properties if name not in optional],
        "additionalProperties": False,
        "properties": properties,
    }


CURSOR: Schema = {
    "type": "string",
    "pattern": "^[0-9A-Za-z]{1,64}:[0-9]{1,16}$",
    "description": "EPOCH:SEQ, a position in the stream of one database.",
}
FEATURE_STATUS: Schema = {"type": "string", "enum": list(FEATURE_STATUSES)}
LINK_TYPE: Schema = {"type": "string", "enum": list(LINK_TYPES)}


def reference(name: str) -> Schema:
    """Return the reference to one of the named schemas."""
    return {"$ref": f"#/components/schemas/{name}"}


def _done(**more: Schema) -> Schema:
    return record(
        {
            "success": {"const": True},
            **more,
            "clients_notified": _count("Connected dashboards."),
            "timestamp": _time("When it was stored, UTC."),
        }
    )


def _status() -> Schema:
    n: Schema = {"type": "integer", "minimum": 0}
    rate: Schema = {"type": "number", "minimum": 0}
    latency: Schema = {"type": ["number", "null"], "minimum": 0}
    counts = {"type": "object", "additionalProperties": n}
    return record(
        {
            "version": {"type": "string"},
            "started_at": _time("UTC."),
            "uptime_s": rate,
            "cursor": CURSOR,
            "clients": record(
                {"total": n, "by_session": counts, "without_session": n, "lagging": n}
            ),
            "agents": record({"active": n, "idle": n, "offline": n}),
            "updates": record({"total": n, "per_second": rate}),
            "frames": record({"total": n, "per_second": rate, "bytes": n}),
            "latency_ms": record({"p50": latency, "p99": latency}),
            "queue": record({"bytes": n, "writes": n}),
            "watching": record(
                {
                    "folders": {"type": "array", "items": {"type": "string"}},
                    "files": n,
                    "followed": n,
                    "processes": n,
                }
            ),
            "database": record(
                {
                    "path": {"type": "string"},
                    "bytes": n,
                    "owner_pid": {"type": ["integer", "null"], "minimum": 1},
                }
            ),
        }
    )


def _activity() -> Schema:
    counts = {"type": "array", "items": {"type": "integer", "minimum": 0}, "maxItems": MAX_MINUTES}
    return record(
        {
            "at": _time("When they were counted, UTC; at most a second ago."),
            "cursor": CURSOR,
            "minutes": {"type": "integer", "minimum": 1, "maximum": MAX_MINUTES},
            "agents": {
                "type": "object",
                "description": f"By agent_id; at most {MAX_AGENTS}, those that did most.",
                "additionalProperties": record({"events": counts, "errors": counts}),
            },
        }
    )


def named_schemas() -> dict[str, Schema]:
    """Return the document's named schemas."""
    identifier = text()
    return {
        "Event": _event(),
        "AgentPresence": _presence(),
        "ExplainedPresence": _explained(),
        "HistoryEvent": _history_event(),
        "Activity": _activity(),
        "Status": _status(),
        "Error": record(
            {
                "error": record(
                    {
                        "code": {"type": "string"},
                        "message": {"type": "string"},
                        "field": {"type": ["string", "null"]},
                    }
                )
            }
        ),
        "Receipt": record({"accepted": _count(""), "duplicates": _count(""), "cursor": CURSOR}),
        "FeatureDone": _done(feature_id=identifier),
        "StatusDone": _done(
            feature_id=identifier, old_status=or_null(FEATURE_STATUS), new_status=FEATURE_STATUS
        ),
        "LinkDone": _done(feature_id=identifier, linked_feature_id=identifier, link_type=LINK_TYPE),
        "TrackDone": _done(track_id=identifier),
        "SpikeDone": _done(spike_id=identifier),
    }
