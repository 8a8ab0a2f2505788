"""Agents of other packages: the documented example, and packages that are broken."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.helpers.agent_plugin import EXAMPLE, install_example, install_module
from tests.helpers.environ import clean_environ
from tests.helpers.paths import ROOT
from tests.helpers.server_process import running
from tests.helpers.wait import wait_until

AGENT = "nova-nova-0001"
RECORDED = EXAMPLE / "recordings/one-turn/transcript.jsonl"
LIST = "from htmlgraph_nb.coding_agents.registry import AGENTS; print(*AGENTS)"
BARE = """
from htmlgraph_nb.coding_agents import CodingAgent

class Bare(CodingAgent):
    name = "{name}"
    label = "Bare"
"""


class Machine:
    """A home folder, and a folder with installed packages."""

    def __init__(self, folder: Path) -> None:
        self.home = folder / "home"
        self.site = folder / "site"
        self.home.mkdir()

    @property
    def environ(self) -> dict[str, str]:
        """The environment of all processes."""
        return {"PYTHONPATH": str(self.site)}

    def session(self, start: str = "2026-09-01T10:00") -> Path:
        """Store the recorded session where Nova does.

        Args:
            start: the minute in which it was recorded, as in its file.
        """
        path = self.home / ".nova/sessions/nova-0001.jsonl"
        path.parent.mkdir(parents=True)
        path.write_text(RECORDED.read_text().replace("2026-09-01T10:00", start))
        return path

    def run(self, *arguments: str, stdin: str = "", **environ: str) -> str:
        """Run Python with these arguments; return stdout and stderr."""
        done = subprocess.run(
            [sys.executable, *arguments],
            env=clean_environ(self.home, {**self.environ, **environ}),
            input=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stdout
        return done.stdout

    def cli(self, *arguments: str) -> str:
        """Run ``htmlgraph-nb`` with these arguments."""
        return self.run("-m", "htmlgraph_server.cli", *arguments)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """A machine on which the example is installed."""
    machine = Machine(tmp_path)
    install_example(machine.site)
    return machine


def test_plugin_is_imported_and_loaded(machine: Machine) -> None:
    """``import`` and load_transcripts read its sessions, with tokens, tools and title."""
    path = machine.session()
    assert "imported 6 events of 1 session files" in machine.cli("import", "nova")
    assert "6 existed already" in machine.cli("import")
    code = (
        "import sys, htmlgraph_nb as hg\n"
        "f = hg.load_transcripts(agent='nova', progress=False)\n"
        "assert len(f) == len(hg.load_transcripts(sys.argv[1], progress=False)) == 6\n"
        "done = f[f.event_type == 'completion'].iloc[0]\n"
        "print(f.source.unique()[0], done.input_tokens, done.cache_read_tokens,"
        " done.output_tokens, f.input_hash.notna().sum(), *f.title.dropna())\n"
    )
    assert machine.run("-c", code, str(path)).split() == [
        *("nova-session", "120", "400", "30", "1"),
        *("Fix", "the", "cart"),
    ]


def test_plugin_is_connected_and_served(machine: Machine) -> None:
    """``serve`` follows its files and takes its hooks; ``connect`` adds and removes them."""
    assert "Nova is connected" in machine.cli("connect", "nova")
    settings = machine.home / ".nova/settings.json"
    (handler,) = json.loads(settings.read_text())["hooks"]["PermissionRequest"][0]["hooks"]
    assert handler["command"].endswith("htmlgraph-hook nova")
    assert "Nova" in machine.cli("connect", "--check")
    with running(machine.home / "data", environ={**machine.environ, "HOME": str(machine.home)}) as (
        server
    ):
        machine.session(f"{datetime.now(UTC) - timedelta(minutes=1):%Y-%m-%dT%H:%M}")
        wait_until(lambda: AGENT in server.presence(), "the agent of the session file")
        shown = server.presence()[AGENT]
        assert (shown["title"], shown["status"], shown["session_tokens"]) == (
            "Fix the cart",
            "idle",
            550,
        )
        hook = {"hook_event_name": "PermissionRequest", "session_id": "nova-0001"}
        answer = server.post("/api/hooks/nova", {**hook, "tool_name": "shell"})
        assert answer.status == 204, answer.text
        assert server.presence()[AGENT]["attention"]
        hook["hook_event_name"] = "UserPromptSubmit"
        machine.run(
            *("-m", "htmlgraph_nb.hook", "nova"),
            stdin=json.dumps(hook),
            HTMLGRAPH_URL=server.url,
        )
        wait_until(lambda: not server.presence()[AGENT]["attention"], "the hook of the prompt")
    assert "Nova is disconnected" in machine.cli("connect", "nova", "--undo")
    assert not settings.exists()


def test_plugins_that_are_broken_are_named(machine: Machine) -> None:
    """Each is left out with its package and the cause; the others stay."""
    broken = {
        "raises": ("raise RuntimeError('secret prompt')", "raises:X"),
        "exits": ("import sys\nsys.exit(3)", "exits:X"),
        "no-class": ("X = 3", "no_class:X"),
        "other-name": (BARE.format(name="else"), "other_name:Bare"),
        "no-label": (
            BARE.format(name="no-label").replace("    label", "    title"),
            "no_label:Bare",
        ),
        "codex": (BARE.format(name="codex"), "my_codex:Bare"),
        "claude-code": (BARE.format(name="claude-code"), "alias:Bare"),
        "Upper": (BARE.format(name="Upper"), "upper:Bare"),
        "fails": (
            BARE.format(name="fails") + "    def session_roots(self):\n        return 1 / 0\n",
            "fails:Bare",
        ),
        "good": (BARE.format(name="good"), "good:Bare"),
    }
    for name, (text, value) in broken.items():
        install_module(machine.site, value.partition(":")[0].replace("_", "-"), text, {name: value})
    install_module(machine.site, "z-again", BARE.format(name="good"), {"good": "z_again:Bare"})
    output = machine.run("-c", LIST).splitlines()
    assert output[-1].split()[-2:] == ["good", "nova"]
    assert len(output) == 11
    for text in (
        "the agent 'raises' of the package raises is left out: RuntimeError",
        "the agent 'exits' of the package exits is left out: SystemExit",
        "'no-class' of the package no-class is left out: expected no_class:X to be a subclass of",
        "'other-name' of the package other-name is left out: expected its class to have the name",
        "the agent 'no-label' of the package no-label is left out: expected a label",
        "the agent 'codex' of the package my-codex is left out: the name is taken by htmlgraph-nb",
        "'claude-code' of the package alias is left out: the name is taken by htmlgraph-nb",
        "the agent 'Upper' of the package upper is left out: expected a name of at most 32",
        "the agent 'fails' of the package fails is left out: ZeroDivisionError",
        "the agent 'good' of the package z-again is left out: the name is taken by good; choose",
    ):
        assert any(text in line for line in output), (text, output)


def test_plugin_is_not_loaded_by_the_hooks_of_other_agents(machine: Machine) -> None:
    """The hook of a built-in agent reads no entry points; of a plugin it prints nothing."""
    install_module(machine.site, "broken", "raise RuntimeError", {"broken": "broken:X"})
    code = (
        "import sys; sys.argv = ['htmlgraph-hook', sys.argv[1]]\n"
        "from htmlgraph_nb.hook import command\n"
        "import os; os._exit = lambda status: print("
        "'htmlgraph_nova' in sys.modules, 'importlib.metadata' in sys.modules)\n"
        "command.main()\n"
    )
    prompt = json.dumps({"hook_event_name": "Stop", "session_id": "s"})
    assert machine.run("-c", code, "codex", stdin=prompt) == "False False\n"
    assert machine.run("-c", code, "nova", stdin=prompt) == "True True\n"
    assert machine.run("-c", code, "unknown", stdin=prompt) == "True True\n"


def test_plugin_that_fails_later_stops_nothing(machine: Machine) -> None:
    """Errors in its readers are logged once, without texts; the sessions of others are read."""
    text = BARE.format(name="late") + (
        "    folder = '.late'\n"
        "    has_hooks = True\n"
        "    session_pattern = r'x/[^/]+\\.jsonl'\n"
        "    def is_session_record(self, record):\n"
        "        return record['type'] == 'late'\n"
        "    def hook_settings(self):\n"
        "        return None\n"
        "    def session_reader(self, path, hash_input=None):\n"
        "        return Reader()\n"
        "    def events_from_hook(self, payload, *, received_at):\n"
        "        raise KeyError('secret prompt')\n"
        "class Reader:\n"
        "    QUIET_THRESHOLDS_S = ()\n"
        "    def feed(self, line):\n"
        "        raise ValueError(line)\n"
    )
    install_module(machine.site, "late", text, {"late": "late:Bare"})
    folder = machine.home / "mixed"
    folder.mkdir()
    (folder / "late.jsonl").write_text('{"type":"late","text":"secret prompt"}\n' * 3)
    shutil.copy(RECORDED, folder / "nova-0001.jsonl")
    code = (
        "import sys, htmlgraph_nb as hg\n"
        "print(len(hg.load_transcripts(sys.argv[1], progress=False)))\n"
        "from htmlgraph_nb.coding_agents.registry import AGENTS\n"
        "try:\n    AGENTS['late'].events_from_hook({}, received_at=None)\n"
        "except hg.InvalidEvent as error:\n    print(error)\n"
    )
    output = machine.run("-c", code, str(folder))
    assert "secret" not in output
    assert "\n6\n" in f"\n{output}"
    assert output.count("the plugin of the agent late failed in feed") == 1
    assert "Bare: its reader failed: KeyError in line" in output
    with running(machine.home / "data", environ={**machine.environ, "HOME": str(machine.home)}) as (
        server
    ):
        answer = server.post("/api/hooks/late", {"session_id": "s", "hook_event_name": "Stop"})
        assert answer.status == 400, answer.text


def test_plugin_is_checked_with_recordings(machine: Machine) -> None:
    """``check_agent`` finds nothing in the example, and names what differs."""
    code = "import sys, htmlgraph_nb as hg; print(hg.check_agent('nova', sys.argv[1]))"
    assert machine.run("-c", code, str(EXAMPLE / "recordings")) == (
        "nova: 2 recordings, 8 of 8 phases as expected, tokens equal in 2 of 2\nno problems\n"
    )
    folder = machine.home / "recordings"
    shutil.copytree(EXAMPLE / "recordings", folder)
    tokens = folder / "one-turn/tokens.json"
    tokens.write_text('{"output_tokens": 31}')
    expected = folder / "one-turn/expected.jsonl"
    expected.write_text(expected.read_text().replace('"ready"', '"waiting"'))
    output = machine.run("-c", code, str(folder))
    assert "one-turn: output_tokens: expected 31, got 30" in output
    assert "one-turn: turn_end: never waiting after turn_start" in output


def test_plugin_is_that_of_the_page() -> None:
    """notebooks/ADD_AGENT.md shows all files of the example as they are."""
    page = (ROOT / "notebooks/ADD_AGENT.md").read_text(encoding="utf-8")
    shown = dict(re.findall(r"^`(\S+)`:\n\n```\w+\n(.*?)```$", page, re.M | re.S))
    files = [*EXAMPLE.glob("*.toml"), *EXAMPLE.rglob("*.py"), *EXAMPLE.glob("*/permission/*")]
    assert {name: text.strip() for name, text in shown.items()} == {
        path.relative_to(EXAMPLE).as_posix(): path.read_text().strip() for path in files
    }
