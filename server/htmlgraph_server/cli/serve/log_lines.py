"""The lines of the server's log, as text or JSON. No line contains what an agent sent unescaped."""

from __future__ import annotations

import logging
import re
from datetime import UTC, datetime
from logging.config import dictConfig
from typing import Any

from htmlgraph_nb.core.protocol import encode_json
from htmlgraph_nb.core.timestamps import to_rfc3339

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_CONTROL_BUT_LINES = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029]")
_LIFECYCLE = ("htmlgraph_server.server", "htmlgraph_server.connections.refusals")
"""Loggers whose information JSON includes: start, stop, and refusals by kind and minute."""


def _escaped(text: str, pattern: re.Pattern[str]) -> str:
    return pattern.sub(lambda match: f"\\x{ord(match[0]):02x}", text)


class TextLines(logging.Formatter):
    """One line for a message; a traceback follows on lines of its own."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        """Return the line with control characters escaped."""
        return _escaped(super().formatMessage(record), _CONTROL)

    def formatException(self, ei: Any) -> str:  # noqa: N802 - logging's name
        """Return the traceback with control characters escaped."""
        return _escaped(super().formatException(ei), _CONTROL_BUT_LINES)


class JsonLines(logging.Formatter):
    """One JSON object on a line: time, level, logger, message and, of a fault, its traceback."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the object."""
        line = {
            "time": to_rfc3339(datetime.fromtimestamp(record.created, UTC)),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return encode_json(line)


def log_as(log_format: str) -> None:
    """Make the handlers of the process write "text" or "json"."""
    formatter = JsonLines() if log_format == "json" else TextLines()
    for handler in logging.root.handlers:
        handler.setFormatter(formatter)
    if log_format == "json" and logging.root.level > logging.INFO:
        levels = {name: {"level": "INFO"} for name in _LIFECYCLE}
        dictConfig({"version": 1, "incremental": True, "loggers": levels})
