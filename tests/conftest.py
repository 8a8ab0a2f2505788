"""What holds for every test: no setting of the person who runs them, no file of theirs."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

# A slow machine is no defect: what counts is what a property says, not how long it took.
settings.register_profile("htmlgraph", deadline=None, print_blob=True)
settings.load_profile("htmlgraph")


@pytest.fixture(autouse=True)
def own_home(
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """Take away every HTMLGRAPH_* variable and give the test a data folder of its own."""
    for name in [name for name in os.environ if name.startswith("HTMLGRAPH_")]:
        monkeypatch.delenv(name)
    home = tmp_path_factory.mktemp("own-home")
    monkeypatch.setenv("HTMLGRAPH_HOME", str(home))
    return home
