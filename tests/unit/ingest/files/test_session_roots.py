"""Where session files are looked for, and which of those that hooks name are read."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from htmlgraph_nb.coding_agents.registry import AGENTS
from htmlgraph_nb.coding_agents.session import SessionRoot
from htmlgraph_nb.errors import InvalidEvent
from htmlgraph_nb.ingest.files import session_roots
from htmlgraph_nb.ingest.files.session_roots import (
    default_roots,
    named_file,
    own_folders,
    parse_folders,
    roots_at,
)

ID = "4d5611e5-241a-462a-8d15-5122611a9569"


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The home folder of a user."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    return tmp_path.resolve()


def test_default_roots_are_those_of_all_agents(home: Path) -> None:
    """Of Claude Code also the folder of some versions; of Codex also the archive."""
    roots = [os.path.relpath(root.path, home) for root in default_roots()]
    assert roots[:5] == [
        *(".claude/projects", ".config/claude/projects"),
        *(".codex/sessions", ".codex/archived_sessions", ".gemini/tmp"),
    ]
    others = {".pi/agent/sessions", ".qwen/projects", ".vibe/logs/session"}
    assert others <= set(roots[5:])
    assert own_folders() == {}
    (home / ".config/claude/projects").mkdir(parents=True)
    assert own_folders("claude") == {str(home / ".config/claude/projects"): "claude"}


def test_default_roots_honor_the_agents_variables(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lists, and the folder that contains ``.gemini``; the defaults do not count then."""
    monkeypatch.setenv("CLAUDE_CONFIG_DIR", f"{home}/a, ~/b")
    monkeypatch.setenv("CODEX_HOME", str(home / "x"))
    monkeypatch.setenv("GEMINI_CLI_HOME", str(home / "g"))
    monkeypatch.setenv("PI_CODING_AGENT_DIR", str(home / "p"))
    roots = [os.path.relpath(root.path, home) for root in default_roots()]
    assert roots[:5] == [
        *("a/projects", "b/projects", "x/sessions", "x/archived_sessions", "g/.gemini/tmp"),
    ]
    assert "p/sessions" in roots


def test_default_roots_count_a_folder_once(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Links to the same folder, and a folder inside another one, are one root."""
    (home / ".claude/projects").mkdir(parents=True)
    (home / ".config").mkdir()
    (home / ".config/claude").symlink_to(home / ".claude")
    further = [("claude", str(home / ".claude")), ("claude", str(home / ".claude/projects/p"))]
    roots = default_roots(further)
    assert [root.path for root in roots if root.agent == "claude"] == [
        str(home / ".claude/projects")
    ]
    monkeypatch.setenv(session_roots.FOLDERS_VARIABLE, f"claude={home / 'more'}")
    assert default_roots()[-1].path == str(home / "more/projects")
    monkeypatch.setenv(session_roots.FOLDERS_VARIABLE, str(home))
    with pytest.raises(InvalidEvent, match="HTMLGRAPH_SESSION_FOLDER: expected AGENT=FOLDER"):
        default_roots()


def test_status_folders_are_in_all_folders_of_the_agent(home: Path) -> None:
    """Of Claude Code, which writes a status file for each process, also in further folders."""
    (home / "person/.claude").mkdir(parents=True)
    further = [("claude", str(home / "w")), ("claude", str(home / "person")), ("codex", "/x")]
    assert [os.path.relpath(path, home) for path in session_roots.status_folders(further)] == [
        *(".claude/sessions", ".config/claude/sessions", "w/sessions", "person/.claude/sessions"),
    ]


def test_parse_folders_splits_at_agents_only(home: Path) -> None:
    """A comma can be part of a path; ``~`` is the home folder."""
    assert parse_folders("claude=/a,b, codex=~/x,claude=/c=d") == (
        *(("claude", "/a,b"), ("codex", str(home / "x")), ("claude", "/c=d")),
    )
    assert parse_folders(" ") == ()
    for bad in ("claude", "claude=", "cursor=/x", "/x"):
        with pytest.raises(ValueError, match="expected AGENT=FOLDER"):
            parse_folders(bad)


@pytest.mark.parametrize(
    ("agent", "path", "expected"),
    [
        ("claude", "absent", ["absent/projects"]),
        ("claude", "new", ["new/projects"]),
        ("claude", "used", ["used/projects"]),
        ("claude", "used/projects", ["used/projects"]),
        ("claude", "backup", ["backup"]),
        ("claude", "person", ["person/.claude/projects"]),
        ("codex", "codex", ["codex/sessions", "codex/archived_sessions"]),
        ("codex", "codex/archived_sessions", ["codex/archived_sessions"]),
        ("gemini", "person", ["person/.gemini/tmp"]),
        ("gemini", "person/.gemini", ["person/.gemini/tmp"]),
    ],
)
def test_roots_at_understands_what_a_user_names(
    tmp_path: Path, agent: str, path: str, expected: list[str]
) -> None:
    """The agent's folder, the home that contains it, its sessions, or files kept elsewhere."""
    for folder in (
        *("new", "used/projects/p", "backup/p", "person/.claude/projects", "codex/sessions"),
        *("codex/archived_sessions", "person/.gemini/tmp"),
    ):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "new/settings.json").write_text("{}")
    roots = roots_at(AGENTS[agent], str(tmp_path / path))
    assert [os.path.relpath(root.path, tmp_path) for root in roots] == expected
    assert {root.only for root in roots} == ({"chats"} if agent == "gemini" else {None})


class Files:
    """A followed folder of Claude Code with files of all kinds."""

    def __init__(self, tmp_path: Path) -> None:
        self.base = tmp_path.resolve()
        self.root = SessionRoot("claude", str(self.base / ".claude/projects"))
        self.shop = Path(self.root.path) / "shop"
        self.shop.mkdir(parents=True)
        self.good = self.write(self.shop / "good.jsonl")

    def write(self, path: Path) -> Path:
        """Write a file."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"{}\n")
        return path

    def refusal(self, path: object, agent: str = "claude") -> str:
        """Return why a file is not read."""
        with pytest.raises(ValueError, match=r"\w") as refused:
            named_file(str(path), agent, [self.root])
        return str(refused.value)


@pytest.fixture
def files(tmp_path: Path) -> Files:
    """A followed folder."""
    return Files(tmp_path)


def test_named_file_is_read_in_the_roots(files: Files) -> None:
    """By any path, whatever its name there."""
    inner = files.shop / "inner.jsonl"
    inner.symlink_to(files.good)
    for path in (files.good, inner, f"{files.shop}/../shop/good.jsonl"):
        found = named_file(str(path), "", [files.root])
        assert found == (str(files.good), "claude", None)


def test_named_file_is_read_through_linked_folders(files: Files) -> None:
    """A link in a root, and a folder that the scanner has reached."""
    real = files.write(files.base / "shared/any.jsonl")
    link = files.shop.parent / "link"
    link.symlink_to(real.parent)
    assert named_file(str(link / "any.jsonl"), "claude", [files.root]).path == str(real)
    assert "none of the agents' folders" in files.refusal(real)
    assert "none of the agents' folders" in files.refusal(f"{files.shop}/../link/any.jsonl")
    known = {str(real.parent): files.root}
    assert named_file(str(real), "claude", [files.root], known.get).agent == "claude"


@pytest.mark.parametrize(
    ("agent", "path"),
    [
        ("claude", f".claude-work/projects/-home-shop/{ID}.jsonl"),
        ("claude", f"x/projects/-home-shop/{ID}/subagents/agent-1.jsonl"),
        ("codex", f".codex2/sessions/2026/09/01/rollout-{ID}.jsonl"),
        ("codex", f".codex2/archived_sessions/rollout-{ID}.jsonl.zst"),
        ("gemini", "g/.gemini/tmp/shop/chats/session-1.jsonl"),
    ],
)
def test_named_file_is_read_where_its_agent_writes(files: Files, agent: str, path: str) -> None:
    """In another folder of the agent, which is returned; not if another agent named it."""
    file = files.write(files.base / path)
    found = named_file(str(file), agent, [files.root])
    assert found[:2] == (str(file), agent)
    assert str(found.home) == str(files.base / path.split("/")[0])
    for other in ({*AGENTS} - {agent}) | {""}:
        assert f"--session-folder {other or 'AGENT'}=FOLDER" in files.refusal(file, other)


def test_named_file_refuses_everything_else(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    """Special files, links to outside, other names, other owners and impossible paths."""
    outside = files.write(files.base / f"notes/{ID}.jsonl")
    (files.shop / "link.jsonl").symlink_to(outside)
    (files.shop / "folder.jsonl").mkdir()
    os.mkfifo(files.shop / "pipe.jsonl")
    files.write(files.shop / "note.txt")
    for name, reason in (
        ("link.jsonl", "in none of the agents' folders"),
        ("folder.jsonl", "not a regular file"),
        ("pipe.jsonl", "not a regular file"),
        ("note.txt", "not that of a session file"),
        ("absent.jsonl", "does not exist"),
        ("a\0.jsonl", "not an absolute path"),
        ("\ud800.jsonl", "not an absolute path"),
        ("x" * 300 + ".jsonl", "File name too long"),
    ):
        assert reason in files.refusal(f"{files.shop}/{name}"), name
    for bad in ("good.jsonl", "", r"C:\projects\a.jsonl"):
        assert "not an absolute path" in files.refusal(bad)
    work = files.write(files.base / f".claude-work/projects/p/{ID}.jsonl")
    monkeypatch.setattr(os, "geteuid", lambda: 4_242, raising=False)
    assert "belongs to another user" in files.refusal(work)
    assert named_file(str(files.good), "claude", [files.root]).path == str(files.good)
