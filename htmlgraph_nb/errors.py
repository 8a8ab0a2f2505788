"""The whole error tree; it owns no behaviour beyond the text of an error.

HtmlgraphError
├── InvalidEvent (ValueError)      an event, filter or parameter that does not fit
├── CapacityError                  a bound of the server was reached
├── ApiError                       an HTTP request that the server refuses
├── JoinRefused                    a dashboard that the server refuses
├── ExportAborted                  a history export that ended early
├── WireError (ValueError)         a message that is not of the protocol
│   └── MessageTooLarge
├── StoreError
│   ├── StoreUnavailable           the file cannot be opened or written
│   ├── StoreDamaged               the file is not a sound database
│   ├── StoreTooNew                the file was written by a newer version
│   └── StoreClosed
├── ConnectError
│   ├── ServerNotFound             nobody answers at any address that was tried
│   └── ServerRefused              a server answered, and said no
└── ConfigError (ValueError)       a setting that cannot be used
"""

from __future__ import annotations


class HtmlgraphError(Exception):
    """Root of every error that this project raises on purpose."""


class InvalidEvent(HtmlgraphError, ValueError):
    """An event or a parameter does not fit its description.

    Args:
        message: what was seen, what was expected, what to type.
        field: name or path of the offending field (``"[3].agent_id"``); None when it is the whole.
    """

    def __init__(self, message: str, field: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.field = field

    def within(self, place: str) -> InvalidEvent:
        """Return the same error with ``place``, as ``[3]``, put before its field."""
        field = place if self.field is None else f"{place}.{self.field}"
        return InvalidEvent(self.message, field)


class CapacityError(HtmlgraphError):
    """A bound was reached: agents in the roster, or events waiting for their commit.

    Args:
        message: which bound, and how to raise it.
        code: the name of the bound as HTTP answers give it.
    """

    def __init__(self, message: str, code: str) -> None:
        super().__init__(message)
        self.code = code


class ApiError(HtmlgraphError):
    """The server refuses an HTTP request.

    Args:
        status: HTTP status.
        code: the error's name in the response, as "invalid".
        message: the cause, and a remedy.
        field: name of the offending parameter, header or field; None: the whole request.
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


class ExportAborted(HtmlgraphError):
    """An export worker ended before its output was complete."""


class WireError(HtmlgraphError, ValueError):
    """A message is not of the protocol."""


class MessageTooLarge(WireError):
    """A message is longer than the limit that its error text names."""


class StoreError(HtmlgraphError):
    """The database file cannot do what was asked."""


class StoreUnavailable(StoreError):
    """The file cannot be opened or written: missing folder, permission, lock or full disk."""


class StoreDamaged(StoreError):
    """The file is not a sound database; it is left as it was found."""


class StoreTooNew(StoreError):
    """The file was written by a newer version of htmlgraph-nb; it is left as it was found."""


class StoreClosed(StoreError):
    """The store was closed before the call."""


class ConnectError(HtmlgraphError):
    """No usable server."""


class ServerNotFound(ConnectError):
    """Nobody answered at any of the addresses that were tried."""


class ServerRefused(ConnectError):
    """A server answered with a refusal.

    Args:
        message: the server's own words.
        status: HTTP status or WebSocket close code.
        code: the ``code`` of the server's error body; None where it gave none.
    """

    def __init__(self, message: str, status: int, code: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


class ConfigError(HtmlgraphError, ValueError):
    """A setting cannot be used as it was given."""
