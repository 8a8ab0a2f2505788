"""Sessions of relays with repeated ids, and copies of them, count what truly happened."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from htmlgraph_nb.coding_agents.claude.session import ClaudeSession
from htmlgraph_nb.storage.columnar.arrow_builder import ArrowBuilder
from tests.helpers.claude_lines import ANSWER, CALL, record
from tests.helpers.session_lines import read

IDS = st.sampled_from(["ocgo", "Bash:0", "call_0", "[REDACTED_MESSAGE_ID]", "toolu_1"])
ANSWER_IDS = IDS | st.just(ANSWER)
STEP_S = 3.0


@dataclass
class Relay:
    """A session of a relay, and what truly happened in it.

    Attributes:
        lines: its file.
        n_answers, n_tokens, n_calls, n_failed, n_turns: the truth.
    """

    name: str
    now: float
    lines: list[dict[str, Any]] = field(default_factory=list)
    n_answers: int = 0
    n_tokens: int = 0
    n_calls: int = 0
    n_failed: int = 0
    n_turns: int = 0
    used: int = 100

    def write(self, kind: str, **fields: Any) -> None:
        """Add a line."""
        self.now += STEP_S
        uuid = f"{self.name}-{len(self.lines)}"
        line = record(kind, self.now, sessionId=self.name, uuid=uuid, **fields)
        self.lines.append(json.loads(line))

    def answer(self, name: str, blocks: list[dict[str, Any]], stop: str, parts: int) -> None:
        """Add an answer, of which the first line can be a placeholder or a part."""
        self.used += 17
        usage = {"input_tokens": self.used, "output_tokens": 5}
        for part in range(parts):
            message = {
                "id": name,
                "model": "kimi-k3",
                "content": blocks if part == parts - 1 else [{"type": "text", "text": "x"}],
                "stop_reason": stop,
                "usage": usage,
            }
            self.write("assistant", message=message)
        self.n_answers += 1
        self.n_tokens += self.used + 5

    def turn(self, calls: list[tuple[str, str, bool]], last: str, parts: int) -> None:
        """Add a turn: for each call the ids of answer and call and whether it fails."""
        self.write("user", message={"role": "user", "content": "go"})
        self.n_turns += 1
        for name, call, failed in calls:
            use = {"type": "tool_use", "id": call, "name": "Bash", "input": {}}
            self.answer(name, [use], "tool_use", parts)
            end = {"type": "tool_result", "tool_use_id": call, "content": "", "is_error": failed}
            self.write("user", message={"role": "user", "content": [end]})
            self.n_calls += 1
            self.n_failed += failed
        self.answer(last, [{"type": "text", "text": "done"}], "end_turn", parts)


@st.composite
def relays(draw: st.DrawFn) -> list[Relay]:
    """Return some sessions, one after the other."""
    found = []
    calls = st.lists(st.tuples(ANSWER_IDS, IDS, st.booleans()), max_size=3)
    for number in range(draw(st.integers(1, 3))):
        # Answers of two sessions with one issued id and equal inputs are copies.
        relay = Relay(f"session-{number}", 10_000.0 * number, used=100 + 1_000 * number)
        for _ in range(draw(st.integers(1, 3))):
            relay.turn(draw(calls), draw(ANSWER_IDS), draw(st.integers(1, 2)))
        found.append(relay)
    return found


def resumed(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the lines of a session that older versions copied when it was resumed."""
    return [{**line, "sessionId": "resumed"} for line in lines]


def forked(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the lines as the SDK copies them: with ids of their own, the last with a new time."""
    copies = [
        {
            **line,
            "sessionId": "forked",
            "uuid": f"copy-{number}",
            "forkedFrom": {"sessionId": line["sessionId"], "messageUuid": line["uuid"]},
        }
        for number, line in enumerate(lines)
    ]
    copies[-1]["timestamp"] = "2026-07-01T00:00:00.000Z"
    return copies


def counts(files: list[list[dict[str, Any]]]) -> dict[str, int]:
    """Return what these files report together."""
    builder = ArrowBuilder()
    for lines in files:
        builder.extend(read(ClaudeSession(), [json.dumps(line).encode() for line in lines]))
    rows = builder.to_arrow().to_pylist()
    kinds = [row["event_type"] for row in rows]
    tokens = ("input_tokens", "output_tokens")
    return {
        "answers": kinds.count("completion"),
        "tokens": sum(row[name] or 0 for row in rows for name in tokens),
        "calls": kinds.count("tool_start"),
        "ends": kinds.count("tool_execute") + kinds.count("tool_error"),
        "failed": kinds.count("tool_error"),
        "stops": kinds.count("stop"),
    }


def truth(sessions: list[Relay]) -> dict[str, int]:
    """Return what truly happened."""
    n_calls = sum(each.n_calls for each in sessions)
    return {
        "answers": sum(each.n_answers for each in sessions),
        "tokens": sum(each.n_tokens for each in sessions),
        "calls": n_calls,
        "ends": n_calls,
        "failed": sum(each.n_failed for each in sessions),
        "stops": sum(each.n_turns for each in sessions),
    }


@settings(max_examples=100)
@given(sessions=relays(), data=st.data())
def test_repeated_ids_count_what_happened(sessions: list[Relay], data: st.DataObject) -> None:
    """Replays within a file change nothing, wherever they start."""
    files = []
    for each in sessions:
        start = data.draw(st.integers(0, len(each.lines)))
        starts = [i for i, line in enumerate(each.lines) if line["type"] == "user"]
        replayed = each.lines[max(i for i in starts if i <= start) :]
        files.append([*each.lines, *data.draw(st.sampled_from([[], replayed, each.lines]))])
    assert counts(files) == truth(sessions)


@settings(max_examples=100)
@given(sessions=relays(), data=st.data())
def test_repeated_ids_in_copies_count_once(sessions: list[Relay], data: st.DataObject) -> None:
    """Answers and turns of resumed and forked sessions are those of the originals."""
    original = data.draw(st.sampled_from(sessions))
    n_lines = data.draw(st.integers(1, len(original.lines)))
    ends = [
        number
        for number, line in enumerate(original.lines[:n_lines], 1)
        if line["type"] == "user" or line["message"]["stop_reason"] == "end_turn"
    ]
    copied = original.lines[: ends[-1]]
    files = [each.lines for each in sessions]
    files.append(forked(copied))
    expected = truth(sessions)
    assert counts(files) == expected
    with_resumed = counts([*files, resumed(copied)])
    same = ("answers", "tokens", "stops")
    assert {name: with_resumed[name] for name in same} == {name: expected[name] for name in same}


def test_repeated_ids_of_the_api_are_copies() -> None:
    """Answers and calls of Anthropic's API in several sessions are the same."""
    relay = Relay("session-0", 0.0)
    relay.turn([(ANSWER, CALL, False)], f"{ANSWER}x", 2)
    other = Relay("session-1", 5_000.0)
    other.turn([(ANSWER, CALL, False)], f"{ANSWER}x", 2)
    once = truth([relay])
    assert counts([relay.lines, other.lines]) == {**once, "stops": 2}
