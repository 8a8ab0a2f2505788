"""06_connect runs as shipped and does not touch the user's home folder."""

from __future__ import annotations

from pathlib import Path

import pytest
from nbclient import NotebookClient

from tests.integration.notebooks.test_notebooks import FOLDER, read


def test_connect_notebook_connects_and_undoes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The hooks of a session become presence and history; the home folder is unchanged."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("HTMLGRAPH_HOME", str(tmp_path / "own"))
    notebook = read(FOLDER / "06_connect.ipynb")
    resources = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(notebook, timeout=100, kernel_name="python3", resources=resources).execute()
    shown = {}
    for cell in notebook.cells:
        for output in cell.get("outputs", ()):
            assert output.output_type != "error"
            data = output.get("data", {"text/plain": output.get("text", "")})
            shown[cell.id] = shown.get(cell.id, "") + data["text/plain"]
    assert "htmlgraph-hook" in shown["connect-settings"]
    assert " at http://127.0.0.1:" in shown["connect-serve"]
    assert shown["connect-hooks"].split() == [
        "SessionStart",
        "UserPromptSubmit",
        "PreToolUse",
        "PostToolUse",
        "PermissionRequest",
    ], "the hook itself says nothing"
    for output in ("claude-3f1c9a52", "active", "waiting_permission", "True", "claude-opus-4-6"):
        assert output in shown["connect-presence"]
    for output in ("session_start", "prompt", "tool_execute", "5120", "permission_request", "shop"):
        assert output in shown["connect-history"]
    assert "last reported 20" in shown["connect-check"]
    assert shown["connect-undo"].split() == ["{", '"model":', '"opus"', "}"]
    hidden = {".ipython", ".config", ".cache", ".jupyter", ".local"}
    assert {path.name for path in tmp_path.iterdir()} <= hidden
