"""A JupyterLab with Jupyter AI in an environment of its own, and a chat in it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import venv
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from playwright.sync_api import Locator, Page, expect

from tests.helpers.environ import jupyter_environ
from tests.helpers.paths import ROOT
from tests.helpers.wait import wait_until

REQUIREMENTS = ("jupyterlab", "jupyter-ai==3.2.0", "jupyter-ai-acp-client==0.3.3")
COLLABORATION = "jupyter-collaboration>=3,<5"
"""Switches Jupyter AI's chats from WebSockets to shared documents."""
AGENT = ROOT / "tests/helpers/acp_agent.py"
START_S = 90.0
NOTHING: dict[str, str] = {}
PERSONA = """
import sys
from jupyter_ai_acp_client.base_acp_persona import BaseAcpPersona
from jupyter_ai_persona_manager import BasePersona, PersonaDefaults

def defaults_of(name):
    return PersonaDefaults(
        name=name, description="For tests.", avatar_path={avatar!r}, system_prompt=""
    )

class ScriptedAcpPersona(BaseAcpPersona):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, executable=[sys.executable, {agent!r}], **kwargs)

    @property
    def defaults(self):
        return defaults_of("Scripted")

class EchoPersona(BasePersona):
    @property
    def defaults(self):
        return defaults_of("Echo")

    async def process_message(self, message):
        self.send_message("It echoes.")
"""
"""Personas of a project: one that runs a scripted agent, one that runs inside Jupyter Server."""


def make_environment(folder: Path, *, collaboration: bool) -> Path:
    """Create a virtual environment with Jupyter AI and this project; return its Python."""
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if not python.exists():
        venv.create(folder, with_pip=True)
        install(python, *REQUIREMENTS, "--editable", str(ROOT))
    if collaboration:
        install(python, COLLABORATION)
    return python


def install(python: Path, *packages: str) -> None:
    """Install packages with pip."""
    command = [str(python), "-m", "pip", "install", "--quiet", *packages]
    subprocess.run(command, check=True)


@dataclass
class ChatLab:
    """A running JupyterLab with Jupyter AI.

    Attributes:
        url: its address, with a trailing slash.
        folder: folder of all its files.
        log: its log.
    """

    url: str
    folder: Path
    log: Path

    def get(self, path: str) -> Any:
        """Return the JSON of a route of our server."""
        with urlopen(f"{self.url}htmlgraph{path}", timeout=30) as response:
            return json.load(response)

    def agents(self, kind: str) -> list[dict[str, Any]]:
        """Return the agents of a kind."""
        agents: list[dict[str, Any]] = self.get("/api/presence")["agents"]
        return [agent for agent in agents if agent["agent_kind"] == kind]

    def wait_for(self, kind: str, **fields: Any) -> dict[str, Any]:
        """Wait until the only agent of a kind has these values, and return it."""

        def found() -> dict[str, Any] | None:
            agents = self.agents(kind)
            assert len(agents) < 2, agents
            fits = agents and all(agents[0].get(name) == value for name, value in fields.items())
            return agents[0] if fits else None

        return wait_until(found, f"{kind} with {fields}") or {}


@contextmanager
def running_lab(
    python: Path, folder: Path, *flags: str, claude: str = "", environ: Mapping[str, str] = NOTHING
) -> Iterator[ChatLab]:
    """Run JupyterLab with all its files in ``folder``; end its processes at the end.

    Args:
        flags: arguments of JupyterLab.
        claude: command line of claude-agent-acp; "": a script that writes session files like it.
        environ: additional environment variables.
    """
    project = folder / "notebooks/project"
    personas = project / ".jupyter/personas"
    personas.mkdir(parents=True)
    avatar = ROOT / "server/htmlgraph_server/static/favicon.svg"
    (personas / "test_personas.py").write_text(PERSONA.format(avatar=str(avatar), agent=str(AGENT)))
    programs = folder / "programs"
    programs.mkdir()
    # Jupyter AI offers the persona of Claude Code where this program is installed.
    scripted = f"ACP_AGENT_PROJECTS={folder / '.claude/projects'} exec {sys.executable} {AGENT}"
    program = programs / "claude-agent-acp"
    program.write_text(f"#!/bin/sh\n{claude or scripted}\n")
    program.chmod(0o755)
    page_config = folder / "config/labconfig/page_config.json"
    page_config.parent.mkdir(parents=True)
    disabled = {"@jupyterlab/apputils-extension:announcements": True}
    page_config.write_text(json.dumps({"disabledExtensions": disabled}))
    labextension = ROOT / "server/htmlgraph_server/labextension"
    shutil.copytree(labextension, folder / "share/labextensions/htmlgraph-nb")
    own = {
        "HTMLGRAPH_HOME": str(folder / "hg"),
        "JUPYTER_PATH": str(folder / "share"),
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
        "PYTHONUNBUFFERED": "1",
    }
    command = [
        *(str(python), "-m", "jupyterlab", "--no-browser", "--allow-root"),
        *("--ServerApp.ip=127.0.0.1", "--ServerApp.port=0", "--IdentityProvider.token="),
        *(f"--ServerApp.root_dir={folder / 'notebooks'}", "--LabApp.expose_app_in_browser=True"),
        *("--LabApp.news_url=None", "--MCPExtensionApp.mcp_port=0"),
        "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
        *flags,
    ]
    log = folder / "jupyter.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=project,
            env=jupyter_environ(folder, {**own, **environ}),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        runtime = folder / "runtime" / f"jpserver-{process.pid}.json"

        def address() -> str:
            assert process.poll() is None, f"Jupyter ended:\n{log.read_text()}"
            with suppress(OSError, ValueError):
                url = str(json.loads(runtime.read_text())["url"])
                with urlopen(f"{url}api", timeout=START_S):
                    return url
            return ""

        yield ChatLab(wait_until(address, "Jupyter's address", START_S), folder, log)
    finally:
        process.send_signal(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(20)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


class ChatPage:
    """A page of JupyterLab with an open chat.

    Args:
        lab: the JupyterLab.
        page: an empty page.
        name: name of a new chat in the folder of the project.
        persona: the persona that answers.
    """

    def __init__(self, lab: ChatLab, page: Page, name: str, persona: str) -> None:
        self.page = page
        self._path = f"project/{name}.chat"
        file = lab.folder / "notebooks" / self._path
        if not file.exists():
            file.write_text("{}")
        page.goto(f"{lab.url}lab?reset")
        expect(page.locator(".jp-LauncherCard").first).to_be_visible(timeout=START_S * 1_000)
        self.open(persona)

    def open(self, persona: str) -> None:
        """Open the chat and choose the persona that answers."""
        command = (
            "(path) => window.jupyterapp.commands.execute('docmanager:open', {path}).then(() => 0)"
        )
        self.page.evaluate(command, self._path)
        chosen = self.page.locator(".jp-jai-personaControls-persona-btn:visible")
        expect(chosen).to_be_visible(timeout=START_S * 1_000)
        if persona not in (chosen.text_content() or ""):
            chosen.click()
            self.page.get_by_role("menuitem", name=persona).first.click()
        expect(chosen).to_contain_text(persona)

    def send(self, text: str) -> None:
        """Send a message to the persona."""
        box = self.page.locator("#jp-main-dock-panel textarea:visible").first
        box.fill(text)
        box.press("Enter")

    def button(self, name: str) -> Locator:
        """Return the last button of that name."""
        return self.page.get_by_role("button", name=name, exact=True).last
