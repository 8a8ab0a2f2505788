"""Constants of Kiro's formats; ``htmlgraph-hook`` loads them on every tool call."""

AGENT = "kiro"
SESSION_SOURCE = "kiro-session"
AGENT_CONFIG_OPTION = "agent-config"
"""Argument of ``htmlgraph-hook`` in the configs of agents."""
WORKSPACE_SESSION = "sess_"
"""Start of the ids of sessions of version 3."""
EXTRA_FIELDS: dict[str, tuple[str, ...]] = {}
"""Hook → its fields that are kept in ``extra``."""
SENT_FIELDS = EXTRA_FIELDS
"""Hook → the fields that ``htmlgraph-hook`` sends."""
HOOKS_AFTER_WRITE: frozenset[str] = frozenset()
"""No hook names the session file."""
TOOL_NAMES = {
    "fs_read": "read",
    "fs_write": "write",
    "execute_bash": "shell",
    "execute_cmd": "shell",
    "use_aws": "aws",
    "use_subagent": "subagent",
}
"""Name of a tool in older versions and in hooks → its name in session files of version 2.5."""
MESSAGES_FILE = "messages.jsonl"
"""Name of the session files of version 3."""
CHILD_FOLDER = "sub-executions"
"""Folder of the subagents of a session of version 3."""
