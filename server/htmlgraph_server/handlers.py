"""The HTTP routes: translate a request, call the one who knows, translate the answer."""

from __future__ import annotations

import time
from datetime import UTC, datetime

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from htmlgraph_nb.checks import check_text, clip
from htmlgraph_nb.connectors.registry import HOOKS

from .api import Api
from .base import Problem, committed
from .ingest import events_of, events_of_lines
from .openapi import document
from .status import make_registry, status_report


class Events(Api):
    """``POST /api/events``: events in; answered after the commit."""

    async def post(self) -> None:
        received = time.monotonic()
        self.known_parameters()
        header = self.request.headers.get("Content-Type", "application/json")
        kind = header.split(";")[0].strip().lower()
        if kind in ("application/x-ndjson", "application/jsonl", "application/ndjson"):
            events = events_of_lines(self.body)
        else:
            events = events_of(self.json_body())
        receipt = await committed(self.service.manager.submit(events, received))
        self.send_json(
            {
                "accepted": receipt.accepted,
                "duplicates": receipt.duplicates,
                "cursor": str(receipt.cursor),
            }
        )


class AllPresence(Api):
    """``GET /api/presence``: every agent."""

    def get(self) -> None:
        self.known_parameters()
        board = self.service.hub.board
        self.send_json(
            {
                "cursor": str(board.cursor),
                "agents": [entry.presence.to_dict() for entry in board.entries.values()],
            }
        )

    head = get


class OnePresence(Api):
    """``GET /api/presence/{agent_id}``: one agent."""

    def get(self, agent_id: str) -> None:
        self.known_parameters()
        entry = self.service.hub.board.entries.get(check_text(agent_id, "agent_id"))
        if entry is None:
            raise Problem(404, "unknown_agent", f"nothing is known of {clip(agent_id)}", "agent_id")
        self.send_json(entry.presence.to_dict())

    head = get


class Offline(Api):
    """``POST /api/presence/{agent_id}/offline``: mark one agent as offline."""

    async def post(self, agent_id: str) -> None:
        self.known_parameters()
        future = self.service.manager.submit_offline(
            check_text(agent_id, "agent_id"), time.monotonic()
        )
        if not await committed(future):
            raise Problem(404, "unknown_agent", f"nothing is known of {clip(agent_id)}", "agent_id")
        self.send_json({"success": True, "agent_id": agent_id})


class AgentHook(Api):
    """``POST /api/hooks/{agent}``: one hook of an agent, as the hook's standard input has it."""

    async def post(self, agent: str) -> None:
        received = time.monotonic()
        translate = HOOKS.get(agent)
        if translate is None:
            known = ", ".join(HOOKS)
            raise Problem(404, "not_found", f"no hooks of {clip(agent)} are known, only {known}")
        events = translate(self.json_object(), received_at=datetime.now(UTC))
        if events:
            await committed(self.service.manager.submit(events, received))
        self.set_status(204)


class Status(Api):
    """``GET /api/status``: what the server does."""

    def get(self) -> None:
        self.known_parameters()
        self.send_json(status_report(self.service))

    head = get


class Metrics(Api):
    """``GET /metrics``: the same for Prometheus."""

    def get(self) -> None:
        self.known_parameters()
        self.set_header("Content-Type", CONTENT_TYPE_LATEST)
        self.finish(generate_latest(make_registry(self.service)))

    head = get


class OpenApi(Api):
    """``GET /api/openapi.json``: the description of these routes."""

    def get(self) -> None:
        self.known_parameters()
        self.send_json(document())

    head = get
