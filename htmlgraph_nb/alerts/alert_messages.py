"""The sentences of alerts: fixed texts, names and numbers, nothing of what was said. Pure."""

from __future__ import annotations

from typing import NamedTuple

from ..core.model import AgentPresence
from .alert_rule import AlertRule
from .fired_alert import agent_path

_MAX_LABEL_CHARS = 80


class Subject(NamedTuple):
    """What an alert is about; the fields are those of FiredAlert.

    Attributes:
        subject_id: ``FiredAlert.subject``.
        fact: what the sentence adds to the fixed text of the kind, such as the name of a tool.
    """

    subject_id: str
    label: str
    agent_id: str | None = None
    agent_kind: str | None = None
    project: str | None = None
    branch: str | None = None
    host: str | None = None
    url_path: str = "/"
    fact: str | None = None


def subject_of(presence: AgentPresence, fact: str | None = None) -> Subject:
    """Return the agent of a presence as a subject.

    Args:
        fact: as in Subject.
    """
    p = presence
    label = shown(p.title or p.agent_id)
    names = (p.agent_id, p.agent_kind, p.project, p.branch, p.host)
    return Subject(p.agent_id, label, *names, agent_path(p.agent_id), fact)


def shown(name: str) -> str:
    """Return a name on one line, cut to a length that fits a notification."""
    text = " ".join("".join(c if c.isprintable() else " " for c in name).split())
    return text if len(text) <= _MAX_LABEL_CHARS else f"{text[: _MAX_LABEL_CHARS - 1]}…"


def held_text(seconds: float) -> str:
    """Return a duration such as "45 s", "12 min" or "3.5 h"."""
    seconds = max(0.0, seconds)
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 7_200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3_600:.1f}".removesuffix(".0") + " h"


def amount_text(amount: float, unit: str) -> str:
    """Return dollars such as "$12.50", or tokens such as "1,200,000 tokens"."""
    return f"${amount:,.2f}" if unit == "usd" else f"{amount:,.0f} tokens"


_CANNOT_WORK = {
    "retrying": "retries after errors of the API",
    "rate_limited": "has reached the rate limit",
    "usage_limited": "has reached the usage limit",
    "signed_out": "must sign in again",
    "account_on_hold": "cannot work, its account is on hold",
    "overloaded": "cannot work, the provider is overloaded",
}
_OF_MANY = {
    "waits": "agents wait for a person",
    "done": "agents ended their turns",
    "error": "agents ended a turn with an error",
    "errors": "agents have many failed calls",
    "cannot_work": "agents cannot work",
    "budget": "budgets are used up",
    "quota": "usage windows are nearly used up",
    "quota_forecast": "usage windows will be used up before they reset",
    "context": "agents have a nearly full context",
    "stuck": "agents have a tool call that takes unusually long",
    "loop": "agents repeat the same call",
    "ping_pong": "agents repeat two calls that fail",
    "thrash": "agents compact their context again and again",
    "cost_rate": "agents spend too fast",
    "cost_spike": "agents spend much faster than before",
    "host_gone": "hosts are silent",
}


def message_of(rule: AlertRule, subject: Subject, value: float | None, held_s: float) -> str:
    """Return the sentence of an alert.

    Args:
        value: what was measured; None: the kind measures nothing.
        held_s: seconds for which the condition has held.
    """
    label, kind, amount = subject.label, rule.kind, value or 0.0
    for_text = held_text(held_s)
    fact = subject.fact or ""
    where = f" in {shown(subject.project)}" if subject.project and subject.agent_id else ""
    match kind:
        case "waits":
            return f"{label}{where} has waited for a person for {for_text}."
        case "done":
            return f"{label}{where} is done."
        case "error":
            return f"{label}{where} ended its turn with an error."
        case "errors":
            return f"{label}{where} has {amount:.0f} failed calls and turns in this session."
        case "cannot_work":
            return f"{label}{where} {_CANNOT_WORK.get(fact, 'cannot work')}, for {for_text} now."
        case "budget":
            limit = amount_text(rule.threshold or 0.0, rule.unit)
            return f"{label}{where} used {amount_text(amount, rule.unit)}{fact} of {limit}."
        case "quota":
            return f"{label} has used {amount:.0f} % of its usage window{fact}."
        case "quota_forecast":
            return f"{label} will be used up before it resets{fact}."
        case "context":
            return f"{label}{where} has filled {amount:.0f} % of its context."
        case "stuck":
            return f"{label}{where} has run {shown(fact)} for {for_text}."
        case "loop":
            return f"{label}{where} made the same call of {shown(fact)} {amount:.0f} times."
        case "ping_pong":
            return f"{label}{where} repeats two calls that fail, {amount:.0f} calls so far."
        case "thrash":
            return f"{label}{where} compacted its context {amount:.0f} times in 30 minutes."
        case "cost_rate":
            return f"{label}{where} spends ${amount:,.2f} per hour."
        case "cost_spike":
            return f"{label}{where} spends {amount:.1f} times as fast as in the last hour."
        case _:
            return f"{label}: no agent at work has reported for {for_text}."


def message_of_group(rule: AlertRule, count: int) -> str:
    """Return the sentence of an alert about many agents."""
    return f"{count:,} {_OF_MANY[rule.kind]}."
