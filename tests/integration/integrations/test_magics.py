"""``%%agent`` and ``%agent`` in a real kernel, beside a real server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from tests.helpers.server_process import Server, clean_environ
from tests.helpers.wait import wait_until
from tests.integration.conftest import Serve

LOAD = "%load_ext htmlgraph_nb"


class Notebook:
    """A notebook that a kernel runs cell by cell.

    Args:
        server: which the kernel finds by itself.
    """

    def __init__(self, server: Server, folder: Path) -> None:
        self.server = server
        self.notebook = nbformat.v4.new_notebook()
        resources = {"metadata": {"path": str(folder)}}
        self.client = NotebookClient(
            self.notebook, timeout=60, kernel_name="python3", resources=resources
        )
        self.client.create_kernel_manager()
        # Where the server is slow to answer, events go to its file.
        environ = clean_environ(server.home, {"HTMLGRAPH_DB": str(server.db)})
        self.client.start_new_kernel(env=environ)
        self.client.start_new_kernel_client()

    def run(self, code: str) -> list[Any]:
        """Run a cell and return its outputs; CellExecutionError where it fails."""
        self.notebook.cells.append(nbformat.v4.new_code_cell(code))
        place = len(self.notebook.cells) - 1
        return list(self.client.execute_cell(self.notebook.cells[place], place).outputs)

    def events(self, agent: str) -> list[dict[str, Any]]:
        """Return what the server has of an agent."""
        found: list[dict[str, Any]] = self.server.get(f"/api/history?agent={agent}").json()[
            "events"
        ]
        return found

    def waited(self, agent: str, last: str, times: int = 1) -> list[dict[str, Any]]:
        """Return an agent's events, once so many are of this type, the last among them."""

        def arrived() -> list[dict[str, Any]]:
            found = self.events(agent)
            is_last = bool(found) and found[-1]["event_type"] == last
            return found if is_last and kinds(found).count(last) == times else []

        return wait_until(arrived, f"{last} of {agent}", 30)

    def close(self) -> None:
        """End the kernel as a front end does."""
        self.client._cleanup_kernel()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, module_server: Server) -> Iterator[Notebook]:
    """A kernel for the tests of this module: each takes an agent of its own."""
    notebook = Notebook(module_server, tmp_path_factory.mktemp("shop"))
    notebook.run(LOAD)
    yield notebook
    notebook.close()


def kinds(events: list[dict[str, Any]]) -> list[str]:
    return [one["event_type"] for one in events]


def test_a_cell_is_a_turn(served: Notebook) -> None:
    """It shows what it always shows, and is told as prompt, tool and end."""
    outputs = served.run("%%agent analyst --feature feat-1 --model m-1\nprint('out')\n40 + 2")
    assert [one.output_type for one in outputs] == ["stream", "execute_result"]
    assert outputs[0].text == "out\n"
    assert outputs[1].data["text/plain"] == "42"
    events = served.waited("analyst", "stop")
    assert kinds(events) == ["session_start", "prompt", "tool_start", "tool_execute", "stop"]
    assert {one["session_id"] for one in events} - {None} == {events[0]["session_id"]}
    done = events[3]
    assert (done["tool_name"], done["feature_id"], done["model"]) == ("cell", "feat-1", "m-1")
    assert done["duration_ms"] is not None
    assert done["project"].startswith("shop")
    presence = served.server.presence()["analyst"]
    assert (presence["status"], presence["total_tools_executed"]) == ("idle", 1)


def test_an_error_shows_as_always_and_stops_the_notebook(served: Notebook) -> None:
    """One traceback, with the cell's own line, and the cell has failed."""
    with pytest.raises(CellExecutionError) as caught:
        served.run("%%agent broken\nx = 1\nx / 0")
    assert caught.value.ename == "ZeroDivisionError"
    (output,) = served.notebook.cells[-1].outputs
    assert output.output_type == "error"
    assert "line 3" in output.traceback[-2] or "3 x" in "".join(output.traceback)
    events = served.waited("broken", "stop")
    assert kinds(events)[-2:] == ["tool_error", "stop"]
    assert events[-2]["extra"] == {"error": "ZeroDivisionError"}
    assert served.server.presence()["broken"]["total_errors"] == 1


def test_bad_syntax_is_an_error_too(served: Notebook) -> None:
    """A cell that never ran is told as failed."""
    with pytest.raises(CellExecutionError, match="SyntaxError"):
        served.run("%%agent typist\nx = = 1")
    assert kinds(served.waited("typist", "stop"))[-2:] == ["tool_error", "stop"]


def test_await_and_other_magics_work_inside(served: Notebook) -> None:
    """A cell may wait, and may begin with a further magic."""
    served.run("%%agent waiter\nimport asyncio\nawait asyncio.sleep(0)\nfound = 7")
    assert served.run("found")[0].data["text/plain"] == "7"
    (output,) = served.run("%%agent waiter\n%%capture said\nprint('kept')") or [None]
    assert output is None
    assert served.run("said.stdout")[0].data["text/plain"] == "'kept\\n'"
    events = served.waited("waiter", "stop", times=2)
    assert kinds(events).count("tool_execute") == 2
    assert kinds(events).count("session_start") == 1


def test_an_interrupt_is_told(served: Notebook) -> None:
    """A person's interrupt ends the turn as one."""
    with pytest.raises(CellExecutionError, match="KeyboardInterrupt"):
        served.run("%%agent stopped\nimport _thread\n_thread.interrupt_main()\nwhile True: pass")
    events = served.waited("stopped", "interrupt")
    assert kinds(events)[-2:] == ["tool_error", "interrupt"]
    assert events[-2]["extra"] == {"is_interrupt": True}


def test_tools_in_a_cell_are_its_agents(served: Notebook) -> None:
    """A decorated function that the cell calls, also in a thread, is a tool of the agent."""
    served.run(
        "%%agent worker\n"
        "import threading\n"
        "from htmlgraph_nb import tool\n"
        "@tool\n"
        "def look(): pass\n"
        "look()\n"
        "thread = threading.Thread(target=look)\n"
        "thread.start(); thread.join()"
    )
    events = served.waited("worker", "stop")
    names = [one["tool_name"] for one in events if one["event_type"] == "tool_execute"]
    assert names == ["look", "look", "cell"]
    assert len({one["session_id"] for one in events}) == 1


def test_status(served: Notebook) -> None:
    """``%agent`` is a frame of this notebook's agents, with a name of one of them."""
    for name in ("one", "two"):
        served.run(f"%%agent {name}\n1")
    (output,) = served.run("frame = %agent\nsorted(set(frame.agent_id) & {'one', 'two'})")
    assert output.data["text/plain"] == "['one', 'two']"
    (output,) = served.run("%agent two")
    text = output.data["text/plain"]
    assert "two" in text
    assert "idle" in text


@pytest.mark.parametrize(
    ("code", "advice"),
    [
        ("%%agent\n1 / 0", "%%agent: the name of the agent is missing; write %%agent my-agent"),
        ("%%agent a --colour red\n1 / 0", "unrecognized arguments: --colour red"),
        ("%agent a --feature f", "are options of %%agent"),
    ],
)
def test_misuse_is_explained_and_runs_nothing(code: str, advice: str, served: Notebook) -> None:
    """The cell does not run; the error is one line that says what to do."""
    with pytest.raises(CellExecutionError, match="UsageError") as caught:
        served.run(code)
    outputs = "".join(str(one) for one in served.notebook.cells[-1].outputs)
    assert advice in outputs
    assert "ZeroDivisionError" not in str(caught.value)


def test_loading_again_and_unloading(serve: Serve, tmp_path: Path) -> None:
    """Loaded twice it reports once; unloaded, its sessions end and a cell is no agent's."""
    notebook = Notebook(serve(), tmp_path)
    try:
        notebook.run(LOAD)
        notebook.run("%reload_ext htmlgraph_nb")
        notebook.run("%%agent a\n1")
        assert kinds(notebook.waited("a", "stop")).count("prompt") == 1
        notebook.run("%unload_ext htmlgraph_nb")
        notebook.waited("a", "session_end")
        with pytest.raises(CellExecutionError, match="UsageError"):
            notebook.run("%%agent a\n1")
    finally:
        notebook.close()


def test_the_kernels_end_is_the_sessions(serve: Serve, tmp_path: Path) -> None:
    """Its agents are offline then, and without a server the events are in the file."""
    notebook = Notebook(serve(), tmp_path)
    try:
        notebook.run(LOAD)
        notebook.run("%%agent a\n1")
        notebook.waited("a", "stop")
    finally:
        notebook.close()
    notebook.waited("a", "session_end")
    assert notebook.server.presence()["a"]["status"] == "offline"
