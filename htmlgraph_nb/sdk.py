"""SDK, the handle with which an agent's own Python code reports what it does.

Each call only puts an event into a bounded queue; a thread of its own brings it to the server, or
straight into the file where no server answers. The agent's program never fails and never waits
because of it: what goes wrong is logged, and leaving the program takes at most one second longer.
"""

from __future__ import annotations

import logging
import os
import time
import weakref
from collections.abc import Mapping
from datetime import UTC, datetime
from types import TracebackType
from typing import Any

from .active_sdk import activate, deactivate
from .client.event_sender import CLOSE_TIMEOUT_S, EventSender, QueuedEvent
from .core.model import TOKEN_FIELDS, Event
from .errors import InvalidEvent

logger = logging.getLogger("htmlgraph.sdk")


class SDK:
    """Reports for one agent.

    Args:
        agent_id: its name, 1 to 256 characters.
        url: the server; None: the one that AgentGrid() would find.
        token: the server's secret; None: the one that is known for it.
        db_path: the file for when no server answers; None: the default file.
        model, project: what the agent runs on, and works on; None: unknown.

    Inside of a ``with`` statement on it, or on a session of it, it also speaks for functions
    that are decorated with ``tool`` and for the integrations with agent frameworks.

    Example:
        >>> sdk = SDK("my-agent")                       # doctest: +SKIP
        >>> with sdk.session(), sdk.feature("feat-1"):  # doctest: +SKIP
        ...     with sdk.tool("Bash"):                  # timed, an exception counts as its error
        ...         run_tests()
        ...     sdk.tool("Edit", tokens=1_200)          # told afterwards
    """

    def __init__(
        self,
        agent_id: str,
        *,
        url: str | None = None,
        token: str | None = None,
        db_path: str | None = None,
        model: str | None = None,
        project: str | None = None,
    ) -> None:
        self.agent_id = agent_id
        self.session_id: str | None = None
        self.feature_id: str | None = None
        self.model = model
        self.project = project
        self._before: list[SDK | None] = []
        self._courier = EventSender(url, token, db_path)
        # Nobody holds the handle any more: what it queued is still delivered.
        weakref.finalize(self, self._courier.retire).atexit = False

    def report(self, event_type: str, **fields: Any) -> None:
        """Report any event.

        Args:
            event_type: PROTOCOL.md lists those with a meaning.
            fields: further fields of Event; a timestamp is added.
        """
        self._courier.post(self._parcel({"event_type": event_type, **fields}))

    def tool(
        self,
        name: str,
        *,
        tokens: int | Mapping[str, int] | None = None,
        duration_ms: float | None = None,
        error: bool = False,
        **fields: Any,
    ) -> ToolCall:
        """Report one tool that ran; in a ``with`` statement, one that runs inside of it.

        Args:
            name: the tool.
            tokens: their total, or a mapping with keys as ``input_tokens`` and ``output_tokens``.
            duration_ms: milliseconds that it took; ``with`` measures them.
            error: it failed; in a ``with`` statement an exception says so.
            fields: further fields of Event.
        """
        event: dict[str, Any] = {"tool_name": name, "tool_use_id": _new_id(), **fields}
        _add_tokens(event, tokens)
        if duration_ms is not None:
            event["duration_ms"] = round(duration_ms)
        event["event_type"] = "tool_error" if error else "tool_execute"
        event["status"] = "error" if error else "ok"
        return ToolCall(self, self._courier.post(self._parcel(event)), event)

    def completion(
        self, tokens: int | Mapping[str, int], *, model: str | None = None, **fields: Any
    ) -> None:
        """Report an answer of a model and the tokens that it took; arguments as in ``tool``."""
        event: dict[str, Any] = {"event_type": "completion", "model": model, **fields}
        _add_tokens(event, tokens)
        self._courier.post(self._parcel(event))

    def session(self, session_id: str | None = None) -> Session:
        """Begin a session; leaving a ``with`` statement on it, or ``end()``, ends it.

        Args:
            session_id: its id; None: a new one.
        """
        return Session(self, session_id or _new_id())

    def feature(self, feature_id: str | None) -> Feature:
        """Say what the agent works on from now on; leaving a ``with`` statement takes it back.

        Args:
            feature_id: None: on nothing in particular.
        """
        return Feature(self, feature_id)

    def waiting(self, tool_name: str | None = None) -> Waiting:
        """Say that a person must decide; leaving a ``with`` statement, or ``answered()``, ends it.

        Args:
            tool_name: the tool that needs the permission.
        """
        return Waiting(self, tool_name)

    def flush(self, timeout: float = CLOSE_TIMEOUT_S) -> bool:
        """Wait at most ``timeout`` seconds until all is delivered; return whether it is."""
        return self._courier.flush(timeout)

    def close(self, timeout: float = CLOSE_TIMEOUT_S) -> None:
        """Deliver what is left, within ``timeout`` seconds, and stop the thread."""
        self._courier.close(timeout)

    def _parcel(self, fields: Mapping[str, Any]) -> QueuedEvent | None:
        """Return the checked event; None, and a line in the log, where it is no event."""
        try:
            event = Event.from_dict(
                {
                    "agent_id": self.agent_id,
                    "event_id": _new_id(),
                    "timestamp": datetime.now(UTC),
                    "session_id": self.session_id,
                    "feature_id": self.feature_id,
                    "model": self.model,
                    "project": self.project,
                    "source": "sdk",
                    **{name: value for name, value in fields.items() if value is not None},
                },
                keep_unknown=True,
            )
        except InvalidEvent as error:
            logger.warning("an event of %.60r is not reported: %s", self.agent_id, error)
            return None
        return QueuedEvent(event)

    def __enter__(self) -> SDK:
        self._before.append(activate(self))
        return self

    def __exit__(self, *_: object) -> None:
        deactivate(self, self._before.pop())
        self.close()

    def __repr__(self) -> str:
        return f"SDK({self.agent_id!r})"


class ToolCall:
    """One tool call that ``SDK.tool`` reported; as a context manager it times the call."""

    def __init__(self, sdk: SDK, parcel: QueuedEvent | None, fields: dict[str, Any]) -> None:
        self._sdk = sdk
        self._parcel = parcel
        self._fields = fields
        self._began = 0.0

    def __enter__(self) -> ToolCall:
        # The call was queued as a finished one; inside ``with`` it only begins.
        sdk = self._sdk
        start = {name: value for name, value in self._fields.items() if name not in _ENDS}
        if self._parcel is not None:
            sdk._courier.replace(self._parcel, sdk._parcel({"event_type": "tool_start", **start}))
        self._began = time.perf_counter()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        taken_ms = round((time.perf_counter() - self._began) * 1_000)
        failed = kind is not None or self._fields["status"] == "error"
        event = {"duration_ms": taken_ms, **self._fields}
        event["event_type"] = "tool_error" if failed else "tool_execute"
        event["status"] = "error" if failed else "ok"
        self._sdk._courier.post(self._sdk._parcel(event))


class Session:
    """A session that began; as a context manager it ends with the block."""

    def __init__(self, sdk: SDK, session_id: str) -> None:
        self._sdk = sdk
        self._before: SDK | None = None
        self.session_id = session_id
        sdk.session_id = session_id
        sdk.report("session_start")

    def end(self) -> None:
        """End the session."""
        self._sdk.report("session_end", session_id=self.session_id)
        if self._sdk.session_id == self.session_id:
            self._sdk.session_id = None

    def __enter__(self) -> Session:
        self._before = activate(self._sdk)
        return self

    def __exit__(self, *_: object) -> None:
        deactivate(self._sdk, self._before)
        self.end()


class Feature:
    """What the agent works on; as a context manager until the end of the block."""

    def __init__(self, sdk: SDK, feature_id: str | None) -> None:
        self._sdk = sdk
        self._before = sdk.feature_id
        sdk.feature_id = feature_id
        if feature_id is not None:
            sdk.report("activity")

    def __enter__(self) -> Feature:
        return self

    def __exit__(self, *_: object) -> None:
        self._sdk.feature_id = self._before


class Waiting:
    """A question to a person; as a context manager it is answered at the end of the block."""

    def __init__(self, sdk: SDK, tool_name: str | None) -> None:
        self._sdk = sdk
        sdk.report("permission_request", tool_name=tool_name)

    def answered(self) -> None:
        """Say that the person decided."""
        self._sdk.report("answered")

    def __enter__(self) -> Waiting:
        return self

    def __exit__(self, *_: object) -> None:
        self.answered()


_ENDS = frozenset(
    {*TOKEN_FIELDS, "cost_tokens", "cost_usd", "duration_ms", "status", "event_type", "event_id"}
)
"""What only the end of a call tells."""


def _new_id() -> str:
    return os.urandom(16).hex()


def _add_tokens(event: dict[str, Any], tokens: int | Mapping[str, int] | None) -> None:
    if isinstance(tokens, Mapping):
        known = {name: count for name, count in tokens.items() if name in TOKEN_FIELDS}
        if len(known) < len(tokens):
            logger.warning(
                "tokens has unknown kinds %s, expected some of %s",
                sorted(str(name) for name in tokens.keys() - known.keys()),
                ", ".join(TOKEN_FIELDS),
            )
        event.update(known)
    elif tokens is not None:
        event["cost_tokens"] = tokens
