"""Routes that report events and read agents' presence."""

from __future__ import annotations

import time
from contextlib import suppress
from datetime import UTC, datetime

from tornado.iostream import StreamClosedError

from htmlgraph_nb.coding_agents.registry import AGENTS
from htmlgraph_nb.coding_agents.titles import drop_generated_titles
from htmlgraph_nb.core.model import Event
from htmlgraph_nb.core.protocol import encode_json
from htmlgraph_nb.core.validation import shorten, validate_string
from htmlgraph_nb.errors import ApiError

from .base import committed
from .json_api import JsonHandler
from .parsing import parse_events, parse_ndjson

_NDJSON = ("application/x-ndjson", "application/jsonl", "application/ndjson")


SLICE_AGENTS = 200
"""Number of agents to encode and send before other connections get their turn."""


class EventsHandler(JsonHandler):
    """``POST /api/events``: store events; responds after the commit."""

    async def post(self) -> None:
        received = time.monotonic()
        self.allow_parameters()
        header = self.request.headers.get("Content-Type", "application/json")
        if header.split(";")[0].strip().lower() in _NDJSON:
            events = parse_ndjson(self.body)
        else:
            events = parse_events(self.json_body())
        self.identity.check_events(events)
        result = await committed(self.service.manager.submit(events, received))
        self.send_json(
            {
                "accepted": result.accepted,
                "duplicates": result.duplicates,
                "cursor": str(result.cursor),
            }
        )


class PresenceListHandler(JsonHandler):
    """``GET /api/presence``: all agents."""

    async def get(self) -> None:
        self.allow_parameters()
        published = self.service.hub.published
        # One position, although changes arrive while this is sent.
        cursor, agents = str(published.cursor), list(published.agents.values())
        self.set_header("Content-Type", "application/json; charset=utf-8")
        self.write(f'{{"cursor":{encode_json(cursor)},"agents":[')
        # Once a part was sent, a client that is gone cannot be sent an error.
        with suppress(StreamClosedError):
            for start in range(0, len(agents), SLICE_AGENTS):
                if start:
                    await self.flush_read()
                    self.write(",")
                piece = agents[start : start + SLICE_AGENTS]
                self.write(",".join([entry.all_fields_json for entry in piece]))
            self.finish("]}\n")

    head = get


class PresenceHandler(JsonHandler):
    """``GET /api/presence/{agent_id}``: one agent."""

    def get(self, agent_id: str) -> None:
        self.allow_parameters("explain")
        explain = self.choice_parameter("explain", ("0", "1"), "0") == "1"
        entry = self.service.hub.published.agents.get(validate_string(agent_id, "agent_id"))
        presence = None if entry is None else entry.presence.to_dict()
        if explain:
            presence = self.service.manager.explain(agent_id)
        if presence is None:
            raise _unknown_agent(agent_id)
        self.send_json(presence)

    head = get


class OfflineHandler(JsonHandler):
    """``POST /api/presence/{agent_id}/offline``: mark one agent as offline."""

    async def post(self, agent_id: str) -> None:
        self.allow_parameters()
        future = self.service.manager.submit_offline(
            validate_string(agent_id, "agent_id"), time.monotonic()
        )
        if not await committed(future):
            raise _unknown_agent(agent_id)
        self.send_json({"success": True, "agent_id": agent_id})


class ViewedHandler(JsonHandler):
    """``POST /api/presence/{agent_id}/viewed``: a person looked at the agent."""

    async def post(self, agent_id: str) -> None:
        received = time.monotonic()
        self.allow_parameters()
        if validate_string(agent_id, "agent_id") not in self.service.hub.published.agents:
            raise _unknown_agent(agent_id)
        event = Event(agent_id=agent_id, event_type="viewed", source="person")
        await committed(self.service.manager.submit([event], received))
        self.send_json({"success": True, "agent_id": agent_id})


def _unknown_agent(agent_id: str) -> ApiError:
    return ApiError(404, "unknown_agent", f"unknown agent {shorten(agent_id)}", "agent_id")


class AgentHookHandler(JsonHandler):
    """``POST /api/hooks/{agent}``: the body is the JSON that the agent passes to its hook."""

    async def post(self, agent: str) -> None:
        received = time.monotonic()
        coding_agent = AGENTS.get(agent)
        if coding_agent is None:
            raise ApiError(
                404,
                "not_found",
                f"unknown coding agent {shorten(agent)}; expected one of {', '.join(AGENTS)}",
            )
        if not coding_agent.has_hooks:
            raise ApiError(404, "not_found", f"{coding_agent.label} has no hooks")
        payload = self.json_object()
        events = coding_agent.events_from_hook(payload, received_at=datetime.now(UTC))
        if not self.service.config.titles:
            events = drop_generated_titles(events)
        self.identity.check_events(events)
        if events:
            await committed(self.service.manager.submit(events, received))
        if self.service.local_agents is not None:
            # After the commit, so that events from the session file arrive later and are dropped as
            # duplicates.
            self.service.local_agents.on_hook(agent, payload, self.request.remote_ip)
        self.set_status(204)
