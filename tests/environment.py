"""Creates the virtual environments of the tests; standard library only."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / ".venv-tests"
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
    project = (ROOT / "pyproject.toml").read_bytes()
    installs = (
        ("--upgrade", "pip>=25.1"),
        ("--editable", ".", "--group", "test", *_WITHOUT_AGENT),
    )
    return create(FOLDER, hashlib.sha256(project).hexdigest(), *installs)


def create(folder: Path, contents: str, *installs: Sequence[str]) -> Path:
    """Return the Python of a virtual environment, which is created again if its contents changed.

    Args:
        contents: identifies what is installed.
        installs: the arguments of each ``pip install``.

    Raises:
        EnvironmentFailed: it could not be created.
    """
    python, stamp = _python_of(folder), folder / "installed.txt"
    fingerprint = f"{sys.version}\n{sys.base_prefix}\n{ROOT}\n{contents}\n"
    if python.exists() and stamp.exists() and stamp.read_text() == fingerprint:
        return python
    if folder.exists():
        shutil.rmtree(folder)
    _create(folder)
    for arguments in installs:
        _pip(python, *arguments)
    stamp.write_text(fingerprint)
    return python


def run(command: list[str], **variables: str) -> int:
    """Run a command in the repository root, show its output and return its exit status."""
    print("$", *command, flush=True)
    return subprocess.run(command, cwd=ROOT, env={**os.environ, **variables}).returncode


def start(command: list[str]) -> Callable[[], int]:
    """Start a command in the background; return a function that waits and shows its output."""
    # A file: the command would wait for a reader when a pipe is full.
    output = tempfile.TemporaryFile()  # noqa: SIM115  (closed by wait)
    process = subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=subprocess.STDOUT)

    def wait() -> int:
        process.wait()
        print("$", *command, flush=True)
        with output:
            output.seek(0)
            print(output.read().decode(errors="replace"), end="", flush=True)
        return process.returncode

    return wait


def _python_of(folder: Path) -> Path:
    return folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def _create(folder: Path) -> None:
    if run([sys.executable, "-m", "venv", str(folder)]) == 0:
        return
    # Debian has ensurepip in a separate package; virtualenv from pip does not need it.
    shutil.rmtree(folder, ignore_errors=True)
    with tempfile.TemporaryDirectory() as target:
        pip = [sys.executable, "-m", "pip", "install", "--target", target, "virtualenv"]
        if run(pip, PIP_USER="0") == 0:
            status = run([sys.executable, "-m", "virtualenv", str(folder)], PYTHONPATH=target)
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
