"""Background work of the widgets, and the page's requests that need it."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from typing import Any

from ..core.validation import validate_string
from ..errors import HtmlgraphError

logger = logging.getLogger(__name__)
# Without a handler, Python prints warnings of this thread into the output of a running cell.
logger.addHandler(logging.NullHandler())

MAX_PENDING_JOBS = 16
_MAX_EVENTS = 500
_DEFAULT_EVENTS = 50


class BackgroundWorker:
    """Runs jobs one after the other in a daemon thread, which ends when the queue is empty.

    Args:
        name: name of the thread.
        limit: maximum number of pending jobs.
    """

    def __init__(self, name: str = "htmlgraph-requests", limit: int = MAX_PENDING_JOBS) -> None:
        self._name = name
        self._limit = limit
        self._jobs: deque[Callable[[], object]] = deque()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def submit(self, job: Callable[[], object]) -> bool:
        """Queue ``job``; return False if the queue is full. Exceptions are logged."""
        with self._lock:
            if len(self._jobs) >= self._limit:
                return False
            self._jobs.append(job)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
                self._thread.start()
            return True

    def _run(self) -> None:
        while True:
            with self._lock:
                if not self._jobs:
                    self._thread = None
                    return
                job = self._jobs.popleft()
            try:
                job()
            except Exception:
                logger.exception("a background job failed: %r", job)


background_worker = BackgroundWorker()
"""The worker that all grids of the process share."""


def handle_history_request(
    content: dict[str, Any],
    load_recent: Callable[[str, int], list[dict[str, Any]]],
    send: Callable[[dict[str, Any]], object],
) -> None:
    """Load an agent's last events in the background and send the response to the page.

    The response has ``kind`` "history", the request's ``request`` and ``agent_id``, ``events`` and
    ``error``: None, or why there are no events.

    Args:
        content: the page's message with ``request``, ``agent_id`` and ``limit``.
        load_recent: returns an agent's last events, newest first; may block.
        send: sends the response; called in the background thread.
    """
    request, agent_id = content.get("request"), content.get("agent_id")
    response = {"kind": "history", "request": request, "agent_id": agent_id}

    def respond(events: list[dict[str, Any]], error: str | None) -> None:
        send({**response, "events": events, "error": error})

    def load() -> None:
        try:
            limit = _event_limit(content.get("limit"))
            respond(load_recent(validate_string(agent_id, "agent_id"), limit), None)
        except HtmlgraphError as error:
            respond([], str(error))
        except Exception as error:
            # The page waits for a response in any case.
            logger.exception("a request of the page failed: %r", content)
            respond([], f"internal error: {type(error).__name__}: {error}")

    if not background_worker.submit(load):
        respond([], f"{MAX_PENDING_JOBS} requests are pending; select the agent again later")


def handle_viewed_request(content: dict[str, Any], mark_viewed: Callable[[str], object]) -> None:
    """Report in the background that a person looked at an agent; there is no response.

    Args:
        content: the page's message with ``agent_id``.
        mark_viewed: reports it; may block. Its errors are logged, because it is only a mark.
    """

    def report() -> None:
        try:
            mark_viewed(validate_string(content.get("agent_id"), "agent_id"))
        except HtmlgraphError as error:
            logger.info("an agent could not be marked as viewed: %s", error)

    background_worker.submit(report)


def _event_limit(value: object) -> int:
    if type(value) is not int:
        return _DEFAULT_EVENTS
    return max(1, min(value, _MAX_EVENTS))
