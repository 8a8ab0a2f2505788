"""WatchedAgent: what the evaluation keeps of an agent."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from ...core.agent_state import Timed
from ...core.model import AgentPresence
from ..alert_rule import AlertRule, Scope
from .loop_detectors import LoopState, SpendingRate

NO_CALLS: Mapping[str, Timed] = {}
NO_LOOP = LoopState()


class WatchedAgent:
    """The last presence of an agent, the rules that are about it, and evidence of their families.

    Attributes:
        scope: the fields by which scope filters select rules; None: not known yet.
        status: the fields on which ``status_rules`` depend.
        status_rules, value_rules, event_rules, period_rules: the rules that are about it.
        open_calls: its open tool calls.
        usd, tokens: its totals that were counted.
    """

    __slots__ = (
        "compacted_at",
        "compactions",
        "event_rules",
        "loop",
        "open_calls",
        "period_rules",
        "presence",
        "rate",
        "scope",
        "status",
        "status_rules",
        "tokens",
        "usd",
        "value_rules",
    )

    def __init__(self, presence: AgentPresence) -> None:
        self.presence = presence
        self.scope: Scope | None = None
        self.status: tuple[Any, ...] = ()
        self.status_rules: tuple[AlertRule, ...] = ()
        self.value_rules: tuple[AlertRule, ...] = ()
        self.event_rules: tuple[AlertRule, ...] = ()
        self.period_rules: tuple[AlertRule, ...] = ()
        self.open_calls = NO_CALLS
        self.loop = NO_LOOP
        self.compacted_at: datetime | None = None
        self.compactions: tuple[datetime, ...] = ()
        self.rate: SpendingRate | None = None
        self.usd = 0.0
        self.tokens = 0

    @property
    def rules(self) -> tuple[AlertRule, ...]:
        """All rules that are about it."""
        return (*self.status_rules, *self.value_rules, *self.event_rules)
