"""The OpenAPI document against a real server: generated requests, good and bad, on every route."""

from __future__ import annotations

import json
import re
from dataclasses import fields
from datetime import UTC, datetime
from typing import Any

import schemathesis
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from htmlgraph_nb.core.model import AgentPresence, Event
from htmlgraph_nb.storage.schema import HISTORY_COLUMNS
from htmlgraph_server.app import ROUTES
from htmlgraph_server.handlers.server_handlers import openapi_document as document
from tests.helpers.server_process import Server

FLAGS = ("--max-agents", "1000000")

# What the document says in words: times lie in the years 2000 to 2199.
schemathesis.openapi.format(
    "date-time",
    st.datetimes(datetime(2000, 1, 2), datetime(2199, 12, 30), timezones=st.just(UTC)).map(
        lambda moment: moment.isoformat().replace("+00:00", "Z")
    ),
)

WEBSOCKETS = {"/ws/broadcasts", "/ws/events"}
schema = schemathesis.openapi.from_dict(document())


@schemathesis.serializer("application/x-ndjson")
def _one_line(_: Any, value: Any) -> Any:
    return value if isinstance(value, bytes) else json.dumps(value).encode() + b"\n"


@schemathesis.serializer("application/x-protobuf")
def _as_bytes(_: Any, value: Any) -> bytes:
    # Random bytes are what a protobuf route must stand, too.
    return value if isinstance(value, bytes) else str(value).encode("utf-8", "replace")


@schema.parametrize()
@settings(
    max_examples=12,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)
def test_route_keeps_its_promise(case: Any, module_server: Server) -> None:
    """Each answer to generated requests, good and bad, is one that the document names."""
    case.call_and_validate(base_url=module_server.url)


def test_served_document_is_the_tested_one(module_server: Server) -> None:
    """The server gives out the document against which it was tested, and it survives JSON."""
    answer = module_server.get("/api/openapi.json")
    assert answer.json() == json.loads(json.dumps(document()))
    assert answer.json()["openapi"].startswith("3.1.")


def test_every_http_route_is_in_the_document() -> None:
    """Paths of the document and patterns of the route table are the same, names aside."""
    routes = {pattern.replace("([^/]+)", "{}").replace("\\", "") for pattern, _ in ROUTES}
    described = {re.sub(r"\{\w+\}", "{}", path) for path in document()["paths"]}
    assert described == routes - WEBSOCKETS


def test_methods_of_the_document_are_those_of_the_handlers(module_server: Server) -> None:
    """A method that no route has is answered with 405, and Allow names those of the document."""
    for path, operations in document()["paths"].items():
        answer = module_server.request("DELETE", re.sub(r"\{\w+\}", "page.js", path))
        assert answer.status == 405, path
        allowed = set(answer.headers["allow"].lower().split(", "))
        assert allowed - {"head"} == set(operations), path
        assert answer.error["code"] == "method_not_allowed"


def test_schemas_name_the_fields_of_the_dataclasses() -> None:
    """Event, AgentPresence and history rows have one list of names."""
    schemas = document()["components"]["schemas"]
    assert list(schemas["Event"]["properties"]) == [field.name for field in fields(Event)]
    presence = [field.name for field in fields(AgentPresence)]
    assert list(schemas["AgentPresence"]["properties"]) == presence
    assert schemas["AgentPresence"]["required"] == presence
    assert tuple(schemas["HistoryEvent"]["properties"]) == HISTORY_COLUMNS


def test_references_lead_somewhere() -> None:
    """Each $ref of the document names something in it."""
    text = json.dumps(document())
    references = set(re.findall(r'"\$ref": "#/components/(\w+)/(\w+)"', text))
    assert len(references) > 10
    assert text.count('"$ref"') == len(re.findall(r'"\$ref": "#/components/\w+/\w+"', text))
    for kind, name in references:
        assert name in document()["components"][kind]
