"""What the hooks of Nova mean; their input has the form of Claude Code's."""

from htmlgraph_nb.coding_agents import HookFormat, events_from_payload

FORMAT = HookFormat(
    agent="nova",
    types={
        "SessionStart": "session_start",
        "UserPromptSubmit": "prompt",
        "PreToolUse": "tool_start",
        "PostToolUse": "tool_execute",
        "PostToolUseFailure": "tool_error",
        "PermissionRequest": "permission_request",
        "Stop": "stop",
        "SessionEnd": "session_end",
    },
)


def events_from_hook(payload, *, received_at):
    return events_from_payload(FORMAT, payload, received_at)
