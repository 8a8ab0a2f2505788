"""The notebooks that need no browser, run as they are shipped."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest

from tests.helpers.paths import ROOT

FOLDER = ROOT / "notebooks"


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
