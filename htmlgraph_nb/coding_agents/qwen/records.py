"""Single lines of Qwen Code's session files; see ``session``. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...core.validation import MAX_INTEGER
from ..fields import count, mapping, mappings

Record = Mapping[str, Any]
"""JSON object of a line."""

TELEMETRY_PREFIX = "qwen-code."
_RETRIED = (408, 409, 429)
_EXIT_COMMANDS = ("/quit", "/exit")


def parts_of(record: Record) -> list[Record]:
    """Return the parts of the message in a line."""
    return mappings(mapping(record.get("message")).get("parts"))


def calls_of(record: Record) -> list[Record]:
    """Return the tool calls in a response of the model."""
    calls = (part.get("functionCall") for part in parts_of(record))
    return [call for call in calls if isinstance(call, Mapping)]


def results_of(record: Record) -> list[Record]:
    """Return the results of tools in a line."""
    results = (part.get("functionResponse") for part in parts_of(record))
    return [result for result in results if isinstance(result, Mapping)]


def last_text(record: Record) -> object:
    """Return the last text of a response that is no thought; None if it has none."""
    texts = [
        part.get("text")
        for part in parts_of(record)
        if isinstance(part.get("text"), str) and part.get("thought") is not True
    ]
    return texts[-1] if texts else None


def telemetry_of(record: Record) -> tuple[str, Record]:
    """Return name and attributes of the telemetry in a system line; ("", {}) if it has none."""
    event = mapping(mapping(record.get("systemPayload")).get("uiEvent"))
    name = event.get("event.name")
    is_own = isinstance(name, str) and name.startswith(TELEMETRY_PREFIX)
    return (str(name).removeprefix(TELEMETRY_PREFIX), event) if is_own else ("", {})


def is_retried(status: int | None) -> bool:
    """Return whether Qwen Code repeats a request that failed with an HTTP status; None: no answer.

    Other errors, such as those of the API key, end the turn at once.
    """
    return status is None or status in _RETRIED or status >= 500


def is_exit(record: Record) -> bool:
    """Return whether a system line is a command that ends the session."""
    command = mapping(record.get("systemPayload")).get("rawCommand")
    return isinstance(command, str) and command.strip() in _EXIT_COMMANDS


def usage_of(record: Record) -> dict[str, int] | None:
    """Return the counts of a response; None if it has none.

    The prompt includes the cache. Some providers count thoughts as part of the output and some do
    not; the total says which.
    """
    usage = record.get("usageMetadata")
    if not isinstance(usage, Mapping):
        return None
    prompt, output = (count(usage.get(name)) or 0 for name in _COUNTS)
    thoughts, total = (count(usage.get(name)) or 0 for name in _FURTHER_COUNTS)
    cached = min(count(usage.get("cachedContentTokenCount")) or 0, prompt)
    if total >= prompt + output:
        output = min(total - prompt, output + thoughts)
    elif not total:
        output += thoughts
    return {
        "input_tokens": prompt - cached,
        "cache_read_tokens": cached,
        "cache_write_5m_tokens": 0,
        "cache_write_1h_tokens": 0,
        "output_tokens": min(output, MAX_INTEGER),
    }


_COUNTS = ("promptTokenCount", "candidatesTokenCount")
_FURTHER_COUNTS = ("thoughtsTokenCount", "totalTokenCount")


def growth(counts: dict[str, int], before: dict[str, int]) -> dict[str, int]:
    """Return the counts beyond those of an earlier line of the same response."""
    return {name: max(0, counts[name] - before[name]) for name in counts}
