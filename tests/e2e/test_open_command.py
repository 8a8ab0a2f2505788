"""``htmlgraph-nb open`` signs a real browser in."""

from __future__ import annotations

from playwright.sync_api import expect

from tests.e2e.conftest import OpenPage, Serve
from tests.e2e.page import card
from tests.integration.server.cli.test_agent_commands import browser
from tests.integration.server.cli.test_cli import TOKEN, run


def test_open_signs_in(serve: Serve, open_page: OpenPage) -> None:
    """The file that the browser opens leads to the page, whose address has no token."""
    server = serve("--token", TOKEN)
    server.send("claude-1", tool_name="Read")
    done = run(server.home, "open", "claude-1", environ=browser(server.home))
    assert done.returncode == 0, done.stderr
    page = open_page((server.home / "address").read_text()).page
    expect(card(page, "claude-1")).to_be_visible()
    assert page.url == f"{server.url}/#selected=claude-1"
