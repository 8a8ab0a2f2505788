"""The HTTP routes: translate a request, call the one who knows, translate the answer."""

from __future__ import annotations

import time
from datetime import UTC, datetime

from htmlgraph_nb.coding_agents.registry import AGENTS
from htmlgraph_nb.core.validation import shorten, validate_string

from .base import ApiError, committed
from .json_api import Api
from .parsing import events_of, events_of_lines
from .status import status_report


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
        self.known_parameters("explain")
        explained = self.choice_parameter("explain", ("0", "1"), "0") == "1"
        entry = self.service.hub.board.entries.get(validate_string(agent_id, "agent_id"))
        found = None if entry is None else entry.presence.to_dict()
        if explained:
            found = self.service.manager.explain(agent_id)
        if found is None:
            raise ApiError(
                404, "unknown_agent", f"nothing is known of {shorten(agent_id)}", "agent_id"
            )
        self.send_json(found)

    head = get


class Offline(Api):
    """``POST /api/presence/{agent_id}/offline``: mark one agent as offline."""

    async def post(self, agent_id: str) -> None:
        self.known_parameters()
        future = self.service.manager.submit_offline(
            validate_string(agent_id, "agent_id"), time.monotonic()
        )
        if not await committed(future):
            raise ApiError(
                404, "unknown_agent", f"nothing is known of {shorten(agent_id)}", "agent_id"
            )
        self.send_json({"success": True, "agent_id": agent_id})


class AgentHook(Api):
    """``POST /api/hooks/{agent}``: one hook of an agent, as the hook's standard input has it."""

    async def post(self, agent: str) -> None:
        received = time.monotonic()
        coding_agent = AGENTS.get(agent)
        if coding_agent is None:
            known = ", ".join(AGENTS)
            raise ApiError(
                404, "not_found", f"no hooks of {shorten(agent)} are known, only {known}"
            )
        payload = self.json_object()
        events = coding_agent.events_from_hook(payload, received_at=datetime.now(UTC))
        if events:
            await committed(self.service.manager.submit(events, received))
        if self.service.local_agents is not None:
            # After the commit: what the file tells of the same comes second.
            self.service.local_agents.on_hook(agent, payload, self.request.remote_ip)
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
        # Loaded when first asked for: a server of which nobody does stays a megabyte smaller.
        from .prometheus import exposition

        self.known_parameters()
        media_type, text = exposition(self.service)
        self.set_header("Content-Type", media_type)
        self.finish(text)

    head = get


class OpenApi(Api):
    """``GET /api/openapi.json``: the description of these routes."""

    def get(self) -> None:
        # As for Metrics.
        from .openapi import document

        self.known_parameters()
        self.send_json(document())

    head = get
