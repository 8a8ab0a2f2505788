"""openapi.yaml against the code and a real server, with generated requests on every route."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import fields
from datetime import UTC, datetime
from functools import reduce
from typing import Any

import schemathesis
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from htmlgraph_nb import __version__
from htmlgraph_nb.core.model import MAX_TERM_CHARS, AgentPresence, Event, PresenceStatus
from htmlgraph_nb.core.protocol import COLUMNS_TYPE, MAX_FILTER_VALUES
from htmlgraph_nb.core.validation import MAX_EXTRA_BYTES, MAX_ID_CHARS, MAX_INTEGER
from htmlgraph_nb.reports.report_arguments import (
    COST_KEYS,
    FREQS,
    MAX_COST_KEYS,
    SESSION_COLUMNS,
    SESSION_FILTERS,
)
from htmlgraph_nb.storage.schema import HISTORY_COLUMNS
from htmlgraph_server.app import ROUTES
from htmlgraph_server.handlers.history_handlers import (
    DEFAULT_ACTIVITY_MINUTES,
    DEFAULT_PAGE_EVENTS,
    HISTORY_FORMATS,
    HISTORY_ORDERS,
    MAX_PAGE_EVENTS,
)
from htmlgraph_server.handlers.parsing import MAX_REQUEST_EVENTS
from htmlgraph_server.handlers.report_handlers import (
    DAY,
    DEFAULT_GROUPS,
    DEFAULT_SESSION_ROWS,
    MAX_GROUPS,
    MAX_SEARCH_CHARS,
    MAX_SESSION_ROWS,
)
from htmlgraph_server.handlers.server_handlers import openapi_document
from htmlgraph_server.history.activity_counts import MAX_ACTIVITY_AGENTS, MAX_ACTIVITY_MINUTES
from htmlgraph_server.history.export_worker import COMPRESSIONS
from htmlgraph_server.hub.broadcast_messages import FEATURE_STATUSES, LINK_TYPES
from tests.helpers.agent_lists import WITH_HOOKS
from tests.helpers.server_process import Server

FLAGS = ("--max-agents", "1000000")
DOCUMENT = openapi_document()
SCHEMAS: dict[str, Any] = DOCUMENT["components"]["schemas"]
WEBSOCKETS = {"/ws/broadcasts", "/ws/events"}

# The document says in prose that timestamps lie in the years 2000 to 2199.
schemathesis.openapi.format(
    "date-time",
    st.datetimes(datetime(2000, 1, 2), datetime(2199, 12, 30), timezones=st.just(UTC)).map(
        lambda timestamp: timestamp.isoformat().replace("+00:00", "Z")
    ),
)
schemathesis.openapi.format(
    "time-zone", st.sampled_from(("UTC", "Europe/Paris", "Asia/Kolkata", "America/St_Johns"))
)
schema = schemathesis.openapi.from_dict(DOCUMENT)


@schemathesis.serializer("application/x-ndjson")
def _one_line(_: Any, value: Any) -> Any:
    return value if isinstance(value, bytes) else json.dumps(value).encode() + b"\n"


@schemathesis.serializer("application/x-protobuf")
def _as_bytes(_: Any, value: Any) -> bytes:
    # A protobuf route must also handle random bytes.
    return value if isinstance(value, bytes) else str(value).encode("utf-8", "replace")


@schema.parametrize()
@settings(
    max_examples=12,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
def test_openapi_describes_every_response(case: Any, module_server: Server) -> None:
    """Each response to generated requests, valid and invalid, fits the document."""
    case.call_and_validate(base_url=module_server.url)


def test_openapi_is_served_as_json(module_server: Server) -> None:
    """The server serves the document of these tests, with the version of the package."""
    response = module_server.get("/api/openapi.json")
    assert response.json() == json.loads(json.dumps(DOCUMENT))
    assert response.json()["openapi"].startswith("3.1.")
    assert response.json()["info"]["version"] == __version__


def test_openapi_has_every_http_route() -> None:
    """Its paths are the patterns of the route table, apart from parameter names."""
    routes = {pattern.replace("([^/]+)", "{}").replace("\\", "") for pattern, *_ in ROUTES}
    described = {re.sub(r"\{\w+\}", "{}", path) for path in DOCUMENT["paths"]}
    assert described == routes - WEBSOCKETS


def test_openapi_methods_are_those_of_the_handlers(module_server: Server) -> None:
    """A wrong method gets a 405 whose Allow has the methods of the document."""
    for path, operations in DOCUMENT["paths"].items():
        response = module_server.request("DELETE", re.sub(r"\{\w+\}", "page.js", path))
        assert response.status == 405, path
        allowed = set(response.headers["allow"].lower().split(", "))
        assert allowed - {"head"} == set(operations), path
        assert response.error["code"] == "method_not_allowed"


def test_openapi_schemas_have_the_fields_of_the_dataclasses() -> None:
    """Event, AgentPresence and history rows have the same fields in the same order."""
    assert list(SCHEMAS["Event"]["properties"]) == [field.name for field in fields(Event)]
    presence = [field.name for field in fields(AgentPresence)]
    assert list(SCHEMAS["AgentPresence"]["properties"]) == presence
    assert SCHEMAS["AgentPresence"]["required"] == presence
    assert list(SCHEMAS["ExplainedPresence"]["properties"]) == [*presence, "explanation"]
    assert SCHEMAS["ExplainedPresence"]["required"] == [*presence, "explanation"]
    assert tuple(SCHEMAS["HistoryEvent"]["properties"]) == HISTORY_COLUMNS


def test_openapi_limits_are_those_of_the_code() -> None:
    """Every number and every list of choices in the document is a constant of the code."""
    assert SCHEMAS["Name"]["maxLength"] == SCHEMAS["NullableName"]["maxLength"] == MAX_ID_CHARS
    assert SCHEMAS["HeaderName"]["maxLength"] == MAX_ID_CHARS
    assert SCHEMAS["Count"]["maximum"] == SCHEMAS["NullableCount"]["maximum"] == MAX_INTEGER
    event = SCHEMAS["Event"]["properties"]
    assert event["event_type"]["maxLength"] == MAX_TERM_CHARS
    assert event["cost_usd"]["maximum"] == MAX_INTEGER
    assert f"at most {MAX_EXTRA_BYTES} bytes" in event["extra"]["description"]
    presence = SCHEMAS["AgentPresence"]["properties"]
    assert presence["status"]["enum"] == [status.value for status in PresenceStatus]
    assert SCHEMAS["FeatureStatus"]["enum"] == list(FEATURE_STATUSES)
    assert SCHEMAS["LinkType"]["enum"] == list(LINK_TYPES)
    assert SCHEMAS["NameList"]["maxItems"] == MAX_FILTER_VALUES
    activity = SCHEMAS["Activity"]["properties"]
    assert activity["minutes"]["maximum"] == MAX_ACTIVITY_MINUTES
    assert f"at most {MAX_ACTIVITY_AGENTS}" in activity["agents"]["description"]
    counts = activity["agents"]["additionalProperties"]["properties"]
    assert {counts[name]["maxItems"] for name in counts} == {MAX_ACTIVITY_MINUTES}


def test_openapi_parameters_are_those_of_the_code() -> None:
    """Defaults, limits and choices of the parameters are constants of the code."""
    body = DOCUMENT["paths"]["/api/events"]["post"]["requestBody"]["content"]["application/json"]
    assert body["schema"]["anyOf"][1]["maxItems"] == MAX_REQUEST_EVENTS
    hook = {p["name"]: p["schema"] for p in parameters_of("/api/hooks/{agent}", "post")}
    assert hook["agent"]["enum"] == WITH_HOOKS
    minutes = {p["name"]: p["schema"] for p in parameters_of("/api/activity")}["minutes"]
    assert (minutes["maximum"], minutes["default"]) == (
        MAX_ACTIVITY_MINUTES,
        DEFAULT_ACTIVITY_MINUTES,
    )
    history = {p["name"]: p for p in parameters_of("/api/history")}
    assert history["columns"]["schema"]["items"]["enum"] == list(HISTORY_COLUMNS)
    assert history["order"]["schema"]["enum"] == list(HISTORY_ORDERS)
    assert history["format"]["schema"]["enum"] == list(HISTORY_FORMATS)
    assert history["compression"]["schema"]["enum"] == list(COMPRESSIONS)
    assert (
        f"at most {MAX_PAGE_EVENTS}, and {DEFAULT_PAGE_EVENTS}" in history["limit"]["description"]
    )
    for name in ("agent", "session", "tool", "feature", "event_type"):
        assert history[name]["schema"] == {"$ref": "#/components/schemas/NameList"}
        assert f"up to {MAX_FILTER_VALUES} times" in history[name]["description"]
    costs = {p["name"]: p for p in parameters_of("/api/costs") if "name" in p}
    assert costs["by"]["schema"]["items"]["enum"] == [*COST_KEYS, DAY]
    assert costs["by"]["schema"]["maxItems"] == MAX_COST_KEYS
    assert costs["freq"]["schema"]["enum"] == list(FREQS)
    assert (costs["limit"]["schema"]["maximum"], costs["limit"]["schema"]["default"]) == (
        MAX_GROUPS,
        DEFAULT_GROUPS,
    )
    sessions = {p["name"]: p for p in parameters_of("/api/sessions") if "name" in p}
    assert set(SESSION_FILTERS) < set(sessions)
    assert sessions["search"]["schema"]["maxLength"] == MAX_SEARCH_CHARS
    assert sessions["sort"]["schema"]["enum"] == [
        *SESSION_COLUMNS,
        *(f"-{name}" for name in SESSION_COLUMNS),
    ]
    assert (sessions["limit"]["schema"]["maximum"], sessions["limit"]["schema"]["default"]) == (
        MAX_SESSION_ROWS,
        DEFAULT_SESSION_ROWS,
    )
    content = DOCUMENT["paths"]["/api/history"]["get"]["responses"]["200"]["content"]
    formats = [mime.split(";")[0] for mime in HISTORY_FORMATS.values()]
    assert list(content) == [*formats, COLUMNS_TYPE]


def parameters_of(path: str, method: str = "get") -> list[dict[str, Any]]:
    """Return the parameters of an operation."""
    parameters: list[dict[str, Any]] = DOCUMENT["paths"][path][method]["parameters"]
    return parameters


def references_in(value: Any) -> Iterator[str]:
    """Yield each $ref."""
    if isinstance(value, dict):
        for key, item in value.items():
            if key == "$ref":
                yield item
            else:
                yield from references_in(item)
    elif isinstance(value, list):
        for item in value:
            yield from references_in(item)


def test_openapi_references_exist() -> None:
    """Each $ref points to a part of the document, and each shared schema is used."""
    references = set(references_in(DOCUMENT))
    for reference in references:
        root, *path = reference.split("/")
        assert root == "#"
        assert reduce(lambda part, key: part[key], path, DOCUMENT), reference
    for kind in ("schemas", "parameters", "responses"):
        for name in DOCUMENT["components"][kind]:
            assert f"#/components/{kind}/{name}" in references, name
