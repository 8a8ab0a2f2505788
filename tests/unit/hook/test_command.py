"""The pure parts of the command hook: what it keeps, what it adds, where it would send it."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from htmlgraph_nb.coding_agents.registry import AGENTS
from htmlgraph_nb.hook import command
from htmlgraph_nb.hook.delivery import Target, targets

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
def test_reduce_keeps_the_allow_list(given: dict[str, Any], kept: dict[str, Any]) -> None:
    """Only listed fields are kept, scalars only, and text is cut."""
    assert command.redact(CLAUDE, given) == kept


def test_reduce_keeps_a_keyword_for_its_own_hook_only() -> None:
    """``reason`` is a keyword of SessionEnd, and free text elsewhere."""
    end = {"hook_event_name": "SessionEnd", "reason": "clear"}
    assert command.redact(CLAUDE, end) == end
    assert "reason" not in command.redact(CLAUDE, {**end, "hook_event_name": "PermissionDenied"})


def test_reduce_counts_lists() -> None:
    """A list of background tasks leaves as its length."""
    rest = [{"status": "completed"}, {"type": "teammate", "status": "running"}]
    stop = {"hook_event_name": "Stop", "background_tasks": [{"command": "c"}, {}, *rest]}
    assert command.redact(CLAUDE, stop)["background_tasks"] == 2


@pytest.mark.parametrize(
    ("hook_name", "field"), [("Stop", "last_assistant_message"), ("AfterAgent", "prompt_response")]
)
@pytest.mark.parametrize(
    ("answer", "asks"), [("Shall I?", True), ("**Shall I?**", True), ("Done.", None), (3, None)]
)
def test_reduce_tells_a_question(
    hook_name: str, field: str, answer: object, asks: bool | None
) -> None:
    """Of an answer that ends with a question only that leaves."""
    told = command.redact(CLAUDE, {"hook_event_name": hook_name, field: answer})
    assert told == {"hook_event_name": hook_name, **({"ends_with_question": True} if asks else {})}


@pytest.mark.parametrize(
    ("error", "told"),
    [
        ("Exit code 137\n[Request interrupted by user for tool use]", True),
        ("Exit code 1\ngrep: '[Request interrupted by user for tool use]'", False),
        (["no text"], False),
    ],
)
def test_reduce_tells_an_interrupt(error: object, told: bool) -> None:
    """The line of an interrupted command becomes a flag, its text stays behind."""
    failure = {"hook_event_name": "PostToolUseFailure", "is_interrupt": False, "error": error}
    assert command.redact(CLAUDE, failure) == {
        "hook_event_name": "PostToolUseFailure",
        "is_interrupt": told,
    }


@settings(deadline=None)
@given(
    st.dictionaries(
        st.sampled_from([*command._ALWAYS, *command._CONTENT, "reason", "source"]),
        st.none() | st.booleans() | st.floats() | st.text(max_size=400) | st.lists(st.text()),
    ),
    st.sampled_from([*CLAUDE.hook_fields, "PreToolUse", "Later"]),
)
def test_reduce_is_small_whatever_comes(payload: dict[str, Any], name: str) -> None:
    """What is kept is flat and bounded, and contains nothing that is not listed for its hook."""
    kept = command.redact(CLAUDE, {**payload, "hook_event_name": name})
    assert set(kept) <= {*command._ALWAYS, *CLAUDE.hook_fields.get(name, ())}
    assert not any(isinstance(value, list | dict) for value in kept.values())
    assert all(len(value) <= 256 for value in kept.values() if isinstance(value, str))


def test_content_is_whole() -> None:
    """The content that a user asks to send is not cut."""
    assert command.content({"prompt": LONG, "session_id": "s"}) == {"prompt": LONG}


def test_stamp_has_the_time_in_utc() -> None:
    """The time is RFC 3339 with microseconds, and empty values are left out."""
    assert command.sender_info({}, CLAUDE, NS, "e1", "") == {
        "hook": "claude",
        "event_id": "e1",
        "timestamp": "2025-01-14T14:50:30.123456Z",
    }


def test_stamp_takes_names_from_the_environment() -> None:
    """Agent, feature and project come from the environment, cut to what an id may have."""
    environ = {
        "HTMLGRAPH_AGENT": LONG,
        "HTMLGRAPH_FEATURE": "feat-1",
        "CLAUDE_PROJECT_DIR": "C:\\work\\shop\\",
    }
    added = command.sender_info(environ, AGENTS["codex"], NS, "e1", "lab-3")
    assert added["agent_id"] == "x" * 256
    assert (added["feature_id"], added["project"], added["host"]) == ("feat-1", "shop", "lab-3")


RUNNING = {"url": "http://127.0.0.1:8123", "token": "of-running"}


@pytest.mark.parametrize(
    ("environ", "running", "expected"),
    [
        ({}, {}, Target("http", "127.0.0.1", 8000, "", "")),
        ({}, RUNNING, Target("http", "127.0.0.1", 8123, "", "of-running")),
        (
            {"HTMLGRAPH_URL": "http://host:8888/user/ada/htmlgraph/"},
            RUNNING,
            Target("http", "host", 8888, "/user/ada/htmlgraph", ""),
        ),
        (
            {"HTMLGRAPH_URL": "https://host/x", "HTMLGRAPH_TOKEN": "t"},
            RUNNING,
            Target("https", "host", None, "/x", "t"),
        ),
        ({"HTMLGRAPH_URL": "host:81"}, {}, Target("http", "host", 81, "", "")),
        ({"HTMLGRAPH_URL": "http://[::1]:81"}, {}, Target("http", "::1", 81, "", "")),
        (
            {"HTMLGRAPH_URL": "http://127.0.0.1:8123/"},
            RUNNING,
            Target("http", "127.0.0.1", 8123, "", "of-running"),
        ),
        ({"HTMLGRAPH_TOKEN": "t"}, {}, Target("http", "127.0.0.1", 8000, "", "")),
        (
            {"HTMLGRAPH_TOKEN": "t"},
            RUNNING,
            Target("http", "127.0.0.1", 8123, "", "of-running"),
        ),
    ],
)
def test_target(environ: dict[str, str], running: dict[str, str], expected: Target) -> None:
    """The configured address wins, and a token goes to the address it belongs to only."""
    assert next(targets(environ, [running] if running else [])) == expected


def test_every_server_is_a_target_and_a_named_one_the_only_one() -> None:
    """The last to start first, at most four of them, then the default address."""
    running = [{"url": f"http://127.0.0.1:{port}", "token": f"t{port}"} for port in range(1, 7)]
    default = Target("http", "127.0.0.1", 8000, "", "")
    ports = [(to.port, to.token) for to in targets({}, running)]
    assert ports == [(1, "t1"), (2, "t2"), (3, "t3"), (4, "t4"), (8000, "")]
    assert list(targets({}, [])) == [default]
    assert len(list(targets({"HTMLGRAPH_URL": "http://host:1"}, running))) == 1


def test_a_process_of_jupyterhub_reports_to_its_own_server() -> None:
    """With the token that the Hub gave to it; where it listens everywhere, on this machine."""
    hub = {
        "JUPYTERHUB_SERVICE_URL": "http://0.0.0.0:80/user/ada/",
        "JUPYTERHUB_SERVICE_PREFIX": "/user/ada/",
        "JUPYTERHUB_API_TOKEN": "t",
    }
    first = next(targets(hub, [RUNNING]))
    assert first == Target("http", "127.0.0.1", 80, "/user/ada/htmlgraph", "t")


@pytest.mark.parametrize("url", ["ftp://host", "http://", "http://host:port", "ws://host"])
def test_unusable_address_is_refused(url: str) -> None:
    """An address that is not HTTP is a ValueError, which the hook answers by spooling."""
    with pytest.raises(ValueError, match=r"expected one as http|[Pp]ort"):
        next(targets({"HTMLGRAPH_URL": url}, []))


def test_spool_appends_lines_for_the_user_alone(tmp_path: Path) -> None:
    """Each line is appended to a file that only its user may read, in a folder that is made."""
    path = tmp_path / "new" / "spool.jsonl"
    assert command.spool(b'{"n":1}', str(path))
    assert command.spool(b'{"n":2}', str(path))
    assert [json.loads(line) for line in path.read_bytes().splitlines()] == [{"n": 1}, {"n": 2}]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_full_spool_takes_no_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A line that would pass the bound of the file is dropped, one that just fits is not."""
    path = tmp_path / "spool.jsonl"
    monkeypatch.setattr(command, "MAX_SPOOL_BYTES", 16)
    assert command.spool(b"1234567", str(path))
    assert command.spool(b"1234567", str(path))
    assert not command.spool(b"", str(path))
    assert path.stat().st_size == 16
