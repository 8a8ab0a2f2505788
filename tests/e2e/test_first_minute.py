"""A user with sessions of the past weeks starts the server, or JupyterLab, for the first time."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

import htmlgraph_nb as hg
from tests.e2e.conftest import OpenPage
from tests.e2e.jupyter import running_jupyter
from tests.e2e.page import card, cards, expect_connection, field, statistic
from tests.helpers.paths import ROOT
from tests.helpers.server_process import Server, running
from tests.helpers.session_home import SessionHome, call, prompt
from tests.helpers.wait import wait_until

RECORDINGS = ROOT / "tests" / "payloads" / "recordings"
FOLDERS = {"claudecode": "claude", "codex": "codex", "gemini-cli": "gemini"}
ASKING = "3f6a1c58-09be-4d27-8a41-5c7e90d1b2f4"
ASKING_FOR = timedelta(minutes=12)
TITLE = "Move the checkout to the new API"
RECENT = [timedelta(hours=hours) for hours in (1, 5, 9, 20)]
"""Ages of the other sessions that the page shows."""
N_SESSIONS = 40
DAYS = 20


def count_tokens(path: Path) -> int:
    """Return all tokens of a recorded session, counted in the simplest way for each format."""
    answers: dict[str, int] = {}
    session = ""
    for line in path.read_text(encoding="utf-8").splitlines():
        record = json.loads(line)
        message, payload = record.get("message") or {}, record.get("payload") or {}
        info = payload.get("info") or {}
        if isinstance(record.get("tokens"), dict):
            answers[record["id"]] = record["tokens"]["total"]
        elif payload.get("type") == "token_count" and info:
            answers[session] = info["total_token_usage"]["total_tokens"]
        elif record.get("type") == "session_meta":
            session = payload["id"]
        elif isinstance(message, dict) and "usage" in message:
            usage = message["usage"]
            kinds = ("input", "cache_creation_input", "cache_read_input", "output")
            total = sum(usage.get(f"{kind}_tokens", 0) for kind in kinds)
            answers[message["id"]] = max(total, answers.get(message["id"], 0))
    return sum(answers.values())


class FirstMinute:
    """A home folder with 40 sessions of three agents, and what a page should show of them.

    Attributes:
        home: the home folder.
        tokens: day → tokens of its sessions, by ``count_tokens``; of the sessions of the last 24
            hours, which may be of two days, the day is "recent".
        n_recent: number of sessions of the last 24 hours.
    """

    def __init__(self, path: Path, process: subprocess.Popen[bytes]) -> None:
        self.home = SessionHome(path)
        self.tokens: Counter[str] = Counter()
        self.n_recent = 1 + len(RECENT)
        now = datetime.now().astimezone()
        noon = now.replace(hour=12, minute=0, second=0, microsecond=0)
        n_old = N_SESSIONS - self.n_recent
        days = [2 + (DAYS - 2) * number // n_old for number in range(n_old)]
        ends = [*(now - age for age in RECENT), *(noon - timedelta(days=day) for day in days)]
        # By scenario, so that the first ones are of all agents.
        paths = RECORDINGS.glob("*/*/transcript.jsonl")
        known = [path for path in paths if path.parent.parent.name in FOLDERS]
        sources = sorted(known, key=lambda path: path.parent.name.partition("_")[2])
        for number, end in enumerate(ends):
            source = sources[number % len(sources)]
            self.home.add(FOLDERS[source.parent.parent.name], now - end, source=source)
            day = "recent" if number < len(RECENT) else f"{end:%Y-%m-%d}"
            self.tokens[day] += count_tokens(source)
        self._add_asking(process)

    def _add_asking(self, process: subprocess.Popen[bytes]) -> None:
        """Add a session that has asked its user for 12 minutes, in a process that runs."""
        self.home.add_claude(
            ASKING,
            ASKING_FOR,
            [
                {**prompt(), "gitBranch": "feat/checkout"},
                {"type": "ai-title", "aiTitle": TITLE},
                {**call("AskUserQuestion"), "gitBranch": "feat/checkout"},
            ],
            folder="/home/user/shop",
        )
        self.tokens["recent"] += 15
        status = self.home.path / ".claude" / "sessions" / f"{process.pid}.json"
        status.parent.mkdir(parents=True)
        started_ms = datetime.now(UTC).timestamp() * 1_000
        record = {"pid": process.pid, "sessionId": ASKING, "startedAt": started_ms}
        status.write_text(json.dumps(record))


@pytest.fixture
def first_minute(tmp_path: Path) -> Iterator[FirstMinute]:
    """Create the home folder; the process of the asking session runs until the end of the test."""
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    with process:
        yield FirstMinute(tmp_path / "user", process)
        process.kill()


def check_page(page: Page, user: FirstMinute) -> None:
    """Check what a person sees: their agents, the one that asks first."""
    expect_connection(page, "connected")
    asking = f"claude-{ASKING[:8]}"
    expect(card(page, asking)).to_be_visible()
    expect(card(page, asking)).to_have_attribute("data-attention", "")
    expect(cards(page)).to_have_count(user.n_recent)
    expect(cards(page).first).to_have_attribute("data-agent-id", asking)
    expect(field(page, asking, "name")).to_have_text(TITLE)
    expect(card(page, asking)).to_contain_text("shop · feat/checkout")
    expect(card(page, asking)).to_contain_text("12 min")
    expect(statistic(page, "waiting")).to_have_text("1")
    expect(statistic(page, "active")).to_have_text("0")
    for shown in cards(page).all():
        expect(shown).to_contain_text("$")


def check_history(db: Path, user: FirstMinute) -> None:
    """Check the tokens of each day against an independent count."""
    costs = hg.token_costs(hg.load_history(str(db)), by=(), freq="D")
    found = Counter(
        dict(zip(costs["timestamp"].dt.strftime("%Y-%m-%d"), costs["total"], strict=True))
    )
    recent = {day: found.pop(day) for day in [*found] if day not in user.tokens}
    assert found == {day: n for day, n in user.tokens.items() if n and day != "recent"}
    assert sum(recent.values()) == user.tokens["recent"]


def backfill_state(server: Server) -> str:
    """Return the state of the import."""
    backfill = server.get("/api/status").json()["backfill"]
    return str(backfill["state"]) if backfill else ""


def test_page_shows_the_sessions_that_exist(
    first_minute: FirstMinute, tmp_path: Path, open_page: OpenPage
) -> None:
    """`htmlgraph-nb serve` shows the sessions of the last day; older ones are in the history."""
    with running(tmp_path / "data", environ=first_minute.home.environ) as server:
        page = open_page(server.url).page
        check_page(page, first_minute)
        wait_until(lambda: backfill_state(server) == "done", "the end of the import")
        assert f"found {N_SESSIONS} sessions" in server.log()
        check_history(server.db, first_minute)
        check_page(page, first_minute)


def test_lab_shows_the_sessions_that_exist(
    first_minute: FirstMinute, tmp_path: Path, open_page: OpenPage
) -> None:
    """The page inside JupyterLab's server shows the same."""
    data = tmp_path / "data"
    environ = {**first_minute.home.environ, "HTMLGRAPH_HOME": str(data)}
    with running_jupyter("lab", tmp_path / "lab", environ) as jupyter:
        watched = open_page(f"{jupyter.url}htmlgraph/")
        check_page(watched.page, first_minute)
