"""AlertRule: when an alert fires, about which agents, and where it is sent. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from operator import attrgetter
from typing import NamedTuple

from ..core.model import AgentPresence

SEVERITIES = ("info", "warning", "critical")
PERIODS = ("hour", "day", "week", "month")
"""Periods of a budget, in the local time zone."""
UNITS = ("usd", "tokens")
BUDGETS_OF_AGENT = ("agent", "session")
"""Budgets of what an agent used in all, or in its current session; they have no period."""
BUDGETS_OF_PERIOD = ("project", "branch", "host", "all")
"""Budgets of what agents used together in a period."""
DEFAULT_COOLDOWN_S = 300.0
SCOPES = {
    "agents": "agent_id",
    "kinds": "agent_kind",
    "projects": "project",
    "branches": "branch",
    "hosts": "host",
    "models": "model",
}
"""Scope filter of a rule → the field of a presence that it matches."""
Scope = tuple[str | None, ...]
scope_of: Callable[[AgentPresence], Scope] = attrgetter(*SCOPES.values())
"""Return the fields of a presence that scope filters match, in the order of SCOPES."""


class RuleKind(NamedTuple):
    """One kind of rule.

    Attributes:
        text: what it watches, for documents and errors.
        threshold: what ``threshold`` means, with its unit; "": the kind has none.
        default: the default threshold; None: it must be given, or there is none.
        for_s: default of ``for_s``.
        severity: default severity.
    """

    text: str
    threshold: str = ""
    default: float | None = None
    for_s: float = 0.0
    severity: str = "warning"


RULE_KINDS: dict[str, RuleKind] = {
    "waits": RuleKind("an agent waits for a person", for_s=30.0),
    "done": RuleKind("an agent ended its turn and nobody has looked at it", severity="info"),
    "error": RuleKind("a turn ended with an error"),
    "errors": RuleKind("failed calls and turns of a session", "number of errors", 10.0),
    "cannot_work": RuleKind(
        "a limit, an expired sign-in or repeated API errors keep an agent from working", for_s=30.0
    ),
    "budget": RuleKind(
        "tokens or dollars of an agent, session, project, branch or period", "US dollars or tokens"
    ),
    "quota": RuleKind("a usage window of an account", "percent used", 90.0),
    "quota_forecast": RuleKind("a usage window will be used up before it resets"),
    "context": RuleKind("the context of the model is nearly full", "percent used", 90.0),
    "stuck": RuleKind(
        "a tool call is open much longer than usual", "times its median duration", 10.0
    ),
    "loop": RuleKind("an agent makes the same call again and again", "number of calls", 5.0),
    "ping_pong": RuleKind("two calls in turns that fail", "rounds", 3.0),
    "thrash": RuleKind("the context is compacted again and again", "compactions in 30 min", 3.0),
    "cost_rate": RuleKind(
        "US dollars per hour of an agent over the last 10 minutes", "US dollars per hour"
    ),
    "cost_spike": RuleKind(
        "an agent spends faster than it did in the last hour", "times its own rate", 5.0
    ),
    "host_gone": RuleKind("all agents at work on a host are silent", for_s=600.0),
}
"""Kind of a rule → what it watches and its defaults."""


DATED_KINDS = ("waits", "done", "error", "cannot_work", "stuck", "host_gone")
"""Kinds whose condition says since when it holds; others hold since they were first seen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertRule:
    """When an alert fires.

    Attributes:
        name: unique name of the rule.
        kind: one of RULE_KINDS.
        threshold: as RULE_KINDS describes; the alert fires at this value and above. None: none.
        for_s: seconds for which the condition must hold before the alert fires.
        cooldown_s: least seconds between two alerts of this rule about the same subject.
        agents, kinds, projects, branches, hosts, models: glob patterns of the agents that the rule
            is about; empty: all. A pattern matches no agent without the field.
        by: of a budget: "agent", "session", "project", "branch", "host" or "all".
        unit: of a budget: "usd" or "tokens".
        period: of a budget by project, branch, host or all: "hour", "day", "week" or "month".
        details: of ``cannot_work``: the details to watch, such as "rate_limited"; empty: all.
        floor_s: of ``stuck``: a shorter call never counts as stuck.
        channels: names of the channels that get the alert; empty: all.
        enabled: False switches the rule off.
        severity: "info", "warning" or "critical".
        send_resolved: whether the channels get another message when the alert is resolved.
    """

    name: str
    kind: str
    threshold: float | None = None
    for_s: float = 0.0
    cooldown_s: float = DEFAULT_COOLDOWN_S
    agents: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    projects: tuple[str, ...] = ()
    branches: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    by: str = "agent"
    unit: str = "usd"
    period: str = "day"
    details: tuple[str, ...] = ()
    floor_s: float = 300.0
    channels: tuple[str, ...] = ()
    enabled: bool = True
    severity: str = "warning"
    send_resolved: bool = False

    @property
    def has_scope(self) -> bool:
        """Whether the rule is about some agents only."""
        return any(getattr(self, name) for name in SCOPES)

    def matches(self, scope: Scope) -> bool:
        """Return whether the rule is about an agent, by the fields of ``scope_of``."""
        for name, value in zip(SCOPES, scope, strict=True):
            patterns = getattr(self, name)
            if not patterns:
                continue
            if value is None or not any(fnmatchcase(value, pattern) for pattern in patterns):
                return False
        return True


DEFAULT_RULES: tuple[AlertRule, ...] = (
    AlertRule(name="waits", kind="waits", for_s=30.0),
    AlertRule(name="cannot_work", kind="cannot_work", for_s=30.0),
    AlertRule(name="quota", kind="quota", threshold=90.0, cooldown_s=3_600.0),
)
"""The rules without a file."""


def is_about_presence(rule: AlertRule) -> bool:
    """Return whether a rule of the kind "budget" compares the totals of one agent."""
    return rule.by in BUDGETS_OF_AGENT


def rules_of_kind(rules: Mapping[str, AlertRule], *kinds: str) -> tuple[AlertRule, ...]:
    """Return the enabled rules of some kinds."""
    return tuple(rule for rule in rules.values() if rule.enabled and rule.kind in kinds)
