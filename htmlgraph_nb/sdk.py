"""SDK: reports what an agent's own Python code does.

Each call only adds an event to a bounded queue. A background thread sends it to the server, or
writes it to the database file if no server answers. The SDK never raises into or blocks the
caller; errors are logged, and the program's exit is delayed by at most one second.
"""

from __future__ import annotations

import logging
import os
import threading
import time
import weakref
from collections.abc import Mapping
from contextvars import ContextVar
from datetime import UTC, datetime
from types import TracebackType
from typing import Any

from .client.event_sender import CLOSE_TIMEOUT_S, EventSender, QueuedEvent
from .core.model import TOKEN_FIELDS, Event
from .errors import ConfigError, InvalidEvent

logger = logging.getLogger(__name__)


class SDK:
    """Reports events of one agent.

    Args:
        agent_id: the agent's id, 1 to 256 characters.
        url: the server; None: the server that AgentGrid() would find.
        token: the server's token; None: the token known for that server.
        db_path: the database file to use if no server answers; None: the default file.
        model, project: the agent's model and project; None: unknown.
        branch, cwd: the git branch and the working folder; None: unknown.
        agent_kind: the kind of agent, such as the name of its framework; None: unknown.

    Inside a ``with`` statement on the SDK or on a session of it, functions decorated with ``tool``
    and the integrations with agent frameworks report through it as well.

    Example:
        >>> sdk = SDK("my-agent")                       # doctest: +SKIP
        >>> with sdk.session(), sdk.feature("feat-1"):  # doctest: +SKIP
        ...     with sdk.tool("Bash"):                  # timed; an exception is reported as error
        ...         run_tests()
        ...     sdk.tool("Edit", tokens=1_200)          # reported after the fact
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
        branch: str | None = None,
        cwd: str | None = None,
        agent_kind: str | None = None,
    ) -> None:
        self.agent_id = agent_id
        self.url = url
        self.session_id: str | None = None
        self.feature_id: str | None = None
        self.model = model
        self.project = project
        self.branch = branch
        self.cwd = cwd
        self.agent_kind = agent_kind
        self._previous: list[SDK | None] = []
        self._sender = EventSender(url, token, db_path)
        # Events queued by an SDK that is garbage collected are still delivered.
        weakref.finalize(self, self._sender.close_when_empty).atexit = False

    def report(self, event_type: str, **fields: Any) -> None:
        """Report any event.

        Args:
            event_type: PROTOCOL.md lists the types with a meaning.
            fields: further fields of Event; the timestamp is added.
        """
        self._sender.enqueue(self._queued_event({"event_type": event_type, **fields}))

    def tool(
        self,
        name: str,
        *,
        tokens: int | Mapping[str, int] | None = None,
        duration_ms: float | None = None,
        error: bool = False,
        **fields: Any,
    ) -> ToolCall:
        """Report a finished tool call; used in a ``with`` statement, report and time the block.

        Args:
            name: the tool.
            tokens: the total, or a mapping with keys such as ``input_tokens``, ``output_tokens``.
            duration_ms: milliseconds that the call took; ``with`` measures them.
            error: the call failed; in a ``with`` statement an exception implies it.
            fields: further fields of Event.
        """
        event: dict[str, Any] = {"tool_name": name, "tool_use_id": _new_id(), **fields}
        _add_tokens(event, tokens)
        if duration_ms is not None:
            event["duration_ms"] = round(duration_ms)
        event["event_type"] = "tool_error" if error else "tool_execute"
        event["status"] = "error" if error else "ok"
        return ToolCall(self, self._sender.enqueue(self._queued_event(event)), event)

    def completion(
        self,
        tokens: int | Mapping[str, int],
        *,
        model: str | None = None,
        context_tokens: int | None = None,
        context_window: int | None = None,
        **fields: Any,
    ) -> None:
        """Report a model's completion and the tokens it used; other arguments as for ``tool``.

        Args:
            context_tokens: tokens in the model's context after it; None: unchanged.
            context_window: maximum of ``context_tokens``; None: that of the model, if it is known.
            fields: further fields of Event, such as ``speed``, ``service_tier`` or
                ``web_searches``, which the price depends on.
        """
        event: dict[str, Any] = {
            "event_type": "completion",
            "model": model,
            "context_tokens": context_tokens,
            "context_window": context_window,
            **fields,
        }
        _add_tokens(event, tokens)
        self._sender.enqueue(self._queued_event(event))

    def session(
        self,
        session_id: str | None = None,
        *,
        title: str | None = None,
        branch: str | None = None,
    ) -> SessionScope:
        """Start a session. It ends with the ``with`` statement or with ``end()``.

        Args:
            session_id: its id; None: a new one.
            title: what people see as its name; None: none.
            branch: the git branch from here on; None: unchanged.
        """
        self.branch = branch or self.branch
        return SessionScope(self, session_id or _new_id(), title)

    def feature(self, feature_id: str | None) -> FeatureScope:
        """Set the feature that the agent works on; leaving a ``with`` statement restores it.

        Args:
            feature_id: None: no feature.
        """
        return FeatureScope(self, feature_id)

    def waiting(self, tool_name: str | None = None) -> WaitingScope:
        """Report that the agent waits for a person, until ``answered()`` or the block's end.

        Args:
            tool_name: the tool that needs the permission.
        """
        return WaitingScope(self, tool_name)

    def flush(self, timeout: float = CLOSE_TIMEOUT_S) -> bool:
        """Wait at most ``timeout`` seconds for the delivery of all events; return its success."""
        return self._sender.flush(timeout)

    def close(self, timeout: float = CLOSE_TIMEOUT_S) -> None:
        """Deliver the remaining events within ``timeout`` seconds and stop the thread."""
        self._sender.close(timeout)

    def _queued_event(self, fields: Mapping[str, Any]) -> QueuedEvent | None:
        """Return the validated event; log a warning and return None if it is invalid."""
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
                    "branch": self.branch,
                    "cwd": self.cwd,
                    "agent_kind": self.agent_kind,
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
        self._previous.append(activate(self))
        return self

    def __exit__(self, *_: object) -> None:
        deactivate(self, self._previous.pop())
        self.close()

    def __repr__(self) -> str:
        return f"SDK({self.agent_id!r})"

    def _repr_html_(self) -> str:
        from .html_card import html_card

        facts = [
            ("Server", self._server_text()),
            ("Kind", self.agent_kind or ""),
            ("Model", self.model or ""),
            ("Project", self.project or ""),
            ("Branch", self.branch or ""),
            ("Feature", self.feature_id or ""),
            ("Session", self.session_id or "none started"),
            ("Waiting for delivery", f"{self._sender.n_pending:,} events"),
        ]
        return html_card(f"SDK of {self.agent_id}", facts)

    def _server_text(self) -> str:
        from .client.discovery import Address

        if self.url is None:
            return "the one that AgentGrid() finds, else the database file"
        try:
            return Address.parse(self.url).url
        except ConfigError as error:
            return str(error)


class ToolCall:
    """A tool call reported by ``SDK.tool``; as a context manager it times the call."""

    def __init__(self, sdk: SDK, queued: QueuedEvent | None, fields: dict[str, Any]) -> None:
        self._sdk = sdk
        self._queued = queued
        self._fields = fields
        self._started_at = 0.0

    def __enter__(self) -> ToolCall:
        # ``SDK.tool`` queued a finished call; inside ``with`` it becomes a start.
        sdk = self._sdk
        start = {name: value for name, value in self._fields.items() if name not in _END_FIELDS}
        if self._queued is not None:
            start_event = sdk._queued_event({"event_type": "tool_start", **start})
            sdk._sender.replace(self._queued, start_event)
        self._started_at = time.perf_counter()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        duration_ms = round((time.perf_counter() - self._started_at) * 1_000)
        failed = kind is not None or self._fields["status"] == "error"
        event = {"duration_ms": duration_ms, **self._fields}
        event["event_type"] = "tool_error" if failed else "tool_execute"
        event["status"] = "error" if failed else "ok"
        self._sdk._sender.enqueue(self._sdk._queued_event(event))


class SessionScope:
    """A started session; as a context manager it ends with the block."""

    def __init__(self, sdk: SDK, session_id: str, title: str | None = None) -> None:
        self._sdk = sdk
        self._previous: SDK | None = None
        self.session_id = session_id
        sdk.session_id = session_id
        sdk.report("session_start", title=title)

    def rename(self, title: str) -> None:
        """Change what people see as the name of the session."""
        self._sdk.report("session_info", session_id=self.session_id, title=title)

    def end(self) -> None:
        """End the session."""
        self._sdk.report("session_end", session_id=self.session_id)
        if self._sdk.session_id == self.session_id:
            self._sdk.session_id = None

    def __enter__(self) -> SessionScope:
        self._previous = activate(self._sdk)
        return self

    def __exit__(self, *_: object) -> None:
        deactivate(self._sdk, self._previous)
        self.end()


class FeatureScope:
    """The feature that the agent works on; as a context manager it lasts until the block's end."""

    def __init__(self, sdk: SDK, feature_id: str | None) -> None:
        self._sdk = sdk
        self._previous = sdk.feature_id
        sdk.feature_id = feature_id
        if feature_id is not None:
            sdk.report("activity")

    def __enter__(self) -> FeatureScope:
        return self

    def __exit__(self, *_: object) -> None:
        self._sdk.feature_id = self._previous


class WaitingScope:
    """A pending permission request; as a context manager it is answered at the block's end."""

    def __init__(self, sdk: SDK, tool_name: str | None) -> None:
        self._sdk = sdk
        sdk.report("permission_request", tool_name=tool_name)

    def answered(self) -> None:
        """Report that the person decided."""
        self._sdk.report("answered")

    def __enter__(self) -> WaitingScope:
        return self

    def __exit__(self, *_: object) -> None:
        self.answered()


_active: ContextVar[SDK | None] = ContextVar("htmlgraph_sdk", default=None)
# Reentrant, because the cleanup of a discarded generator can run while the lock is held.
_lock = threading.RLock()
_entered: list[SDK] = []


def activate(sdk: SDK) -> SDK | None:
    """Make an SDK the active one and return the previous one, for ``deactivate``."""
    previous = _active.get()
    _active.set(sdk)
    with _lock:
        _entered.append(sdk)
    return previous


def deactivate(sdk: SDK, previous: SDK | None) -> None:
    """Undo ``activate``."""
    _active.set(previous)
    with _lock:
        if sdk in _entered:
            _entered.remove(sdk)


def active_sdk() -> SDK | None:
    """Return the SDK of the enclosing ``with`` statement; None if there is none.

    A thread started inside such a statement does not inherit its context. If only one SDK is
    active in the whole program, that one is returned.
    """
    sdk = _active.get()
    if sdk is not None:
        return sdk
    with _lock:
        return _entered[0] if len(set(_entered)) == 1 else None


_END_FIELDS = frozenset(
    {*TOKEN_FIELDS, "cost_tokens", "cost_usd", "duration_ms", "status", "event_type", "event_id"}
)
"""Fields that only the end of a call has."""


def _new_id() -> str:
    return os.urandom(16).hex()


def _add_tokens(event: dict[str, Any], tokens: int | Mapping[str, int] | None) -> None:
    if isinstance(tokens, Mapping):
        known = {name: count for name, count in tokens.items() if name in TOKEN_FIELDS}
        if len(known) < len(tokens):
            logger.warning(
                "tokens: unknown keys %s, expected some of %s",
                sorted(str(name) for name in tokens.keys() - known.keys()),
                ", ".join(TOKEN_FIELDS),
            )
        event.update(known)
    elif tokens is not None:
        event["cost_tokens"] = tokens
