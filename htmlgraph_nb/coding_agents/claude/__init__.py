"""Claude Code: hooks, session files, telemetry."""
