"""The notebooks that need no browser run as shipped."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest

from tests.helpers.paths import ROOT

FOLDER = ROOT / "notebooks"


def read(path: Path) -> nbformat.NotebookNode:
    """Return a notebook; fail if its format is invalid."""
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    return notebook


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.ipynb")), ids=lambda path: path.name)
def test_notebooks_are_stored_without_outputs(path: Path) -> None:
    """Committed notebooks have no outputs and no counts, and every cell has an id."""
    for cell in read(path).cells:
        assert cell.id
        if cell.cell_type == "code":
            assert cell.outputs == []
            assert cell.execution_count is None
