"""The route table, and the standalone server's application of it."""

from __future__ import annotations

import logging
from typing import Any

from tornado import web

from .handlers import event_handlers, history_handlers, page, resource_handlers, websockets
from .handlers import otlp_handlers as otlp_routes
from .handlers.json_api import NotFound
from .service import Service

logger = logging.getLogger("htmlgraph.http")

ROUTES: tuple[tuple[str, type[web.RequestHandler]], ...] = (
    (r"/", page.Page),
    (r"/static/([^/]+)", page.StaticFile),
    (r"/ws/broadcasts", websockets.BroadcastSocket),
    (r"/ws/events", websockets.IngestSocket),
    (r"/api/events", event_handlers.Events),
    (r"/api/presence", event_handlers.AllPresence),
    (r"/api/presence/([^/]+)", event_handlers.OnePresence),
    (r"/api/presence/([^/]+)/offline", event_handlers.Offline),
    (r"/api/history", history_handlers.History),
    (r"/api/activity", history_handlers.Activity),
    (r"/api/broadcast/features/([^/]+)", resource_handlers.Feature),
    (r"/api/broadcast/features/([^/]+)/status", resource_handlers.FeatureStatus),
    (r"/api/broadcast/features/([^/]+)/links", resource_handlers.FeatureLink),
    (r"/api/broadcast/tracks/([^/]+)", resource_handlers.Track),
    (r"/api/broadcast/spikes/([^/]+)", resource_handlers.Spike),
    (r"/api/hooks/([^/]+)", event_handlers.AgentHook),
    (r"/v1/logs", otlp_routes.Logs),
    (r"/v1/traces", otlp_routes.Traces),
    (r"/v1/metrics", otlp_routes.Metrics),
    (r"/api/status", event_handlers.Status),
    (r"/api/openapi\.json", event_handlers.OpenApi),
    (r"/metrics", event_handlers.Metrics),
)


def make_app(service: Service) -> web.Application:
    """Return the Tornado application of a service."""
    settings: dict[str, Any] = {"service": service, "log_function": _log_request}
    return web.Application(list(ROUTES), default_handler_class=NotFound, **settings)


def _log_request(handler: web.RequestHandler) -> None:
    # The path only: a query can hold a token.
    status = handler.get_status()
    # Why it failed was logged with the error itself.
    level = logging.DEBUG if status < 500 else logging.WARNING
    request = handler.request
    logger.log(
        level,
        "%d %s %s %.1fms",
        status,
        request.method,
        request.path,
        1_000 * request.request_time(),
    )
