"""The pure parts of htmlgraph-hook: what it keeps, what it adds, and the spool file."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from htmlgraph_nb.coding_agents.agent import CodingAgent
from htmlgraph_nb.coding_agents.registry import AGENTS
from htmlgraph_nb.hook import command, spool_file

CLAUDE = AGENTS["claude"]
LONG = "x" * 300
NS = 1_736_866_230_123_456_789


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ({"tool_name": LONG}, {"tool_name": "x" * 256}),
        ({"duration_ms": 12.5}, {"duration_ms": 12.5}),
        ({"tool_name": None, "model": {"id": "m"}}, {}),
        ({"prompt": "p", "tool_input": {}, "tool_response": "r", "message": "m"}, {}),
        ({"transcript_path": "/t", "last_assistant_message": "m"}, {}),
        ({"reason": "a person's words"}, {}),
    ],
)
def test_redact_keeps_the_allow_list(given: dict[str, Any], kept: dict[str, Any]) -> None:
    """Only scalars of listed fields are kept, and strings are cut."""
    assert command.redact(CLAUDE, given) == kept


def test_redact_keeps_a_keyword_of_its_own_hook_only() -> None:
    """``reason`` is a keyword in SessionEnd and free text in other hooks."""
    end = {"hook_event_name": "SessionEnd", "reason": "clear"}
    assert command.redact(CLAUDE, end) == end
    assert "reason" not in command.redact(CLAUDE, {**end, "hook_event_name": "PermissionDenied"})


def test_redact_counts_running_background_tasks() -> None:
    """A list of background tasks becomes the number of those that run."""
    at_rest = [{"status": "completed"}, {"type": "teammate", "status": "running"}]
    stop = {"hook_event_name": "Stop", "background_tasks": [{"command": "c"}, {}, *at_rest]}
    assert command.redact(CLAUDE, stop)["background_tasks"] == 2


@pytest.mark.parametrize(
    ("hook_name", "field"), [("Stop", "last_assistant_message"), ("AfterAgent", "prompt_response")]
)
@pytest.mark.parametrize(
    ("response", "asks"), [("May I?", True), ("**May I?**", True), ("Done.", None), (3, None)]
)
def test_redact_flags_a_question(
    hook_name: str, field: str, response: object, asks: bool | None
) -> None:
    """Of a response only the fact that it ends with a question is kept."""
    kept = command.redact(CLAUDE, {"hook_event_name": hook_name, field: response})
    assert kept == {"hook_event_name": hook_name, **({"ends_with_question": True} if asks else {})}


@pytest.mark.parametrize(
    ("error", "is_interrupt"),
    [
        ("Exit code 137\n[Request interrupted by user for tool use]", True),
        ("Exit code 1\ngrep: '[Request interrupted by user for tool use]'", False),
        (["no text"], False),
    ],
)
def test_redact_flags_an_interrupt(error: object, is_interrupt: bool) -> None:
    """The line that reports an interrupt becomes a flag; the text is dropped."""
    failure = {"hook_event_name": "PostToolUseFailure", "is_interrupt": False, "error": error}
    assert command.redact(CLAUDE, failure) == {
        "hook_event_name": "PostToolUseFailure",
        "is_interrupt": is_interrupt,
    }


@settings(deadline=None)
@given(
    st.dictionaries(
        st.sampled_from([*command._COMMON_FIELDS, *command._CONTENT_FIELDS, "reason", "source"]),
        st.none() | st.booleans() | st.floats() | st.text(max_size=400) | st.lists(st.text()),
    ),
    st.sampled_from(list(AGENTS.values())),
    st.sampled_from([*CLAUDE.hook_fields, "PreToolUse", "Later"]),
)
def test_redact_result_is_flat_and_bounded(
    payload: dict[str, Any], agent: CodingAgent, name: str
) -> None:
    """The result is flat and bounded and contains only fields that are listed for the hook."""
    kept = command.redact(agent, {**payload, "hook_event_name": name})
    assert set(kept) <= {*command._COMMON_FIELDS, *agent.hook_fields.get(name, ())}
    assert not any(isinstance(value, list | dict) for value in kept.values())
    assert all(len(value) <= 256 for value in kept.values() if isinstance(value, str))


def test_content_is_not_cut() -> None:
    """Content that the user opted to send is sent in full."""
    assert command.content({"prompt": LONG, "session_id": "s"}) == {"prompt": LONG}


def test_sender_info_has_the_time_in_utc() -> None:
    """The timestamp is RFC 3339 with microseconds, and empty values are omitted."""
    assert command.sender_info({}, CLAUDE, NS, "e1", "") == {
        "hook": "claude",
        "event_id": "e1",
        "timestamp": "2025-01-14T14:50:30.123456Z",
    }


def test_sender_info_reads_names_from_the_environment() -> None:
    """Agent, feature and project come from the environment and are cut to the length of an id."""
    environ = {
        "HTMLGRAPH_AGENT": LONG,
        "HTMLGRAPH_FEATURE": "feat-1",
        "CLAUDE_PROJECT_DIR": "C:\\work\\shop\\",
    }
    added = command.sender_info(environ, AGENTS["codex"], NS, "e1", "lab-3")
    assert added["agent_id"] == "x" * 256
    assert (added["feature_id"], added["project"], added["host"]) == ("feat-1", "shop", "lab-3")


def test_spool_appends_lines_to_a_private_file(tmp_path: Path) -> None:
    """Lines are appended to a file that only its user may read; the folder is created."""
    path = tmp_path / "new" / "spool.jsonl"
    assert spool_file.spool(b'{"n":1}', str(path))
    assert spool_file.spool(b'{"n":2}', str(path))
    assert [json.loads(line) for line in path.read_bytes().splitlines()] == [{"n": 1}, {"n": 2}]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_spool_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A line that exceeds the limit of the file is dropped; one that just fits is kept."""
    path = tmp_path / "spool.jsonl"
    assert spool_file.spool(b"1234567", str(path), 16)
    assert spool_file.spool(b"1234567", str(path), 16)
    assert not spool_file.spool(b"", str(path), 16)
    assert path.stat().st_size == 16
