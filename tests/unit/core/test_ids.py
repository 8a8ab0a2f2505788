"""Ids that several sources derive."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from htmlgraph_nb.core.ids import (
    agent_id_of,
    agent_kind_of,
    call_key,
    is_in_project,
    is_issued_id,
    project_folder,
    project_labels,
    repository_name,
    share_names,
    shorten_id,
    topmost_ancestor,
)
from htmlgraph_nb.core.validation import MAX_ID_CHARS
from tests.helpers.claude_lines import ANSWER, CALL
from tests.helpers.paths import ROOT

PROJECTS = json.loads((ROOT / "tests/payloads/project_folders.json").read_text("utf-8"))
"""What the JavaScript tests check, too."""


@given(st.text(max_size=600), st.text(max_size=600), st.integers(20, 300))
def test_shorten_id_keeps_different_ids_different(first: str, second: str, limit: int) -> None:
    """A short id is unchanged; a long one is cut to the limit."""
    first, second = (text.encode("utf-8", "replace").decode() for text in (first, second))
    assert len(shorten_id(first, limit)) == min(len(first), limit)
    assert first.startswith(shorten_id(first, limit)[: limit - 17])
    assert (shorten_id(first, limit) == shorten_id(second, limit)) == (first == second)


@pytest.mark.parametrize(
    ("identifier", "agent_id"),
    [
        ("0b9d6f4e-6d3c-4a51-9f2e-0c6a1d2b3e4f", "claude-0b9d6f4e"),
        ("a4d2c8f1e0b3a297", "claude-a4d2c8f1"),
        ("a2898e3", "claude-a2898e3"),
        ("session-1", "claude-session-1"),
        ("agent-abc123", "claude-agent-abc123"),
        ("00000000-0000-4000-8000-000000000001", "claude-00000000-0000-4000-8000-000000000001"),
        ("0000000000000002", "claude-0000000000000002"),
        ("019463a2-7c1e-7b3a-8f00-0123456789ab", "claude-019463a2-7c1e-7b3a-8f00-0123456789ab"),
    ],
)
def test_agent_id_of_cuts_random_identifiers_only(identifier: str, agent_id: str) -> None:
    """Random identifiers are cut to eight characters, all others are kept whole."""
    assert agent_id_of(identifier, "claude") == agent_id


def test_agent_id_of_respects_the_limit() -> None:
    """An id with its prefix has at most 256 characters."""
    assert len(agent_id_of("s" * 400, "gemini")) == MAX_ID_CHARS


@pytest.mark.parametrize(
    ("identifier", "is_issued"),
    [
        (ANSWER, True),
        (CALL, True),
        ("toolu_vrtx_01Xk9QmVb3nT7sRfLw2cYp4D", True),
        ("req_011CTqGZ3kXw9vB2nM5sRfLp", True),
        ("msg_proxy_stream", False),
        ("[REDACTED_MESSAGE_ID]", False),
        ("toolu_000000000000000000000000", False),
        ("Bash:0", False),
        ("call_00_CAP1Xvd0zfBqf5YxrE6k2T0Q", False),
    ],
)
def test_is_issued_id_by_its_form(identifier: str, is_issued: bool) -> None:
    """Only ids with the form and the variety of those of Anthropic's API are globally unique."""
    assert is_issued_id(identifier) == is_issued


@pytest.mark.parametrize(
    ("call", "key"),
    [
        (CALL, f"{CALL}:PostToolUse"),
        ("toolu_1", "s-1:toolu_1:PostToolUse"),
        ("call_1", "s-1:call_1:PostToolUse"),
    ],
)
def test_call_key_includes_the_session_of_local_ids(call: str, key: str) -> None:
    """Ids of Anthropic's API are unique, all others are unique in their session only."""
    assert call_key("s-1", call, "PostToolUse") == key


@pytest.mark.parametrize(
    ("agent_id", "topmost"),
    [("a", "a"), ("b", "a"), ("c", "a"), ("x", "unknown"), ("other", "other")],
)
def test_topmost_ancestor_of_subagents(agent_id: str, topmost: str) -> None:
    """Subagents of subagents have the same ancestor; an unknown parent is an ancestor too."""
    parents = {"b": "a", "c": "b", "x": "unknown"}
    assert topmost_ancestor(agent_id, parents.get(agent_id), parents.get) == topmost


@pytest.mark.parametrize("agent_id", ["a", "b", "own", "below"])
def test_topmost_ancestor_of_loop_is_the_agent(agent_id: str) -> None:
    """Any program can report a loop of parents."""
    parents = {"a": "b", "b": "a", "own": "own", "below": "a"}
    assert topmost_ancestor(agent_id, parents.get(agent_id), parents.get) == agent_id


def test_topmost_ancestor_follows_a_limited_number_of_levels() -> None:
    """A long chain of parents does not slow down each event of its end."""
    n_calls = 0

    def parent_of(agent_id: str) -> str:
        nonlocal n_calls
        n_calls += 1
        return str(int(agent_id) + 1)

    assert topmost_ancestor("0", "1", parent_of) == "64"
    assert n_calls == 64


@pytest.mark.parametrize(("project", "cwd", "folder"), PROJECTS["folders"])
def test_project_folder_is_without_home(project: str, cwd: str, folder: str | None) -> None:
    """The same on all machines and for all accounts; None: the path does not tell it."""
    assert project_folder(project, cwd) == folder


@pytest.mark.parametrize(("places", "labels"), PROJECTS["labels"])
def test_project_labels_are_as_short_as_possible(
    places: list[tuple[str, str | None]], labels: list[str]
) -> None:
    """Folders appear only where two projects have one name."""
    known = project_labels([(name, folder) for name, folder in places])
    assert [known[name, folder] for name, folder in places] == labels


@given(st.lists(st.lists(st.sampled_from("abc"), min_size=1, max_size=5), max_size=30))
def test_project_labels_differ(paths: list[list[str]]) -> None:
    """Different folders never share a label, and each label selects only its own."""
    folders = {"/".join(["~", *path, "api"]) for path in paths}
    labels = project_labels([("api", folder) for folder in folders])
    assert len(set(labels.values())) == len(folders)
    for (_, own), label in labels.items():
        if len(folders) > 1:
            cwds = [folder.replace("~", "/home/u") for folder in folders]
            selected = [cwd for cwd in cwds if is_in_project(label, "api", cwd)]
            assert selected == [own.replace("~", "/home/u")] if own else False


def test_project_labels_of_many_folders() -> None:
    """Tests run agents in thousands of temporary folders of one name."""
    places = [("cwd", f"/tmp/run-{n}/cwd") for n in range(20_000)]
    assert project_labels(places)["cwd", "/tmp/run-7/cwd"] == "run-7/cwd"


@pytest.mark.parametrize(
    ("wanted", "is_in"),
    [
        ("api", True),
        ("acme/api", True),
        ("clients/acme/api", True),
        ("~/clients/acme/api", True),
        ("beta/api", False),
        ("cme/api", False),
        ("acme", False),
        ("/api", False),
        ("", False),
    ],
)
def test_is_in_project_matches_a_name_and_folders(wanted: str, is_in: bool) -> None:
    """A short name selects all projects of that name."""
    assert is_in_project(wanted, "api", "/home/dev/clients/acme/api/src") is is_in


def test_is_in_project_knows_names_with_slashes() -> None:
    """Programs can report any name."""
    assert is_in_project("org/repo", "org/repo", None)
    assert not is_in_project("acme/api", "api", None)
    assert not is_in_project("api", None, "/home/dev/api")


@pytest.mark.parametrize(
    ("name", "cwd", "repository"),
    [
        ("fix", "/home/dev/api/.claude/worktrees/fix", "api"),
        ("fix", "/home/dev/api/.worktrees/fix/src", "api"),
        ("fix", "C:\\src\\api\\.claude\\worktrees\\fix", "api"),
        ("5f3a", "/home/dev/.cursor/worktrees/api/5f3a", "api"),
        ("tokyo", "/Users/m/conductor/workspaces/api/tokyo", "api"),
        ("api", "/home/dev/.codex/worktrees/5f3a/api", "api"),
        ("src", "/home/dev/api/.worktrees/fix/src", "src"),
        ("worktrees", "/home/dev/worktrees", "worktrees"),
        ("api", "/home/dev/api", "api"),
    ],
)
def test_repository_name_of_worktrees(name: str, cwd: str, repository: str) -> None:
    """A worktree is the same project as its repository."""
    assert repository_name(name, cwd) == repository


def test_share_names_is_true_only_for_two_folders_of_one_name() -> None:
    """Then the analysis has to look at each row."""
    assert not share_names(["api"], ["/home/a/acme/api", "/home/b/acme/api/src", "/tmp"])
    assert not share_names(["api", "web"], ["/home/a/x/api", "/home/a/y/web"])
    assert share_names(["api"], ["/home/a/acme/api", "/home/a/beta/api"])


@pytest.mark.parametrize(
    ("source", "kind"),
    [
        ("claude-hook", "claude"),
        ("qwen-code-session", "qwen-code"),
        ("otlp", None),
        ("-hook", None),
        ("hook", None),
        ("", None),
        (None, None),
    ],
)
def test_agent_kind_of_reads_source(source: str | None, kind: str | None) -> None:
    """Sources of hooks and session files begin with the kind of agent."""
    assert agent_kind_of(source) == kind
