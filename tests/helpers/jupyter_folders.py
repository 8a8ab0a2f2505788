"""An environment in which Jupyter does not use the files of the user who runs the tests."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

_FOLDERS = {
    "JUPYTER_CONFIG_DIR": "config",
    "JUPYTER_DATA_DIR": "data",
    "JUPYTER_RUNTIME_DIR": "runtime",
    "JUPYTERLAB_SETTINGS_DIR": "settings",
    "JUPYTERLAB_WORKSPACES_DIR": "workspaces",
    "IPYTHONDIR": "ipython",
}


def jupyter_environ(folder: Path, environ: Mapping[str, str]) -> dict[str, str]:
    """Return an environment with all of Jupyter's folders below ``folder``, plus ``environ``."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("HTMLGRAPH_", "JUPYTER", "JPY_", "IPYTHON"))
    }
    own = {name: str(folder / value) for name, value in _FOLDERS.items()}
    return {**kept, **own, **environ}
