"""The SDK's calls as the events they make; the courier's queue, replacing and dropping."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import pytest

from htmlgraph_nb.client import event_sender as courier_module
from htmlgraph_nb.client.event_sender import EventSender, QueuedEvent
from htmlgraph_nb.core.model import Event
from htmlgraph_nb.errors import StoreUnavailable
from htmlgraph_nb.sdk import SDK


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[Event]:
    """What the couriers would bring, instead of bringing it."""
    events: list[Event] = []

    def deliver(self: EventSender, batch: Sequence[Event]) -> None:
        events.extend(batch)

    monkeypatch.setattr(EventSender, "_deliver", deliver)
    return events


def made(sdk: SDK, told: list[Event]) -> list[Event]:
    """Return all events so far, once they are delivered."""
    assert sdk.flush(10)
    return told


def test_a_call_is_one_finished_tool(told: list[Event]) -> None:
    """``sdk.tool`` alone reports one executed tool with its tokens."""
    with SDK("a", model="m", project="p") as sdk:
        sdk.tool("Bash", tokens=12, duration_ms=3.6)
        (event,) = made(sdk, told)
    assert (event.event_type, event.tool_name, event.status) == ("tool_execute", "Bash", "ok")
    assert (event.cost_tokens, event.duration_ms, event.model, event.project) == (12, 4, "m", "p")
    assert event.event_id
    assert event.timestamp


def test_a_block_is_a_begin_and_an_end_of_one_call(told: list[Event]) -> None:
    """``with sdk.tool`` reports a start and a timed end with the same call id."""
    with SDK("a") as sdk:
        with sdk.tool("Bash", tokens={"input_tokens": 1, "output_tokens": 2}):
            pass
        start, end = made(sdk, told)
    assert [start.event_type, end.event_type] == ["tool_start", "tool_execute"]
    assert start.tool_use_id == end.tool_use_id
    assert start.total_tokens == 0
    assert (end.input_tokens, end.output_tokens) == (1, 2)
    assert end.duration_ms is not None


def test_a_block_that_raises_is_an_error_and_raises_on(told: list[Event]) -> None:
    """The exception of a block goes on, and the tool counts as failed."""
    with SDK("a") as sdk:
        with pytest.raises(KeyError), sdk.tool("Bash"):
            raise KeyError("x")
        end = made(sdk, told)[-1]
    assert (end.event_type, end.status) == ("tool_error", "error")


def test_sessions_and_features_mark_what_follows(told: list[Event]) -> None:
    """Events inside the blocks carry their session and feature, those after them do not."""
    with SDK("a") as sdk:
        with sdk.session("s-1"), sdk.feature("f-1"):
            sdk.tool("Bash")
        sdk.tool("Read")
        events = made(sdk, told)
    kinds = [event.event_type for event in events]
    assert kinds == ["session_start", "activity", "tool_execute", "session_end", "tool_execute"]
    assert [event.session_id for event in events] == ["s-1"] * 4 + [None]
    assert [event.feature_id for event in events] == [None, "f-1", "f-1", None, None]


def test_a_question_is_asked_and_answered(told: list[Event]) -> None:
    """``with sdk.waiting`` reports the question and its answer."""
    with SDK("a") as sdk:
        with sdk.waiting("Bash"):
            pass
        asked, answered = made(sdk, told)
    assert (asked.event_type, asked.tool_name) == ("permission_request", "Bash")
    assert answered.event_type == "answered"


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
def test_misuse_is_logged_and_never_raises(
    misuse: Any, told: list[Event], caplog: pytest.LogCaptureFixture
) -> None:
    """What is no event is told in the log and does not reach the agent's program."""
    with SDK("a") as sdk, caplog.at_level(logging.WARNING, "htmlgraph.sdk"):
        misuse(sdk)
        assert made(sdk, told) == []
    assert "is not reported" in caplog.text


def test_an_impossible_agent_id_never_raises(
    told: list[Event], caplog: pytest.LogCaptureFixture
) -> None:
    """A bad agent_id costs the reports, not the program."""
    with SDK("\0") as sdk, caplog.at_level(logging.WARNING, "htmlgraph.sdk"):
        with sdk.session(), sdk.tool("Bash"):
            pass
        assert made(sdk, told) == []
    assert "agent_id" in caplog.text


def test_unknown_kinds_of_tokens_are_named(
    told: list[Event], caplog: pytest.LogCaptureFixture
) -> None:
    """A misspelt kind of tokens is named in the log, the known ones count."""
    with SDK("a") as sdk, caplog.at_level(logging.WARNING, "htmlgraph.sdk"):
        sdk.completion({"input_tokens": 5, "outputs": 1})
        (event,) = made(sdk, told)
    assert event.total_tokens == 5
    assert "outputs" in caplog.text


def test_a_full_queue_drops_the_oldest(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Beyond the bound the oldest events go, and their number is logged."""
    monkeypatch.setattr(courier_module, "MAX_QUEUED", 3)
    monkeypatch.setattr(EventSender, "_start", lambda self: None)
    courier = EventSender(None, None, None)
    for number in range(5):
        courier.post(QueuedEvent(Event(agent_id=f"a{number}")))
    with caplog.at_level(logging.WARNING, "htmlgraph.sdk"):
        courier.retire()
        batch = courier._take()
    assert [parcel.event.agent_id for parcel in batch] == ["a2", "a3", "a4"]
    assert "2 events were dropped" in caplog.text


def test_a_taken_event_is_followed_not_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    """Once an event is on its way, its replacement is a further event."""
    monkeypatch.setattr(EventSender, "_start", lambda self: None)
    courier = EventSender(None, None, None)
    first = courier.post(QueuedEvent(Event(agent_id="a", event_type="one")))
    assert first is not None
    courier.retire()
    courier._take()
    courier.replace(first, QueuedEvent(Event(agent_id="a", event_type="two")))
    assert [parcel.event.event_type for parcel in courier._queue] == ["two"]


def test_no_server_and_no_file_is_said_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Where nothing takes the events, one line in the log says so."""

    def refuse(self: EventSender, events: Sequence[Event]) -> None:
        raise StoreUnavailable("the disk is full")

    monkeypatch.setattr(EventSender, "_to_server", lambda self, events: False)
    monkeypatch.setattr(EventSender, "_to_file", refuse)
    with SDK("a") as sdk, caplog.at_level(logging.WARNING, "htmlgraph.sdk"):
        sdk.tool("Bash")
        assert sdk.flush(10)
        sdk.tool("Bash")
        assert sdk.flush(10)
    assert caplog.text.count("the disk is full") == 1


def test_what_breaks_in_the_thread_is_one_line(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A fault that nobody foresaw is said once, without a traceback, and the next events go on."""

    def broken(self: EventSender, batch: Sequence[Event]) -> None:
        raise ZeroDivisionError("odd")

    monkeypatch.setattr(EventSender, "_deliver", broken)
    with SDK("a") as sdk, caplog.at_level(logging.WARNING, "htmlgraph.sdk"):
        for _ in range(2):
            sdk.tool("Bash")
            assert sdk.flush(10)
    assert [record.getMessage() for record in caplog.records] == [
        "1 events were not delivered: ZeroDivisionError: odd"
    ]
    assert caplog.records[0].exc_info is None


def test_the_start_of_a_call_has_what_its_end_has(told: list[Event]) -> None:
    """Whose call it is, is known from its start on."""
    with SDK("a") as sdk:
        with sdk.tool("Bash", agent_id="b", parent_agent_id="a", tokens=3):
            pass
        start, end = made(sdk, told)
    assert (start.agent_id, start.parent_agent_id) == (end.agent_id, end.parent_agent_id)
    assert start.cost_tokens is None
