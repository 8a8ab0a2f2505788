"""Drives Claude Code, Codex and Gemini CLI, connected as a user connects them, offline.

    npm install @anthropic-ai/claude-code @openai/codex @google/gemini-cli
    python -m tests.manual.agents FOLDER/node_modules/.bin

Each program runs in an environment of its own (a fresh HOME, no vendor's telemetry, no update),
in a network namespace with loopback only, against tests/manual/agents/models.py. Printed is
what the server then knows of it. Needs Linux, and the right to make a namespace.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.helpers.server_process import Server
from tests.manual.agents.models import CACHED_TOKENS, INPUT_TOKENS, OUTPUT_TOKENS, Model

TOKENS = {
    # Anthropic counts what comes from the cache beside the input, the others within it.
    "claude": 3 * (INPUT_TOKENS + CACHED_TOKENS + OUTPUT_TOKENS),
    "codex": 3 * (INPUT_TOKENS + OUTPUT_TOKENS),
    "gemini": 3 * (INPUT_TOKENS + OUTPUT_TOKENS),
}
"""What the stand-in's answers of one run cost."""
TOKENS_S = 10.0
PROMPT = "Say first and second with two commands."
_QUIET = {
    "DISABLE_TELEMETRY": "1",
    "DISABLE_AUTOUPDATER": "1",
    "DISABLE_ERROR_REPORTING": "1",
    "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
    "GEMINI_CLI_NO_RELAUNCH": "true",
    "NO_BROWSER": "1",
}


def commands(agent: str, programs: Path, model: str) -> tuple[list[str], dict[str, str]]:
    """Return the command line and the variables by which an agent uses the stand-in."""
    program = str(programs / agent)
    if agent == "claude":
        words = [program, "-p", PROMPT, "--allowedTools", "Bash(echo:*)", "--model", "sonnet"]
        return words, {"ANTHROPIC_BASE_URL": model, "ANTHROPIC_API_KEY": "none"}
    if agent == "codex":
        provider = f'{{name="stand-in",base_url="{model}/v1",wire_api="responses"}}'
        options = ("model_provider=stand_in", f"model_providers.stand_in={provider}")
        words = [program, "exec", "--skip-git-repo-check", "--model", "gpt-5-codex"]
        for option in options:
            words += ["-c", option]
        return [*words, "--dangerously-bypass-hook-trust", PROMPT], {}
    words = [program, "--prompt", PROMPT, "--yolo", "--model", "gemini-2.5-pro"]
    return words, {"GOOGLE_GEMINI_BASE_URL": model, "GEMINI_API_KEY": "none"}


def settle(agent: str, home: Path) -> None:
    """Write what a user has answered when the agent was first started."""
    if agent == "gemini":
        choices = {"auth": {"selectedType": "gemini-api-key"}, "folderTrust": {"enabled": False}}
        (home / ".gemini").mkdir()
        (home / ".gemini" / "settings.json").write_text(json.dumps({"security": choices}))


def drive(agent: str, programs: Path, verbose: bool) -> dict[str, Any]:
    """Connect and run one agent, and return what the server knows of it afterwards."""
    # Not below /tmp: Codex keeps no helpers there.
    with tempfile.TemporaryDirectory(dir=Path.home()) as home, Model() as model:
        project = Path(home) / "shop"
        project.mkdir()
        settle(agent, Path(home))
        server = Server(Path(home) / "htmlgraph", environ={"HOME": home}).start()
        own = {
            "HOME": home,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "HTMLGRAPH_URL": server.url,
            **_QUIET,
        }
        try:
            words = [sys.executable, "-m", "htmlgraph_server.cli", "connect", agent]
            subprocess.run(words, env=own, cwd=project, stdout=subprocess.DEVNULL, check=True)
            words, extra = commands(agent, programs, model.url)
            done = subprocess.run(
                words,
                env={**own, **extra},
                cwd=project,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=180,
                check=False,
            )
            _await_tokens(server, TOKENS[agent])
            found: dict[str, Any] = {
                "tokens": f"{_tokens(server)} of {TOKENS[agent]}",
                "exit": done.returncode,
                "answers": sum(model.answers.values()),
                "agents": [_told(one) for one in server.presence().values()],
                "events": [
                    " ".join(filter(None, (one["event_type"], one["tool_name"])))
                    for one in server.get("/api/history?limit=1000").json()["events"]
                ],
            }
            if verbose or done.returncode:
                found["said"] = done.stdout + done.stderr
                found["paths"] = model.paths
            return found
        finally:
            server.stop()


def _tokens(server: Server) -> int:
    return sum(int(one["total_cost_tokens"]) for one in server.presence().values())


def _await_tokens(server: Server, wanted: int) -> None:
    # They come from the session file, which the server reads when a turn ends.
    end = time.monotonic() + TOKENS_S
    while _tokens(server) != wanted and time.monotonic() < end:
        time.sleep(0.1)


def _told(presence: dict[str, Any]) -> str:
    names = ("agent_id", "status", "reason", "model", "project")
    told = ", ".join(str(presence[name]) for name in names if presence[name])
    tokens = presence["total_cost_tokens"]
    return f"{told}, {presence['total_tools_executed']} tools, {tokens} tokens"


def is_whole(found: dict[str, Any]) -> bool:
    """Return whether the server saw the session from start to end, with both tools and its tokens.

    Whoever tells of the answers, hooks, files or telemetry: each counts once.
    """
    kinds = [event.split()[0] for event in found["events"] if event != "completion"]
    if kinds.count("stop") == 2:
        # The session file told of it first, and the hook then says more of it.
        kinds.remove("stop")
    told, wanted_tokens = found["tokens"].split(" of ")
    wanted = ["session_start", "prompt", *["tool_start", "tool_execute"] * 2, "stop", "session_end"]
    # Hooks that run beside the agent arrive in any order.
    complete = sorted(kinds) == sorted(wanted) and told == wanted_tokens
    return found["exit"] == 0 and complete and len(found["agents"]) == 1


def main() -> int:
    """Run what is there, print what was seen, and return 1 where something is missing."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("programs", type=Path, help="folder with claude, codex, gemini")
    parser.add_argument("--agent", choices=("claude", "codex", "gemini"), action="append")
    parser.add_argument("--verbose", action="store_true", help="what the programs said, too")
    arguments = parser.parse_args()
    if os.environ.get("HTMLGRAPH_LOOPBACK_ONLY") != "1":
        return _in_namespace()
    n_failed = 0
    for agent in arguments.agent or ("claude", "codex", "gemini"):
        found = drive(agent, arguments.programs.resolve(), arguments.verbose)
        whole = is_whole(found)
        n_failed += not whole
        print(agent, "whole" if whole else "NOT WHOLE", json.dumps(found, indent=2), flush=True)
    return int(n_failed > 0)


def _in_namespace() -> int:
    words = ["unshare", "--net", "--map-root-user", "sh", "-c"]
    words += ['ip link set lo up && exec "$@"', "sh"]
    environ = {**os.environ, "HTMLGRAPH_LOOPBACK_ONLY": "1"}
    own = [sys.executable, "-m", "tests.manual.agents", *sys.argv[1:]]
    return subprocess.run([*words, *own], env=environ, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
