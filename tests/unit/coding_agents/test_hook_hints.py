"""Session files and processes that hook inputs name."""

from __future__ import annotations

from typing import Any

import pytest

from htmlgraph_nb.coding_agents.hook_hints import hook_hints_of
from htmlgraph_nb.coding_agents.registry import AGENTS
from tests.helpers.agent_lists import CONNECTABLE

SESSION = "session-1"


@pytest.mark.parametrize("agent", CONNECTABLE)
def test_hook_hints_name_files_after_each_write(agent: str) -> None:
    """Every hook that runs after a write names its session file, and no other hook does."""
    chosen = AGENTS[agent]
    for hook in chosen.hook_settings().events:
        payload = {"session_id": SESSION, "hook_event_name": hook, "transcript_path": "/t.jsonl"}
        hints = hook_hints_of(chosen, payload)
        if hook in chosen.hooks_after_write:
            assert hints is not None
            assert hints.files == ("/t.jsonl",)
            assert hints.agent_id == f"{agent}-{SESSION}"
            assert hints.ended == (hook == "SessionEnd")
        else:
            assert hints is None


@pytest.mark.parametrize(
    ("ancestors", "expected"),
    [
        ([[7, 1.5], [8, None]], ((7, 1.5, None), (8, None, None))),
        ([[7, 1.5, 90], [8, None, None]], ((7, 1.5, 90), (8, None, None))),
        ([[7, 1.5, -1], [8, None, True]], ((7, 1.5, None), (8, None, None))),
        ([[7, 1.5, 90, 1]], ()),
        ([[1, 1.5], [True, 1.5], ["7", 1.5], [7], 7, [9, -1], [10, True]], ()),
        ([[n, None] for n in range(2, 20)], tuple((n, None, None) for n in range(2, 8))),
        ({"7": 1}, ()),
    ],
)
def test_hook_hints_skip_invalid_ancestors(ancestors: Any, expected: tuple[Any, ...]) -> None:
    """Process ids and times out of range are skipped, and only the nearest six are kept."""
    added = {"ancestors": ancestors, "agent_id": "ada", "host": "lab-3"}
    payload = {"session_id": SESSION, "hook_event_name": "PreToolUse", "htmlgraph": added}
    hints = hook_hints_of(AGENTS["claude"], payload)
    assert (() if hints is None else hints.ancestors) == expected
    if hints is not None:
        assert (hints.agent_id, hints.host) == ("ada", "lab-3")


def test_hook_hints_without_a_session_are_none() -> None:
    """The files of an unknown session belong to no agent."""
    payload = {"hook_event_name": "Stop", "transcript_path": "/t.jsonl"}
    assert hook_hints_of(AGENTS["claude"], payload) is None
