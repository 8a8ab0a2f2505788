"""Makes the virtual environment in which the tests run; standard library only."""

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
    "this Python makes no virtual environments: it lacks ensurepip, and pip could not install "
    "virtualenv either; on Debian and Ubuntu: apt-get install python3-venv"
)


_WITHOUT_AGENT = ("--no-binary", "claude-agent-sdk")
"""The SDK's wheel holds Claude Code, 400 MB that no test runs; its source holds the SDK alone."""


class EnvironmentFailed(Exception):
    """The environment could not be made; the text says what to do."""


def prepare() -> Path:
    """Return the Python of an environment that holds the package and its ``test`` group.

    It is made on the first run, and again when Python or pyproject.toml has changed.

    Raises:
        EnvironmentFailed: it could not be made.
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
    """Run a command from the top of the repository, its output seen, and return its exit status."""
    print("$", *command, flush=True)
    return subprocess.run(command, cwd=ROOT, env={**os.environ, **variables}).returncode


def start(command: list[str]) -> Callable[[], int]:
    """Run a command as ``run`` does, aside; what is returned waits for it and shows its output."""
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
    # Debian keeps ensurepip in a package of its own; pip brings the same from elsewhere.
    shutil.rmtree(FOLDER, ignore_errors=True)
    with tempfile.TemporaryDirectory() as aside:
        pip = [sys.executable, "-m", "pip", "install", "--target", aside, "virtualenv"]
        if run(pip, PIP_USER="0") == 0:
            made = run([sys.executable, "-m", "virtualenv", str(FOLDER)], PYTHONPATH=aside)
            if made == 0:
                return
    raise EnvironmentFailed(_NO_VENV)


def _pip(python: Path, *arguments: str) -> None:
    command = [str(python), "-m", "pip", "install", "--disable-pip-version-check", *arguments]
    status = run(command, PIP_USER="0", PIP_REQUIRE_VIRTUALENV="0")
    if status != 0:
        raise EnvironmentFailed(
            f"pip ended with exit status {status}; it needs a package index that it can reach "
            "(pip config list shows which one it asks)"
        )
