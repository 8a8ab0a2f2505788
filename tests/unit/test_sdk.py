"""SDK: the events of its calls; EventSender: its queue."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import pytest

from htmlgraph_nb.client import event_sender
from htmlgraph_nb.client.event_sender import EventSender, QueuedEvent
from htmlgraph_nb.core.model import Event
from htmlgraph_nb.errors import StoreUnavailable
from htmlgraph_nb.sdk import SDK


@pytest.fixture
def delivered(monkeypatch: pytest.MonkeyPatch) -> list[Event]:
    """Collect the events that would be delivered."""
    events: list[Event] = []

    def deliver(self: EventSender, batch: Sequence[Event]) -> None:
        events.extend(batch)

    monkeypatch.setattr(EventSender, "_deliver", deliver)
    return events


def flushed(sdk: SDK, delivered: list[Event]) -> list[Event]:
    """Return all events so far, after their delivery."""
    assert sdk.flush(10)
    return delivered


def test_sdk_tool_reports_one_finished_call(delivered: list[Event]) -> None:
    """``sdk.tool`` alone reports one executed tool with its tokens."""
    with SDK("a", model="m", project="p") as sdk:
        sdk.tool("Bash", tokens=12, duration_ms=3.6)
        (event,) = flushed(sdk, delivered)
    assert (event.event_type, event.tool_name, event.status) == ("tool_execute", "Bash", "ok")
    assert (event.cost_tokens, event.duration_ms, event.model, event.project) == (12, 4, "m", "p")
    assert event.event_id
    assert event.timestamp


def test_sdk_tool_block_reports_start_and_end(delivered: list[Event]) -> None:
    """``with sdk.tool`` reports a start and a timed end with the same call id."""
    with SDK("a") as sdk:
        with sdk.tool("Bash", tokens={"input_tokens": 1, "output_tokens": 2}):
            pass
        start, end = flushed(sdk, delivered)
    assert [start.event_type, end.event_type] == ["tool_start", "tool_execute"]
    assert start.tool_use_id == end.tool_use_id
    assert start.total_tokens == 0
    assert (end.input_tokens, end.output_tokens) == (1, 2)
    assert end.duration_ms is not None


def test_sdk_tool_block_reports_error_and_reraises(delivered: list[Event]) -> None:
    """The exception propagates, and the tool counts as failed."""
    with SDK("a") as sdk:
        with pytest.raises(KeyError), sdk.tool("Bash"):
            raise KeyError("x")
        end = flushed(sdk, delivered)[-1]
    assert (end.event_type, end.status) == ("tool_error", "error")


def test_sdk_session_and_feature_apply_inside_their_blocks(delivered: list[Event]) -> None:
    """Events inside the blocks have their session and feature; later events do not."""
    with SDK("a") as sdk:
        with sdk.session("s-1"), sdk.feature("f-1"):
            sdk.tool("Bash")
        sdk.tool("Read")
        events = flushed(sdk, delivered)
    kinds = [event.event_type for event in events]
    assert kinds == ["session_start", "activity", "tool_execute", "session_end", "tool_execute"]
    assert [event.session_id for event in events] == ["s-1"] * 4 + [None]
    assert [event.feature_id for event in events] == [None, "f-1", "f-1", None, None]


def test_sdk_waiting_reports_request_and_answer(delivered: list[Event]) -> None:
    """``with sdk.waiting`` reports the permission request and its end."""
    with SDK("a") as sdk:
        with sdk.waiting("Bash"):
            pass
        request, answer = flushed(sdk, delivered)
    assert (request.event_type, request.tool_name) == ("permission_request", "Bash")
    assert answer.event_type == "answered"


@pytest.mark.parametrize(
    "misuse",
    [
        lambda sdk: sdk.tool(""),
        lambda sdk: sdk.tool("x" * 10_000),
        lambda sdk: sdk.tool("Bash", tokens=-1),
        lambda sdk: sdk.tool("Bash", tokens="many"),
        lambda sdk: sdk.report("x", extra=object()),
        lambda sdk: sdk.report("x", anything=object()),
        lambda sdk: sdk.completion({"input_tokens": 2**60}),
    ],
)
def test_sdk_logs_invalid_events_and_never_raises(
    misuse: Any, delivered: list[Event], caplog: pytest.LogCaptureFixture
) -> None:
    """An invalid event is logged and does not affect the agent's program."""
    with SDK("a") as sdk, caplog.at_level(logging.WARNING, "htmlgraph_nb"):
        misuse(sdk)
        assert flushed(sdk, delivered) == []
    assert "is not reported" in caplog.text


def test_sdk_invalid_agent_id_never_raises(
    delivered: list[Event], caplog: pytest.LogCaptureFixture
) -> None:
    """An invalid agent_id loses the reports, not the program."""
    with SDK("\0") as sdk, caplog.at_level(logging.WARNING, "htmlgraph_nb"):
        with sdk.session(), sdk.tool("Bash"):
            pass
        assert flushed(sdk, delivered) == []
    assert "agent_id" in caplog.text


def test_sdk_logs_unknown_token_keys(
    delivered: list[Event], caplog: pytest.LogCaptureFixture
) -> None:
    """A misspelt key is logged; the known keys count."""
    with SDK("a") as sdk, caplog.at_level(logging.WARNING, "htmlgraph_nb"):
        sdk.completion({"input_tokens": 5, "outputs": 1})
        (event,) = flushed(sdk, delivered)
    assert event.total_tokens == 5
    assert "outputs" in caplog.text


def test_event_sender_full_queue_drops_the_oldest(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The oldest events beyond the limit are dropped, and their number is logged."""
    monkeypatch.setattr(event_sender, "_MAX_QUEUED", 3)
    monkeypatch.setattr(EventSender, "_start", lambda self: None)
    sender = EventSender(None, None, None)
    for number in range(5):
        sender.enqueue(QueuedEvent(Event(agent_id=f"a{number}")))
    with caplog.at_level(logging.WARNING, "htmlgraph_nb"):
        sender.close_when_empty()
        batch = sender._take_batch()
    assert [queued.event.agent_id for queued in batch] == ["a2", "a3", "a4"]
    assert "2 events were dropped" in caplog.text


def test_event_sender_queues_replacement_of_a_taken_event(monkeypatch: pytest.MonkeyPatch) -> None:
    """Once an event is in delivery, its replacement is a further event."""
    monkeypatch.setattr(EventSender, "_start", lambda self: None)
    sender = EventSender(None, None, None)
    first = sender.enqueue(QueuedEvent(Event(agent_id="a", event_type="one")))
    assert first is not None
    sender.close_when_empty()
    sender._take_batch()
    sender.replace(first, QueuedEvent(Event(agent_id="a", event_type="two")))
    assert [queued.event.event_type for queued in sender._queue] == ["two"]


def test_event_sender_logs_lost_events_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """If neither server nor file accepts the events, one line is logged."""

    def fail(self: EventSender, events: Sequence[Event]) -> None:
        raise StoreUnavailable("the disk is full")

    monkeypatch.setattr(EventSender, "_send_to_server", lambda self, events: False)
    monkeypatch.setattr(EventSender, "_write_to_file", fail)
    with SDK("a") as sdk, caplog.at_level(logging.WARNING, "htmlgraph_nb"):
        sdk.tool("Bash")
        assert sdk.flush(10)
        sdk.tool("Bash")
        assert sdk.flush(10)
    assert caplog.text.count("the disk is full") == 1


def test_event_sender_logs_internal_error_in_one_line(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """An unexpected error is logged once, without a traceback; later events are delivered."""

    def broken(self: EventSender, batch: Sequence[Event]) -> None:
        raise ZeroDivisionError("odd")

    monkeypatch.setattr(EventSender, "_deliver", broken)
    with SDK("a") as sdk, caplog.at_level(logging.WARNING, "htmlgraph_nb"):
        for _ in range(2):
            sdk.tool("Bash")
            assert sdk.flush(10)
    assert [record.getMessage() for record in caplog.records] == [
        "1 events were not delivered: ZeroDivisionError: odd"
    ]
    assert caplog.records[0].exc_info is None


def test_sdk_tool_start_has_the_fields_of_its_end(delivered: list[Event]) -> None:
    """The agent of a call is known from its start."""
    with SDK("a") as sdk:
        with sdk.tool("Bash", agent_id="b", parent_agent_id="a", tokens=3):
            pass
        start, end = flushed(sdk, delivered)
    assert (start.agent_id, start.parent_agent_id) == (end.agent_id, end.parent_agent_id)
    assert start.cost_tokens is None


def test_sdk_session_has_title_branch_and_folder(delivered: list[Event]) -> None:
    """The title belongs to the session, the branch to all later events."""
    with SDK("a", branch="main", cwd="/work/shop", agent_kind="mine") as sdk:
        with sdk.session("s1", title="Fix the cart", branch="feat/cart") as session:
            session.rename("Fix all")
            sdk.completion(5, context_tokens=900, context_window=1_000)
        start, info, completion, end = flushed(sdk, delivered)
    assert (start.event_type, start.title, start.branch) == (
        "session_start",
        "Fix the cart",
        "feat/cart",
    )
    assert (info.event_type, info.title, info.session_id) == ("session_info", "Fix all", "s1")
    assert (completion.context_tokens, completion.context_window) == (900, 1_000)
    assert {event.branch for event in delivered} == {"feat/cart"}
    assert {(event.cwd, event.agent_kind) for event in delivered} == {("/work/shop", "mine")}
    assert end.title is None


def test_sdk_drops_events_with_invalid_facts(
    delivered: list[Event], caplog: pytest.LogCaptureFixture
) -> None:
    """The caller gets no exception, and the log says which field was wrong."""
    with SDK("a", branch="x" * 300) as sdk:
        sdk.completion(5)
        sdk.branch = None
        sdk.completion(5, context_tokens=-1)
        assert flushed(sdk, delivered) == []
    assert "branch: expected 1 to 256 characters" in caplog.text
    assert "context_tokens: expected an integer" in caplog.text
