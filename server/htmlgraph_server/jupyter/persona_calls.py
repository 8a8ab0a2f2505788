"""Tool calls of a persona, from the metadata of its messages in the chat. Pure functions.

Jupyter AI keeps the calls of a message in its metadata, with their input and output. Only ids,
kinds and statuses are taken from there; the title of a call often repeats its input.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, NamedTuple

from htmlgraph_nb.coding_agents.fields import identifier, mapping, mappings, safe_keyword

MAX_CALLS = 256
"""Maximum number of calls of one turn that are followed."""
_ENDED = {"completed": True, "failed": False}
"""Status of a call that has ended → whether it succeeded."""


class ShownCall(NamedTuple):
    """One tool call, as a message shows it.

    Attributes:
        call_id: its id.
        kind: what it does, such as "read" or "execute"; None: unknown.
        succeeded: whether it succeeded; None: it has not ended.
        question: "pending" while it waits for permission, "resolved" after that; None: not asked.
        is_allowed: whether a person allowed it; False: not, or not yet.
    """

    call_id: str
    kind: str | None = None
    succeeded: bool | None = None
    question: str | None = None
    is_allowed: bool = False


def calls_of(metadata: object) -> list[ShownCall]:
    """Return the tool calls in the metadata of a message."""
    calls = []
    for record in mappings(mapping(metadata).get("tool_calls"))[:MAX_CALLS]:
        call_id = identifier(record.get("tool_call_id"))
        if call_id is None:
            continue
        status, question = record.get("status"), record.get("permission_status")
        calls.append(
            ShownCall(
                call_id,
                safe_keyword(record.get("kind")),
                _ENDED.get(status) if isinstance(status, str) else None,
                question if question in ("pending", "resolved") else None,
                question == "resolved" and _is_allowed(record),
            )
        )
    return calls


def _is_allowed(record: Mapping[str, Any]) -> bool:
    """Return whether the option that a person chose allows the call."""
    selected = record.get("selected_option_id")
    if not isinstance(selected, str):
        return False
    for option in mappings(record.get("permission_options")):
        if selected in (option.get("option_id"), option.get("optionId")):
            return str(option.get("kind")).startswith("allow")
    return False


class CallStep(NamedTuple):
    """A step of a tool call.

    Attributes:
        step: "start", "ask", "allow", "deny", "end" or "fail".
        duration_ms: milliseconds since its start; None: it is no end, or its start was not seen.
    """

    step: str
    call: ShownCall
    duration_ms: int | None = None


class _Followed(NamedTuple):
    call: ShownCall
    started: datetime


class CallSteps:
    """Returns the steps of the tool calls of one persona, each once."""

    def __init__(self) -> None:
        self._calls: dict[str, _Followed] = {}

    def clear(self) -> None:
        """Forget the calls of the last turn."""
        self._calls.clear()

    @property
    def pending(self) -> ShownCall | None:
        """The first call that waits for permission; None: none does."""
        for followed in self._calls.values():
            if followed.call.question == "pending" and followed.call.succeeded is None:
                return followed.call
        return None

    def update(self, calls: Iterable[ShownCall], now: datetime) -> list[CallStep]:
        """Return the steps that these calls have made since the last update."""
        steps = []
        for call in calls:
            known = self._calls.get(call.call_id)
            is_new = known is None
            if known is None:
                if len(self._calls) >= MAX_CALLS:
                    continue
                known = _Followed(ShownCall(call.call_id), now)
                steps.append(CallStep("start", call))
            before = known.call
            self._calls[call.call_id] = _Followed(call, known.started)
            if call.question is not None and before.question is None:
                steps.append(CallStep("ask", call))
            if call.question == "resolved" and before.question != "resolved":
                steps.append(CallStep("allow" if call.is_allowed else "deny", call))
            was_denied = call.question == "resolved" and not call.is_allowed
            if call.succeeded is not None and before.succeeded is None and not was_denied:
                step = "end" if call.succeeded else "fail"
                duration_ms = round((now - known.started).total_seconds() * 1_000)
                # A call that was not seen while it ran has an unknown duration.
                steps.append(CallStep(step, call, None if is_new else max(0, duration_ms)))
        return steps
