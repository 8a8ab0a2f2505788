"""The route table, and how the parts are tied to an event loop."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from tornado import web

from htmlgraph_nb.intake import Publication

from . import broadcasts, handlers, history_routes, page, sockets
from .activity import ActivityCache
from .api import NotFound
from .history import HistoryReader
from .otlp import routes as otlp_routes
from .service import Service
from .status import make_registry
from .streams import StreamPool

logger = logging.getLogger("htmlgraph.http")

PING_INTERVAL_S = 20
PING_TIMEOUT_S = 20

ROUTES: tuple[tuple[str, type[web.RequestHandler]], ...] = (
    (r"/", page.Page),
    (r"/static/([^/]+)", page.StaticFile),
    (r"/ws/broadcasts", sockets.BroadcastSocket),
    (r"/ws/events", sockets.IngestSocket),
    (r"/api/events", handlers.Events),
    (r"/api/presence", handlers.AllPresence),
    (r"/api/presence/([^/]+)", handlers.OnePresence),
    (r"/api/presence/([^/]+)/offline", handlers.Offline),
    (r"/api/history", history_routes.History),
    (r"/api/activity", history_routes.Activity),
    (r"/api/broadcast/features/([^/]+)", broadcasts.Feature),
    (r"/api/broadcast/features/([^/]+)/status", broadcasts.FeatureStatus),
    (r"/api/broadcast/features/([^/]+)/links", broadcasts.FeatureLink),
    (r"/api/broadcast/tracks/([^/]+)", broadcasts.Track),
    (r"/api/broadcast/spikes/([^/]+)", broadcasts.Spike),
    (r"/api/hooks/([^/]+)", handlers.AgentHook),
    (r"/v1/logs", otlp_routes.Logs),
    (r"/v1/traces", otlp_routes.Traces),
    (r"/v1/metrics", otlp_routes.Metrics),
    (r"/api/status", handlers.Status),
    (r"/api/openapi\.json", handlers.OpenApi),
    (r"/metrics", handlers.Metrics),
)


def make_app(service: Service) -> web.Application:
    """Return the Tornado application of a service."""
    history = HistoryReader(service.manager.db_path)
    settings: dict[str, Any] = {
        "service": service,
        "history": history,
        "streams": StreamPool(),
        "activity": ActivityCache(history),
        "metrics": make_registry(service),
        "websocket_ping_interval": PING_INTERVAL_S,
        "websocket_ping_timeout": PING_TIMEOUT_S,
        "log_function": _log_request,
    }
    return web.Application(list(ROUTES), default_handler_class=NotFound, **settings)


def connect(service: Service, loop: asyncio.AbstractEventLoop) -> Callable[[], None]:
    """Bring the manager's changes, which come from any thread, to the hub on its loop.

    Returns:
        A function that ends it.
    """

    def publish(publication: Publication) -> None:
        if not loop.is_closed():
            loop.call_soon_threadsafe(service.hub.publish, publication)

    return service.manager.subscribe(publish)


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
