"""The page at ``/``: agents of hosts that forward to the server."""

from __future__ import annotations

import re
from pathlib import Path

from playwright.sync_api import expect

from tests.e2e.conftest import OpenPage
from tests.e2e.page import card, details
from tests.helpers.forwarding import TOKEN, centre_of, edge_of
from tests.helpers.wait import wait_until


def test_page_shows_agents_of_a_vanished_host_as_unreachable(
    tmp_path: Path, open_page: OpenPage
) -> None:
    """An agent whose host was killed is not active, says since when, and returns with its host."""
    centre = centre_of(tmp_path).start()
    edge = edge_of(tmp_path, centre.url).start()
    try:
        edge.send("claude-1", "tool_start", tool_name="Bash", tool_use_id="t1")
        wait_until(lambda: "claude-1" in centre.presence(), "the agent")
        page = open_page(f"{centre.url}/?token={TOKEN}").page
        shown = card(page, "claude-1")
        expect(shown).to_have_attribute("data-status", "active")
        edge.kill()
        expect(shown).to_have_attribute("data-status", "offline", timeout=20_000)
        shown.click()
        text = re.compile(r"host unreachable since \d\d:\d\d UTC")
        expect(details(page)).to_contain_text(text)
        edge.start()
        expect(shown).to_have_attribute("data-status", "active", timeout=20_000)
    finally:
        edge.stop()
        centre.stop()
