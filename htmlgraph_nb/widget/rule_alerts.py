"""Rules of alerts that a kernel evaluates itself, with a function in place of channels."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any

from ..alerts.alert_rule import RULE_KINDS, AlertRule
from ..alerts.evaluation.evaluate import Evaluator
from ..alerts.fired_alert import FiredAlert
from ..alerts.rule_file import rule_of_settings
from ..core.model import AgentPresence
from ..core.timestamps import utc_now
from ..core.validation import format_value
from ..errors import ConfigError

logger = logging.getLogger(__name__)

KERNEL_KINDS = (
    *("waits", "done", "error", "errors", "cannot_work", "context", "budget", "stuck", "thrash"),
)
"""Kinds that the states of agents decide; the others need the events, which only a server has."""


class RuleAlert:
    """One rule, evaluated for the agents of a grid.

    Args:
        rule: the rule, or its settings as in the file, such as ``{"kind": "waits", "for": "60s"}``.
        do: called with each FiredAlert that fires; its exceptions are logged.
        agents: ids of the agents to watch; None: all.
        clock: returns the current time, UTC.

    Raises:
        ConfigError: the rule is invalid or needs a server, or ``do`` is not callable.
    """

    def __init__(
        self,
        rule: AlertRule | Mapping[str, Any],
        do: Callable[[FiredAlert], object],
        agents: Iterable[str] | None = None,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        if not callable(do):
            raise ConfigError(f"do: expected a function of a FiredAlert, got {format_value(do)}")
        rule = rule if isinstance(rule, AlertRule) else rule_of_settings(rule)
        if rule.kind not in KERNEL_KINDS or (
            rule.kind == "budget" and rule.by not in ("agent", "session")
        ):
            raise ConfigError(
                f"when: rules of the kind {rule.kind} need a server; add it to alerts.toml with: "
                f"htmlgraph-nb alerts add {rule.kind if rule.kind in RULE_KINDS else 'KIND'}"
            )
        ids = [agents] if isinstance(agents, str) else agents
        self._agent_ids = None if ids is None else frozenset(ids)
        self._do = do
        self._clock = clock
        # A grid shows each agent, so alerts are not grouped.
        self._evaluator = Evaluator([rule], group_s=0.0)
        self._evaluator.start([], clock())
        self._lock = threading.Lock()
        self._timer: threading.Timer | None = None
        self._closed = False

    def check(
        self, changed: Iterable[str], agents: Mapping[str, AgentPresence], *, initial: bool = False
    ) -> None:
        """Take changes of agents; see ``Alert.check``."""
        with self._lock:
            now = self._clock()
            for agent_id in changed:
                if self._agent_ids is None or agent_id in self._agent_ids:
                    self._evaluator.apply(agent_id, agents.get(agent_id), now)
        self._run()

    def close(self) -> None:
        """Evaluate no more. Idempotent."""
        with self._lock:
            self._closed = True
            if self._timer is not None:
                self._timer.cancel()

    def _run(self) -> None:
        """Call ``do`` for what fires now, and come back when more is due."""
        with self._lock:
            if self._closed:
                return
            now = self._clock()
            self._evaluator.tick(now)
            fired = [c.alert for c in self._evaluator.take() if c.notify]
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            due = self._evaluator.next_due
            if due is not None:
                # The clock may be set meanwhile, so a long wait has several parts.
                seconds = min(max(0.01, (due - now).total_seconds()), 5.0)
                self._timer = threading.Timer(seconds, self._run)
                self._timer.daemon = True
                self._timer.start()
        for alert in fired:
            try:
                self._do(alert)
            except Exception:
                # User code must end neither the thread nor the other alerts.
                logger.exception("an alert failed for %r: %r", alert.subject, self._do)
