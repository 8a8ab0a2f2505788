"""Fixtures and settings of all tests, which isolate them from the user's settings and files."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests.helpers.environ import AGENT_VARIABLES, HOME_VARIABLES

# No deadlines: a slow machine must not fail a property test.
settings.register_profile("fixed", deadline=None, print_blob=True, derandomize=True)
settings.register_profile("explore", deadline=None, print_blob=True, derandomize=False)
settings.load_profile("fixed")


@pytest.fixture(autouse=True, scope="session")
def empty_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Hide the session files, settings and time zone of the user who runs the tests."""
    home = tmp_path_factory.mktemp("empty-home")
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv("TZ", "UTC")
        if hasattr(time, "tzset"):
            time.tzset()
        for name in AGENT_VARIABLES:
            monkeypatch.delenv(name, raising=False)
        for name in HOME_VARIABLES:
            monkeypatch.setenv(name, str(home))
        yield home


@pytest.fixture(autouse=True)
def own_home(
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """Remove every HTMLGRAPH_* variable and give the test a data folder of its own."""
    for name in [name for name in os.environ if name.startswith("HTMLGRAPH_")]:
        monkeypatch.delenv(name)
    home = tmp_path_factory.mktemp("own-home")
    monkeypatch.setenv("HTMLGRAPH_HOME", str(home))
    # Other people may have accounts where the tests run.
    monkeypatch.setenv("HTMLGRAPH_LOCAL_TOKEN", "off")
    return home
