"""Errors of Anthropic's API in Claude Code's session files: retries and failed turns; no texts."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

from ..failures import after_ms, failure_extra, kind_of_status, retry_extra
from ..fields import count, mapping, safe_keyword, without_none
from .constants import CANNOT_WORK
from .lines import Record, message_text

_STATUS = re.compile(r"^API Error: (\d{3})\b")


def retry_of(record: Record, at: datetime) -> dict[str, Any]:
    """Return the ``extra`` of a retry, which a line of the type ``system/api_error`` reports."""
    error = mapping(record.get("error"))
    # The kind is in the response or, if this is absent, in the error itself.
    response = mapping(mapping(error.get("error")).get("error"))
    kinds = [CANNOT_WORK.get(safe_keyword(each.get("type")) or "") for each in (response, error)]
    kind = kinds[0] or kind_of_status(count(error.get("status"))) or kinds[1]
    until = after_ms(at, record.get("retryInMs"))
    return retry_extra(kind, record.get("retryAttempt"), record.get("maxRetries"), until)


def failure_of(record: Record, at: datetime) -> dict[str, Any] | None:
    """Return the ``extra`` of a failed turn, which an API error line reports."""
    error, text = safe_keyword(record.get("error")), message_text(record)
    kind = CANNOT_WORK.get(error or "")
    if kind is None and (match := _STATUS.match(text or "")):
        kind = kind_of_status(int(match[1]))
    return without_none(error=error, **failure_extra(kind, text, at))
