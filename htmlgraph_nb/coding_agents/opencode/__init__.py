"""OpenCode: session database, plugin, telemetry."""

from __future__ import annotations

import os

from ..agent import CodingAgent


class OpenCode(CodingAgent):
    """OpenCode."""

    name = "opencode"
    label = "OpenCode"
    has_hooks = True
    has_databases = True
    commands = ("opencode",)
    packages = ("opencode-ai",)

    def homes(self) -> list[str]:
        """Return the folder of its database, which may not exist."""
        data = os.environ.get("XDG_DATA_HOME") or os.path.expanduser("~/.local/share")
        return [os.path.join(data, "opencode")]

    def session_databases(self, home: str) -> list[str]:
        """Return the databases of all release channels, and the folder of older versions."""
        from .json_storage import is_storage

        named = os.environ.get("OPENCODE_DB", "")
        # A relative path is one in its folder.
        paths = [os.path.join(home, named)] if named and named != ":memory:" else []
        try:
            names = sorted(os.listdir(home))
        except OSError:
            names = []
        channels = [name for name in names if name.startswith("opencode-") and name.endswith(".db")]
        paths += [os.path.join(home, name) for name in ("opencode.db", *channels)]
        storage = os.path.join(home, "storage")
        if is_storage(storage):
            paths.append(storage)
        return list(dict.fromkeys(paths))
