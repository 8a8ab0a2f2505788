"""Stores calls of models and tools whose trace stays incomplete, and what waits at shutdown."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from htmlgraph_nb.coding_agents.otel.span_events import HOLD_S, SpanTranslator
from htmlgraph_nb.core.model import Event
from htmlgraph_nb.errors import HtmlgraphError
from htmlgraph_nb.presence import PresenceManager

logger = logging.getLogger(__name__)

MAX_UNSENT = 10_000
"""Events that are kept while the database cannot be written; the oldest are dropped first."""


class WaitingCalls:
    """The calls that wait for the run that contains them; see ``span_events``.

    Args:
        manager: the open database.
        spans: the OTLP traces.
        clock: returns monotonic seconds.
    """

    def __init__(
        self,
        manager: PresenceManager,
        spans: SpanTranslator,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._manager = manager
        self._spans = spans
        self._clock = clock
        self._unsent: list[Event] = []

    def store(self, hold_s: float = HOLD_S) -> None:
        """Store what has waited for this many seconds.

        Raises:
            CapacityError, StoreError: as in ``PresenceManager.ingest``; the events are stored by
                the next call.
        """
        self._unsent = (self._unsent + self._spans.overdue(self._clock(), hold_s))[-MAX_UNSENT:]
        if self._unsent:
            self._manager.ingest(self._unsent)
            self._unsent = []

    def close(self) -> None:
        """Store all that waits."""
        try:
            self.store(hold_s=-1.0)
        except HtmlgraphError as error:
            logger.warning("telemetry: %d events are lost: %s", len(self._unsent), error)
