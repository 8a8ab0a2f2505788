"""Pi sends no OpenTelemetry of its own."""

from __future__ import annotations

from ..telemetry import AgentTelemetry

TELEMETRY = AgentTelemetry(log_prefix="pi.", logs={}, token_metrics={}, span_names=())
