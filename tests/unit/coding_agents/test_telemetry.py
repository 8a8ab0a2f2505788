"""Helpers for the translation of logs."""

from __future__ import annotations

import pytest

from htmlgraph_nb.coding_agents.telemetry import (
    decision_event,
    dollars,
    failure_event,
    keyword_event,
    number,
    retry_event,
    tool_event,
    uncached,
)


@pytest.mark.parametrize(
    ("value", "expected"), [("7", 7), (7.0, 7), ("x", None), ("nan", None), (-1, None)]
)
def test_number(value: object, expected: int | None) -> None:
    """Counts may be strings."""
    assert number(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"), [("0.25", 0.25), (1, 1.0), ("x", None), (-1, None), ("inf", None)]
)
def test_dollars(value: object, expected: float | None) -> None:
    """Amounts may be strings; negative and infinite ones are dropped."""
    assert dollars(value) == expected


def test_uncached() -> None:
    """The result is never negative, and unknown if the total is."""
    assert (uncached(100, 40), uncached(10, 40), uncached(7, None)) == (60, 0, 7)
    assert uncached(None, 40) is None


def test_keyword_event_drops_prose() -> None:
    """Only keywords are kept."""
    translate = keyword_event("error", "status_code", "message")
    values = {"status_code": "429", "message": "some words of the user"}
    assert translate(values) == {"event_type": "error", "extra": {"status_code": "429"}}


@pytest.mark.parametrize(("success", "status"), [("false", "error"), (False, "error"), ("x", "ok")])
def test_tool_event(success: object, status: str) -> None:
    """A tool failed if ``success`` is false, as a string or a bool."""
    translate = tool_event(lambda _: "Bash", "call_id")
    fields = translate({"success": success, "call_id": "c1", "duration_ms": "12"})
    assert fields is not None
    assert (fields["status"], fields["tool_use_id"], fields["duration_ms"]) == (status, "c1", 12)


@pytest.mark.parametrize(("source", "reported"), [("user_permanent", True), ("config", False)])
def test_decision_event(source: str, reported: bool) -> None:
    """Decisions of a rule are no event."""
    translate = decision_event(lambda _: "Bash")
    fields = translate({"source": source, "decision": "accept"})
    assert (fields is not None) is reported


def test_failure_event_says_why_the_agent_cannot_work() -> None:
    """The HTTP status decides; an unknown one is an ordinary error."""
    translate = failure_event("error")
    extra = {"status_code": "429", "cannot_work": "rate_limited"}
    assert translate({"status_code": "429"}) == {"event_type": "error", "extra": extra}
    assert translate({"status_code": 400, "error": "some words"}) == {
        "event_type": "error",
        "extra": {"status_code": "400"},
    }
    assert translate({}) == {"event_type": "error", "extra": None}


def test_retry_event_is_a_retry_or_an_end() -> None:
    """Some failures are not repeated; a successful request reports nothing."""
    translate = retry_event("status", failed=("signed_out",))
    assert translate({"status": 529, "attempt": 3}) == {
        "event_type": "retry",
        "extra": {"cannot_work": "overloaded", "attempt": 3},
    }
    ended = {"event_type": "error", "extra": {"cannot_work": "signed_out"}}
    assert translate({"status": "401"}) == ended
    assert translate({"status": 200}) is None
    assert translate({}) is None
