"""Tells Python code when something becomes true of an agent, once each time that it does.

:func:`condition` reads what a person asks for; :class:`Alert` knows for whom it holds already.
Both are pure but for calling what they were given.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ..core.model import AgentPresence, PresenceStatus
from ..core.validation import shorten, type_name
from ..errors import ConfigError

log = logging.getLogger("htmlgraph.alerts")

Predicate = Callable[[AgentPresence], Any]
When = str | Mapping[str, Any] | Predicate
Do = Callable[[AgentPresence], object]

OVER = {
    "tokens_over": "total_cost_tokens",
    "cost_over": "cost_usd",
    "tools_over": "total_tools_executed",
    "errors_over": "total_errors",
}
"""Budgets → the presence field that passes them."""
WORDS = ("attention", "error", *PresenceStatus)
"""Conditions of one word; a status means: the agent has it."""


def condition(when: When) -> Predicate:
    """Return the predicate of a condition.

    Args:
        when: a function of an AgentPresence; a word of WORDS other than "error"; or a dict of
            budgets, as ``{"tokens_over": 1_000_000}``, all of which must be passed.

    Raises:
        ConfigError: it is none of these; the text lists what is possible.
    """
    if callable(when):
        return when
    if isinstance(when, str):
        if when == "attention":
            return lambda one: one.attention
        if when in tuple(PresenceStatus):
            return lambda one: one.status == when
        raise ConfigError(f"when is {shorten(when)}, {_expected()}")
    if not isinstance(when, Mapping) or not when:
        raise ConfigError(f"when is {type_name(when)}, {_expected()}")
    bounds = [(_field(name), _bound(name, value)) for name, value in when.items()]
    return lambda one: all((getattr(one, field) or 0) > bound for field, bound in bounds)


def _expected() -> str:
    words = ", ".join(str(word) for word in WORDS)
    return f"expected one of {words}, a dict of {', '.join(OVER)}, or a function of an agent"


def _field(name: object) -> str:
    if not isinstance(name, str) or name not in OVER:
        raise ConfigError(f"when has the key {name!r}, {_expected()}")
    return OVER[name]


def _bound(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not value >= 0:
        raise ConfigError(f"{name} is {value!r}, expected a number of at least 0")
    return value


class Alert:
    """One condition, and the agents for whom it holds.

    Args:
        when: as for :func:`condition`; "error" means each further error of an agent.
        do: called with the agent's presence; what it raises is logged.
        agents: ids of the only agents that count; None: all.

    Raises:
        ConfigError: ``when`` cannot be read or ``do`` cannot be called.
    """

    def __init__(self, when: When, do: Do, agents: Iterable[str] | None = None) -> None:
        if not callable(do):
            raise ConfigError(f"do is {type_name(do)}, expected a function of an AgentPresence")
        self._counts_errors = isinstance(when, str) and when == "error"
        self._holds = condition("attention" if self._counts_errors else when)
        self._do = do
        named = [agents] if isinstance(agents, str) else agents
        self._only = None if named is None else frozenset(named)
        # The caller's thread looks once, the source's thread from then on.
        self._lock = threading.Lock()
        self._held: set[str] = set()
        self._errors: dict[str, int] = {}

    def look(
        self, changed: Iterable[str], agents: Mapping[str, AgentPresence], *, first: bool = False
    ) -> None:
        """Call ``do`` for each of these agents for whom the condition begins to hold.

        Args:
            changed: ids of agents that changed, came or went.
            agents: all agents as they are now.
            first: they were not seen before, so that errors of theirs are old ones.
        """
        for agent_id in changed:
            if self._only is not None and agent_id not in self._only:
                continue
            one = agents.get(agent_id)
            if one is None:
                self._forget(agent_id)
            elif self._begins(one, first):
                self._call(self._do, one)

    def _forget(self, agent_id: str) -> None:
        with self._lock:
            self._held.discard(agent_id)
            self._errors.pop(agent_id, None)

    def _begins(self, one: AgentPresence, first: bool) -> bool:
        if self._counts_errors:
            with self._lock:
                before = self._errors.get(one.agent_id, one.total_errors if first else 0)
                self._errors[one.agent_id] = one.total_errors
            return one.total_errors > before
        holds = bool(self._call(self._holds, one))
        with self._lock:
            held = one.agent_id in self._held
            (self._held.add if holds else self._held.discard)(one.agent_id)
        return holds and not held

    def _call(self, function: Callable[[AgentPresence], Any], one: AgentPresence) -> Any:
        try:
            return function(one)
        except Exception:
            # It is the user's code: it must end neither the thread nor the other alerts.
            log.exception("an alert failed for %r: %r", one.agent_id, function)
            return None
