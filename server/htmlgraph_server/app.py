"""The route table, and the Tornado application of the standalone server."""

from __future__ import annotations

import logging
from typing import Any

from tornado import web

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
from .handlers.json_api import NotFoundHandler
from .service import Service

logger = logging.getLogger(__name__)

ROUTES: tuple[tuple[str, type[web.RequestHandler]], ...] = (
    (r"/", page.PageHandler),
    (r"/static/([^/]+)", page.StaticFileHandler),
    (r"/static/([^/]+)/([^/]+)", page.StaticFileHandler),
    (r"/ws/broadcasts", websockets.BroadcastWebSocket),
    (r"/ws/events", websockets.EventWebSocket),
    (r"/api/events", event_handlers.EventsHandler),
    (r"/api/presence", event_handlers.PresenceListHandler),
    (r"/api/presence/([^/]+)", event_handlers.PresenceHandler),
    (r"/api/presence/([^/]+)/offline", event_handlers.OfflineHandler),
    (r"/api/presence/([^/]+)/viewed", event_handlers.ViewedHandler),
    (r"/api/quotas", history_handlers.QuotasHandler),
    (r"/api/alerts", alert_handlers.AlertsHandler),
    (r"/api/alerts/mute", alert_handlers.MuteHandler),
    (r"/api/alerts/rules", alert_handlers.AlertRulesHandler),
    (r"/api/alerts/test", alert_handlers.AlertTestHandler),
    (r"/api/alerts/([^/]+)/acknowledge", alert_handlers.AcknowledgeHandler),
    (r"/api/history", history_handlers.HistoryHandler),
    (r"/api/activity", history_handlers.ActivityHandler),
    (r"/api/costs", report_handlers.CostsHandler),
    (r"/api/sessions", report_handlers.SessionsHandler),
    (r"/api/broadcast/features/([^/]+)", resource_handlers.FeatureHandler),
    (r"/api/broadcast/features/([^/]+)/status", resource_handlers.FeatureStatusHandler),
    (r"/api/broadcast/features/([^/]+)/links", resource_handlers.FeatureLinkHandler),
    (r"/api/broadcast/tracks/([^/]+)", resource_handlers.TrackHandler),
    (r"/api/broadcast/spikes/([^/]+)", resource_handlers.SpikeHandler),
    (r"/api/hooks/([^/]+)", event_handlers.AgentHookHandler),
    (r"/v1/logs", otlp_handlers.OtlpLogsHandler),
    (r"/v1/traces", otlp_handlers.OtlpTracesHandler),
    (r"/v1/metrics", otlp_handlers.OtlpMetricsHandler),
    (r"/coverage", coverage_handlers.CoveragePageHandler),
    (r"/api/coverage", coverage_handlers.CoverageHandler),
    (r"/api/status", server_handlers.StatusHandler),
    (r"/api/openapi\.json", server_handlers.OpenApiHandler),
    (r"/metrics", server_handlers.PrometheusHandler),
)


def make_app(service: Service) -> web.Application:
    """Return the Tornado application of a service."""
    settings: dict[str, Any] = {"service": service, "log_function": _log_request}
    return web.Application(list(ROUTES), default_handler_class=NotFoundHandler, **settings)


def _log_request(handler: web.RequestHandler) -> None:
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
