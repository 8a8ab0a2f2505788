"""Codex: hooks, session files, telemetry."""
