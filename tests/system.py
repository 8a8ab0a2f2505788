"""What the tests need of the system beside Python; installs it on Debian. Standard library only."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from tests.helpers.chromium import VARIABLE, ChromiumMissing, find_chromium

_NODE = """
import subprocess
from playwright._impl._driver import compute_driver_executable
raise SystemExit(subprocess.run([compute_driver_executable()[0], "--version"]).returncode)
"""


class SystemIncomplete(Exception):
    """Something is missing and could not be installed; the text says what to do."""


def complete(python: Path) -> None:
    """Make sure that there is a Chromium, and that playwright's Node.js runs.

    Args:
        python: of an environment in which playwright is installed.

    Raises:
        SystemIncomplete: something is missing and could not be installed.
    """
    missing = _missing(python)
    if missing and _install(list(missing)):
        missing = _missing(python)
    if missing:
        raise SystemIncomplete("\n".join(missing.values()))


def _missing(python: Path) -> dict[str, str]:
    """Return Debian's name of each missing package, and what to do."""
    missing = {}
    try:
        print("browser:", find_chromium(), flush=True)
    except ChromiumMissing as error:
        if os.environ.get(VARIABLE):
            raise SystemIncomplete(str(error)) from None
        missing["chromium"] = str(error)
    node = subprocess.run([str(python), "-c", _NODE], capture_output=True, text=True)
    if node.returncode != 0:
        missing["libatomic1"] = (
            "the Node.js that playwright brings does not run here; mostly its libatomic.so.1 is "
            f"missing (Debian: apt-get install libatomic1): {node.stderr.strip()}"
        )
    return missing


def _install(packages: list[str]) -> bool:
    """Install Debian's packages; return whether that was possible."""
    if shutil.which("apt-get") is None:
        return False
    prefix = [] if os.geteuid() == 0 else ["sudo"]
    if prefix and shutil.which("sudo") is None:
        return False
    for command in (
        ["apt-get", "update"],
        ["apt-get", "install", "--yes", "--no-install-recommends", *packages],
    ):
        # sudo hands no environment on, so the variable goes behind it.
        command = [*prefix, "env", "DEBIAN_FRONTEND=noninteractive", *command]
        print("$", *command, flush=True)
        if subprocess.run(command).returncode != 0:
            return False
    return True
