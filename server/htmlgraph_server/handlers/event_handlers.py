"""Routes that report events and read agents' presence."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime

from tornado.iostream import StreamClosedError

from htmlgraph_nb.coding_agents.registry import AGENTS
from htmlgraph_nb.coding_agents.titles import drop_generated_titles
from htmlgraph_nb.core.model import Event
from htmlgraph_nb.core.protocol import encode_json
from htmlgraph_nb.core.validation import shorten, validate_string
from htmlgraph_nb.errors import ApiError

from ..hub.published_state import PublishedAgent
from .json_api import JsonHandler
from .parsing import ndjson_steps

_NDJSON = ("application/x-ndjson", "application/jsonl", "application/ndjson")


_SLOT_S = 0.02
SLICE_AGENTS = 100
"""Number of agents to encode and send in one turn."""


class EventsHandler(JsonHandler):
    """``POST /api/events``: store events; responds after the commit."""

    async def post(self) -> None:
        received = time.monotonic()
        self.allow_parameters()
        header = self.request.headers.get("Content-Type", "application/json")
        if header.split(";")[0].strip().lower() in _NDJSON:
            async with self.service.turns.decoding:
                events = await self.service.turns.run(ndjson_steps(self.body))
        else:
            events = await self.decode_events(self.body, "body")
        self.identity.check_events(events)
        result = await self.committed(self.service.manager.submit(events, received))
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
                if len(agents) > SLICE_AGENTS:
                    await self._send_slice(start, agents[start : start + SLICE_AGENTS])
                else:
                    self._write_slice(start, agents)
            self.finish("]}\n")

    def _write_slice(self, start: int, agents: Sequence[PublishedAgent]) -> None:
        if start:
            self.write(",")
        self.write(",".join([entry.all_fields_json for entry in agents]))

    async def _send_slice(self, start: int, agents: Sequence[PublishedAgent]) -> None:
        """Write a slice and wait until the client has read it.

        Few connections do so at a time, because each that becomes writable takes time of its
        iteration of the event loop. One that is slow lets others go first.
        """
        service = self.service
        async with service.turns.state_slots:
            await service.turns.next()
            self._write_slice(start, agents)
            await asyncio.wait({self.flush()}, timeout=_SLOT_S)
        await self.flush_read()

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
        if not await self.committed(future):
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
        await self.committed(self.service.manager.submit([event], received))
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
        payload = await self.json_object()
        events = coding_agent.events_from_hook(payload, received_at=datetime.now(UTC))
        if not self.service.config.titles:
            events = drop_generated_titles(events)
        self.identity.check_events(events)
        if events:
            await self.committed(self.service.manager.submit(events, received))
        if self.service.local_agents is not None:
            # After the commit, so that events from the session file arrive later and are dropped as
            # duplicates.
            self.service.local_agents.on_hook(agent, payload, self.request.remote_ip)
        self.set_status(204)
