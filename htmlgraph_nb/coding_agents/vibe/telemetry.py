"""Mistral Vibe's OpenTelemetry has spans only."""

from __future__ import annotations

from ..telemetry import AgentTelemetry

TELEMETRY = AgentTelemetry(log_prefix="vibe.", logs={}, token_metrics={}, span_names=())
