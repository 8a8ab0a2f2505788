"""The notebooks that need no browser, run as they are shipped."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from tests.polling import wait_until

from .conftest import Serve

FOLDER = Path(__file__).resolve().parents[2] / "notebooks"


def read(path: Path) -> nbformat.NotebookNode:
    """Return a notebook; the test fails where it does not keep to its format."""
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    return notebook


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.ipynb")), ids=lambda path: path.name)
def test_stored_without_outputs(path: Path) -> None:
    """What is committed is the source: no output, no count, and no cell without an id."""
    for cell in read(path).cells:
        assert cell.id
        if cell.cell_type == "code":
            assert cell.outputs == []
            assert cell.execution_count is None


def test_history(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """02_history finds the running server's database, and every cell shows rows of it."""
    server = serve("--speed", "100", "--no-browser", "--agents", "6", command="demo")

    def kinds() -> set[str]:
        events = server.get("/api/history?limit=10000").json()["events"]
        return {event["event_type"] for event in events}

    needed = {"completion", "tool_execute", "tool_error", "permission_request", "answered"}
    wait_until(lambda: needed <= kinds(), "every kind of event", 60)
    monkeypatch.setenv("HTMLGRAPH_HOME", str(server.home))
    notebook = read(FOLDER / "02_history.ipynb")
    NotebookClient(notebook, timeout=60, kernel_name="python3").execute()
    for cell in notebook.cells:
        if cell.cell_type != "code":
            continue
        (output,) = cell.outputs
        assert output.output_type == "execute_result", cell.source
        assert "Empty DataFrame" not in output.data["text/plain"], cell.source
        assert len(output.data["text/plain"].splitlines()) >= 3, cell.source
