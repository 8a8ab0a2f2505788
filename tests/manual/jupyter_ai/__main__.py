"""Runs Jupyter AI in JupyterLab with a scripted agent, and checks what is shown of it.

    python -m tests.manual.jupyter_ai [FOLDER] [--pictures FOLDER] [--claude PROGRAM]

Creates a virtual environment with JupyterLab, Jupyter AI and jupyter-collaboration in FOLDER
(default: a temporary folder; an existing environment is used again), about 170 packages. Drives the
chat in headless Chromium, over WebSockets and in collaboration. Prints one line per check and exits
with status 1 if one fails. ``--claude`` names a real claude-agent-acp, from ``npm install
@agentclientprotocol/claude-agent-acp``, which then also runs, with the model API of
tests/manual/agents/models.py.
"""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
import time
from pathlib import Path

from playwright.sync_api import Browser, expect

from tests.e2e.browser import chromium, watched_page
from tests.helpers.acp_agent import SECRET
from tests.helpers.wait import wait_until
from tests.manual.agents.__main__ import PROMPT, TOKENS
from tests.manual.agents.models import Model
from tests.manual.jupyter_ai.lab import ChatLab, ChatPage, make_environment, running_lab

TURN_TOKENS = 1_250
OFF = "--YDocExtension.disable_rtc=True"
FAULTS = re.compile(r"not shown any more|were not stored|Event listener .* failed")
OPEN_GRID = """() => window.jupyterapp.commands.execute("htmlgraph-nb:open").then(() => {
  const shell = window.jupyterapp.shell;
  const tab = [...shell.widgets("main")].find((widget) => widget.id.startsWith("htmlgraph"));
  if (tab) shell.add(tab, "main", { mode: "split-right" });
})"""


def check(what: str, *, fits: bool = True) -> None:
    """Print a line; raise AssertionError if it does not fit."""
    print("ok  " if fits else "FAIL", what, flush=True)
    assert fits, what


def check_turns(lab: ChatLab, chat: ChatPage) -> None:
    """Check a turn, its tools, tokens and cost, and where it ran."""
    chat.send("say read usage")
    agent = lab.wait_for("jupyter-ai", detail="done", total_cost_tokens=TURN_TOKENS, cost_usd=0.25)
    shown = [agent[name] for name in ("title", "project", "model", "context_tokens")]
    check(
        "title, project, model, context",
        fits=shown == ["plots", "project", "scripted-small", 12_000],
    )
    check("tools", fits=agent["total_tools_executed"] == 1)
    chat.send("fail")
    lab.wait_for("jupyter-ai", detail="error")
    chat.send("hold")
    lab.wait_for("jupyter-ai", status="active", detail="working")
    chat.button("Stop generating").click()
    lab.wait_for("jupyter-ai", detail="done")
    check("error, long turn, stop")


def check_permission(lab: ChatLab, chat: ChatPage, pictures: Path | None) -> None:
    """Check that the agent waits for permission until a person answers, in the grid as well."""
    page = chat.page
    before = lab.agents("jupyter-ai")[0]["total_tools_executed"]
    chat.send("two say")
    waits = {"detail": "waiting_permission", "total_tools_executed": before + 1}
    agent = lab.wait_for("jupyter-ai", **waits)
    expect(page.get_by_role("button", name="Agent monitor:")).to_contain_text("1 waiting")
    check("permission, beside a parallel call", fits=agent["attention"])
    page.evaluate(OPEN_GRID)
    card = page.locator(f'[data-agent-id="{agent["agent_id"]}"]')
    expect(card.first).to_be_visible()
    if pictures is not None:
        page.screenshot(path=pictures / "jupyter_ai_waiting.png")
    chat.button("Allow").click()
    lab.wait_for("jupyter-ai", detail="done", total_tools_executed=before + 2)
    chat.send("ask")
    lab.wait_for("jupyter-ai", detail="waiting_permission")
    chat.button("Reject").click()
    lab.wait_for("jupyter-ai", detail="done", total_tools_executed=before + 2)
    check("allowed and rejected")
    if pictures is not None:
        page.screenshot(path=pictures / "jupyter_ai_done.png")


def check_end(lab: ChatLab, chat: ChatPage, *, at_once: bool) -> None:
    """Check that the agent is offline while its chat is closed, and the same one after that."""
    first = lab.agents("jupyter-ai")[0]
    chat.page.evaluate(
        """() => { for (const widget of window.jupyterapp.shell.widgets("main"))
          if (widget.title.label.endsWith(".chat")) widget.close(); }"""
    )
    if at_once:
        lab.wait_for("jupyter-ai", status="offline")
        chat.open("Scripted")
        lab.wait_for("jupyter-ai", status="idle", agent_id=first["agent_id"])
        check("closed and opened again")
    else:
        chat.open("Scripted")
    chat.send("crash")
    lab.wait_for("jupyter-ai", detail="error", agent_id=first["agent_id"])
    check("crash of the agent")


def check_persona_inside_jupyter(lab: ChatLab, browser: Browser) -> None:
    """Check a persona that runs no other program: it shows only when it works."""
    with watched_page(browser) as watched:
        watched.allowed.append("")
        chat = ChatPage(lab, watched.page, "echo", "Echo")
        chat.send("hello")
        agents = wait_until(
            lambda: [one for one in lab.agents("jupyter-ai") if one["title"] == "echo"], "Echo"
        )
        check("persona inside Jupyter", fits=agents[0]["agent_id"].startswith("echo-"))


def check_claude(lab: ChatLab, browser: Browser) -> None:
    """Check that an agent with a session file of its own is one agent, and counts once."""
    with watched_page(browser) as watched:
        watched.allowed.append("")
        chat = ChatPage(lab, watched.page, "ports", "Claude")
        chat.send("say read usage")
        agent = lab.wait_for("claude", detail="done", total_cost_tokens=TURN_TOKENS)
        chat.send("ask")
        lab.wait_for("claude", detail="waiting_permission")
        chat.button("Allow").click()
        lab.wait_for("claude", detail="done", total_cost_tokens=2 * TURN_TOKENS)
        # Longer than it takes until the chat's own counts would be used.
        end = time.monotonic() + 12
        wait_until(lambda: time.monotonic() > end, "late counts")
        agent = lab.wait_for("claude", detail="done", total_cost_tokens=2 * TURN_TOKENS)
        shown = agent["hooks"], agent["model"], agent["title"], agent["total_tools_executed"]
        check("one agent of Claude Code", fits=shown == (False, "claude-opus-4-8", "ports", 0))


def check_transport(
    python: Path, browser: Browser, pictures: Path | None, *, collaboration: bool
) -> None:
    """Run all checks with one transport of the chats."""
    print("in collaboration:" if collaboration else "over WebSockets:")
    with tempfile.TemporaryDirectory() as name:
        flags = ("--HtmlgraphExtension.watch=on", *(() if collaboration else (OFF,)))
        with running_lab(python, Path(name), *flags) as lab:
            with watched_page(browser, viewport={"width": 1_500, "height": 900}) as watched:
                # Errors in the console are Jupyter AI's own.
                watched.allowed.append("")
                chat = ChatPage(lab, watched.page, "plots", "Scripted")
                check_turns(lab, chat)
                check_permission(lab, chat, None if collaboration else pictures)
                check_end(lab, chat, at_once=not collaboration)
            check_persona_inside_jupyter(lab, browser)
            check_claude(lab, browser)
        log = lab.log.read_text(errors="replace")
        check("no fault in the log", fits=not FAULTS.search(log))
        stored = [path.read_bytes() for path in (lab.folder / "hg").rglob("*") if path.is_file()]
        check("no text of the chat stored", fits=not any(SECRET.encode() in one for one in stored))


def check_real_claude(python: Path, browser: Browser, program: Path) -> None:
    """Check that Claude Code itself is one agent, whose tools and tokens its file reports."""
    print("Claude Code:")
    with tempfile.TemporaryDirectory() as name, Model() as model:
        environ = {
            "ANTHROPIC_BASE_URL": model.url,
            "ANTHROPIC_API_KEY": "none",
            "IS_SANDBOX": "1",
            "DISABLE_TELEMETRY": "1",
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        }
        with (
            running_lab(
                python,
                Path(name),
                *("--HtmlgraphExtension.watch=on", OFF),
                claude=f"exec {program.absolute()}",
                environ=environ,
            ) as lab,
            watched_page(browser) as watched,
        ):
            watched.allowed.append("")
            chat = ChatPage(lab, watched.page, "ports", "Claude")
            chat.send(PROMPT)
            tokens = TOKENS["claude"]
            agent = lab.wait_for("claude", detail="done", total_cost_tokens=tokens)
            end = time.monotonic() + 12
            wait_until(lambda: time.monotonic() > end, "late counts")
            agent = lab.wait_for("claude", detail="done", total_cost_tokens=tokens)
            shown = agent["hooks"], agent["last_tool_name"], agent["total_tools_executed"]
            check("one agent, counted once", fits=shown == (False, "Bash", 2))


def main() -> int:
    """Run all checks and return the exit status."""
    parser = argparse.ArgumentParser(description="Check Jupyter AI in a real JupyterLab.")
    parser.add_argument("folder", type=Path, nargs="?", help="the virtual environment")
    parser.add_argument("--pictures", type=Path, help="folder for screenshots")
    parser.add_argument("--claude", type=Path, help="a real claude-agent-acp, to run as well")
    arguments = parser.parse_args()
    if arguments.pictures is not None:
        arguments.pictures.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.folder or Path(temporary) / "venv"
        started = time.monotonic()
        python = make_environment(folder, collaboration=True)
        print(f"environment: {time.monotonic() - started:.0f} s")
        try:
            with chromium() as browser:
                for collaboration in (False, True):
                    check_transport(
                        python, browser, arguments.pictures, collaboration=collaboration
                    )
                if arguments.claude is not None:
                    check_real_claude(python, browser, arguments.claude)
        except AssertionError as error:
            print(f"FAIL {error}")
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
