"""BackgroundWorker and the history requests of a page."""

from __future__ import annotations

import threading

import pytest

from htmlgraph_nb.errors import ServerNotFound
from htmlgraph_nb.widget.requests import (
    BackgroundWorker,
    handle_history_request,
    handle_viewed_request,
)
from tests.helpers.wait import wait_until


def request(content: dict, load_recent) -> dict:
    """Send a request and return its only response."""
    responses: list[dict] = []
    handle_history_request({"kind": "history", **content}, load_recent, responses.append)
    wait_until(lambda: responses, "the response")
    (response,) = responses
    return response


def test_history_response_contains_request_and_agent():
    """Request and agent are returned with the events."""
    calls = []

    def load_recent(agent_id: str, limit: int) -> list[dict]:
        calls.append((agent_id, limit, threading.current_thread().name))
        return [{"seq": 1}]

    response = request({"request": 7, "agent_id": "a", "limit": 20}, load_recent)
    assert response == {
        "kind": "history",
        "request": 7,
        "agent_id": "a",
        "events": [{"seq": 1}],
        "error": None,
    }
    assert calls == [("a", 20, "htmlgraph-requests")]


@pytest.mark.parametrize(("limit", "used"), [(None, 50), ("9", 50), (-4, 1), (10**9, 500)])
def test_history_request_limit_is_bounded(limit, used):
    """For any value that a page sends."""
    response = request(
        {"request": 1, "agent_id": "a", "limit": limit}, lambda _, limit: [{"limit": limit}]
    )
    assert response["events"] == [{"limit": used}]


@pytest.mark.parametrize("agent_id", [None, "", 5, "x" * 300])
def test_history_request_with_invalid_agent_returns_an_error(agent_id):
    """The source is not called."""
    response = request({"request": 1, "agent_id": agent_id}, lambda *_: pytest.fail("called"))
    assert response["events"] == []
    assert "agent_id" in response["error"]


@pytest.mark.parametrize(
    ("error", "text"),
    [(ServerNotFound("no server found"), "no server found"), (KeyError("x"), "internal error")],
)
def test_history_request_error_is_sent_to_the_page(error, text):
    """Also internal errors: the page waits for a response."""

    def load_recent(*_):
        raise error

    response = request({"request": 1, "agent_id": "a"}, load_recent)
    assert response["events"] == []
    assert text in response["error"]


def test_background_worker_limits_jobs_and_ends_when_idle(caplog):
    """A failing job does not stop the others; excess jobs are rejected; a new job restarts it."""
    worker = BackgroundWorker("htmlgraph-test", limit=2)
    started, proceed, done = threading.Event(), threading.Event(), []

    def first() -> None:
        started.set()
        assert proceed.wait(30)
        raise RuntimeError("no response")

    assert worker.submit(first)
    assert started.wait(30)
    assert [worker.submit(lambda: done.append(1)) for _ in range(3)] == [True, True, False]
    proceed.set()
    wait_until(lambda: worker._thread is None, "the end of the thread")
    assert done == [1, 1]
    assert "no response" in caplog.text
    assert worker.submit(lambda: done.append(2))
    wait_until(lambda: done == [1, 1, 2], "the next job")


def test_viewed_request_reports_the_agent_in_the_background():
    """The source may block, so it is called in another thread."""
    calls = []
    handle_viewed_request(
        {"kind": "viewed", "agent_id": "a"},
        lambda agent_id: calls.append((agent_id, threading.current_thread().name)),
    )
    wait_until(lambda: calls, "the report")
    assert calls == [("a", "htmlgraph-requests")]


def test_viewed_request_errors_are_logged(caplog):
    """An invalid id, or a server that cannot be reached."""
    caplog.set_level("INFO", logger="htmlgraph_nb.widget.requests")

    def fail(_: str) -> None:
        raise ServerNotFound("no server")

    handle_viewed_request({"kind": "viewed", "agent_id": 5}, pytest.fail)
    handle_viewed_request({"kind": "viewed", "agent_id": "a"}, fail)
    wait_until(lambda: len(caplog.records) == 2, "both log messages")
    assert "agent_id" in caplog.messages[0]
    assert "no server" in caplog.messages[1]
