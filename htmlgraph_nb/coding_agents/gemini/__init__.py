"""Gemini CLI: hooks, session files, telemetry."""
