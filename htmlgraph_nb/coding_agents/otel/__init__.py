"""OpenTelemetry logs, spans and metrics as events."""
