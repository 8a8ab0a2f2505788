"""Where ``htmlgraph-nb connect nova`` adds htmlgraph-hook: ~/.nova/settings.json."""

from htmlgraph_nb.coding_agents import HookSettings

SETTINGS = HookSettings(
    file="settings.json",
    # Hook → whether Nova must wait for it, because its process may end right after.
    events={
        **dict.fromkeys(
            ("SessionStart", "UserPromptSubmit", "PreToolUse", "PostToolUse", "PermissionRequest"),
            False,
        ),
        **dict.fromkeys(("Stop", "SessionEnd"), True),
    },
)
