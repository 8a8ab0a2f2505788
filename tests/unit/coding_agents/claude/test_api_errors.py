"""Retries and failed turns in Claude Code's session files say why the agent cannot work."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from htmlgraph_nb.coding_agents.claude.session import ClaudeSession
from htmlgraph_nb.errors import InvalidEvent
from tests.helpers.claude_lines import completion, only, record
from tests.helpers.session_lines import CONTENT, PAYLOADS, check, kinds, lines_of, read
from tests.helpers.strategies import hostile_values


def failed(text: str = CONTENT, seconds: float = 1, **fields: Any) -> bytes:
    """Return the line of an API error that ended a turn."""
    content = [{"type": "text", "text": text}]
    return completion(
        "x", 0, seconds, model="<synthetic>", content=content, isApiErrorMessage=True, **fields
    )


def extra_of(raw: bytes) -> dict[str, Any] | None:
    """Return the extra of the error in a line."""
    events = read(ClaudeSession(), [raw])
    check(events)
    return only(events, "error").extra


def test_retry_of_a_recorded_rate_limit() -> None:
    """A recorded session shows each attempt and when the next one starts."""
    events = read(ClaudeSession(), lines_of(PAYLOADS / "claude/rate-limit.jsonl"))
    retries = [event for event in events if event.event_type == "retry"]
    assert len(retries) == 10
    assert retries[0].extra == {
        "cannot_work": "rate_limited",
        "attempt": 1,
        "max_attempts": 10,
        "until": "2026-05-18T21:09:24.948229Z",
    }
    assert len({event.event_id for event in retries}) == 10
    assert {event.branch for event in retries} == {"feat/checkout"}


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ({"status": 529, "error": {"error": {"type": "overloaded_error"}}}, "overloaded"),
        ({"status": 401, "type": "authentication_error"}, "signed_out"),
        ({"status": 500}, "overloaded"),
        ({"type": "rate_limit_error"}, "rate_limited"),
        ({"cause": {"code": "ECONNRESET"}}, "overloaded"),
        ("ECONNRESET", "overloaded"),
        (None, "overloaded"),
    ],
)
def test_retry_has_the_kind_of_its_error(error: Any, kind: str) -> None:
    """A failure without a response is one of the provider."""
    raw = record("system", 1, subtype="api_error", error=error, retryAttempt=1)
    retry = only(read(ClaudeSession(), [raw]), "retry")
    assert retry.extra == {"cannot_work": kind, "attempt": 1}


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ("rate_limit", "rate_limited"),
        ("authentication_failed", "signed_out"),
        ("billing_error", "account_on_hold"),
        ("server_error", "overloaded"),
        ("invalid_request", None),
        ("unknown", None),
    ],
)
def test_failure_has_the_kind_of_its_keyword(error: str, kind: str | None) -> None:
    """An error without a kind is an ordinary failed turn."""
    cannot_work = {} if kind is None else {"cannot_work": kind}
    assert extra_of(failed(error=error)) == {"error": error, **cannot_work}


def test_failure_of_a_usage_limit_keeps_only_its_end() -> None:
    """The text of the limit is dropped; older versions write no keyword."""
    text = f"You've hit your session limit · resets 8:30pm (Europe/Dublin) {CONTENT}"
    limit = {"cannot_work": "usage_limited", "until": "2026-05-30T19:30:00.000000Z"}
    assert extra_of(failed(text, error="rate_limit")) == {"error": "rate_limit", **limit}
    assert extra_of(failed(text)) == limit
    old = extra_of(failed("Claude AI usage limit reached|1780000000"))
    assert old == {"cannot_work": "usage_limited", "until": "2026-05-28T20:26:40.000000Z"}


def test_failure_of_an_older_version_has_its_status_in_the_text() -> None:
    """Versions without a keyword write the status at the start of the text."""
    assert extra_of(failed(f"API Error: 529 {CONTENT}")) == {"cannot_work": "overloaded"}
    assert extra_of(failed(f"API Error: {CONTENT}")) is None


_HOSTILE = hostile_values(
    "rate_limit",
    nested=st.dictionaries(
        st.sampled_from(["status", "type", "error"]),
        st.one_of(st.integers(), st.text(max_size=9), st.dictionaries(st.just("error"), st.text())),
    ),
)


@settings(max_examples=300)
@given(values=st.lists(_HOSTILE, min_size=4, max_size=4), is_retry=st.booleans())
def test_api_errors_accept_hostile_values(values: list[Any], is_retry: bool) -> None:
    """Wrong types, huge numbers and control characters neither raise nor pass unchecked."""
    names = ("error", "retryInMs", "retryAttempt", "maxRetries")
    fields = dict(zip(names, values, strict=True))
    try:
        if is_retry:
            raw = record("system", 1, subtype="api_error", content=CONTENT, **fields)
        else:
            raw = failed(CONTENT, **fields)
    except UnicodeEncodeError:
        return
    with suppress(InvalidEvent):
        events = read(ClaudeSession(), [raw])
        check(events)
        assert kinds(events)[0] == "session_start"
