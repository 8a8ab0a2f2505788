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
    **dict.fromkeys(
        ("quota", "exhausted your capacity", "usage limit", "daily limit"), "usage_limited"
    ),
    **dict.fromkeys(("rate limit", "resource_exhausted", "code 429", '"code":429'), "rate_limited"),
    **dict.fromkeys(
        (
            "unauthenticated",
            "api key not valid",
            "invalid api key",
            "please log in",
            "sign in again",
        ),
        "signed_out",
    ),
    **dict.fromkeys(
        ("overloaded", '"unavailable"', '"code":503', "code 503", "high demand", "fetch failed"),
        "overloaded",
    ),
}
"""Part of the text of an error, lower case → why the agent cannot work; the first one counts."""
