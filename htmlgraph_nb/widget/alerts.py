"""Calls a Python function each time a condition becomes true for an agent.

:func:`predicate_of` parses a condition; :class:`Alert` remembers for which agents it holds.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ..alerts.alert_rule import AlertRule
from ..core.model import AgentPresence, PresenceStatus
from ..core.validation import format_value
from ..errors import ConfigError
from .rule_alerts import RuleAlert

logger = logging.getLogger(__name__)

Predicate = Callable[[AgentPresence], Any]
Condition = str | Mapping[str, Any] | Predicate | AlertRule
Action = Callable[[Any], object]

_BUDGETS = {
    "tokens_over": "total_cost_tokens",
    "cost_over": "cost_usd",
    "tools_over": "total_tools_executed",
    "errors_over": "total_errors",
}
"""Budget → the presence field that it limits."""
_NAMES = ("attention", "error", *PresenceStatus)


def predicate_of(when: Condition) -> Predicate:
    """Return the predicate of a condition.

    Args:
        when: a function of an AgentPresence; "attention"; a status; or a dict of budgets, such as
            ``{"tokens_over": 1_000_000}``, all of which must be exceeded.

    Raises:
        ConfigError: the condition is invalid; the message lists the valid ones.
    """
    if callable(when):
        return when
    if isinstance(when, str):
        if when == "attention":
            return lambda presence: presence.attention
        if when in tuple(PresenceStatus):
            return lambda presence: presence.status == when
    if not isinstance(when, Mapping) or not when:
        raise ConfigError(f"when: {_expected()}, got {format_value(when)}")
    limits = [(_limited_field(name), _limit(name, value)) for name, value in when.items()]
    return lambda presence: all((getattr(presence, name) or 0) > limit for name, limit in limits)


def _expected() -> str:
    names = ", ".join(str(name) for name in _NAMES)
    return f"expected one of {names}, a dict of {', '.join(_BUDGETS)}, or a function of an agent"


def _limited_field(name: object) -> str:
    if not isinstance(name, str) or name not in _BUDGETS:
        raise ConfigError(f"when: {_expected()}, got the key {name!r}")
    return _BUDGETS[name]


def _limit(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not value >= 0:
        raise ConfigError(f"{name}: expected a number >= 0, got {value!r}")
    return value


def make_alert(
    when: Condition, do: Action, agents: Iterable[str] | None = None
) -> Alert | RuleAlert:
    """Return the alert of a condition, or of a rule; arguments and errors as for both."""
    if isinstance(when, AlertRule) or (isinstance(when, Mapping) and "kind" in when):
        return RuleAlert(when, do, agents)
    return Alert(when, do, agents)


class Alert:
    """One condition, and the agents for which it holds.

    Args:
        when: as for :func:`predicate_of`; "error" means each further error of an agent.
        do: called with the agent's presence; its exceptions are logged.
        agents: ids of the agents to watch; None: all.

    Raises:
        ConfigError: ``when`` is invalid or ``do`` is not callable.
    """

    def __init__(self, when: Condition, do: Action, agents: Iterable[str] | None = None) -> None:
        if not callable(do):
            raise ConfigError(
                f"do: expected a function of an AgentPresence, got {format_value(do)}"
            )
        self._counts_errors = isinstance(when, str) and when == "error"
        self._holds = predicate_of("attention" if self._counts_errors else when)
        self._do = do
        ids = [agents] if isinstance(agents, str) else agents
        self._agent_ids = None if ids is None else frozenset(ids)
        # Guards the sets: the caller's thread checks first, then the source's thread.
        self._lock = threading.Lock()
        self._holding: set[str] = set()
        self._errors: dict[str, int] = {}

    def check(
        self, changed: Iterable[str], agents: Mapping[str, AgentPresence], *, initial: bool = False
    ) -> None:
        """Call ``do`` for each changed agent for which the condition becomes true.

        Args:
            changed: ids of agents that were changed, added or removed.
            agents: all current agents.
            initial: whether this is the first state of these agents; their errors are then not new.
        """
        for agent_id in changed:
            if self._agent_ids is not None and agent_id not in self._agent_ids:
                continue
            presence = agents.get(agent_id)
            if presence is None:
                self._forget(agent_id)
            elif self._becomes_true(presence, initial):
                self._call(self._do, presence)

    def close(self) -> None:
        """Nothing runs beside ``check``."""

    def _forget(self, agent_id: str) -> None:
        with self._lock:
            self._holding.discard(agent_id)
            self._errors.pop(agent_id, None)

    def _becomes_true(self, presence: AgentPresence, initial: bool) -> bool:
        agent_id, errors = presence.agent_id, presence.total_errors
        if self._counts_errors:
            with self._lock:
                before = self._errors.get(agent_id, errors if initial else 0)
                self._errors[agent_id] = errors
            return errors > before
        holds = bool(self._call(self._holds, presence))
        with self._lock:
            held = agent_id in self._holding
            (self._holding.add if holds else self._holding.discard)(agent_id)
        return holds and not held

    def _call(self, function: Callable[[AgentPresence], Any], presence: AgentPresence) -> Any:
        try:
            return function(presence)
        except Exception:
            # User code must end neither the thread nor the other alerts.
            logger.exception("an alert failed for %r: %r", presence.agent_id, function)
            return None
