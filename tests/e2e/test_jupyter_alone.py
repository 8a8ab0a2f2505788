"""Only `jupyter lab`: notebook, page and agents discover the server."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from jupyter_server.auth import passwd
from playwright.sync_api import Page, expect

from tests.e2e.conftest import OpenPage
from tests.e2e.jupyter import Jupyter, Notebook, running_jupyter
from tests.e2e.test_notebook import NOTEBOOKS
from tests.e2e.test_notebook_live import PAYLOADS
from tests.helpers.environ import clean_environ

TOKEN = "lab-token"
SESSION = "a10ea10e-3d52-4a7c-9f10-5a1c2e8b7d66"
PASSWORD = "correct horse"
ACCESS = {
    "token": (f"--IdentityProvider.token={TOKEN}",),
    "password": (
        "--IdentityProvider.token=",
        f"--PasswordIdentityProvider.hashed_password={passwd(PASSWORD)}",
        "--ServerApp.base_url=/user/ada/",
    ),
}
FIRST_GRID = 1
"""Index of the notebook cell that shows the grid."""


@contextmanager
def lab(folder: Path, access: str) -> Iterator[Jupyter]:
    """Run JupyterLab with its own data folder and no other server."""
    environ = {"HTMLGRAPH_HOME": str(folder / "home")}
    with running_jupyter("lab", folder, environ, ACCESS[access]) as started:
        yield started


def come_in(page: Page, access: str, url: str) -> None:
    """Open a URL as a user with the token or the password."""
    if access == "token":
        page.goto(f"{url}{'&' if '?' in url else '?'}token={TOKEN}")
        return
    page.goto(url)
    page.locator("#password_input").fill(PASSWORD)
    page.locator("#login_submit").click()


def report(folder: Path) -> None:
    """Run the hook like Claude Code, without a configured server."""
    content = json.loads((PAYLOADS / "post_tool_use.json").read_text(encoding="utf-8"))
    done = subprocess.run(
        [sys.executable, "-m", "htmlgraph_nb.hook"],
        input=json.dumps({**content, "session_id": SESSION}).encode(),
        capture_output=True,
        timeout=60,
        env=clean_environ(folder / "home"),
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


@pytest.mark.parametrize("access", ACCESS)
def test_live_notebook_needs_only_jupyter(open_page: OpenPage, tmp_path: Path, access: str) -> None:
    """Notebook 01_live and the page show what a hook reports."""
    with lab(tmp_path, access) as jupyter:
        n_cells = jupyter.write("live.ipynb", NOTEBOOKS / "01_live.ipynb")
        watched = open_page("about:blank")
        watched.allowed.extend(jupyter.own_errors)
        come_in(watched.page, access, jupyter.address("live.ipynb"))
        notebook = Notebook(watched, n_cells, jupyter.folder / "live.ipynb")
        notebook.run(FIRST_GRID)
        expect(notebook.grid).to_have_attribute("data-connection", "connected")
        report(tmp_path)
        card = '[data-agent-id="claude-a10ea10e"]'
        expect(notebook.grid.locator(card)).to_be_visible()

        page = watched.page.context.new_page()
        page.goto(f"{jupyter.url}htmlgraph/")
        expect(page.locator(card)).to_be_visible()
        page.locator(card).click()
        expect(page.locator('[data-event="tool_execute"]')).to_have_count(1)
        notebook.shut_down()
