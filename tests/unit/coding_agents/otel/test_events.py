"""Logs to events: any input is accepted."""

from __future__ import annotations

import pytest
from hypothesis import given

from htmlgraph_nb.coding_agents.otel.events import events_from_log
from htmlgraph_nb.coding_agents.otel.signals import LogRecord
from tests.helpers.otlp_signals import (
    NOW,
    check,
    logs,
)


@given(logs)
def test_events_from_log_accept_any_record(record: LogRecord) -> None:
    """Any record gives valid events or none, the same each time."""
    events = events_from_log(record, received_at=NOW)
    check(events)
    assert events_from_log(record, received_at=NOW) == events


def test_events_from_log_have_speed_place_and_searches() -> None:
    """As Claude Code sends the speed, and with the names of Anthropic's API for the rest."""
    values = {
        "session.id": "s",
        "input_tokens": "10",
        "output_tokens": "5",
        "speed": "fast",
        "inference_geo": "us",
        "web_search_requests": "2",
    }
    record = LogRecord({}, "", "claude_code.api_request", values, 1)
    (event,) = events_from_log(record, received_at=NOW)
    assert (event.speed, event.inference_geo, event.web_searches) == ("fast", "us", 2)
    normal = LogRecord({}, "", "claude_code.api_request", {**values, "speed": "normal"}, 1)
    (event,) = events_from_log(normal, received_at=NOW)
    assert event.speed is None


@pytest.mark.parametrize(
    ("request_id", "n_ids"), [("req_proxy", 2), ("req_011CUuXYZabcdefghijklmno", 1)]
)
def test_events_from_log_count_answers_whose_request_id_is_repeated(
    request_id: str, n_ids: int
) -> None:
    """A gateway gives it to answers of several times; Anthropic's API gives it to one."""
    values = {"session.id": "s", "input_tokens": 1, "request_id": request_id}
    records = [LogRecord({}, "", "claude_code.api_request", values, at) for at in (1, 2, 1)]
    events = [events_from_log(record, received_at=NOW)[0] for record in records]
    check(events)
    assert len({event.event_id for event in events}) == n_ids
