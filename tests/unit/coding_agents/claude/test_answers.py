"""Answers whose ids are repeated count as often as they were given, copies of them once."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import pytest

from htmlgraph_nb.coding_agents.claude.session import ClaudeSession
from htmlgraph_nb.core.model import Event
from tests.helpers.claude_lines import ANSWER, call, completion, final, result, user
from tests.helpers.session_lines import once, read

RELAY: dict[str, Any] = {"requestId": None}


def answers(lines: Iterable[bytes]) -> list[Event]:
    """Return the completions of a file, each once."""
    return [e for e in once(read(ClaudeSession(), lines)) if e.event_type == "completion"]


def relay(output: int, seconds: float, used: int = 7, **fields: Any) -> bytes:
    """Return a line of an answer of a relay that gives every answer the same id."""
    return completion("ocgo", output, seconds, cache_read=used, **{**RELAY, **fields})


def changed(line: bytes, **fields: Any) -> bytes:
    """Return a line with other fields."""
    return json.dumps({**json.loads(line), **fields}, separators=(",", ":")).encode()


@pytest.mark.parametrize("name", ["ocgo", "[REDACTED_MESSAGE_ID]", "msg_proxy_stream", ANSWER])
@pytest.mark.parametrize("request_id", [None, "req_1"])
def test_answer_after_another_prompt_is_new(name: str, request_id: str | None) -> None:
    """One id for all answers, with other counts; also if the request has one id."""
    lines = []
    for turn in range(3):
        lines.append(user("go", 10 * turn))
        usage = {"cache_read_input_tokens": turn}
        end = {"usage": usage, "stop_reason": "end_turn", "requestId": request_id}
        if name == ANSWER:
            end["requestId"] = f"{request_id}{turn}" if request_id else None
        lines.append(completion(name, 5, 10 * turn + 5, **end))
    events = read(ClaudeSession(), lines)
    assert len({e.event_id for e in events if e.event_type == "completion"}) == 3
    assert len({e.event_id for e in events if e.event_type == "stop"}) == 3


def test_answer_of_a_relay_after_another_prompt_is_new_with_the_same_counts() -> None:
    """Nothing but the prompt and the time tells them apart."""
    lines = [user("a", 0), relay(5, 1), user("b", 2), relay(5, 3)]
    assert len(answers(lines)) == 2


def test_answer_after_a_result_is_new_if_its_input_is_other() -> None:
    """The request after a tool call reads the result, too."""
    lines = [user("go"), relay(5, 1), result(2), relay(5, 3, 900), result(4), relay(5, 5, 950)]
    assert [event.cache_read_tokens for event in answers(lines)] == [7, 900, 950]


@pytest.mark.parametrize("name", ["ocgo", ANSWER])
def test_answer_goes_on_after_the_result_of_its_first_call(name: str) -> None:
    """Tools run while the rest of the answer is written; all its lines have the same input."""
    lines = [
        user("go"),
        completion(name, 2, 1, **RELAY),
        result(2),
        completion(name, 40, 3, **RELAY),
        result(4),
        completion(name, 40, 5, **RELAY),
    ]
    assert [event.output_tokens for event in answers(lines)] == [40]


def test_answer_starts_with_a_placeholder() -> None:
    """Some relays report no counts at the start; a tool may have ended since."""
    start = completion("ocgo", 0, 1, usage={"input_tokens": 0}, cache_read=0, **RELAY)
    empty = json.loads(start)
    empty["message"]["usage"] = {"input_tokens": 0, "output_tokens": 0}
    lines = [user("go"), json.dumps(empty).encode(), result(2), relay(40, 3)]
    assert [event.output_tokens for event in answers(lines)] == [40]


def test_answer_after_a_result_is_new_if_it_ends_otherwise() -> None:
    """With the same counts: an answer has one stop reason, and no call twice."""
    lines = [user("go"), relay(5, 1), result(2), relay(5, 3, stop_reason="end_turn")]
    assert len(answers(lines)) == 2
    block = {"type": "tool_use", "id": "Bash:0", "name": "Bash", "input": {}}
    first, again = (relay(5, second, content=[block]) for second in (1, 3))
    assert len(answers([user("go"), first, result(2, key="Bash:0"), again])) == 2


def test_answer_with_another_request_is_new() -> None:
    """A relay with constant ids of answers that hands the ids of requests on."""
    lines = [relay(5, 1, requestId="req_a"), relay(5, 2, requestId="req_b")]
    assert len(answers(lines)) == 2


@pytest.mark.parametrize("name", ["ocgo", ANSWER])
@pytest.mark.parametrize("request_id", [None, "req_1"])
def test_answer_of_a_replayed_history_counts_once(name: str, request_id: str | None) -> None:
    """Programs write the history again, with the same times, after a compaction or at a resume."""
    lines = []
    for turn in range(4):
        usage = {"cache_read_input_tokens": turn, "input_tokens": 1}
        fields = {"usage": usage, "requestId": request_id and f"{request_id}{turn}"}
        lines += [
            user("go", 10 * turn),
            completion(name, 2, 10 * turn + 1, **{**fields, "stop_reason": None}),
            result(10 * turn + 2),
            completion(name, 9, 10 * turn + 3, **{**fields, "stop_reason": "end_turn"}),
        ]
    events = once(read(ClaudeSession(), lines))
    assert len([e for e in events if e.event_type == "completion"]) == 4
    replayed = once(read(ClaudeSession(), [*lines, *lines[:12], *lines]))
    assert {e.event_id for e in replayed} == {e.event_id for e in events}


def test_answer_of_the_api_in_another_chain_keeps_its_id() -> None:
    """Copies in subagents can have another request and time, but the same input."""
    lines = [
        completion(ANSWER, 5, 1, requestId="req_a"),
        user("next", 2),
        completion(ANSWER, 5, 3, requestId="req_b"),
    ]
    assert [event.event_id for event in answers(lines)] == [f"claude:{ANSWER}"]


def test_stop_hangs_on_the_first_line_of_its_answer() -> None:
    """A later line of the same answer, read after the end of the turn, ends no second turn."""
    reader = ClaudeSession()
    events = [*reader.feed(user("go")), *reader.feed(final(1))]
    events += reader.on_quiet(1.0)
    events += [*reader.feed(final(2)), *reader.on_quiet(1.0), *reader.finish()]
    stops = [event.event_id for event in events if event.event_type == "stop"]
    assert stops == ["claude:u-assistant-1:Stop"]
    again = read(ClaudeSession(), [user("go"), final(1), final(2)])
    assert stops == [event.event_id for event in again if event.event_type == "stop"]


def test_keys_of_a_forked_session_are_those_of_the_original() -> None:
    """The SDK gives the lines of a fork new ids and names the original ones."""
    lines = [user("go"), call(1), result(2), relay(5, 3, stop_reason="end_turn"), user("on", 4)]
    fork = [
        changed(
            each,
            uuid=f"new-{index}",
            sessionId="fork",
            forkedFrom={"sessionId": "s", "messageUuid": json.loads(each)["uuid"]},
        )
        for index, each in enumerate(lines)
    ]
    kinds = ("prompt", "completion", "stop")
    original = [e for e in read(ClaudeSession(), lines) if e.event_type in kinds]
    copy = [e for e in read(ClaudeSession(), fork) if e.event_type in kinds]
    assert [e.event_id for e in copy] == [e.event_id for e in original]
