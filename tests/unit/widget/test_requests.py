"""Questions of a page: answered by another thread, in words where there is no answer."""

from __future__ import annotations

import threading

import pytest

from htmlgraph_nb.errors import ServerNotFound
from htmlgraph_nb.widget.errands import Errands
from htmlgraph_nb.widget.requests import answer_history
from tests.helpers.wait import wait_until


def ask(content: dict, recent) -> dict:
    """Ask and wait for the one answer."""
    answers: list[dict] = []
    answer_history({"kind": "history", **content}, recent, answers.append)
    wait_until(lambda: answers, "the answer")
    (answer,) = answers
    return answer


def test_the_answer_names_the_question():
    """Request and agent come back with the events."""
    asked = []

    def recent(agent_id: str, limit: int) -> list[dict]:
        asked.append((agent_id, limit, threading.current_thread().name))
        return [{"seq": 1}]

    answer = ask({"request": 7, "agent_id": "a", "limit": 20}, recent)
    assert answer == {
        "kind": "history",
        "request": 7,
        "agent_id": "a",
        "events": [{"seq": 1}],
        "error": None,
    }
    assert asked == [("a", 20, "htmlgraph-errands")]


@pytest.mark.parametrize(("limit", "asked"), [(None, 50), ("9", 50), (-4, 1), (10**9, 500)])
def test_the_limit_is_bounded(limit, asked):
    """Whatever a page asks for."""
    answer = ask(
        {"request": 1, "agent_id": "a", "limit": limit}, lambda _, limit: [{"limit": limit}]
    )
    assert answer["events"] == [{"limit": asked}]


@pytest.mark.parametrize("agent_id", [None, "", 5, "x" * 300])
def test_a_question_about_no_agent_is_answered_in_words(agent_id):
    """And the source is not asked."""
    answer = ask({"request": 1, "agent_id": agent_id}, lambda *_: pytest.fail("asked"))
    assert answer["events"] == []
    assert "agent_id" in answer["error"]


@pytest.mark.parametrize(
    ("error", "text"),
    [(ServerNotFound("nobody answered"), "nobody answered"), (KeyError("x"), "internal error")],
)
def test_what_fails_is_said(error, text):
    """Also what should never happen: the page waits for an answer."""

    def recent(*_):
        raise error

    answer = ask({"request": 1, "agent_id": "a"}, recent)
    assert answer["events"] == []
    assert text in answer["error"]


def test_the_thread_ends_with_the_last_job_and_bounds_what_waits(caplog):
    """A job that fails does not end the others; too many are refused; a new one starts anew."""
    errands = Errands("htmlgraph-test", limit=2)
    begun, go, done = threading.Event(), threading.Event(), []

    def first() -> None:
        begun.set()
        assert go.wait(30)
        raise RuntimeError("no answer")

    assert errands.run(first)
    assert begun.wait(30)
    assert [errands.run(lambda: done.append(1)) for _ in range(3)] == [True, True, False]
    go.set()
    wait_until(lambda: errands._thread is None, "the end of the thread")
    assert done == [1, 1]
    assert "no answer" in caplog.text
    assert errands.run(lambda: done.append(2))
    wait_until(lambda: done == [1, 1, 2], "the next job")
