"""Routes about the server itself: its status, its metrics and the description of its API."""

from __future__ import annotations

import asyncio
import os
from functools import cache
from typing import Any

import htmlgraph_server
from htmlgraph_nb import __version__

from .json_api import JsonHandler
from .status import status_report

_PACKAGE = os.path.dirname(os.path.abspath(htmlgraph_server.__file__))


@cache
def openapi_document() -> dict[str, Any]:
    """Return the OpenAPI 3.1 document of ``openapi.yaml``, with the version of this package."""
    # Loaded on the first request: a server that never gets one uses less memory.
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    with open(os.path.join(_PACKAGE, "openapi.yaml"), "rb") as file:
        document: dict[str, Any] = yaml.load(file, loader)  # noqa: S506 - both loaders are safe
    document["info"]["version"] = __version__
    return document


class StatusHandler(JsonHandler):
    """``GET /api/status``: counters and settings of the server."""

    def get(self) -> None:
        self.allow_parameters()
        self.send_json(status_report(self.service))

    head = get


class HostsHandler(JsonHandler):
    """``GET /api/hosts``: the hosts that forward their events to this server."""

    def get(self) -> None:
        self.allow_parameters()
        self.send_json({"hosts": self.service.hosts.rows()})

    head = get


class PrometheusHandler(JsonHandler):
    """``GET /metrics``: the counters for Prometheus."""

    async def get(self) -> None:
        # Loaded on the first request: a server without Prometheus uses a megabyte less.
        from .agent_metrics import agent_sum_steps
        from .prometheus import exposition

        self.allow_parameters()
        service = self.service
        agents = [entry.presence for entry in service.hub.published.agents.values()]
        sums = await service.turns.run(agent_sum_steps(agents))
        media_type, text = exposition(service, sums)
        self.set_header("Content-Type", media_type)
        self.finish(text)

    head = get


class OpenApiHandler(JsonHandler):
    """``GET /api/openapi.json``: the description of the HTTP routes."""

    async def get(self) -> None:
        self.allow_parameters()
        # In a thread: parsing takes long enough to delay the dashboards.
        loop = asyncio.get_running_loop()
        self.send_json(await loop.run_in_executor(None, openapi_document))

    head = get
