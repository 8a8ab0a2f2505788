"""The route table, and the Tornado application of the standalone server."""

from __future__ import annotations

import logging
from typing import Any, NamedTuple

from tornado import web

from .access.gate import Gate
from .access.identity import Need
from .access.spaces import Spaces
from .handlers import (
    alert_handlers,
    coverage_handlers,
    event_handlers,
    history_handlers,
    otlp_handlers,
    page,
    report_handlers,
    resource_handlers,
    server_handlers,
    websockets,
)
from .handlers.base import BaseHandler
from .handlers.json_api import NotFoundHandler

logger = logging.getLogger(__name__)


class Route(NamedTuple):
    """One route.

    Attributes:
        pattern: regular expression of its path.
        handler: handles its requests.
        needs: what a request's identity must be allowed to do.
    """

    pattern: str
    handler: type[BaseHandler]
    needs: Need


ROUTES: tuple[Route, ...] = (
    Route(r"/", page.PageHandler, Need.READ),
    Route(r"/static/([^/]+)", page.StaticFileHandler, Need.NOTHING),
    Route(r"/static/([^/]+)/([^/]+)", page.StaticFileHandler, Need.NOTHING),
    Route(r"/ws/broadcasts", websockets.BroadcastWebSocket, Need.READ),
    Route(r"/ws/events", websockets.EventWebSocket, Need.WRITE),
    Route(r"/api/events", event_handlers.EventsHandler, Need.WRITE),
    Route(r"/api/presence", event_handlers.PresenceListHandler, Need.READ),
    Route(r"/api/presence/([^/]+)", event_handlers.PresenceHandler, Need.READ),
    Route(r"/api/presence/([^/]+)/offline", event_handlers.OfflineHandler, Need.ADMIN),
    Route(r"/api/presence/([^/]+)/viewed", event_handlers.ViewedHandler, Need.ADMIN),
    Route(r"/api/quotas", history_handlers.QuotasHandler, Need.READ),
    Route(r"/api/alerts", alert_handlers.AlertsHandler, Need.READ),
    Route(r"/api/alerts/mute", alert_handlers.MuteHandler, Need.ADMIN),
    Route(r"/api/alerts/rules", alert_handlers.AlertRulesHandler, Need.READ),
    Route(r"/api/alerts/test", alert_handlers.AlertTestHandler, Need.ADMIN),
    Route(r"/api/alerts/([^/]+)/acknowledge", alert_handlers.AcknowledgeHandler, Need.ADMIN),
    Route(r"/api/history", history_handlers.HistoryHandler, Need.READ),
    Route(r"/api/activity", history_handlers.ActivityHandler, Need.READ),
    Route(r"/api/costs", report_handlers.CostsHandler, Need.READ),
    Route(r"/api/sessions", report_handlers.SessionsHandler, Need.READ),
    Route(r"/api/broadcast/features/([^/]+)", resource_handlers.FeatureHandler, Need.WRITE),
    Route(
        r"/api/broadcast/features/([^/]+)/status",
        resource_handlers.FeatureStatusHandler,
        Need.WRITE,
    ),
    Route(
        r"/api/broadcast/features/([^/]+)/links", resource_handlers.FeatureLinkHandler, Need.WRITE
    ),
    Route(r"/api/broadcast/tracks/([^/]+)", resource_handlers.TrackHandler, Need.WRITE),
    Route(r"/api/broadcast/spikes/([^/]+)", resource_handlers.SpikeHandler, Need.WRITE),
    Route(r"/api/hooks/([^/]+)", event_handlers.AgentHookHandler, Need.WRITE),
    Route(r"/v1/logs", otlp_handlers.OtlpLogsHandler, Need.WRITE),
    Route(r"/v1/traces", otlp_handlers.OtlpTracesHandler, Need.WRITE),
    Route(r"/v1/metrics", otlp_handlers.OtlpMetricsHandler, Need.WRITE),
    Route(r"/coverage", coverage_handlers.CoveragePageHandler, Need.READ),
    Route(r"/api/coverage", coverage_handlers.CoverageHandler, Need.READ),
    Route(r"/api/hosts", server_handlers.HostsHandler, Need.READ),
    Route(r"/api/status", server_handlers.StatusHandler, Need.READ),
    Route(r"/api/openapi\.json", server_handlers.OpenApiHandler, Need.IDENTITY),
    Route(r"/metrics", server_handlers.PrometheusHandler, Need.READ),
)


def make_app(spaces: Spaces, gate: Gate) -> web.Application:
    """Return the Tornado application of spaces, which ``gate`` protects."""
    settings: dict[str, Any] = {"spaces": spaces, "gate": gate, "log_function": log_request}
    return web.Application(
        [(route.pattern, route.handler, {"needs": route.needs}) for route in ROUTES],
        default_handler_class=NotFoundHandler,
        default_handler_args={"needs": Need.IDENTITY},
        **settings,
    )


def log_request(handler: web.RequestHandler) -> None:
    """Log a request, without its query."""
    status = handler.get_status()
    # Warn about server errors only; the cause was logged with the exception.
    level = logging.DEBUG if status < 500 else logging.WARNING
    request = handler.request
    # Without the query, which can contain a token.
    logger.log(
        level,
        "%d %s %s %.1fms",
        status,
        request.method,
        request.path,
        1_000 * request.request_time(),
    )
