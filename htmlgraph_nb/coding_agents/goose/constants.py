"""Constants of Goose's formats."""

AGENT = "goose"
SESSION_SOURCE = "goose-session"
CANNOT_WORK = {"authentication": "signed_out", "creditsExhausted": "usage_limited"}
"""Kind of an error → why the agent cannot work."""
