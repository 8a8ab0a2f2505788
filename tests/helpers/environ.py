"""Environments in which processes do not use the files of the user who runs the tests."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from htmlgraph_nb.coding_agents.registry import AGENTS

HOME_VARIABLES = ("HOME", "USERPROFILE")
AGENT_VARIABLES = (
    *sorted({name for agent in AGENTS.values() if (name := agent.home_variable)}),
    *("XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME"),
)
"""Where coding agents keep their files, if not in the home folder."""
_JUPYTER_FOLDERS = {
    "JUPYTER_CONFIG_DIR": "config",
    "JUPYTER_DATA_DIR": "data",
    "JUPYTER_RUNTIME_DIR": "runtime",
    "JUPYTERLAB_SETTINGS_DIR": "settings",
    "JUPYTERLAB_WORKSPACES_DIR": "workspaces",
    "IPYTHONDIR": "ipython",
}


def clean_environ(home: Path, environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return an environment for a process that uses no files outside ``home``."""
    own = {"HTMLGRAPH_HOME": str(home), "PYTHONUNBUFFERED": "1"}
    return {**_environ(home), **own, **(environ or {})}


def jupyter_environ(folder: Path, environ: Mapping[str, str]) -> dict[str, str]:
    """Return an environment with all of Jupyter's folders below ``folder``, plus ``environ``."""
    kept = {
        name: value
        for name, value in _environ(folder).items()
        if not name.startswith(("JUPYTER", "JPY_", "IPYTHON"))
    }
    own = {name: str(folder / value) for name, value in _JUPYTER_FOLDERS.items()}
    return {**kept, **own, **environ}


def _environ(home: Path) -> dict[str, str]:
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("HTMLGRAPH_") and name not in AGENT_VARIABLES
    }
    # Other people may have accounts where the tests run.
    kept["HTMLGRAPH_LOCAL_TOKEN"] = "off"
    return {**kept, **dict.fromkeys(HOME_VARIABLES, str(home))}
