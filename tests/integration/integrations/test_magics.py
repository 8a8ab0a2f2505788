"""``%%agent`` and ``%agent`` work in a real kernel with a real server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from tests.helpers.environ import clean_environ
from tests.helpers.server_process import Server
from tests.helpers.wait import wait_until
from tests.integration.conftest import Serve

LOAD = "%load_ext htmlgraph_nb"


class Notebook:
    """A notebook whose cells run in a kernel.

    Args:
        server: the server, which the kernel discovers.
    """

    def __init__(self, server: Server, folder: Path) -> None:
        self.server = server
        self.notebook = nbformat.v4.new_notebook()
        resources = {"metadata": {"path": str(folder)}}
        self.client = NotebookClient(
            self.notebook, timeout=60, kernel_name="python3", resources=resources
        )
        self.client.create_kernel_manager()
        # If the server responds too slowly, events are written to its database.
        environ = clean_environ(server.home, {"HTMLGRAPH_DB": str(server.db)})
        self.client.start_new_kernel(env=environ)
        self.client.start_new_kernel_client()

    def run(self, code: str) -> list[Any]:
        """Run a cell and return its outputs; raise CellExecutionError if it fails."""
        self.notebook.cells.append(nbformat.v4.new_code_cell(code))
        index = len(self.notebook.cells) - 1
        return list(self.client.execute_cell(self.notebook.cells[index], index).outputs)

    def events(self, agent: str) -> list[dict[str, Any]]:
        """Return the events of an agent at the server."""
        response = self.server.get(f"/api/history?agent={agent}").json()
        return list(response["events"])

    def wait_for(self, agent: str, last: str, times: int = 1) -> list[dict[str, Any]]:
        """Return an agent's events once ``times`` of them, and the last, are of type ``last``."""

        def arrived() -> list[dict[str, Any]]:
            events = self.events(agent)
            is_last = bool(events) and events[-1]["event_type"] == last
            return events if is_last and kinds(events).count(last) == times else []

        return wait_until(arrived, f"{last} of {agent}", 30)

    def wait_for_presence(self, agent: str, status: str) -> dict[str, Any]:
        """Return an agent's presence once it has a status; the file shows events before."""

        def arrived() -> dict[str, Any]:
            presence = self.server.presence().get(agent, {})
            return presence if presence.get("status") == status else {}

        return wait_until(arrived, f"{agent} is {status}", 30)

    def close(self) -> None:
        """Shut the kernel down as a front end does."""
        self.client._cleanup_kernel()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, module_server: Server) -> Iterator[Notebook]:
    """Yield a kernel for all tests of this module; each test uses its own agent."""
    notebook = Notebook(module_server, tmp_path_factory.mktemp("shop"))
    notebook.run(LOAD)
    yield notebook
    notebook.close()


def kinds(events: list[dict[str, Any]]) -> list[str]:
    return [event["event_type"] for event in events]


def test_agent_magic_reports_cell_as_turn(served: Notebook) -> None:
    """The cell's outputs are unchanged; prompt, tool and end are reported."""
    outputs = served.run("%%agent analyst --feature feat-1 --model m-1\nprint('out')\n40 + 2")
    assert [output.output_type for output in outputs] == ["stream", "execute_result"]
    assert outputs[0].text == "out\n"
    assert outputs[1].data["text/plain"] == "42"
    events = served.wait_for("analyst", "stop")
    assert kinds(events) == ["session_start", "prompt", "tool_start", "tool_execute", "stop"]
    assert {event["session_id"] for event in events} - {None} == {events[0]["session_id"]}
    done = events[3]
    assert (done["tool_name"], done["feature_id"], done["model"]) == ("cell", "feat-1", "m-1")
    assert done["duration_ms"] is not None
    assert done["project"].startswith("shop")
    presence = served.wait_for_presence("analyst", "idle")
    assert presence["total_tools_executed"] == 1


def test_agent_magic_keeps_tracebacks_and_stops_notebook(served: Notebook) -> None:
    """There is one traceback, with the cell's own line number, and the cell has failed."""
    with pytest.raises(CellExecutionError) as caught:
        served.run("%%agent broken\nx = 1\nx / 0")
    assert caught.value.ename == "ZeroDivisionError"
    (output,) = served.notebook.cells[-1].outputs
    assert output.output_type == "error"
    assert "line 3" in output.traceback[-2] or "3 x" in "".join(output.traceback)
    events = served.wait_for("broken", "stop")
    assert kinds(events)[-2:] == ["tool_error", "stop"]
    assert events[-2]["extra"] == {"error": "ZeroDivisionError"}
    assert served.wait_for_presence("broken", "idle")["total_errors"] == 1


def test_agent_magic_reports_syntax_error(served: Notebook) -> None:
    """A cell that does not compile is reported as failed."""
    with pytest.raises(CellExecutionError, match="SyntaxError"):
        served.run("%%agent typist\nx = = 1")
    assert kinds(served.wait_for("typist", "stop"))[-2:] == ["tool_error", "stop"]


def test_agent_magic_allows_await_and_other_magics(served: Notebook) -> None:
    """A cell may use ``await`` and start with another cell magic."""
    served.run("%%agent waiter\nimport asyncio\nawait asyncio.sleep(0)\nresult = 7")
    assert served.run("result")[0].data["text/plain"] == "7"
    (output,) = served.run("%%agent waiter\n%%capture captured\nprint('kept')") or [None]
    assert output is None
    assert served.run("captured.stdout")[0].data["text/plain"] == "'kept\\n'"
    events = served.wait_for("waiter", "stop", times=2)
    assert kinds(events).count("tool_execute") == 2
    assert kinds(events).count("session_start") == 1


def test_agent_magic_reports_interrupt(served: Notebook) -> None:
    """An interrupted cell ends the turn with an interrupt."""
    with pytest.raises(CellExecutionError, match="KeyboardInterrupt"):
        served.run("%%agent stopped\nimport _thread\n_thread.interrupt_main()\nwhile True: pass")
    events = served.wait_for("stopped", "interrupt")
    assert kinds(events)[-2:] == ["tool_error", "interrupt"]
    assert events[-2]["extra"] == {"is_interrupt": True}


def test_tools_called_in_cell_belong_to_its_agent(served: Notebook) -> None:
    """A decorated function that the cell calls, even in a thread, is a tool of the agent."""
    served.run(
        "%%agent worker\n"
        "import threading\n"
        "from htmlgraph_nb import tool\n"
        "@tool\n"
        "def search(): pass\n"
        "search()\n"
        "thread = threading.Thread(target=search)\n"
        "thread.start(); thread.join()"
    )
    events = served.wait_for("worker", "stop")
    names = [event["tool_name"] for event in events if event["event_type"] == "tool_execute"]
    assert names == ["search", "search", "cell"]
    assert len({event["session_id"] for event in events}) == 1


def test_agent_line_magic_shows_agents(served: Notebook) -> None:
    """``%agent`` returns a frame of this notebook's agents, ``%agent NAME`` of one of them."""
    for name in ("one", "two"):
        served.run(f"%%agent {name}\n1")
    (output,) = served.run("frame = %agent\nsorted(set(frame.agent_id) & {'one', 'two'})")
    assert output.data["text/plain"] == "['one', 'two']"
    (output,) = served.run("%agent two")
    text = output.data["text/plain"]
    assert "two" in text
    assert "idle" in text


def test_agents_line_magic_lists_agents(served: Notebook) -> None:
    """A table for people, with those that wait first; words and --all choose the rows."""
    send = served.server.send
    send("list-1", event_type="prompt", project="magic", title="<b>Checkout</b>\x1b[2J")
    send("list-1", event_type="completion", model="other-model", input_tokens=5)
    send("list-2", event_type="permission_request", tool_name="Bash", project="magic")
    send("list-3", tool_name="Read", project="magic")
    assert served.server.post("/api/presence/list-3/offline").status == 200
    (output,) = served.run("%agents magic")
    html = output.data["text/html"]
    assert html.index("list-2") < html.index("list-1")
    assert "list-3" not in html
    assert "&lt;b&gt;Checkout&lt;/b&gt;" in html
    assert "\x1b" not in html
    text = output.data["text/plain"]
    assert "waits " in text
    assert "permission: Bash" in text
    (output,) = served.run("frame = %agents magic --all\nlist(frame.agent)")
    assert output.data["text/plain"] == "['list-2', 'list-1', 'list-3']"
    (output,) = served.run("list(frame.cost)")
    assert output.data["text/plain"] == "['', '?', '']"


def test_agent_costs_line_magic_shows_dollars(served: Notebook) -> None:
    """By model unless named otherwise; what has no price is not free."""
    fields = {"input_tokens": 1_000_000, "event_type": "completion", "project": "costly"}
    fields |= {"pr": "#128", "feature_id": "checkout"}
    served.server.send("cost-1", model="claude-haiku-4-5", **fields)
    served.server.send("cost-2", model="my-model", **fields)
    (output,) = served.run("%agent_costs")
    rows = output.data["text/html"].split("<tr>")
    assert "<td>$1.00</td>" in next(row for row in rows if "claude-haiku-4-5" in row)
    unpriced = next(row for row in rows if "my-model" in row)
    assert "$" not in unpriced
    assert unpriced.count("<td>1,000,000</td>") == 3
    (output,) = served.run("frame = %agent_costs 2h --by project,kind --daily\nlist(frame)[:3]")
    assert output.data["text/plain"] == "['timestamp', 'project', 'agent_kind']"
    (output,) = served.run("frame.usd[frame.project == 'costly'].tolist()")
    assert output.data["text/plain"] == "['$1.00']"
    (output,) = served.run("frame = %agent_costs --by pr,feature\nframe.iloc[0].tolist()[:2]")
    assert output.data["text/plain"] == "['#128', 'checkout']"


@pytest.mark.parametrize(
    ("code", "advice"),
    [
        ("%agent_costs soon", "since: expected an ISO time"),
        ("%agent_costs --by colour", "the frame has no column 'colour'"),
        ("%agents --colour", "unrecognized arguments: --colour"),
        ("%%agent\n1 / 0", "%%agent: the name of the agent is missing; write %%agent my-agent"),
        ("%%agent a --colour red\n1 / 0", "unrecognized arguments: --colour red"),
        ("%agent a --feature f", "are options of %%agent"),
    ],
)
def test_agent_magic_misuse_raises_usage_error(code: str, advice: str, served: Notebook) -> None:
    """The cell does not run, and the error says in one line what to do."""
    with pytest.raises(CellExecutionError, match="UsageError") as caught:
        served.run(code)
    outputs = "".join(str(output) for output in served.notebook.cells[-1].outputs)
    assert advice in outputs
    assert "ZeroDivisionError" not in str(caught.value)


def test_load_ext_twice_and_unload(serve: Serve, tmp_path: Path) -> None:
    """Loading twice reports once; unloading ends the sessions and removes the magic."""
    notebook = Notebook(serve(), tmp_path)
    try:
        notebook.run(LOAD)
        notebook.run("%reload_ext htmlgraph_nb")
        notebook.run("%%agent a\n1")
        assert kinds(notebook.wait_for("a", "stop")).count("prompt") == 1
        notebook.run("%unload_ext htmlgraph_nb")
        notebook.wait_for("a", "session_end")
        for code in ("%%agent a\n1", "%agents", "%agent_costs"):
            with pytest.raises(CellExecutionError, match="UsageError"):
                notebook.run(code)
    finally:
        notebook.close()


def test_kernel_shutdown_ends_sessions(serve: Serve, tmp_path: Path) -> None:
    """The agents of the kernel are offline after its shutdown."""
    notebook = Notebook(serve(), tmp_path)
    try:
        notebook.run(LOAD)
        notebook.run("%%agent a\n1")
        notebook.wait_for("a", "stop")
    finally:
        notebook.close()
    notebook.wait_for("a", "session_end")
    notebook.wait_for_presence("a", "offline")
