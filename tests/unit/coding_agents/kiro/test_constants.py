"""Kiro's constants agree with each other."""

from __future__ import annotations

import re

from htmlgraph_nb.coding_agents.kiro import KiroCli, constants


def test_constants_are_those_of_the_agent() -> None:
    """The constants and the agent have the same name and sources."""
    agent = KiroCli()
    assert agent.name == constants.AGENT
    assert agent.session_source == constants.SESSION_SOURCE


def test_constants_pattern_finds_the_files_of_all_versions() -> None:
    """The files beside them are no session files."""
    pattern = re.compile(f"/{KiroCli.session_pattern}$")
    base = "/home/user/.kiro/sessions"
    for path in ("cli/x.jsonl", "w/s/messages.jsonl", "w/s/sub-executions/c.jsonl"):
        assert pattern.search(f"{base}/{path}")
    for path in ("cli/x.json", "cli/x.history", "w/s/session.json"):
        assert not pattern.search(f"{base}/{path}")
