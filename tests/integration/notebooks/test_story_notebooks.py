"""The notebooks about history run from top to bottom."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from tests.helpers.paths import ROOT

FOLDER = ROOT / "notebooks"


@pytest.mark.parametrize("name", ["02_history", "03_costs"])
def test_story_notebook_runs(name: str, tmp_path: Path) -> None:
    """It runs on the sample history, and every cell has output."""
    notebook = nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)
    resources = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(notebook, timeout=100, kernel_name="python3", resources=resources).execute()
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    for cell in cells:
        # matplotlib logs when it builds its font cache; a slow load shows a progress bar.
        *said, output = cell.outputs
        assert not [one for one in said if "Warning" in str(one)], said
        if "plot" in cell.source:
            assert output.output_type == "display_data", cell.source
            assert len(output.data["image/png"]) > 5_000, cell.source
            continue
        assert output.output_type == "execute_result", cell.source
        text = output.data["text/plain"]
        assert "Empty DataFrame" not in text, cell.source
        assert len(text.splitlines()) >= 3, cell.source
    assert list(tmp_path.iterdir()) == []
