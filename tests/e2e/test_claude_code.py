"""A tool call end to end: hook process, server, SQLite, page and client."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from playwright.sync_api import expect

from htmlgraph_nb import PresenceClient, load_history
from tests.e2e.conftest import OpenPage
from tests.helpers.environ import clean_environ
from tests.helpers.paths import ROOT
from tests.helpers.server_process import Server
from tests.helpers.wait import wait_until

PAYLOADS = ROOT / "tests/payloads" / "claude_hooks"
AGENT = "claude-0b9d6f4e"


FACTS = ("process_start", "session_info")
"""Types of events that are no activity; when they come depends on processes and files."""


def hook(home: Path, name: str) -> None:
    """Run the hook command on one payload like Claude Code; it succeeds without output."""
    done = subprocess.run(
        [sys.executable, "-m", "htmlgraph_nb.hook"],
        input=(PAYLOADS / f"{name}.json").read_bytes(),
        capture_output=True,
        timeout=60,
        env=clean_environ(home),
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_hooks_claude_code_turn_shows_on_page(server: Server, open_page: OpenPage) -> None:
    """Each hook of a turn appears on the page, in a Python client and in the history."""
    page = open_page(server.url).page
    card = page.locator(f'[data-agent-id="{AGENT}"]')
    with PresenceClient(server.url) as client:
        for name, status, reason, shown in (
            ("session_start", "idle", "the session began, no prompt yet", "resting"),
            ("user_prompt_submit", "active", "got a prompt", "got a prompt"),
            ("pre_tool_use", "active", "Bash is running", "runs Bash"),
            (
                "permission_request",
                "active",
                "waits for permission to use Bash",
                "permission: Bash",
            ),
            ("post_tool_use_failure", "active", "used Bash", "used Bash"),
            ("stop", "idle", "the turn is over", "the turn is over"),
            ("session_end", "offline", "the session ended", "the session ended"),
        ):
            hook(server.home, name)
            expect(card).to_have_attribute("data-status", status)
            expect(card).to_contain_text(shown)
            presence = client.wait_for(
                lambda agents, reason=reason: (
                    agent if (agent := agents.get(AGENT)) and agent.reason == reason else None
                ),
                20,
            )
            assert presence.attention is (name == "permission_request")
    expect(card.locator('[data-field="tools"]')).to_contain_text("1")
    stored = load_history(server.db)
    stored = stored[~stored["event_type"].isin(FACTS)]
    assert stored["event_type"].tolist() == [
        *("session_start", "prompt", "tool_start", "permission_request"),
        *("tool_error", "stop", "session_end"),
    ]
    assert set(stored["project"].dropna()) == {"shop"}
    assert "never-keep-this" not in stored.to_csv()


def test_hooks_spooled_without_server_show_after_start(tmp_path: Path, open_page: OpenPage) -> None:
    """Hooks spooled without a server appear once on the page of the next server."""
    server = Server(tmp_path / "home")
    for name in ("session_start", "user_prompt_submit", "post_tool_use"):
        hook(server.home, name)
    assert len((server.home / "spool.jsonl").read_bytes().splitlines()) == 3
    try:
        server.start()
        card = open_page(server.url).page.locator(f'[data-agent-id="{AGENT}"]')
        expect(card).to_contain_text("used Write", timeout=20_000)
        wait_until(lambda: not list(server.home.glob("spool*")), "the ingestion of the spool")
        stored = load_history(server.db)
        assert len(stored[~stored["event_type"].isin(FACTS)]) == 3
    finally:
        server.stop()
