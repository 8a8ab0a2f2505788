"""Single lines of Pi's session files."""

from __future__ import annotations

import pytest

from htmlgraph_nb.coding_agents.pi.lines import is_retried, request_time, usage_fields


@pytest.mark.parametrize(
    ("text", "retried"),
    [
        ('529 {"type":"overloaded_error"}', True),
        ("429 Too many requests", True),
        ("fetch failed", True),
        ("read ECONNRESET", True),
        ("429 GoUsageLimitError: Monthly usage limit reached", False),
        ("insufficient_quota", False),
        ("401 invalid x-api-key", False),
        ("request 14290 was rejected", False),
        (None, False),
        (429, False),
    ],
)
def test_is_retried_as_pi_decides_it(text: object, retried: bool) -> None:
    """Limits of an account and errors of the request are not retried."""
    assert is_retried(text) is retried


def test_usage_fields_split_the_cache_by_its_lifetime() -> None:
    """One hour, as far as the provider says it, else five minutes."""
    fields = usage_fields({"cacheWrite": 10, "cacheWrite1h": 30}, {"model": "m"})
    assert fields is not None
    assert (fields["cache_write_5m_tokens"], fields["cache_write_1h_tokens"]) == (0, 10)


def test_usage_fields_name_the_model_that_answered() -> None:
    """A router can choose another one than the selected."""
    message = {"model": "auto", "responseModel": "gpt-5.5"}
    fields = usage_fields({"input": 1}, message)
    assert fields is not None
    assert fields["model"] == "gpt-5.5"


@pytest.mark.parametrize("usage", [None, [], {}, {"input": 0, "cost": {"total": 0}}])
def test_usage_fields_need_some_usage(usage: object) -> None:
    """A response that was aborted before its first output used nothing."""
    assert usage_fields(usage, {}) is None


def test_request_time_is_in_milliseconds() -> None:
    """Other numbers are no time."""
    at = request_time({"timestamp": 1_779_670_650_786})
    assert at is not None
    assert at.isoformat() == "2026-05-25T00:57:30.786000+00:00"
    assert request_time({"timestamp": -1}) is None
