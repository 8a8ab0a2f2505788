"""05_frameworks runs as shipped with a server that it discovers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from tests.helpers.server_process import Server
from tests.helpers.wait import wait_until
from tests.integration.notebooks.test_notebooks import FOLDER, read


def test_frameworks_notebook_runs(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every framework's agent is reported, one waits for a person, and totals are correct."""
    monkeypatch.setenv("HTMLGRAPH_HOME", str(server.home))
    monkeypatch.setenv("HTMLGRAPH_DB", str(server.db))
    notebook = read(FOLDER / "05_frameworks.ipynb")
    resources = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(notebook, timeout=100, kernel_name="python3", resources=resources).execute()

    def shown(cell_id: str) -> str:
        (cell,) = [cell for cell in notebook.cells if cell.id == cell_id]
        outputs: list[nbformat.NotebookNode] = cell.outputs
        assert [one.output_type for one in outputs] == ["execute_result"], outputs
        return str(outputs[0].data["text/plain"])

    assert "waits for permission to use book_train" in shown("frameworks-waiting")
    assert shown("frameworks-resume") == "'Done.'"
    assert "money" in shown("frameworks-openai")
    assert "Porto: sunny" in shown("frameworks-magic")
    assert "analyst" in shown("frameworks-status")
    for agent in ("trip-planner", "booking", "desk/refunds", "analyst"):
        assert agent in shown("frameworks-history")
    assert "forecast" in shown("frameworks-tools")

    def known() -> dict[str, Any]:
        found = server.presence()
        return found if found.get("analyst", {}).get("status") == "offline" else {}

    # The kernel has ended, and the sessions of its cells with it.
    presence = wait_until(known, "the end of the analyst", 30)
    tokens = {name: agent["total_cost_tokens"] for name, agent in presence.items()}
    assert tokens == {
        "trip-planner": 1_020,
        "booking": 2 * 1_280,
        "desk": 760,
        "desk/refunds": 760,
        "analyst": 0,
    }
    assert presence["desk/refunds"]["parent_agent_id"] == "desk"
