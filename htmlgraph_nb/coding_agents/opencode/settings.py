"""How OpenCode is connected: by a plugin; source: https://opencode.ai/docs/plugins."""

from __future__ import annotations

import os

from ..hook_settings import HookSettings
from .plugin import plugin_text

SETTINGS = HookSettings(
    file=os.path.join("plugins", "htmlgraph.js"),
    events=dict.fromkeys(
        (
            *("session.created", "session.prompt", "session.retry", "session.error"),
            *("session.idle", "session.deleted", "permission.asked", "permission.replied"),
            *("question.asked", "question.replied", "question.rejected"),
        ),
        False,
    ),
    home_variable="OPENCODE_CONFIG_DIR",
    folder=os.path.join(".config", "opencode"),
    project_folder=".opencode",
    program=plugin_text,
    note="OpenCode loads the plugin when it starts.",
)
