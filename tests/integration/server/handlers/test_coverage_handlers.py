"""What is seen of each agent, over HTTP."""

from __future__ import annotations

import re
from pathlib import Path

from htmlgraph_nb.coding_agents.coverage.declaration import FACTS, SOURCES
from htmlgraph_nb.coding_agents.registry import AGENTS
from tests.helpers.agent_plugin import install_module
from tests.helpers.server_process import Server, running

PLUGIN = """
from htmlgraph_nb.coding_agents import NOT_READ, NOT_REPORTED, CodingAgent, Coverage
from htmlgraph_nb.coding_agents.coverage.declaration import FACTS

class Odd(CodingAgent):
    name = "odd"
    label = "<b>Odd</b>"

    def coverage(self):
        facts = {**dict.fromkeys(FACTS, NOT_REPORTED), "branch": NOT_READ}
        return Coverage(version="1.<i>", **facts)
"""


def test_coverage_has_all_agents_and_facts(server: Server) -> None:
    """Sources are lists, what is missing is a text."""
    answer = server.get("/api/coverage").json()
    assert answer["sources"] == SOURCES
    rows = {row["agent"]: row for row in answer["agents"]}
    assert list(rows) == list(AGENTS)
    claude = rows["claude"]
    assert list(claude["facts"]) == list(FACTS)
    assert claude["facts"]["quota"] == ["statusline"]
    assert rows["gemini"]["facts"]["branch"] == "not reported"
    assert server.get("/api/coverage?x=1").status == 400


def test_coverage_page_shows_plugins_as_text(tmp_path: Path) -> None:
    """The page has a row for each agent; texts of a plugin are no markup."""
    install_module(tmp_path / "site", "odd", PLUGIN, {"odd": "odd:Odd"})
    environ = {"PYTHONPATH": str(tmp_path / "site")}
    with running(tmp_path / "home", environ=environ) as server:
        page = server.get("/coverage")
        assert page.headers["content-type"].startswith("text/html")
        assert len(re.findall(r"<tr>", page.text)) == len(AGENTS) + 2
        assert "<b>" not in page.text
        assert "&lt;b&gt;Odd&lt;/b&gt; <small>1.&lt;i&gt;</small>" in page.text
        row = page.text.partition("Odd&lt;")[2]
        assert row.count("not reported") == len(FACTS) - 1
        assert row.count("not read yet") == 1
        assert server.get("/static/coverage.css").status == 200
        rows = server.get("/api/coverage").json()["agents"]
        assert rows[-1]["facts"]["branch"] == "not read yet"
