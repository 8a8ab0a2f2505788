"""Checks for the programs that tests start; installs them on Debian; standard library only."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from tests.helpers.chromium import VARIABLE, ChromiumMissing, find_chromium
from tests.helpers.postgres_folder import PostgresMissing, find_postgres

_NODE = """
import subprocess
from playwright._impl._driver import compute_driver_executable
raise SystemExit(subprocess.run([compute_driver_executable()[0], "--version"]).returncode)
"""


class SystemIncomplete(Exception):
    """A program is missing and could not be installed; the message says what to do."""


def install_missing(python: Path) -> None:
    """Make sure that Chromium, PostgreSQL and nginx are installed and playwright's Node.js runs.

    Args:
        python: the Python of an environment with playwright.

    Raises:
        SystemIncomplete: a program is missing and could not be installed.
    """
    missing = _missing(python)
    if missing and _install(list(missing)):
        missing = _missing(python)
    if missing:
        raise SystemIncomplete("\n".join(missing.values()))


def _missing(python: Path) -> dict[str, str]:
    """Return the Debian name of each missing package, with what to do."""
    missing = {}
    try:
        print("browser:", find_chromium(), flush=True)
    except ChromiumMissing as error:
        if os.environ.get(VARIABLE):
            raise SystemIncomplete(str(error)) from None
        missing["chromium"] = str(error)
    try:
        print("PostgreSQL:", find_postgres(), flush=True)
    except PostgresMissing as error:
        missing["postgresql"] = str(error)
    if (nginx := find_nginx()) is None:
        missing["nginx-light"] = "nginx is missing (Debian: apt-get install nginx-light)"
    else:
        print("nginx:", nginx, flush=True)
    node = subprocess.run([str(python), "-c", _NODE], capture_output=True, text=True)
    if node.returncode != 0:
        missing["libatomic1"] = (
            "playwright's Node.js does not run; usually libatomic.so.1 is missing "
            f"(Debian: apt-get install libatomic1): {node.stderr.strip()}"
        )
    return missing


def find_nginx() -> str | None:
    """Return nginx, which Debian keeps out of the PATH of users; None: it is not installed."""
    return shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")


def _install(packages: list[str]) -> bool:
    """Install Debian packages; return whether that succeeded."""
    if shutil.which("apt-get") is None:
        return False
    prefix = [] if os.geteuid() == 0 else ["sudo"]
    if prefix and shutil.which("sudo") is None:
        return False
    for command in (
        ["apt-get", "update"],
        ["apt-get", "install", "--yes", "--no-install-recommends", *packages],
    ):
        # sudo drops the environment, so env sets the variable after it.
        command = [*prefix, "env", "DEBIAN_FRONTEND=noninteractive", *command]
        print("$", *command, flush=True)
        if subprocess.run(command).returncode != 0:
            return False
    return True
