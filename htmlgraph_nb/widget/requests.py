"""Answers what a page asks of the kernel, in a thread in which nothing else waits."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from ..core.validation import validate_string
from ..errors import HtmlgraphError
from .errands import errands

log = logging.getLogger("htmlgraph.questions")
log.addHandler(logging.NullHandler())

MAX_EVENTS = 500
Recent = Callable[[str, int], list[dict[str, Any]]]
Send = Callable[[dict[str, Any]], object]


def answer_history(content: dict[str, Any], recent: Recent, send: Send) -> None:
    """Send an agent's last events as the page asked: ``request``, ``agent_id`` and ``limit``.

    The answer has ``kind`` "history", the question's ``request`` and ``agent_id``, ``events`` and
    ``error``: None, or in words why there are no events. It comes from another thread.

    Args:
        recent: returns an agent's last events, the newest first; it may wait.
        send: takes the answer.
    """
    request, agent_id = content.get("request"), content.get("agent_id")
    answer = {"kind": "history", "request": request, "agent_id": agent_id}

    def tell(events: list[dict[str, Any]], error: str | None) -> None:
        send({**answer, "events": events, "error": error})

    def ask() -> None:
        try:
            tell(recent(validate_string(agent_id, "agent_id"), _limit(content.get("limit"))), None)
        except HtmlgraphError as error:
            tell([], str(error))
        except Exception as error:
            # The page waits for an answer, whatever went wrong.
            log.exception("a question of the page failed: %r", content)
            tell([], f"internal error: {type(error).__name__}: {error}")

    if not errands.run(ask):
        tell([], "too many questions wait for an answer; select the agent again in a moment")


def _limit(value: object) -> int:
    if type(value) is not int:
        return 50
    return max(1, min(value, MAX_EVENTS))
