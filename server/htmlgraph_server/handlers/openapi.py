"""The OpenAPI description of the HTTP routes."""

from __future__ import annotations

from functools import cache
from typing import Any

from htmlgraph_nb import __version__
from htmlgraph_nb.coding_agents.registry import AGENTS
from htmlgraph_nb.core.protocol import MAX_FILTER_VALUES
from htmlgraph_nb.storage.schema import HISTORY_COLUMNS

from ..history.activity_counts import MAX_MINUTES
from ..history.export_worker import COMPRESSIONS
from .history_handlers import DEFAULT_MINUTES, FORMATS, ORDERS
from .parsing import MAX_EVENTS
from .schemas import (
    CURSOR,
    FEATURE_STATUS,
    LINK_TYPE,
    Schema,
    named_schemas,
    or_null,
    record,
    reference,
    text,
)

JSON = "application/json"
Part = dict[str, Any]

_REFUSALS = {
    "400": "The request does not fit its description.",
    "401": "The token is missing or wrong.",
    "403": "The Host or the Origin is not this server's.",
    "404": "Nothing is known of it.",
    "409": "The cursor is of another database: start again without it.",
    "413": "The body is too long.",
    "415": "The body has another media type or encoding.",
    "429": "A bound of the server is reached; Retry-After says when to come back.",
    "503": "The database cannot be used now, or too much is on its way.",
}
_ERROR_EXAMPLE = {
    "error": {
        "code": "invalid",
        "message": 'agent_id is missing, expected text as "claude-1"',
        "field": "agent_id",
    }
}


def _content(schema: Schema, mime: str = JSON, example: Any = None) -> Part:
    body: Part = {"schema": schema}
    if example is not None:
        body["example"] = example
    return {mime: body}


def _responses(good: Part, codes: str = "", status: str = "200") -> Part:
    refused = {code: {"$ref": f"#/components/responses/E{code}"} for code in codes.split()}
    always = {code: {"$ref": f"#/components/responses/E{code}"} for code in ("401", "403")}
    return {status: good, **refused, **always}


def _answer(description: str, schema: str, example: Any = None) -> Part:
    return {"description": description, "content": _content(reference(schema), JSON, example)}


def _path(name: str) -> Part:
    return {"name": name, "in": "path", "required": True, "schema": text()}


def _query(name: str, schema: Schema, description: str) -> Part:
    return {"name": name, "in": "query", "schema": schema, "description": description}


def _operation(
    name: str, summary: str, responses: Part, parameters: list[Part] | None = None, body: Any = None
) -> Part:
    operation: Part = {"operationId": name, "summary": summary, "responses": responses}
    if parameters:
        operation["parameters"] = parameters
    if body is not None:
        operation["requestBody"] = {"required": True, "content": body}
    return operation


def _events() -> Part:
    event = reference("Event")
    many = {"type": "array", "items": event, "maxItems": MAX_EVENTS}
    example = {"agent_id": "claude-1", "event_type": "tool_execute", "tool_name": "Read"}
    body = {
        **_content({"anyOf": [event, many]}, JSON, example),
        # One JSON object a line.
        **_content(event, "application/x-ndjson"),
    }
    done = {"accepted": 1, "duplicates": 0, "cursor": "5f3a9c0e:1024"}
    good = _answer("They are committed; all or none are.", "Receipt", done)
    responses = _responses(good, "400 413 429 503")
    return {"post": _operation("send_events", "Report events.", responses, body=body)}


def _presence_routes() -> Part:
    agents = {"type": "array", "items": reference("AgentPresence")}
    every = {
        "description": "Every agent.",
        "content": _content(record({"cursor": CURSOR, "agents": agents})),
    }
    either = {"anyOf": [reference("AgentPresence"), reference("ExplainedPresence")]}
    one = {"description": "The agent.", "content": _content(either)}
    why = _query(
        "explain",
        {"type": "string", "enum": ["0", "1"], "default": "0"},
        "1: add the evidence with its times, and the rules that were asked.",
    )
    off = {
        "description": "It is offline now.",
        "content": _content(record({"success": {"const": True}, "agent_id": text()})),
    }
    path = [_path("agent_id")]
    return {
        "/api/presence": {
            "get": _operation("list_presence", "All agents.", _responses(every, "400"))
        },
        "/api/presence/{agent_id}": {
            "get": _operation(
                "get_presence", "One agent.", _responses(one, "400 404"), [*path, why]
            )
        },
        "/api/presence/{agent_id}/offline": {
            "post": _operation(
                "mark_offline",
                "Mark an agent as offline.",
                _responses(off, "400 404 413 429 503"),
                path,
            )
        },
    }


def _history() -> Part:
    names = {"type": "array", "items": text(), "minItems": 1, "maxItems": MAX_FILTER_VALUES}
    time = {"type": "string", "format": "date-time"}
    columns = {
        "type": "array",
        "items": {"type": "string", "enum": list(HISTORY_COLUMNS)},
        "minItems": 1,
    }
    parameters = [
        _query("since", time, "From this time on."),
        _query("until", time, "Before this time."),
        *(
            _query(name, names, f"Only these; may be given up to {MAX_FILTER_VALUES} times.")
            for name in ("agent", "session", "tool", "feature", "event_type")
        ),
        {
            **_query("columns", columns, "Names separated by commas; seq is always there."),
            "style": "form",
            "explode": False,
        },
        _query(
            "limit",
            {"type": "integer", "minimum": 1, "maximum": 2**53 - 1},
            "Most events. A JSON page holds at most 10000, and 1000 by default; streams hold all.",
        ),
        _query("cursor", CURSOR, "The cursor of the page before."),
        _query(
            "order",
            {"type": "string", "enum": list(ORDERS), "default": "asc"},
            "By seq: oldest or newest first. A cursor goes on in the order that is asked for.",
        ),
        _query(
            "format",
            {"type": "string", "enum": list(FORMATS)},
            "Goes before the Accept header.",
        ),
        _query(
            "compression",
            {"type": "string", "enum": list(COMPRESSIONS), "default": "none"},
            "Of the buffers of an Arrow stream; other formats are never compressed.",
        ),
    ]
    row = reference("HistoryEvent")
    page = {
        "events": {"type": "array", "items": row},
        "cursor": CURSOR,
        "more": {"type": "boolean", "description": "There is another page."},
    }
    good = {
        "description": "A page as JSON, or a stream of all of them.",
        "content": {
            **_content(record(page)),
            **_content({"type": "string"}, "application/x-ndjson"),
            **_content({"type": "string"}, "text/csv"),
            **_content({"type": "string", "format": "binary"}, FORMATS["arrow"]),
        },
    }
    responses = _responses(good, "400 409 429 503")
    return {"get": _operation("get_history", "Stored events.", responses, parameters)}


def _activity() -> Part:
    minutes = {
        "type": "integer",
        "minimum": 1,
        "maximum": MAX_MINUTES,
        "default": DEFAULT_MINUTES,
    }
    parameters = [_query("minutes", minutes, "How many minutes of the clock, this one included.")]
    good = _answer("Counts by agent, the oldest minute first.", "Activity")
    summary = "Events and errors of each agent in the last minutes."
    responses = _responses(good, "400 503")
    return {"get": _operation("get_activity", summary, responses, parameters)}


def _broadcast(name: str, summary: str, path: str, answer: str, body: Schema, example: Any) -> Part:
    # Beyond ASCII the headers are UTF-8, which most clients cannot be told.
    header = {"type": "string", "minLength": 1, "maxLength": 256, "pattern": "^[!-~]+$"}
    parameters = [
        _path(path),
        {"name": "X-Agent-ID", "in": "header", "required": True, "schema": header},
        {"name": "X-Session-ID", "in": "header", "required": True, "schema": header},
    ]
    responses = _responses(_answer("Stored and broadcast.", answer), "400 413 429 503")
    content = _content(body, JSON, example)
    return {"post": _operation(name, summary, responses, parameters, content)}


def _broadcasts() -> Part:
    anything: Schema = {"type": "object"}
    feature: Schema = {"type": "object", "properties": {"status": or_null(FEATURE_STATUS)}}
    status = record({"new_status": FEATURE_STATUS})
    link = record({"linked_feature_id": text(), "link_type": LINK_TYPE})
    linked = {"linked_feature_id": "feat-2", "link_type": "depends_on"}
    root = "/api/broadcast"
    return {
        f"{root}/features/{{feature_id}}": _broadcast(
            "update_feature",
            "Fields of a feature.",
            "feature_id",
            "FeatureDone",
            feature,
            {"title": "Login page", "status": "in_progress"},
        ),
        f"{root}/features/{{feature_id}}/status": _broadcast(
            "set_feature_status",
            "Another status of a feature.",
            "feature_id",
            "StatusDone",
            {**status, "additionalProperties": True},
            {"new_status": "done"},
        ),
        f"{root}/features/{{feature_id}}/links": _broadcast(
            "link_feature",
            "A link to another feature.",
            "feature_id",
            "LinkDone",
            {**link, "additionalProperties": True},
            linked,
        ),
        f"{root}/tracks/{{track_id}}": _broadcast(
            "update_track", "Fields of a track.", "track_id", "TrackDone", anything, {"title": "T"}
        ),
        f"{root}/spikes/{{spike_id}}": _broadcast(
            "update_spike", "Fields of a spike.", "spike_id", "SpikeDone", anything, {"title": "S"}
        ),
    }


def _hooks() -> Part:
    body: Schema = {
        "type": "object",
        "required": ["hook_event_name", "session_id"],
        "properties": {
            "hook_event_name": {"type": "string", "minLength": 1},
            "session_id": {"type": "string", "minLength": 1},
        },
    }
    example = {"hook_event_name": "Stop", "session_id": "0b9d6f4e-3d52-4a7c-9f10-5a1c2e8b7d66"}
    responses = _responses({"description": "Taken."}, "400 404 413 429 503", "204")
    summary = "One hook of a coding agent, as its standard input has it."
    agent = {**_path("agent"), "schema": {"type": "string", "enum": list(AGENTS)}}
    content = _content(body, JSON, example)
    return {"post": _operation("agent_hook", summary, responses, [agent], content)}


def _telemetry() -> dict[str, Part]:
    anything: Schema = {"type": "object"}
    binary: Schema = {"type": "string", "format": "binary"}
    body = {**_content(anything, JSON, {}), **_content(binary, "application/x-protobuf")}
    taken = {
        "description": "Taken; a partial success names how many records were refused.",
        "content": {**_content(anything, JSON), **_content(binary, "application/x-protobuf")},
    }
    return {
        f"/v1/{signal}": {
            "post": _operation(
                f"otlp_{signal}",
                f"{signal.capitalize()} by the OpenTelemetry protocol.",
                _responses(taken, "400 413 415 429 503"),
                body=body,
            )
        }
        for signal in ("logs", "traces", "metrics")
    }


def _plain() -> Part:
    string: Schema = {"type": "string"}
    page = {"description": "The live page.", "content": _content(string, "text/html")}
    moved = {"description": "The token became a cookie; the page is at Location."}
    file = {
        "description": "The file.",
        "content": {
            **_content(string, "text/javascript"),
            **_content(string, "text/css"),
            **_content(string, "image/svg+xml"),
            **_content(string, "text/html"),
        },
    }
    status = _answer("What it does.", "Status")
    described = {"description": "OpenAPI 3.1.", "content": _content({"type": "object"})}
    metrics = {
        "description": "The text format of Prometheus.",
        "content": _content(string, "text/plain"),
    }
    token = [_query("token", string, "The server's token; taken once.")]
    root = _responses(page, "400")
    root["302"] = moved
    no_guard = {"200": file, "404": {"$ref": "#/components/responses/E404"}}
    no_guard["400"] = {"$ref": "#/components/responses/E400"}
    named = [_path("name")]
    return {
        "/": {"get": _operation("page", "The live page.", root, token)},
        "/static/{name}": {"get": _operation("page_file", "A file of it.", no_guard, named)},
        "/api/status": {
            "get": _operation("get_status", "What it does.", _responses(status, "400"))
        },
        "/api/openapi.json": {
            "get": _operation("get_openapi", "This document.", _responses(described, "400"))
        },
        "/metrics": {
            "get": _operation("get_metrics", "The same for Prometheus.", _responses(metrics, "400"))
        },
    }


@cache
def document() -> dict[str, Any]:
    """Return the OpenAPI 3.1 document."""
    error = _content(reference("Error"), JSON, _ERROR_EXAMPLE)
    refusals = {
        f"E{code}": {"description": words, "content": error} for code, words in _REFUSALS.items()
    }
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "htmlgraph-nb",
            "version": __version__,
            "summary": "Live monitoring of coding agents.",
            "description": (
                "The WebSocket routes /ws/broadcasts and /ws/events are described in PROTOCOL.md. "
                "A server with a token wants it in each request."
            ),
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "security": [{}, {"bearer": []}],
        "paths": {
            **_plain(),
            "/api/events": _events(),
            **_presence_routes(),
            "/api/history": _history(),
            "/api/activity": _activity(),
            **_broadcasts(),
            "/api/hooks/{agent}": _hooks(),
            **_telemetry(),
        },
        "components": {
            "schemas": named_schemas(),
            "responses": refusals,
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
        },
    }
