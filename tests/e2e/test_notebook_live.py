"""The grid end to end in JupyterLab and Notebook 7: hooks update cards.

Each test opens a notebook of its own; the agents are named by the test, the server is shared.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import uuid

import pytest
from playwright.sync_api import expect

from tests.e2e.conftest import OpenNotebook, Serve
from tests.e2e.jupyter import KINDS, Jupyter, Notebook
from tests.helpers.environ import clean_environ
from tests.helpers.paths import ROOT
from tests.helpers.server_process import Server

PAYLOADS = ROOT / "tests/payloads" / "claude_hooks"
RECONNECT_MS = 30_000
RERUNS = 50

pytestmark = pytest.mark.parametrize("jupyter", KINDS, indirect=True)

SHOW = "from htmlgraph_nb import AgentGrid\ngrid = AgentGrid({url!r})\ngrid"
SLEEP = "import time\ntime.sleep(20)"
COUNT = """
import json, re, threading
import comm, psutil
from ipywidgets.widgets.widget import _instances
print(json.dumps({
    "threads": sorted(re.sub("^Thread-[0-9]+", "", t.name) for t in threading.enumerate()),
    "sockets": sum(
        connection.status == "ESTABLISHED" and connection.raddr.port == PORT
        for connection in psutil.Process().net_connections("tcp")
    ),
    "comms": len(comm.get_comm_manager().comms),
    "widgets": len(_instances),
}))
"""
# Number of cards of each grid when it enters the document.
FIRST_CARDS = """
globalThis.firstCards = [];
new MutationObserver((records, observer) => {
  const grid = document.querySelector(".htmlgraph-grid");
  if (grid === null) return;
  firstCards.push(grid.querySelectorAll("[data-agent-id]").length);
  observer.disconnect();
}).observe(document, { childList: true, subtree: true });
"""


def hook(server: Server, payload: str, session: str) -> str:
    """Run the hook in a process like Claude Code; return the agent's id."""
    content = json.loads((PAYLOADS / f"{payload}.json").read_text(encoding="utf-8"))
    if "tool_use_id" in content:
        # Tool call ids are unique across sessions.
        content["tool_use_id"] = f"toolu_{uuid.uuid4().hex}"
    done = subprocess.run(
        [sys.executable, "-m", "htmlgraph_nb.hook"],
        input=json.dumps({**content, "session_id": session}).encode(),
        capture_output=True,
        timeout=60,
        env=clean_environ(server.home / "hook", {"HTMLGRAPH_URL": server.url}),
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    return f"claude-{session[:8]}"


def show(notebook: Notebook, index: int = 0) -> None:
    """Run the cell with the grid and wait for the connection."""
    notebook.run(index)
    expect(notebook.grid).to_have_attribute("data-connection", "connected")


def test_grid_updates_while_a_cell_runs(
    jupyter: Jupyter, presence_server: Server, open_notebook: OpenNotebook
) -> None:
    """A hook updates its card while the kernel is idle and while a cell runs."""
    session = str(uuid.uuid4())
    presence_server.send("bystander", tool_name="Read")
    notebook = open_notebook(jupyter, SHOW.format(url=presence_server.url), SLEEP, "grid.close()")
    show(notebook)
    agent = hook(presence_server, "post_tool_use", session)
    expect(notebook.field(agent, "tool")).to_have_text("Write")
    expect(notebook.card(agent)).to_have_attribute("data-status", "active")

    notebook.start(1)
    hook(presence_server, "permission_request", session)
    expect(notebook.card(agent)).to_have_attribute("data-attention", "")
    hook(presence_server, "post_tool_use_failure", session)
    expect(notebook.field(agent, "tool")).to_have_text("Bash")
    expect(notebook.card(agent)).not_to_have_attribute("data-attention", "")
    hook(presence_server, "stop", session)
    expect(notebook.card(agent)).to_have_attribute("data-status", "idle")
    assert notebook.running(1), "the cell ended before the card changed"
    expect(notebook.field("bystander", "tool")).to_have_text("Read")
    notebook.interrupt(1)
    notebook.run(2)
    expect(notebook.card(agent)).to_have_count(0)


def test_grid_reloaded_page_shows_state_at_once(
    jupyter: Jupyter, presence_server: Server, open_notebook: OpenNotebook
) -> None:
    """After a reload the grid has its cards at once and keeps updating."""
    agent = f"reloaded-{jupyter.kind}"
    notebook = open_notebook(jupyter, SHOW.format(url=presence_server.url))
    show(notebook)
    presence_server.send(agent, tool_name="Bash")
    expect(notebook.field(agent, "tool")).to_have_text("Bash")
    notebook.save()
    notebook.page.add_init_script(FIRST_CARDS)
    notebook.page.reload()
    notebook.wait_ready()
    expect(notebook.field(agent, "tool")).to_have_text("Bash")
    assert notebook.page.evaluate("firstCards[0]") > 0
    expect(notebook.grid).to_have_attribute("data-connection", "connected")
    presence_server.send(agent, tool_name="Edit")
    expect(notebook.field(agent, "tool")).to_have_text("Edit")


def test_grid_reconnects_after_server_was_killed(
    jupyter: Jupyter, serve: Serve, open_notebook: OpenNotebook
) -> None:
    """Without a server the grid keeps its cards, shows their age, and resumes later."""
    first = serve()
    first.send("kept", tool_name="Read")
    notebook = open_notebook(jupyter, SHOW.format(url=first.url))
    show(notebook)
    expect(notebook.field("kept", "tools")).to_have_text("1")
    notebook.card("kept").evaluate("(card) => { card.marked = true; }")
    first.kill()
    expect(notebook.grid).to_have_attribute("data-connection", "reconnecting")
    expect(notebook.grid).to_have_attribute("data-stale", "true")
    expect(notebook.grid).to_contain_text(re.compile(r"(last update|since) .*\d", re.I))
    expect(notebook.card("kept")).to_be_visible()

    second = serve("--port", str(first.port), home=first.home)
    second.send("kept", tool_name="Bash")
    second.send("new", tool_name="Edit")
    expect(notebook.grid).to_have_attribute("data-connection", "connected", timeout=RECONNECT_MS)
    expect(notebook.grid).to_have_attribute("data-stale", "false")
    expect(notebook.field("kept", "tools")).to_have_text("2")
    expect(notebook.field("new", "tool")).to_have_text("Edit")
    assert notebook.card("kept").evaluate("(card) => card.marked") is True


def test_grid_keeps_last_state_after_kernel_restart(
    jupyter: Jupyter, presence_server: Server, open_notebook: OpenNotebook
) -> None:
    """The cards of the old kernel stay and are marked as ended; rerunning the cell connects."""
    agent = f"survivor-{jupyter.kind}"
    presence_server.send(agent, tool_name="Read")
    notebook = open_notebook(jupyter, SHOW.format(url=presence_server.url))
    show(notebook)
    expect(notebook.field(agent, "tool")).to_have_text("Read")
    notebook.restart()
    expect(notebook.grid).to_have_attribute("data-connection", re.compile("^(ended|closed)$"))
    expect(notebook.grid).to_have_attribute("data-stale", "true")
    expect(notebook.grid).to_contain_text(re.compile("kernel", re.I))
    expect(notebook.field(agent, "tool")).to_have_text("Read")
    show(notebook)
    presence_server.send(agent, tool_name="Edit")
    expect(notebook.field(agent, "tool")).to_have_text("Edit")


def test_grid_two_views_stay_in_sync(
    jupyter: Jupyter, presence_server: Server, open_notebook: OpenNotebook
) -> None:
    """Both views follow the server; the second continues when the first is removed."""
    agent = f"twice-{jupyter.kind}"
    presence_server.send(agent, tool_name="Read")
    notebook = open_notebook(jupyter, SHOW.format(url=presence_server.url), "grid")
    show(notebook)
    notebook.run(1)
    tool = notebook.field(agent, "tool")
    expect(tool).to_have_text(["Read", "Read"])
    presence_server.send(agent, tool_name="Edit")
    expect(tool).to_have_text(["Edit", "Edit"])
    notebook.clear(0)
    expect(notebook.grid).to_have_count(1)
    presence_server.send(agent, tool_name="Grep")
    expect(tool).to_have_text(["Grep"])


def test_grid_rerunning_cell_does_not_leak(
    jupyter: Jupyter, presence_server: Server, open_notebook: OpenNotebook
) -> None:
    """The last run has as many threads, sockets, comms and widgets as the first."""
    agent = f"again-{jupyter.kind}"
    presence_server.send(agent, tool_name="Read")
    count = COUNT.replace("PORT", str(presence_server.port))
    notebook = open_notebook(jupyter, SHOW.format(url=presence_server.url), count, "grid.close()")
    show(notebook)
    before = json.loads(notebook.printed(1))
    assert before["sockets"] == 1
    for _ in range(RERUNS):
        notebook.run(0)
    assert json.loads(notebook.printed(1)) == before
    expect(notebook.grid).to_have_count(1)
    presence_server.send(agent, tool_name="Edit")
    expect(notebook.field(agent, "tool")).to_have_text("Edit")
    notebook.run(2)
    after = json.loads(notebook.printed(1))
    assert after["sockets"] == 0
    assert not [name for name in after["threads"] if name.startswith("htmlgraph-")]
