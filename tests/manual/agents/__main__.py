"""Runs command-line agents offline, connected to a server as a user connects them.

    npm install @anthropic-ai/claude-code @openai/codex @google/gemini-cli
    npm install @earendil-works/pi-coding-agent @qwen-code/qwen-code   # Node.js 22 or later
    npm install opencode-ai @github/copilot
    python -m tests.manual.agents FOLDER/node_modules/.bin [--agent claude] [--verbose]

Each program runs with an empty HOME, without vendor telemetry and updates, in a network namespace
that has only loopback, and uses the model API of tests/manual/agents/models.py. Prints what the
server then knows of each agent; exits with status 1 if something is missing. Needs Linux and the
permission to create a network namespace. Kiro CLI is left out: no package registry has it.
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
    # Anthropic counts cached tokens separately from the input, the others as part of it.
    "claude": 3 * (INPUT_TOKENS + CACHED_TOKENS + OUTPUT_TOKENS),
    "codex": 3 * (INPUT_TOKENS + OUTPUT_TOKENS),
    "gemini": 3 * (INPUT_TOKENS + OUTPUT_TOKENS),
    "pi": 3 * (INPUT_TOKENS + OUTPUT_TOKENS),
    "qwen": 3 * (INPUT_TOKENS + OUTPUT_TOKENS),
    "opencode": 3 * (INPUT_TOKENS + OUTPUT_TOKENS),
    "copilot": 3 * (INPUT_TOKENS + OUTPUT_TOKENS),
}
"""Tokens that the fake model reports in a run."""
TOKENS_S = 10.0
_FACTS = ("completion", "notification", "session_info", "process_start")
_ENDS = {"process_exit": "session_end"}
"""Qwen Code runs no hook at the end of a session without a terminal."""
PROMPT = "Say first and second with two commands."
_QUIET = {
    "DISABLE_TELEMETRY": "1",
    "DISABLE_AUTOUPDATER": "1",
    "DISABLE_ERROR_REPORTING": "1",
    "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
    "GEMINI_CLI_NO_RELAUNCH": "true",
    "PI_OFFLINE": "1",
    "PI_TELEMETRY": "0",
    "QWEN_CODE_SUPPRESS_YOLO_WARNING": "1",
    "COPILOT_AUTO_UPDATE": "false",
    "COPILOT_OFFLINE": "true",
    "NO_BROWSER": "1",
}


def commands(agent: str, programs: Path, model: str) -> tuple[list[str], dict[str, str]]:
    """Return the command line and the environment with which an agent uses the fake model."""
    program = str(programs / agent)
    if agent == "claude":
        words = [program, "-p", PROMPT, "--allowedTools", "Bash(echo:*)", "--model", "sonnet"]
        return words, {"ANTHROPIC_BASE_URL": model, "ANTHROPIC_API_KEY": "none"}
    if agent == "codex":
        provider = f'{{name="fake",base_url="{model}/v1",wire_api="responses"}}'
        options = ("model_provider=fake", f"model_providers.fake={provider}")
        words = [program, "exec", "--skip-git-repo-check", "--model", "gpt-5-codex"]
        for option in options:
            words += ["-c", option]
        return [*words, "--dangerously-bypass-hook-trust", PROMPT], {}
    if agent == "pi":
        return [program, "--print", "--provider", "fake", "--model", "fake-1", PROMPT], {}
    if agent == "qwen":
        words = [program, "--auth-type", "openai", "--yolo", "--prompt", PROMPT]
        variables = {"OPENAI_BASE_URL": f"{model}/v1", "OPENAI_MODEL": "qwen3-coder-plus"}
        return words, {"OPENAI_API_KEY": "none", **variables}
    if agent == "opencode":
        options = {"baseURL": f"{model}/v1", "apiKey": "none"}
        provider = {"npm": "@ai-sdk/openai-compatible", "options": options}
        providers = {"fake": {**provider, "models": {"fake-1": {"name": "Fake"}}}}
        settings = {"provider": providers, "model": "fake/fake-1", "autoupdate": False}
        # It tries to install a package for plugins.
        quick = {"npm_config_fetch_retries": "0"}
        variables = {"OPENCODE_CONFIG_CONTENT": json.dumps(settings), **quick}
        return [program, "run", PROMPT], variables
    if agent == "copilot":
        # Its own provider needs no account.
        variables = {"COPILOT_PROVIDER_BASE_URL": f"{model}/v1", "COPILOT_MODEL": "gpt-5-mini"}
        return [program, "-p", PROMPT, "--allow-all-tools"], variables
    words = [program, "--prompt", PROMPT, "--yolo", "--model", "gemini-2.5-pro"]
    return words, {"GOOGLE_GEMINI_BASE_URL": model, "GEMINI_API_KEY": "none"}


def write_settings(agent: str, home: Path, model: str) -> None:
    """Write the choices that a user makes when the agent starts for the first time."""
    if agent == "pi":
        provider = {"baseUrl": f"{model}/v1", "api": "openai-completions", "apiKey": "none"}
        models = {"providers": {"fake": {**provider, "models": [{"id": "fake-1"}]}}}
        (home / ".pi" / "agent").mkdir(parents=True)
        (home / ".pi" / "agent" / "models.json").write_text(json.dumps(models))
    if agent == "gemini":
        choices = {"auth": {"selectedType": "gemini-api-key"}, "folderTrust": {"enabled": False}}
        (home / ".gemini").mkdir()
        (home / ".gemini" / "settings.json").write_text(json.dumps({"security": choices}))


def run_agent(agent: str, programs: Path, verbose: bool) -> dict[str, Any]:
    """Connect and run an agent; return what the server then knows of it."""
    # Not below /tmp, where Codex does not install its helpers.
    with tempfile.TemporaryDirectory(dir=Path.home()) as home, Model() as model:
        project = Path(home) / "shop"
        project.mkdir()
        write_settings(agent, Path(home), model.url)
        server = Server(Path(home) / "htmlgraph", environ={"HOME": home}).start()
        environ = {
            "HOME": home,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "HTMLGRAPH_URL": server.url,
            **_QUIET,
        }
        try:
            words = [sys.executable, "-m", "htmlgraph_server.cli", "connect", agent]
            subprocess.run(words, env=environ, cwd=project, stdout=subprocess.DEVNULL, check=True)
            words, extra = commands(agent, programs, model.url)
            done = subprocess.run(
                words,
                env={**environ, **extra},
                cwd=project,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=180,
                check=False,
            )
            _await_tokens(server, TOKENS[agent])
            _await_end(server)
            report: dict[str, Any] = {
                "tokens": f"{_tokens(server)} of {TOKENS[agent]}",
                "exit": done.returncode,
                "responses": sum(model.responses.values()),
                "agents": [_summary(presence) for presence in server.presence().values()],
                "events": [
                    " ".join(filter(None, (event["event_type"], event["tool_name"])))
                    for event in server.get("/api/history?limit=1000").json()["events"]
                ],
            }
            if verbose or done.returncode:
                report["output"] = done.stdout + done.stderr
                report["paths"] = model.paths
            return report
        finally:
            server.stop()


def _tokens(server: Server) -> int:
    return sum(int(presence["total_cost_tokens"]) for presence in server.presence().values())


def _await_tokens(server: Server, expected: int) -> None:
    # The tokens come from the session file, which the server reads when a turn ends.
    end = time.monotonic() + TOKENS_S
    while _tokens(server) != expected and time.monotonic() < end:
        time.sleep(0.1)


def _await_end(server: Server) -> None:
    # Without a hook that reports it, the end of the process ends the session.
    end = time.monotonic() + TOKENS_S
    while time.monotonic() < end:
        if all(presence["status"] == "offline" for presence in server.presence().values()):
            return
        time.sleep(0.1)


def _summary(presence: dict[str, Any]) -> str:
    names = ("agent_id", "status", "reason", "model", "project")
    values = ", ".join(str(presence[name]) for name in names if presence[name])
    tokens = presence["total_cost_tokens"]
    return f"{values}, {presence['total_tools_executed']} tools, {tokens} tokens"


def is_complete(report: dict[str, Any]) -> bool:
    """Return whether the server saw the session from start to end, with both tools and its tokens.

    Each completion counts once, whether hooks, session files or telemetry reported it.
    """
    kinds = [event.split()[0] for event in report["events"]]
    kinds = [_ENDS.get(kind, kind) for kind in kinds if kind not in _FACTS]
    if kinds.count("session_end") == 2:
        # The hook reported it as well as the end of the process.
        kinds.remove("session_end")
    if kinds.count("stop") == 2:
        # The session file reported it first, and the hook then added details.
        kinds.remove("stop")
    tokens, expected_tokens = report["tokens"].split(" of ")
    expected = [
        "session_start",
        "prompt",
        *["tool_start", "tool_execute"] * 2,
        "stop",
        "session_end",
    ]
    # Asynchronous hooks arrive in any order.
    complete = sorted(kinds) == sorted(expected) and tokens == expected_tokens
    return report["exit"] == 0 and complete and len(report["agents"]) == 1


def main() -> int:
    """Run the agents, print the reports and return 1 if one is incomplete."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("programs", type=Path, help="folder with the programs")
    parser.add_argument("--agent", choices=tuple(TOKENS), action="append")
    parser.add_argument(
        "--verbose", action="store_true", help="also print the output of the programs"
    )
    arguments = parser.parse_args()
    if os.environ.get("HTMLGRAPH_LOOPBACK_ONLY") != "1":
        return _in_namespace()
    n_failed = 0
    for agent in arguments.agent or TOKENS:
        report = run_agent(agent, arguments.programs.resolve(), arguments.verbose)
        complete = is_complete(report)
        n_failed += not complete
        result = "complete" if complete else "INCOMPLETE"
        print(agent, result, json.dumps(report, indent=2), flush=True)
    return int(n_failed > 0)


def _in_namespace() -> int:
    words = ["unshare", "--net", "--map-root-user", "sh", "-c"]
    words += ['ip link set lo up && exec "$@"', "sh"]
    environ = {**os.environ, "HTMLGRAPH_LOOPBACK_ONLY": "1"}
    command = [sys.executable, "-m", "tests.manual.agents", *sys.argv[1:]]
    return subprocess.run([*words, *command], env=environ, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
