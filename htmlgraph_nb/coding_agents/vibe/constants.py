"""Constants of Mistral Vibe's formats; ``htmlgraph-hook`` loads them on every tool call."""

AGENT = "vibe"
SESSION_SOURCE = "vibe-session"
SENT_FIELDS: dict[str, tuple[str, ...]] = {
    "before_tool": ("tool_call_id", "parent_session_id"),
    "after_tool": ("tool_call_id", "tool_status", "parent_session_id"),
    "post_agent_turn": ("parent_session_id",),
}
"""Hook → the fields that ``htmlgraph-hook`` sends."""
HOOKS_AFTER_WRITE = frozenset({"post_agent_turn"})
QUESTION_TOOLS = {"ask_user_question": "input", "exit_plan_mode": "plan"}
"""Tools that wait for the user → the kind of their request."""
