"""Single lines of Pi's session files; see ``session``. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from ...core.validation import MAX_INTEGER
from ..fields import amount, count, mapping, mappings, string, timestamp, timestamp_of_seconds

Record = Mapping[str, Any]
"""JSON object of a line, or its message."""

_RETRIED = re.compile(
    r"overloaded|servers? (?:is |are )?(?:currently )?(?:busy|at capacity)|high demand|at capacity"
    r"|rate.?limit|too many requests|(?<![a-z0-9])(?:429|500|502|503|504|520|524)(?![a-z0-9])"
    r"|unavailable|server.?error|internal.?error|returned.?(?:an.?)?error|upstream"
    r"|stream (?:was )?(?:interrupted|disconnected)|http/?2 stream failed|ended (?:without|before)"
    r"|network.?error|connection.?(?:error|refused|lost|closed|reset)|other side closed"
    r"|fetch failed|request to \S+ failed|getaddrinfo|ENOTFOUND|EAI_AGAIN|EPIPE|socket hang up"
    r"|ECONN(?:RESET|ABORTED|REFUSED)|ETIMEDOUT|timed? ?out|terminated|websocket|retry"
    r"|ResourceExhausted",
    re.I,
)
"""Errors after which Pi repeats the request by itself (pi-ai's utils/retry.ts as of 1.6.0)."""
_NOT_RETRIED = re.compile(
    r"UsageLimitError|usage.?limit|available balance|insufficient_quota|out of budget"
    r"|quota exceeded|billing|\"code\"\s*:\s*\"?1308",
    re.I,
)
_MAX_ERROR_CHARS = 2_000


def is_retried(error: object) -> bool:
    """Return whether Pi repeats a request that failed with this text."""
    if not isinstance(error, str):
        return False
    text = error[:_MAX_ERROR_CHARS]
    return _RETRIED.search(text) is not None and _NOT_RETRIED.search(text) is None


def calls_of(message: Record) -> list[Record]:
    """Return the tool calls in a response of the model."""
    blocks = mappings(message.get("content"))
    return [block for block in blocks if block.get("type") == "toolCall"]


def last_text(message: Record) -> object:
    """Return the last text of a response of the model; None if it has none."""
    blocks = mappings(message.get("content"))
    texts = [block.get("text") for block in blocks if block.get("type") == "text"]
    return texts[-1] if texts else None


def request_time(message: Record) -> datetime | None:
    """Return when a request started, or a result was created: milliseconds since 1970 in a file."""
    micros = amount(message.get("timestamp"))
    return None if micros is None else timestamp_of_seconds(micros / 1000)


def entry_time(record: Record) -> datetime | None:
    """Return when an entry was written; None if it does not say."""
    return timestamp(record.get("timestamp"))


def usage_fields(usage: object, message: Record) -> dict[str, Any] | None:
    """Return the fields of a completion with Pi's counts and dollars; None if nothing was used.

    The input excludes the cache, the output includes reasoning. Pi reports the cost of the provider
    or of its own catalog of prices; 0 if it knows no price.
    """
    if not isinstance(usage, Mapping):
        return None
    written = count(usage.get("cacheWrite")) or 0
    long = min(count(usage.get("cacheWrite1h")) or 0, written)
    counts = {
        "input_tokens": count(usage.get("input")) or 0,
        "cache_read_tokens": count(usage.get("cacheRead")) or 0,
        "cache_write_5m_tokens": written - long,
        "cache_write_1h_tokens": long,
        "output_tokens": count(usage.get("output")) or 0,
    }
    cost = amount(mapping(usage.get("cost")).get("total")) or None
    if cost is None and not any(counts.values()):
        return None
    model = string(message.get("responseModel")) or string(message.get("model"))
    return {**counts, "cost_usd": cost, "model": model}


def context_of(counts: Mapping[str, Any]) -> int | None:
    """Return the tokens that a request read, cached or not; None if there are none."""
    names = ("input_tokens", "cache_read_tokens", "cache_write_5m_tokens", "cache_write_1h_tokens")
    return min(sum(counts[name] for name in names), MAX_INTEGER) or None
