"""Creates the virtual environment of the tests; standard library only."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / ".venv-tests"
_STAMP = FOLDER / "installed.txt"
_NO_VENV = (
    "cannot create a virtual environment: this Python has no ensurepip, and pip could not install "
    "virtualenv; on Debian and Ubuntu run: apt-get install python3-venv"
)


_WITHOUT_AGENT = ("--no-binary", "claude-agent-sdk")
"""The SDK's wheel contains Claude Code, 400 MB that no test uses; its sdist has only the SDK."""


class EnvironmentFailed(Exception):
    """The environment could not be created; the message says what to do."""


def prepare() -> Path:
    """Return the Python of an environment with the package and its ``test`` group.

    The first run creates it, and so does the first run after a change of Python or pyproject.toml.

    Raises:
        EnvironmentFailed: it could not be created.
    """
    python = _python_of(FOLDER)
    stamp = _fingerprint()
    if python.exists() and _STAMP.exists() and _STAMP.read_text() == stamp:
        return python
    if FOLDER.exists():
        shutil.rmtree(FOLDER)
    _create()
    _pip(python, "--upgrade", "pip>=25.1")
    _pip(python, "--editable", ".", "--group", "test", *_WITHOUT_AGENT)
    _STAMP.write_text(stamp)
    return python


def run(command: list[str], **variables: str) -> int:
    """Run a command in the repository root, show its output and return its exit status."""
    print("$", *command, flush=True)
    return subprocess.run(command, cwd=ROOT, env={**os.environ, **variables}).returncode


def start(command: list[str]) -> Callable[[], int]:
    """Start a command in the background; return a function that waits and shows its output."""
    process = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )

    def wait() -> int:
        output, _ = process.communicate()
        print("$", *command, flush=True)
        print(output, end="", flush=True)
        return process.returncode

    return wait


def _python_of(folder: Path) -> Path:
    return folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def _fingerprint() -> str:
    project = (ROOT / "pyproject.toml").read_bytes()
    return f"{sys.version}\n{sys.base_prefix}\n{ROOT}\n{hashlib.sha256(project).hexdigest()}\n"


def _create() -> None:
    if run([sys.executable, "-m", "venv", str(FOLDER)]) == 0:
        return
    # Debian has ensurepip in a separate package; virtualenv from pip does not need it.
    shutil.rmtree(FOLDER, ignore_errors=True)
    with tempfile.TemporaryDirectory() as target:
        pip = [sys.executable, "-m", "pip", "install", "--target", target, "virtualenv"]
        if run(pip, PIP_USER="0") == 0:
            status = run([sys.executable, "-m", "virtualenv", str(FOLDER)], PYTHONPATH=target)
            if status == 0:
                return
    raise EnvironmentFailed(_NO_VENV)


def _pip(python: Path, *arguments: str) -> None:
    command = [str(python), "-m", "pip", "install", "--disable-pip-version-check", *arguments]
    status = run(command, PIP_USER="0", PIP_REQUIRE_VIRTUALENV="0")
    if status != 0:
        raise EnvironmentFailed(
            f"pip: exit status {status}; check that its package index is reachable "
            "(pip config list shows the index)"
        )
