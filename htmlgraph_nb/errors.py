"""All exceptions of htmlgraph-nb and its server.

HtmlgraphError
├── InvalidEvent (ValueError)      invalid event, filter or parameter
├── CapacityError                  a limit of the server is reached
├── WireError (ValueError)         malformed protocol message
│   └── MessageTooLarge
├── StoreError
│   ├── StoreUnavailable           the file cannot be opened or written
│   │   └── StoreReplaced          the open file was deleted, moved, replaced or overwritten
│   ├── StoreDamaged               the file is not a valid database
│   ├── StoreTooNew                the file was written by a newer version
│   └── StoreClosed
├── ConnectError
│   ├── ServerNotFound             no server responds at any address
│   └── ServerRefused              a server refused the request
├── ConfigError (ValueError)       invalid setting
└── internal, never raised to callers of the public API:
    ├── Unreachable (OSError)      hook: no connection to a server
    ├── SessionsBusy (OSError)      session database: locked, or changed while it was read
    ├── SegmentError               columnar history: segment file
    ├── InvalidJson (ValueError)   server: settings file of a coding agent
    ├── ApiError                   server: HTTP error response
    ├── JoinRefused                server: a dashboard may not connect
    └── ExportAborted              server: child process of a history export

PriceWarning (UserWarning)         prices that may be out of date
HistoryWarning (UserWarning)       a history that lacks what a result depends on
"""

from __future__ import annotations

import sys

_LIBRARIES = frozenset(
    "htmlgraph_nb htmlgraph_server anywidget traitlets ipywidgets IPython".split()
)
_MAX_CALLS = 3


class HtmlgraphError(Exception):
    """Base class of all errors that this project raises deliberately."""

    def _render_traceback_(self) -> list[str]:
        """Return the lines that IPython prints: the message, and where the user's code caused it.

        The frames of this package and of traitlets would hide both. ``%debug`` still has them.
        """
        # The hook, which starts often, loads this module but never prints a traceback.
        import linecache
        import traceback

        calls = [
            f"  line {line}: {source}"
            for frame, line in traceback.walk_tb(self.__traceback__)
            if frame.f_globals.get("__name__", "").partition(".")[0] not in _LIBRARIES
            and (source := linecache.getline(frame.f_code.co_filename, line).strip())
        ]
        return [f"{type(self).__name__}: {self}", *calls[-_MAX_CALLS:]]


class InvalidEvent(HtmlgraphError, ValueError):
    """Invalid event, filter or parameter.

    Args:
        message: ``"field: expected X, got Y"``, and the remedy if there is one.
        field: name or path of the invalid field (``"[3].agent_id"``); None: the whole value.
    """

    def __init__(self, message: str, field: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.field = field

    def within(self, path: str) -> InvalidEvent:
        """Return the same error with ``path``, such as ``[3]``, in front of its field."""
        field = path if self.field is None else f"{path}.{self.field}"
        return InvalidEvent(self.message, field)


class CapacityError(HtmlgraphError):
    """A limit is reached: agents in the roster, or events in the write queue.

    Args:
        message: the limit, and how to raise it.
        code: name of the limit in HTTP error responses.
    """

    def __init__(self, message: str, code: str) -> None:
        super().__init__(message)
        self.code = code


class WireError(HtmlgraphError, ValueError):
    """Malformed protocol message."""


class MessageTooLarge(WireError):
    """A message exceeds the size limit, which the error message states."""


class StoreError(HtmlgraphError):
    """The database cannot carry out the operation."""


class StoreUnavailable(StoreError):
    """The file cannot be opened or written: missing folder, permissions, lock or full disk."""


class StoreReplaced(StoreUnavailable):
    """The open file was deleted, moved, replaced or overwritten; nothing is written to it."""


class StoreDamaged(StoreError):
    """The file is not a valid database; it is left unchanged."""


class StoreTooNew(StoreError):
    """The file was written by a newer version of htmlgraph-nb; it is left unchanged."""


class StoreClosed(StoreError):
    """The store was closed before the call."""


class ConnectError(HtmlgraphError):
    """No usable server."""


class ServerNotFound(ConnectError):
    """No server responds at any of the addresses."""


class ServerRefused(ConnectError):
    """A server refused the request.

    Args:
        message: the message of the server.
        status: HTTP status or WebSocket close code.
        code: ``code`` of the error response; None if there is none.
    """

    def __init__(self, message: str, status: int, code: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


class PriceWarning(UserWarning):
    """Costs may be wrong because the installed price table is old or does not know a model."""


class ConfigError(HtmlgraphError, ValueError):
    """Invalid setting."""


class Unreachable(HtmlgraphError, OSError):
    """The connection to a server cannot be made, so nothing was sent."""


class SessionsBusy(HtmlgraphError, OSError):
    """A session database is locked, or changed while it was read; it can be read again soon."""


class SegmentError(HtmlgraphError):
    """The file of a sealed segment does not match the index; its rows are read from SQLite.

    Args:
        message: what is wrong with the file.
        damaged: whether the file exists with other content, so that it can be removed.
    """

    def __init__(self, message: str, *, damaged: bool) -> None:
        super().__init__(message)
        self.damaged = damaged


class InvalidJson(HtmlgraphError, ValueError):
    """Invalid JSON in a settings file.

    Args:
        text: the text of the file.
        position: index of the error in ``text``.
        expected: what is valid at this position.

    Attributes:
        line, column: the position, both counted from 1.
    """

    def __init__(self, text: str, position: int, expected: str) -> None:
        self.line = text.count("\n", 0, position) + 1
        self.column = position - text.rfind("\n", 0, position)
        actual = repr(text[position : position + 12]) if position < len(text) else "end of file"
        super().__init__(
            f"line {self.line}, column {self.column}: expected {expected}, got {actual}"
        )


class ApiError(HtmlgraphError):
    """The server refuses an HTTP request.

    Args:
        status: HTTP status.
        code: error code in the response, such as "invalid".
        message: the cause, and a remedy.
        field: name of the invalid parameter, header or field; None: the whole request.
    """

    def __init__(self, status: int, code: str, message: str, field: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.field = field


class JoinRefused(HtmlgraphError):
    """A dashboard may not connect.

    Args:
        reason: the reason in the close frame.
        code: the WebSocket close code.
    """

    def __init__(self, reason: str, code: int) -> None:
        super().__init__(reason)
        self.reason = reason
        self.code = code


class ProtocolViolation(HtmlgraphError):
    """A client broke a rule of the WebSocket protocol, or a limit.

    Args:
        code: the WebSocket close code.
        reason: the reason in the close frame.
    """

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class ExportAborted(HtmlgraphError):
    """An export worker ended before its output was complete."""


class HistoryWarning(UserWarning):
    """A history lacks columns or events on which the statuses of agents depend."""


def level_of_caller() -> int:
    """Return the ``stacklevel`` of a warning for the first caller outside of this package."""
    package = __name__.partition(".")[0] + "."
    frame, level = sys._getframe(1), 1
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith(package):
        frame, level = frame.f_back, level + 1
    return level
