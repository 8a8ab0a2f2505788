"""Constants of Gemini CLI's formats; ``htmlgraph-hook`` loads them on every tool call."""

AGENT = "gemini"
SESSION_SOURCE = "gemini-session"
EXTRA_FIELDS: dict[str, tuple[str, ...]] = {
    "SessionStart": ("source",),
    "SessionEnd": ("reason",),
    "Notification": ("notification_type",),
}
"""Hook → its fields that are kept in ``extra``."""
SENT_FIELDS = EXTRA_FIELDS
"""Hook → the fields that ``htmlgraph-hook`` sends."""
HOOKS_AFTER_WRITE = frozenset({"AfterAgent", "SessionEnd"})
QUESTION_TOOLS = {"ask_user": "input", "exit_plan_mode": "plan"}
"""Tools that wait for the user → the kind of their request."""
CANNOT_WORK = {
    "quota": "usage_limited",
    "exhausted your capacity": "usage_limited",
    "usage limit": "usage_limited",
    "daily limit": "usage_limited",
    "rate limit": "rate_limited",
    "resource_exhausted": "rate_limited",
    "code 429": "rate_limited",
    '"code":429': "rate_limited",
    "unauthenticated": "signed_out",
    "api key not valid": "signed_out",
    "invalid api key": "signed_out",
    "please log in": "signed_out",
    "sign in again": "signed_out",
    "overloaded": "overloaded",
    '"unavailable"': "overloaded",
    '"code":503': "overloaded",
    "code 503": "overloaded",
    "high demand": "overloaded",
    "fetch failed": "overloaded",
}
"""Part of the text of an error, lower case → why the agent cannot work; the first one counts."""
