"""The page with a token that may only read, in a real browser with a real server."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import Browser, expect

from htmlgraph_server.access.identity import Identity, Right
from tests.e2e.page import card, expect_connection
from tests.helpers.access import revoke_token, store_token
from tests.helpers.server_process import running


def test_page_with_a_read_token_shows_and_changes_nothing(tmp_path: Path, browser: Browser) -> None:
    """It is live, hides what only an admin may do, and says why it ends when the token does."""
    db = tmp_path / "home" / "test.db"
    token = store_token(db, Identity(space="team-a", right=Right.READ, label="wall"))
    writer = store_token(db, Identity(space="team-a", right=Right.WRITE))
    with running(tmp_path / "home", "--token", "the-token-of-the-owner") as server:
        context = browser.new_context()
        page = context.new_page()
        page.goto(f"{server.url}/?token={token}")
        expect_connection(page, "connected")
        headers = {"Authorization": f"Bearer {writer}"}
        event = {"agent_id": "seen", "event_type": "prompt"}
        assert server.request("POST", "/api/events", event, headers, token=False).status == 200
        expect(card(page, "seen")).to_be_visible()
        page.locator("[data-control=alerts]").click()
        for name in ("mute-hour", "mute-tomorrow", "unmute", "acknowledge-all"):
            expect(page.locator(f"[data-control={name}]")).to_be_hidden()
        revoke_token(db, "wall")
        expect_connection(page, "reconnecting")
        expect(page.locator(".hg-connection-detail")).to_contain_text("was revoked")
        context.close()
