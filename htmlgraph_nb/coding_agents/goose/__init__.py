"""Goose: session database, telemetry."""

from __future__ import annotations

import os
import sys

from ..agent import CodingAgent


class Goose(CodingAgent):
    """Goose. It has no hooks that could report a permission request or the end of a turn."""

    name = "goose"
    label = "Goose"
    aliases = ("goose-cli",)
    has_databases = True
    has_telemetry = True
    subagents_are_sessions = True
    commands = ("goose", "goosed")
    packages = ("@aaif/goose",)

    def homes(self) -> list[str]:
        """Return the folder of its data, which may not exist."""
        root = os.environ.get("GOOSE_PATH_ROOT")
        if root:
            return [os.path.join(root, "data")]
        if sys.platform == "win32":
            base = os.environ.get("APPDATA") or os.path.expanduser("~\\AppData\\Roaming")
            return [os.path.join(base, "Block", "goose", "data")]
        base = os.environ.get("XDG_DATA_HOME") or os.path.expanduser("~/.local/share")
        return [os.path.join(base, "goose")]

    def session_databases(self, home: str) -> list[str]:
        """Return its database, in the folder ``sessions``."""
        return [os.path.join(home, "sessions", "sessions.db")]
