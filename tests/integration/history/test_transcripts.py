"""Load session files: recorded sessions against reference totals, and damaged files."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from htmlgraph_nb import load_transcripts
from htmlgraph_nb.core.model import TOKEN_FIELDS
from htmlgraph_nb.errors import InvalidEvent
from htmlgraph_nb.history.load import HISTORY_DTYPES
from htmlgraph_nb.ingest.session_files import (
    MAX_RECORD_BYTES,
    SessionFile,
    find_sessions,
)
from htmlgraph_nb.ingest.session_tail import SessionTail
from tests.helpers.session_lines import CONTENT, PAYLOADS, SESSION, START, at, line

TOTALS = json.loads((PAYLOADS / "ccusage.json").read_text())


def load(path: Path, **options: Any) -> pd.DataFrame:
    """Return the frame of a folder, without a progress bar."""
    return load_transcripts(path, progress=False, **options)


def completion(key: str, output: int, second: float = 0, session: str = SESSION) -> bytes:
    """Return a transcript line of Claude Code with a completion."""
    usage = {"input_tokens": 2, "output_tokens": output}
    message = {"id": key, "model": "claude-opus-4-8", "usage": usage, "content": CONTENT}
    common = {"type": "assistant", "sessionId": session, "timestamp": at(second)}
    return line({**common, "message": message}) + b"\n"


def totals(frame: pd.DataFrame) -> dict[str, list[int]]:
    """Return uncached input, output, cache read and cache write tokens by model."""
    completions = frame[frame["event_type"] == "completion"].copy()
    completions["written"] = (
        completions["cache_write_5m_tokens"] + completions["cache_write_1h_tokens"]
    )
    names = ["input_tokens", "output_tokens", "cache_read_tokens", "written"]
    sums = completions.groupby("model", observed=True)[names].sum()
    return {
        str(model): [int(n) for n in row]
        for model, row in zip(sums.index, sums.to_numpy(), strict=True)
    }


@pytest.mark.parametrize("agent", ["claude", "codex", "gemini"])
def test_load_transcripts_totals_equal_ccusage(agent: str) -> None:
    """Tokens by model equal those of ccusage for the same files."""
    frame = load(PAYLOADS, agent=agent)
    result, expected = totals(frame), TOTALS[agent]
    if agent == "gemini":
        # The reference output tokens exclude reasoning tokens.
        reported = frame.loc[frame["event_type"] == "completion", ["model", "extra"]].dropna()
        for model, extra in reported.itertuples(index=False):
            result[model][1] -= json.loads(extra).get("reasoning_tokens", 0)
    assert result == expected["models"]
    kinds = list(TOKEN_FIELDS)
    assert int(frame[kinds].sum().sum()) == expected["total"]


def test_load_transcripts_detects_agents() -> None:
    """The content of a file determines its agent."""
    frame = load(PAYLOADS)
    assert set(frame["source"]) == {"claude-session", "codex-session", "gemini-session"}
    assert frame.attrs["files"] == 16
    assert frame.attrs["skipped"] == []
    assert frame.attrs["broken_lines"] == 0


def test_load_transcripts_frame_is_like_load_history() -> None:
    """Columns, dtypes and order equal those of load_history."""
    frame = load(PAYLOADS)
    assert {name: str(dtype) for name, dtype in frame.dtypes.items()} == HISTORY_DTYPES
    assert list(frame["seq"]) == list(range(1, len(frame) + 1))
    assert frame["timestamp"].is_monotonic_increasing
    assert not frame["event_id"].duplicated().any()
    assert CONTENT not in frame.to_csv()


def test_load_transcripts_without_sessions(tmp_path: Path) -> None:
    """An empty folder gives an empty frame with all columns and dtypes."""
    frame = load(tmp_path)
    assert {name: str(dtype) for name, dtype in frame.dtypes.items()} == HISTORY_DTYPES
    assert len(frame) == frame.attrs["files"] == 0


def test_load_transcripts_subagents_are_children() -> None:
    """The file of a subagent gives an agent whose parent is the agent of the session."""
    frame = load(PAYLOADS / "claude")
    child = frame[frame["agent_id"] == "claude-a2898e3"]
    assert set(child["parent_agent_id"]) == {"claude-4d5611e5"}
    assert (child["event_type"] == "completion").sum() == 12
    parents = frame[frame["agent_id"] == "claude-4d5611e5"]
    assert parents["parent_agent_id"].isna().all()


def test_load_transcripts_filters() -> None:
    """Only the selected rows and columns are returned."""
    whole = load(PAYLOADS)
    some = load(PAYLOADS, event_types="tool_error", tools=["Read", "Bash"], columns=["tool_name"])
    expected = whole[
        whole["event_type"].eq("tool_error") & whole["tool_name"].isin(["Read", "Bash"])
    ]
    assert list(some["tool_name"]) == list(expected["tool_name"])
    assert list(some.columns) == ["tool_name"]
    assert set(some["tool_name"].cat.categories) == {"Read", "Bash"}
    agent = load(PAYLOADS, agents="claude-a845d6c4", limit=3)
    assert list(agent["event_type"]) == ["session_start", "prompt", "tool_start"]
    session = str(agent["session_id"].iloc[0])
    assert len(load(PAYLOADS, sessions=session)) == (whole["session_id"] == session).sum()
    middle = whole["timestamp"].iloc[len(whole) // 2]
    assert len(load(PAYLOADS, since=middle)) + len(load(PAYLOADS, until=middle)) == len(whole)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"path": "/nowhere/at/all"}, "'/nowhere/at/all' does not exist; pass the folder"),
        (
            {"path": PAYLOADS, "agent": "cursor"},
            "agent: expected one of claude, .*, got .cursor.",
        ),
        ({"agent": "cursor"}, "agent: expected one of claude, .*, got .cursor."),
        ({"path": PAYLOADS, "columns": ["cost"]}, "unknown column 'cost'"),
        ({"path": PAYLOADS, "since": "soon"}, "since: expected an ISO time"),
        ({"path": PAYLOADS, "limit": -1}, "limit: expected an integer >= 0, got -1"),
    ],
)
def test_load_transcripts_refuses_invalid_arguments(options: dict[str, Any], text: str) -> None:
    """The error names the argument and the expected form."""
    with pytest.raises(InvalidEvent, match=text):
        load_transcripts(**options)


def test_load_transcripts_default_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a path the configured folder of the agent is read."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("CLAUDE_CONFIG_DIR", raising=False)
    shutil.copytree(PAYLOADS / "claude", tmp_path / ".claude" / "projects" / "shop")
    shutil.copytree(PAYLOADS / "codex", tmp_path / "elsewhere" / "sessions")
    monkeypatch.setenv("CODEX_HOME", str(tmp_path / "elsewhere"))
    assert set(load_transcripts(progress=False)["source"]) == {"claude-session"}
    assert set(load_transcripts(agent="codex", progress=False)["source"]) == {"codex-session"}
    assert len(load_transcripts("~/.claude", progress=False)) == len(load(PAYLOADS / "claude"))


def test_load_transcripts_lists_broken_lines(tmp_path: Path) -> None:
    """Broken lines are skipped and listed; other lines count."""
    path = tmp_path / f"{SESSION}.jsonl"
    path.write_bytes(
        completion("m1", 3)
        + b'{"type":"assist\n\n[1]\n\xff\xfe\n'
        + completion("m2", 4)
        + completion("m3", 5)[:80]
    )
    frame = load(tmp_path)
    assert int(frame["output_tokens"].sum()) == 7
    assert frame.attrs["broken_lines"] == 3
    assert frame.attrs["broken"] == [f"{path}:2", f"{path}:4", f"{path}:5"]
    assert frame.attrs["unfinished"] == [str(path)]


def test_load_transcripts_accepts_last_line_without_newline(tmp_path: Path) -> None:
    """A complete last line counts without a newline."""
    (tmp_path / "s.jsonl").write_bytes(completion("m1", 3) + completion("m2", 4).rstrip())
    frame = load(tmp_path)
    assert int(frame["output_tokens"].sum()) == 7
    assert frame.attrs["unfinished"] == []


def test_load_transcripts_lists_skipped_files(tmp_path: Path) -> None:
    """Files that are not sessions are listed in ``attrs``."""
    other = tmp_path / "notes.jsonl"
    other.write_text('{"a": 1}\n')
    (tmp_path / "readme.md").write_text("x")
    assert load(tmp_path).attrs["skipped"] == [str(other)]


def test_load_transcripts_counts_forked_session_once(tmp_path: Path) -> None:
    """Completions copied by a resumed or forked session count once."""
    first, second = (f"{digit * 8}-1111-4111-8111-111111111111" for digit in "12")
    lines = [completion(f"m{n}", 5, n) for n in range(4)]
    old, new = tmp_path / f"{first}.jsonl", tmp_path / f"{second}.jsonl"
    old.write_bytes(b"".join(line.replace(SESSION.encode(), first.encode()) for line in lines))
    copies = [line.replace(SESSION.encode(), second.encode()) for line in lines]
    new.write_bytes(b"".join([*copies, completion("m9", 7, 9, second)]))
    os.utime(old, (1_000, 1_000))
    frame = load(tmp_path)
    sums = frame.groupby("session_id", observed=True)["output_tokens"].sum()
    assert sums.to_dict() == {first: 20, second: 7}


def test_load_transcripts_skips_files_before_since(tmp_path: Path) -> None:
    """Files last written before ``since`` are not read."""
    path = tmp_path / "s.jsonl"
    path.write_bytes(completion("m1", 3))
    os.utime(path, (1_000, 1_000))
    assert load(tmp_path, since="2000-01-01").attrs["files"] == 0


def test_session_tail_follows_growing_file(tmp_path: Path) -> None:
    """Added lines are read, an incomplete line once it is complete."""
    path = tmp_path / f"{SESSION}.jsonl"
    raw = b"".join(completion(f"m{n}", 5, n) for n in range(30))
    path.write_bytes(raw[:1000])
    (file,), _ = find_sessions(path)
    tail, result = SessionTail(file), []
    for end in (1000, 1001, 1500, 4000, len(raw)):
        path.write_bytes(raw[:end])
        result += list(tail.read())
        assert raw[: tail.offset].endswith(b"\n")
        assert tail.unfinished == (not raw[:end].endswith(b"\n"))
    result += list(tail.read(final=True))
    assert result == list(SessionTail(file).read(final=True))
    assert sum(event.output_tokens or 0 for event in result) == 150
    assert tail.broken == []


def test_session_tail_restarts_on_rewritten_file(tmp_path: Path) -> None:
    """A file that became shorter is read from its start."""
    path = tmp_path / f"{SESSION}.jsonl"
    path.write_bytes(completion("m1", 3) + completion("m2", 3))
    (file,), _ = find_sessions(path)
    tail = SessionTail(file)
    list(tail.read(final=True))
    path.write_bytes(completion("m3", 4))
    events = [event for event in tail.read(final=True) if event.event_type == "completion"]
    assert [event.event_id for event in events] == ["claude:m3@1780160400000000:"]


def test_load_transcripts_reads_old_gemini_format(tmp_path: Path) -> None:
    """Old files of Gemini CLI are one JSON object that is rewritten each time."""
    folder = tmp_path / "shop" / "chats"
    folder.mkdir(parents=True)
    tokens = {"input": 10, "output": 2, "cached": 0, "thoughts": 0}
    message = {"id": "m", "timestamp": at(1), "type": "gemini", "tokens": tokens}
    head = {"sessionId": SESSION, "projectHash": "x", "startTime": at(0)}
    path = folder / "session-1.json"
    path.write_text(json.dumps({**head, "messages": [message]}, indent=2))
    frame = load(tmp_path)
    assert set(frame["project"]) == {"shop"}
    assert int(frame["output_tokens"].sum()) == 2
    (folder.parent / ".project_root").write_text("/home/user/backend\n")
    assert set(load(tmp_path)["project"]) == {"backend"}
    path.write_text('{"sessionId"')
    assert load(tmp_path).attrs["skipped"] == [str(path)]


def test_load_transcripts_gemini_subagent_is_child(tmp_path: Path) -> None:
    """A session in a folder named by another session is its subagent."""
    parent = "1c94066b-eb13-47d9-b34e-c16170440ff4"
    folder = tmp_path / ("a" * 64) / "chats" / parent
    folder.mkdir(parents=True)
    head = {"sessionId": SESSION, "projectHash": "x", "startTime": at(0), "kind": "subagent"}
    (folder / "s.jsonl").write_bytes(line(head) + b"\n")
    (row,) = load(tmp_path).to_dict("records")
    assert (row["event_type"], row["agent_id"]) == ("subagent_start", "gemini-1c94066b")
    assert pd.isna(row["project"])


def test_session_tail_skips_too_long_line(tmp_path: Path) -> None:
    """An overlong line uses bounded memory, and the next line is read."""
    path = tmp_path / f"{SESSION}.jsonl"
    with path.open("wb") as file:
        file.write(completion("m1", 3) + b'{"type":"user","x":"')
        for _ in range(3):
            file.write(b"x" * (MAX_RECORD_BYTES // 2))
        file.write(b'"}\n' + completion("m2", 4))
    frame = load(tmp_path)
    assert int(frame["output_tokens"].sum()) == 7
    assert frame.attrs["broken"] == [f"{path}:2"]


def test_transcript_benchmark_and_token_check_run(tmp_path: Path) -> None:
    """The benchmark and the check of recorded totals run."""

    def figures(module: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", f"tests.benchmarks.{module}", *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=100)

    reported = json.loads(figures("transcripts", "--megabytes", "1", "--json").stdout)
    rows = {row["case"]: row["rows"] for row in reported}
    assert rows["lines read"] == rows["every line parsed"] > 0
    assert rows["load_transcripts"] > 0
    recording = tmp_path / "claudecode" / "one"
    recording.mkdir(parents=True)
    (recording / "transcript.jsonl").write_bytes(completion("m1", 3))
    recorded = {"input_tokens": 2, "output_tokens": 3}
    (recording / "tokens.json").write_text(json.dumps(recorded))
    assert figures("tokens", str(tmp_path)).stdout.endswith("1 of 1 equal\n")
    (recording / "tokens.json").write_text(json.dumps({**recorded, "output_tokens": 4}))
    assert figures("tokens", str(tmp_path)).returncode == 1


def test_load_transcripts_lists_vanished_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file deleted before reading is listed as skipped."""
    vanished = SessionFile(str(tmp_path / "gone.jsonl"), "claude", 3, START.timestamp())
    monkeypatch.setattr(
        "htmlgraph_nb.history.transcripts.find_sessions", lambda *_: ([vanished], {})
    )
    assert load(tmp_path).attrs["skipped"] == [vanished.path]


def test_load_transcripts_progress_bar(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The bar is shown on request, otherwise only after a delay."""
    (tmp_path / "s.jsonl").write_bytes(completion("m1", 3))
    load_transcripts(tmp_path)
    assert capsys.readouterr().err == ""
    load_transcripts(tmp_path, progress=True)
    assert "session files: 100%" in capsys.readouterr().err


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(st.binary(max_size=80) | st.just(completion("m1", 3)), max_size=6))
def test_load_transcripts_never_fails_on_file_content(tmp_path: Path, parts: list[bytes]) -> None:
    """Whatever a file contains, complete lines count."""
    path = tmp_path / "s.jsonl"
    path.write_bytes(b"\n" + b"\n".join(parts))
    frame = load_transcripts(tmp_path, agent="claude", progress=False)
    whole = completion("m1", 3) in parts and frame.attrs["files"] == 1
    assert int(frame["output_tokens"].sum()) in ((3,) if whole else (0, 3))


def test_load_transcripts_reads_two_records_on_a_line(tmp_path: Path) -> None:
    """All that is not JSON is still named."""
    lines = [
        completion("m1", 3) + completion("m2", 3, 1),
        completion("m3", 3, 2) + b"}" + completion("m4", 3, 3),
        completion("m5", 3, 4) + completion("m6", 3, 5),
    ]
    lines = [line.replace(b"\n", b"") for line in lines]
    (tmp_path / f"{SESSION}.jsonl").write_bytes(b"\n".join(lines))
    frame = load(tmp_path)
    assert (frame["event_type"] == "completion").sum() == 5
    assert [name.rpartition(":")[2] for name in frame.attrs["broken"]] == ["2"]
    assert frame.attrs["unfinished"] == []
