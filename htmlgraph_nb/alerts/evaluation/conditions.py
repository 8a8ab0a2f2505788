"""The conditions of rules that the presence of an agent decides. Pure functions."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from operator import attrgetter
from typing import Any

from ...core.agent_facts import CANNOT_WORK
from ...core.model import AgentPresence, PresenceStatus
from ..alert_rule import AlertRule

status_of: Callable[[AgentPresence], tuple[Any, ...]] = attrgetter(
    "status", "detail", "attention", "detail_since", "unseen", "alive"
)
"""Return the fields of a presence that the conditions of STATUS_KINDS depend on."""


def _began(presence: AgentPresence) -> datetime:
    return presence.detail_since or presence.since or presence.last_activity


def _waits(_: AlertRule, presence: AgentPresence) -> datetime | None:
    return _began(presence) if presence.attention else None


def _done(_: AlertRule, presence: AgentPresence) -> datetime | None:
    return _began(presence) if presence.unseen and presence.detail != "error" else None


def _error(_: AlertRule, presence: AgentPresence) -> datetime | None:
    failed = presence.detail == "error" and presence.status is PresenceStatus.IDLE
    return _began(presence) if failed else None


def _cannot_work(rule: AlertRule, presence: AgentPresence) -> datetime | None:
    detail = presence.detail
    if detail not in CANNOT_WORK or presence.status is PresenceStatus.OFFLINE:
        return None
    return _began(presence) if not rule.details or detail in rule.details else None


STATUS_KINDS: dict[str, Callable[[AlertRule, AgentPresence], datetime | None]] = {
    "waits": _waits,
    "done": _done,
    "error": _error,
    "cannot_work": _cannot_work,
}
"""Kind → function that returns since when the condition holds; None: it does not."""


def _errors(_: AlertRule, presence: AgentPresence) -> float | None:
    return presence.total_errors


def _context(_: AlertRule, presence: AgentPresence) -> float | None:
    if presence.context_tokens is None or not presence.context_window:
        return None
    return 100.0 * presence.context_tokens / presence.context_window


def _budget(rule: AlertRule, presence: AgentPresence) -> float | None:
    if rule.by == "session":
        return presence.session_cost_usd if rule.unit == "usd" else presence.session_tokens
    return presence.cost_usd if rule.unit == "usd" else presence.total_cost_tokens


VALUE_KINDS: dict[str, Callable[[AlertRule, AgentPresence], float | None]] = {
    "errors": _errors,
    "context": _context,
    "budget": _budget,
}
"""Kind → function that returns the value to compare with the threshold; None: it is unknown."""
